"""Requests, turns and streams of the Responses API, for tests of both dialects."""

import json
from collections.abc import Sequence
from typing import Any, get_args

from openai.types.responses import ResponseOutputItem, ResponseStreamEvent

from llmsim.domain import (
    Choice,
    FinishReason,
    ReasoningSegment,
    RefusalSegment,
    Segment,
    TextSegment,
    TokenizedText,
    TokenLogprob,
    ToolCall,
    ToolCallSegment,
    ToolKind,
    Turn,
    Usage,
)
from llmsim.providers.contract import GenerationEndpoint, ParsedRequest
from llmsim.wire.frames import FrameBatch
from support.incoming import incoming
from support.turns import tokenized, turn


def body(**fields: Any) -> bytes:
    """Return the body of a valid request with `fields` replaced."""
    return json.dumps({"model": "gpt-5", "input": "Hello"} | fields).encode()


def ask(generation: GenerationEndpoint, **fields: Any) -> ParsedRequest:
    """Parse a request with `fields`."""
    return generation.http.parse(incoming(body(**fields)))


def thinking(
    *pieces: str,
    thought: int = 0,
    shown: TokenizedText | None = None,
    finish: FinishReason = FinishReason.STOP,
    **overrides: Any,
) -> Turn:
    """Build a turn with a text of `pieces` after `thought` tokens of reasoning, of which `shown` is visible."""
    text = tokenized(*pieces)
    segments = (ReasoningSegment(thought, shown),) if thought else ()
    choice = Choice((*segments, TextSegment(text.tokens, text)), finish)
    usage = Usage(prompt=9, completion=choice.tokens, reasoning=thought)
    return turn(choice, model="gpt-5", usage=usage, **overrides)


def saying(*pieces: str, logprobs: tuple[tuple[TokenLogprob, ...], ...] = ()) -> Segment:
    """Build a text of `pieces`, a token each."""
    text = tokenized(*pieces)
    return TextSegment(text.tokens, text, logprobs=logprobs)


def refusing(*pieces: str) -> Segment:
    """Build a refusal of `pieces`, a token each."""
    text = tokenized(*pieces)
    return RefusalSegment(text.tokens, text)


def calling(
    name: str,
    *pieces: str,
    kind: ToolKind = ToolKind.FUNCTION,
    id: str = "1",  # noqa: A002 - the attribute's name
    lead: int = 2,
    fixed_id: str | None = None,
) -> Segment:
    """Build a call whose name has `lead` tokens and whose arguments are `pieces`, a token each."""
    arguments = tokenized(*pieces)
    return ToolCallSegment(
        lead + arguments.tokens,
        arguments,
        header_tokens=lead,
        call=ToolCall(id, name, kind, fixed_id),
    )


def searching(name: str, *pieces: str, **facts: Any) -> Segment:
    """Build a call of a hosted tool whose query is `pieces`, a token each."""
    return calling(name, *pieces, kind=ToolKind.HOSTED, **facts)


def answering(*segments: Segment, finish: FinishReason = FinishReason.STOP, **overrides: Any) -> Turn:
    """Build a turn of `segments`."""
    choice = Choice(segments, finish)
    thought = sum(one.tokens for one in segments if isinstance(one, ReasoningSegment))
    usage = Usage(prompt=9, completion=choice.tokens, reasoning=thought)
    return turn(choice, model="gpt-5", usage=usage, **overrides)


def _by_type(union: Any) -> dict[str, Any]:
    members = get_args(get_args(union)[0])
    return {get_args(member.model_fields["type"].annotation)[0]: member for member in members}


_ITEMS = _by_type(ResponseOutputItem)
_EVENTS = _by_type(ResponseStreamEvent)
_UNKNOWN = {
    "custom_tool_call": {"status"},
    "response.function_call_arguments.done": {"name"},
}
"""Fields of the API beyond the SDK's types. Source: recorded responses; openai-openapi."""


def check_item(item: dict[str, Any]) -> None:
    """Check that an item fits the SDK's type, with all required fields and no unknown one."""
    _check(item, _ITEMS)


def check_event(event: dict[str, Any]) -> None:
    """Check that an event fits the SDK's type, and the items in it, too."""
    _check(event, _EVENTS, "obfuscation")
    if "item" in event:
        check_item(event["item"])
    for item in event.get("response", {}).get("output", ()):
        check_item(item)


def _check(value: dict[str, Any], types: dict[str, Any], *more: str) -> None:
    kind = types[value["type"]]
    kind.model_validate(value)
    fields = {field.alias or name for name, field in kind.model_fields.items()}
    assert set(value) - fields - _UNKNOWN.get(value["type"], set()) - set(more) == set()


def frames(runs: Sequence[FrameBatch]) -> list[tuple[int, int, bytes]]:
    """Return each frame's required tokens, carried tokens and bytes."""
    return [
        (end, run.tokens[at] if run.tokens else 0, run.data(at, at + 1))
        for run in runs
        for at, end in enumerate(run.required_tokens)
    ]


def events(runs: Sequence[FrameBatch]) -> list[dict[str, Any]]:
    """Return the events of a stream, and check the framing of each."""
    found: list[dict[str, Any]] = []
    for _, _, data in frames(runs):
        if data == b"data: [DONE]\n\n":
            continue
        name, line, *rest = data.decode().split("\n")
        assert rest == ["", ""]
        event: dict[str, Any] = json.loads(line.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert line.startswith("data: ")
        found.append(event)
    return found


def kinds(runs: Sequence[FrameBatch]) -> list[str]:
    """Return the names of a stream's events, without repetitions in a row."""
    names = [event["type"].removeprefix("response.") for event in events(runs)]
    return [name for at, name in enumerate(names) if names[at - 1 : at] != [name]]


def stream(generation: GenerationEndpoint, answered: Turn, **fields: Any) -> tuple[FrameBatch, ...]:
    """Render the stream of `answered` for a request with `fields`."""
    return generation.http.render_stream(answered, ask(generation, stream=True, **fields).options)


def answer(generation: GenerationEndpoint, answered: Turn, **fields: Any) -> dict[str, Any]:
    """Render the whole response of `answered`."""
    found: dict[str, Any] = json.loads(
        generation.render_response(answered, ask(generation, **fields).options)
    )
    return found
