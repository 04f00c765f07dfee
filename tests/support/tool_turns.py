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
from support.turns import passage, turn

WEATHER = ('{"city"', ': "', "Zürich", " 🦜", '", "days"', ": [1, ", '2], "', 'deep": {"a": null}', "}")
"""Arguments, one piece a token."""


def called(
    name: str,
    *pieces: str,
    kind: ToolKind = ToolKind.FUNCTION,
    lead: int = 2,
    id: str = "0123call",  # noqa: A002 - the field's own name
    fixed_id: str | None = None,
) -> Segment:
    """Build a tool call: `lead` tokens of name, then arguments of one token each."""
    asked = passage(*pieces)
    return ToolCallSegment(lead + asked.tokens, asked, lead, ToolCall(id, name, kind, fixed_id))


def hosted(name: str, *pieces: str, id: str = "0123host") -> Segment:  # noqa: A002 - the field's own name
    """Build a call of a hosted tool."""
    return called(name, *(pieces or ("What", " is", ' "new"', " in\n")), kind=ToolKind.HOSTED, lead=1, id=id)


def said(*pieces: str, kind: type[Segment] = TextSegment) -> Segment:
    """Build a segment of text."""
    text = passage(*pieces)
    return kind(text.tokens, text)


def answered(*segments: Segment, finish: FinishReason = FinishReason.TOOL_CALLS) -> Turn:
    """Build a turn of one choice."""
    return turn(Choice(segments, finish))


def cut(segment: Segment, tokens: int) -> Segment:
    """Truncate a tool call after `tokens` tokens."""
    whole = segment.arguments
    left = list(
        itertools.takewhile(lambda end: segment.header_tokens + end <= tokens, whole.cumulative_tokens)
    )
    shown = TokenizedText(whole.pieces[: len(left)], tuple(left))
    return ToolCallSegment(tokens, shown, min(segment.header_tokens, tokens), segment.call)


THOUGHT = ReasoningSegment(4)
WEATHER_CALL = called("get_weather", *WEATHER)

TURNS = {
    "a call": answered(WEATHER_CALL),
    "a call without arguments": answered(called("now", "{}")),
    "thought and two calls": answered(THOUGHT, WEATHER_CALL, called("now", "{", "}", id="0124call")),
    "a text and a call": answered(said("Let", " me", " see"), WEATHER_CALL),
    "a name without tokens": answered(called("f", "{}", lead=0)),
    "a call of free text": answered(called("write", 'Say "hi"', "\n\\", kind=ToolKind.CUSTOM)),
    "searches and a text": answered(
        THOUGHT,
        hosted("web_search"),
        hosted("web_fetch", "the", " page", id="0124host"),
        said("So", " it", " is"),
        finish=FinishReason.STOP,
    ),
    "code": answered(hosted("code_execution"), said("Done"), finish=FinishReason.STOP),
    "a search for tools": answered(
        hosted("tool_search_tool_bm25"), hosted("tool_search_tool_regex", id="0124host"), WEATHER_CALL
    ),
    "another API's tool": answered(hosted("image_generation"), said("Look"), finish=FinishReason.STOP),
    "nothing but another API's tool": answered(hosted("image_generation"), finish=FinishReason.STOP),
    "a refusal": answered(said("I", " can't", kind=RefusalSegment), finish=FinishReason.STOP),
    "filtered": answered(said("So", " far"), finish=FinishReason.CONTENT_FILTER),
    "cut in the name": answered(cut(WEATHER_CALL, 1), finish=FinishReason.LENGTH),
    "cut after the name": answered(cut(WEATHER_CALL, 2), finish=FinishReason.LENGTH),
    "cut in the arguments": answered(said("Hm"), cut(WEATHER_CALL, 8), finish=FinishReason.LENGTH),
    "a cut search": answered(cut(hosted("web_search"), 3), finish=FinishReason.LENGTH),
}
