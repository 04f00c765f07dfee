"""Messages and their streams, rendered."""

import json
import re
from typing import Any

import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from jiter import from_json
from pydantic import TypeAdapter
from support.tool_turns import TURNS as CALLED
from support.turns import choice, passage, turn

from llmsim.domain import Choice, FinishReason, ReasoningSegment, TextSegment, Turn, Usage
from llmsim.providers.anthropic.messages import MessageOptions
from llmsim.providers.anthropic.rendering import message, render_padded, render_plain
from llmsim.wire.frames import FrameBatch

PLAIN = MessageOptions(thinks=True)
TEXT = passage("Hello", " 🦜", "!", spans=[1, 3, 1])


def thoughtful(*, shown: bool) -> Turn:
    thoughts = passage("Let", " me", " see")
    segments = (
        ReasoningSegment(3, thoughts if shown else None),
        TextSegment(TEXT.tokens, TEXT),
    )
    return turn(Choice(segments, FinishReason.STOP))


TURNS = {
    "text": turn(choice(TEXT)),
    "thinking": thoughtful(shown=True),
    "omitted": thoughtful(shown=False),
    "empty": turn(choice(passage())),
    "only thinking": turn(Choice((ReasoningSegment(4),), FinishReason.LENGTH)),
} | CALLED
ANY = pytest.mark.parametrize("planned", TURNS.values(), ids=TURNS)


def joined(runs: tuple[FrameBatch, ...]) -> str:
    return b"".join(run.data(0, len(run.required_tokens)) for run in runs).decode()


def events(planned: Turn, options: MessageOptions = PLAIN) -> list[tuple[str, Any]]:
    frames = joined(render_plain(planned, options)).removesuffix("\n\n").split("\n\n")
    parsed = []
    for frame in frames:
        name, data = re.fullmatch(r"event: (\w+)\ndata: (.*)", frame).groups()  # type: ignore[union-attr]
        parsed.append((name, json.loads(data)))
    return parsed


@ANY
def test_a_message_is_one_of_the_sdk(planned: Turn) -> None:
    """ANTH-2.1: All fields are there, and those of the SDK's type."""
    body = message(planned, PLAIN)

    parsed = Message.model_validate(body)
    assert set(body) == set(Message.model_fields)
    assert set(body["usage"]) == set(parsed.usage.__class__.model_fields)


def test_context_management_is_answered_to_those_who_ask() -> None:
    """ANTH-2.1: Whoever sent `context_management` is told that nothing was edited."""
    assert message(TURNS["text"], MessageOptions(manages_context=True))["context_management"] == {
        "applied_edits": []
    }


@pytest.mark.parametrize(
    ("ended", "reason", "sequence"),
    [
        (Choice((), FinishReason.STOP), "end_turn", None),
        (Choice((), FinishReason.LENGTH), "max_tokens", None),
        (Choice((), FinishReason.STOP, "###"), "stop_sequence", "###"),
    ],
)
def test_why_it_ended(ended: Choice, reason: str, sequence: str | None) -> None:
    """ANTH-2.2: The stop reason, and the sequence if one ended the text; the stream tells the same."""
    body = message(turn(ended), PLAIN)
    (delta,) = [data["delta"] for name, data in events(turn(ended)) if name == "message_delta"]

    assert (body["stop_reason"], body["stop_sequence"]) == (reason, sequence)
    assert (delta["stop_reason"], delta["stop_sequence"]) == (reason, sequence)


def test_usage_adds_up() -> None:
    """ANTH-2.3: What was read, what was written and the rest are all of the input."""
    usage = Usage(prompt=5000, completion=9, reasoning=4, cached=4000, cache_written={300: 600, 3600: 300})
    shown = message(turn(usage=usage), PLAIN)["usage"]

    assert shown == {
        "input_tokens": 100,
        "cache_creation_input_tokens": 900,
        "cache_read_input_tokens": 4000,
        "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 300},
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
        "server_tool_use": None,
        "service_tier": "standard",
        "inference_geo": "global",
        "speed": "standard",
    }


def test_an_empty_text_is_no_block() -> None:
    """ANTH-2.4: A turn that says nothing has no content, whole or streamed."""
    assert message(TURNS["empty"], PLAIN)["content"] == []
    assert [name for name, _ in events(TURNS["empty"])] == ["message_start", "message_delta", "message_stop"]


@ANY
def test_events_are_framed_and_typed(planned: Turn) -> None:
    """ANTH-3.1: Each event is named as its type says, and is one of the SDK's union."""
    union = TypeAdapter(RawMessageStreamEvent)
    for name, data in events(planned):
        assert data["type"] == name
        if name != "ping":
            union.validate_python(data)


@ANY
def test_events_come_in_order(planned: Turn) -> None:
    """ANTH-3.2: Start, blocks, delta, stop; a ping after the first block has started."""
    kinds = " ".join(name.removeprefix("content_block_") for name, _ in events(planned))

    assert re.fullmatch(
        r"message_start( start ping( delta)* stop( start( delta)* stop)*)? message_delta message_stop", kinds
    )
    indices = [data["index"] for name, data in events(planned) if name == "content_block_start"]
    assert indices == list(range(len(indices)))


