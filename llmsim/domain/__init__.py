"""Requests and their responses as frozen, provider-neutral values; start with `Prompt` and `Turn`."""

from llmsim.domain.context_edits import (
    AppliedEdit,
    ClearThinking,
    ClearToolUses,
    Compact,
    Compaction,
    ContextEdit,
    EditedContext,
)
from llmsim.domain.fault import Fault, FaultKind, StreamFault
from llmsim.domain.image import Image, ImageRule, PatchLimit
from llmsim.domain.media import MediaRequest
from llmsim.domain.prompt import (
    Attachment,
    Author,
    AutomaticCache,
    CacheMark,
    CacheUse,
    Continuation,
    Embedding,
    Message,
    PrefixChain,
    PrefixMark,
    Prompt,
)
from llmsim.domain.schedule import Schedule
from llmsim.domain.tool import (
    PriorToolCall,
    ResponseFormat,
    Tool,
    ToolCall,
    ToolChoice,
    ToolKind,
    ToolMode,
    ToolResult,
)
from llmsim.domain.turn import (
    Choice,
    EchoedText,
    FinishReason,
    MediaSegment,
    ReasoningSegment,
    RefusalSegment,
    Segment,
    TextSegment,
    TokenizedText,
    TokenLogprob,
    ToolCallSegment,
    Turn,
    Usage,
)
from llmsim.domain.turn_overrides import (
    RequestedFault,
    RequestedGenerator,
    RequestedLatency,
    TurnOverrides,
)
from llmsim.domain.wire_fault import BREAKING, EFFECTS, Effect, WireFault, WireFaultKind
