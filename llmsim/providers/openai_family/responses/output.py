"""The items a turn puts out, one after another.

Decisions:
* A reasoning item is there whenever a model has reasoned; anything else is not, if the limit left no token of it.
* The last item of a turn that says less than it meant to is incomplete, and only that one.
"""

from typing import assert_never

from llmsim.domain import (
    FinishReason,
    ReasoningSegment,
    RefusalSegment,
    Segment,
    TextSegment,
    ToolCallSegment,
    ToolKind,
    Turn,
)
from llmsim.providers.openai_family.responses.calls import ClientCall
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.hosted import HostedCall, ServerTools
from llmsim.providers.openai_family.responses.message import Message
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.place import ItemPosition, OutputItem
from llmsim.providers.openai_family.responses.thought import Thought


def reason(turn: Turn) -> bytes | None:
    """Tell why a turn says less than it meant to; None if it says all."""
    match turn.choices[0].finish:
        case FinishReason.STOP | FinishReason.TOOL_CALLS:
            return None
        case FinishReason.LENGTH:
            return b"max_output_tokens"
        case FinishReason.CONTENT_FILTER:
            return b"content_filter"
        case other:
            assert_never(other)


def put_out(turn: Turn, options: ResponseOptions, dialect: Dialect) -> list[OutputItem]:
    """Give all items of a turn."""
    written: list[OutputItem] = []
    turn_id = turn.id.encode()
    cut = _cut(turn)
    before = 0
    listed = False
    for segment in turn.choices[0].segments:
        if not segment.tokens and _left_out(segment, turn):
            continue
        end = before + segment.tokens
        done = segment is not cut
        place = ItemPosition(turn_id, len(written), before, end, done)
        before = end
        match segment:
            case TextSegment() | RefusalSegment():
                written.append(Message(place, segment))
            case ReasoningSegment():
                written.append(Thought(place, segment, options, dialect))
            case ToolCallSegment(call=call):
                if call.kind is not ToolKind.HOSTED:
                    written.append(ClientCall(place, segment, options.tools, dialect))
                    continue
                if call.name == "mcp" and not listed:
                    listed = True
                    list_place = ItemPosition(turn_id, place.at, place.before, place.first, done=True)
                    written.append(ServerTools(list_place, options.tools, dialect))
                    place = ItemPosition(turn_id, len(written), place.before, end, done)
                written.append(HostedCall(place, segment, options.tools, dialect))
            case _:
                assert_never(segment)
    return written


def _left_out(segment: Segment, turn: Turn) -> bool:
    """Tell whether a segment without tokens is nothing at all: left out by the limit, or reasoning that was none."""
    return isinstance(segment, ReasoningSegment) or turn.choices[0].finish is FinishReason.LENGTH


def _cut(turn: Turn) -> Segment | None:
    """Give the segment that was broken off; None if all is said."""
    if reason(turn) is None:
        return None
    segments = turn.choices[0].segments
    return next((one for one in reversed(segments) if one.tokens or not _left_out(one, turn)), None)


def web_searches(turn: Turn) -> int:
    """Count the searches of the web that were made; one that was broken off was not."""
    made = 0
    for segment in turn.choices[0].segments:
        if not isinstance(segment, ToolCallSegment) or not segment.tokens:
            continue
        if segment.call.kind is ToolKind.HOSTED and segment.call.name == "web_search":
            made += segment is not _cut(turn)
    return made
