"""Turns with tool calls, for tests of the renderers."""

import itertools

from llmsim.domain import (
    Choice,
    FinishReason,
    ReasoningSegment,
    RefusalSegment,
    Segment,
    TextSegment,
    TokenizedText,
    ToolCall,
    ToolCallSegment,
    ToolKind,
    Turn,
)
from support.turns import tokenized, turn

WEATHER = ('{"city"', ': "', "Zürich", " 🦜", '", "days"', ": [1, ", '2], "', 'deep": {"a": null}', "}")
"""Arguments, one piece a token."""


def tool_call(
    name: str,
    *pieces: str,
    kind: ToolKind = ToolKind.FUNCTION,
    lead: int = 2,
    id: str = "0123call",  # noqa: A002 - the field's own name
    fixed_id: str | None = None,
) -> Segment:
    """Build a tool call: `lead` tokens of name, then arguments of one token each."""
    asked = tokenized(*pieces)
    return ToolCallSegment(lead + asked.tokens, asked, lead, ToolCall(id, name, kind, fixed_id))


def hosted_call(name: str, *pieces: str, id: str = "0123host") -> Segment:  # noqa: A002 - the field's own name
    """Build a call of a hosted tool."""
    return tool_call(
        name, *(pieces or ("What", " is", ' "new"', " in\n")), kind=ToolKind.HOSTED, lead=1, id=id
    )


def text_segment(*pieces: str, kind: type[Segment] = TextSegment) -> Segment:
    """Build a segment of text."""
    text = tokenized(*pieces)
    return kind(text.tokens, text)


def turn_of(*segments: Segment, finish: FinishReason = FinishReason.TOOL_CALLS) -> Turn:
    """Build a turn of one choice."""
    return turn(Choice(segments, finish))


def truncate_call(segment: Segment, tokens: int) -> Segment:
    """Truncate a tool call after `tokens` tokens."""
    whole = segment.arguments
    left = list(
        itertools.takewhile(lambda end: segment.header_tokens + end <= tokens, whole.cumulative_tokens)
    )
    shown = TokenizedText(whole.pieces[: len(left)], tuple(left))
    return ToolCallSegment(tokens, shown, min(segment.header_tokens, tokens), segment.call)


THOUGHT = ReasoningSegment(4)
WEATHER_CALL = tool_call("get_weather", *WEATHER)

TURNS = {
    "a call": turn_of(WEATHER_CALL),
    "a call without arguments": turn_of(tool_call("now", "{}")),
    "thought and two calls": turn_of(THOUGHT, WEATHER_CALL, tool_call("now", "{", "}", id="0124call")),
    "a text and a call": turn_of(text_segment("Let", " me", " see"), WEATHER_CALL),
    "a name without tokens": turn_of(tool_call("f", "{}", lead=0)),
    "a call of free text": turn_of(tool_call("write", 'Say "hi"', "\n\\", kind=ToolKind.CUSTOM)),
    "searches and a text": turn_of(
        THOUGHT,
        hosted_call("web_search"),
        hosted_call("web_fetch", "the", " page", id="0124host"),
        text_segment("So", " it", " is"),
        finish=FinishReason.STOP,
    ),
    "code": turn_of(hosted_call("code_execution"), text_segment("Done"), finish=FinishReason.STOP),
    "a search for tools": turn_of(
        hosted_call("tool_search_tool_bm25"),
        hosted_call("tool_search_tool_regex", id="0124host"),
        WEATHER_CALL,
    ),
    "another API's tool": turn_of(
        hosted_call("image_generation"), text_segment("Look"), finish=FinishReason.STOP
    ),
    "nothing but another API's tool": turn_of(hosted_call("image_generation"), finish=FinishReason.STOP),
    "a refusal": turn_of(text_segment("I", " can't", kind=RefusalSegment), finish=FinishReason.STOP),
    "filtered": turn_of(text_segment("So", " far"), finish=FinishReason.CONTENT_FILTER),
    "cut in the name": turn_of(truncate_call(WEATHER_CALL, 1), finish=FinishReason.LENGTH),
    "cut after the name": turn_of(truncate_call(WEATHER_CALL, 2), finish=FinishReason.LENGTH),
    "cut in the arguments": turn_of(
        text_segment("Hm"), truncate_call(WEATHER_CALL, 8), finish=FinishReason.LENGTH
    ),
    "a cut search": turn_of(truncate_call(hosted_call("web_search"), 3), finish=FinishReason.LENGTH),
}