@ANY
def test_usage_of_start_and_end(planned: Turn) -> None:
    """ANTH-3.3: The start has nothing but its input; the end has all of the output."""
    stream = events(planned)
    start = stream[0][1]["message"]
    end = stream[-2][1]["usage"]

    assert (start["content"], start["stop_reason"]) == ([], None)
    assert start["usage"]["output_tokens"] == min(1, planned.usage.completion)
    assert end["output_tokens"] == planned.usage.completion
    assert end["input_tokens"] == start["usage"]["input_tokens"]


@ANY
def test_nothing_leaves_before_the_first_token(planned: Turn) -> None:
    """ANTH-3.4: The first frame waits for a token, if there is one to come."""
    assert render_plain(planned, PLAIN)[0].required_tokens[0] >= min(1, planned.length)


@ANY
def test_frames_carry_all_tokens_in_order(planned: Turn) -> None:
    """ANTH-3.5: Frames leave as their tokens come into being, and carry each of them once."""
    runs = render_plain(planned, PLAIN)
    ends = [end for run in runs for end in run.required_tokens]

    assert ends == sorted(ends)
    assert ends[-1] == planned.length
    assert sum(sum(run.tokens) for run in runs) == planned.length


@ANY
def test_deltas_join_to_the_message(planned: Turn) -> None:
    """ANTH-3.5: What is streamed is what is answered whole, block by block."""
    streamed: list[dict[str, Any]] = []
    asked: dict[int, str] = {}
    for name, data in events(planned):
        if name == "content_block_start":
            streamed.append(data["content_block"])
        elif name == "content_block_delta":
            for field in ("text", "thinking", "signature"):
                if field in data["delta"]:
                    streamed[-1][field] += data["delta"][field]
            asked[data["index"]] = asked.get(data["index"], "") + data["delta"].get("partial_json", "")
    for index, json_of_it in asked.items():
        if json_of_it:
            streamed[index]["input"] = from_json(json_of_it.encode(), partial_mode=True)

    assert streamed == message(planned, PLAIN)["content"]


@ANY
def test_padding_is_spaces_before_the_last_brace(planned: Turn) -> None:
    """ANTH-3.6: Padded events are the plain ones with up to 15 spaces, and pings have none."""
    plain = joined(render_plain(planned, PLAIN)).splitlines()
    padded = joined(render_padded(planned, PLAIN)).splitlines()

    for one, other in zip(plain, padded, strict=True):
        spaces = len(other) - len(one)
        assert 0 <= spaces <= 15
        assert other == (one[:-1] + " " * spaces + one[-1] if one else "")
    assert 'data: {"type": "ping"}' in padded or "ping" not in "".join(plain)


def test_padding_differs_from_event_to_event() -> None:
    """ANTH-3.6: Not all events are padded alike."""
    lines = joined(render_padded(TURNS["thinking"], PLAIN)).splitlines()

    assert len({len(line) - len(line[:-1].rstrip()) for line in lines if line}) > 3


def test_thinking_comes_first_and_is_signed_last() -> None:
    """ANTH-4.2: The signature is the last delta of the thinking block, the same as in the whole message."""
    deltas = [data for name, data in events(TURNS["thinking"]) if name == "content_block_delta"]
    of_first = [data["delta"]["type"] for data in deltas if data["index"] == 0]

    assert of_first == ["thinking_delta"] * 3 + ["signature_delta"]
    assert deltas[3]["delta"]["signature"] == message(TURNS["thinking"], PLAIN)["content"][0]["signature"]


def test_omitted_thinking_is_signed_and_takes_its_time() -> None:
    """ANTH-4.5: The block has a signature and no text; the text comes when all of it was thought."""
    block, text = message(TURNS["omitted"], PLAIN)["content"]
    runs = render_plain(TURNS["omitted"], PLAIN)

    assert (block["type"], block["thinking"], bool(block["signature"])) == ("thinking", "", True)
    assert text["text"] == TEXT.text
    (deltas,) = [run for run in runs if b"text_delta" in run.head]
    assert (deltas.required_tokens, deltas.tokens) == ((4, 7, 8), (4, 3, 1))


@ANY
def test_the_same_turn_gives_the_same_bytes(planned: Turn) -> None:
    """ANTH-3.7: Whole and streamed, signature and padding included; the golden files hold them."""
    copy = msgspec.json.decode(msgspec.json.encode(planned), type=Turn)

    assert joined(render_padded(copy, PLAIN)) == joined(render_padded(planned, PLAIN))
    assert message(copy, PLAIN) == message(planned, PLAIN)


def test_thought_that_nobody_asked_for_is_not_told() -> None:
    """SCRIPT-5.6: A script's thought costs its tokens; without thinking there is no block of it."""
    unasked = MessageOptions()
    body = message(TURNS["thinking"], unasked)

    assert [block["type"] for block in body["content"]] == ["text"]
    assert body["usage"]["output_tokens"] == 8
    assert sum(sum(run.tokens) for run in render_plain(TURNS["thinking"], unasked)) == 8
