"""Requests, turns and streams of the Responses API, for tests of both dialects."""

import json
from collections.abc import Sequence
from typing import Any

from fakes import passage, turn

from llmsim.exchange import Choice, FinishReason, Passage, Segment, SegmentKind, Turn, Usage
from llmsim.providers.contract import Ask, Generation
from llmsim.wire.frames import Run


def body(**fields: Any) -> bytes:
    """Write a valid request, with `fields` on top."""
    return json.dumps({"model": "gpt-5", "input": "Hello"} | fields).encode()


def ask(generation: Generation, **fields: Any) -> Ask:
    """Have a request parsed."""
    return generation.parse(body(**fields))


def thinking(
    *pieces: str,
    thought: int = 0,
    told: Passage | None = None,
    finish: FinishReason = FinishReason.STOP,
    **overrides: Any,
) -> Turn:
    """Make a turn that says `pieces` after `thought` tokens of reasoning, of which `told` is told."""
    text = passage(*pieces)
    segments = (Segment(SegmentKind.REASONING, thought, told),) if thought else ()
    choice = Choice((*segments, Segment(SegmentKind.TEXT, text.tokens, text)), finish)
    usage = Usage(prompt=9, completion=choice.tokens, reasoning=thought)
    return turn(choice, model="gpt-5", usage=usage, **overrides)


def frames(runs: Sequence[Run]) -> list[tuple[int, int, bytes]]:
    """Take a stream apart: after how many tokens each frame leaves, how many leave with it, and its bytes."""
    return [
        (end, run.tokens[at] if run.tokens else 0, run.data(at, at + 1))
        for run in runs
        for at, end in enumerate(run.ends)
    ]


def events(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Read the events of a stream, and check how each is framed."""
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


def kinds(runs: Sequence[Run]) -> list[str]:
    """Name the events of a stream, each once where it comes several times in a row."""
    names = [event["type"].removeprefix("response.") for event in events(runs)]
    return [name for at, name in enumerate(names) if names[at - 1 : at] != [name]]


def stream(generation: Generation, answered: Turn, **fields: Any) -> tuple[Run, ...]:
    """Render the stream of `answered`, as a request with `fields` gets it."""
    return generation.render_stream(answered, ask(generation, stream=True, **fields).options)


def answer(generation: Generation, answered: Turn, **fields: Any) -> dict[str, Any]:
    """Render `answered` as a whole."""
    found: dict[str, Any] = json.loads(generation.render_answer(answered, ask(generation, **fields).options))
    return found
