"""What one request asks and what it is answered: frozen values, provider-neutral."""

from llmsim.domain.fault import Fault, FaultKind, StreamFault
from llmsim.domain.prompt import CacheMark, CacheUse, Embedding, Image, Message, PrefixMark, Prompt
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
    FinishReason,
    Segment,
    SegmentKind,
    TokenizedText,
    TokenLogprob,
    Turn,
    Usage,
)

__all__ = [
    "CacheMark",
    "CacheUse",
    "Choice",
    "Embedding",
    "Fault",
    "FaultKind",
    "FinishReason",
    "Image",
    "Message",
    "PrefixMark",
    "PriorToolCall",
    "Prompt",
    "ResponseFormat",
    "Schedule",
    "Segment",
    "SegmentKind",
    "StreamFault",
    "TokenLogprob",
    "TokenizedText",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolKind",
    "ToolMode",
    "ToolResult",
    "Turn",
    "Usage",
]
