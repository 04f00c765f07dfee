"""What one request asks and what it is answered: frozen values, provider-neutral."""

from llmsim.exchange.fault import Breakage, Fault, FaultKind
from llmsim.exchange.prompt import CacheMark, Embedding, Image, Message, Prompt
from llmsim.exchange.schedule import Schedule
from llmsim.exchange.tool import Call, Form, PastCall, Tool, ToolChoice, ToolKind, ToolMode, ToolResult
from llmsim.exchange.turn import (
    Choice,
    FinishReason,
    Passage,
    Segment,
    SegmentKind,
    TokenOdds,
    Turn,
    Usage,
)

__all__ = [
    "Breakage",
    "CacheMark",
    "Call",
    "Choice",
    "Embedding",
    "Fault",
    "FaultKind",
    "FinishReason",
    "Form",
    "Image",
    "Message",
    "Passage",
    "PastCall",
    "Prompt",
    "Schedule",
    "Segment",
    "SegmentKind",
    "TokenOdds",
    "Tool",
    "ToolChoice",
    "ToolKind",
    "ToolMode",
    "ToolResult",
    "Turn",
    "Usage",
]
