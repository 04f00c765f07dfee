"""What one request asks and what it is answered: frozen values, provider-neutral."""

from llmsim.exchange.fault import Fault, FaultKind
from llmsim.exchange.prompt import CacheMark, Image, Message, Prompt
from llmsim.exchange.schedule import Schedule
from llmsim.exchange.turn import Choice, FinishReason, Passage, Segment, SegmentKind, Turn, Usage

__all__ = [
    "CacheMark",
    "Choice",
    "Fault",
    "FaultKind",
    "FinishReason",
    "Image",
    "Message",
    "Passage",
    "Prompt",
    "Schedule",
    "Segment",
    "SegmentKind",
    "Turn",
    "Usage",
]
