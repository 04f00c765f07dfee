"""Rendering of messages and their streams."""

import json
import re
from typing import Any

import msgspec
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from jiter import from_json
from pydantic import TypeAdapter
from support.tool_turns import TURNS as TOOL_TURNS
from support.turns import choice, tokenized, turn

from llmsim.domain import Choice, FinishReason, ReasoningSegment, TextSegment, Turn, Usage
from llmsim.providers.anthropic.messages import MessageOptions
from llmsim.providers.anthropic.rendering import render_message, render_padded, render_plain
from llmsim.wire.frames import FrameBatch

PLAIN = MessageOptions(thinks=True)
TEXT = tokenized("Hello", " 🦜", "!", spans=[1, 3, 1])


def reasoning_turn(*, shown: bool) -> Turn:
    reasoning = tokenized("Let", " me", " see")
    segments = (
        ReasoningSegment(3, reasoning if shown else None),
        TextSegment(TEXT.tokens, TEXT),
    )
    return turn(Choice(segments, FinishReason.STOP))


TURNS = {
    "text": turn(choice(TEXT)),
    "thinking": reasoning_turn(shown=True),
    "omitted": reasoning_turn(shown=False),
    "empty": turn(choice(tokenized())),
    "only thinking": turn(Choice((ReasoningSegment(4),), FinishReason.LENGTH)),
} | TOOL_TURNS
ANY = pytest.mark.parametrize("planned", TURNS.values(), ids=TURNS)


def joined(batches: tuple[FrameBatch, ...]) -> str:
    return b"".join(batch.data(0, len(batch.required_tokens)) for batch in batches).decode()


def events(planned: Turn, options: MessageOptions = PLAIN) -> list[tuple[str, Any]]:
    frames = joined(render_plain(planned, options)).removesuffix("\n\n").split("\n\n")
    parsed = []
    for frame in frames:
        name, data = re.fullmatch(r"event: (\w+)\ndata: (.*)", frame).groups()  # type: ignore[union-attr]
        parsed.append((name, json.loads(data)))
    return parsed


@ANY
def test_a_message_is_one_of_the_sdk(planned: Turn) -> None:
    """ANTH-2.1: A message has exactly the fields of the SDK's type, and is valid for it."""
    body = render_message(planned, PLAIN)

    parsed = Message.model_validate(body)
    assert set(body) == set(Message.model_fields)
    assert set(body["usage"]) == set(parsed.usage.__class__.model_fields)


def test_context_management_is_present_if_requested() -> None:
    """ANTH-2.1: The response to a request with `context_management` lists no edits."""
    assert render_message(TURNS["text"], MessageOptions(manages_context=True))["context_management"] == {
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
def test_stop_reasons(ended: Choice, reason: str, sequence: str | None) -> None:
    """ANTH-2.2: The stop reason, and the sequence if one ended the text; the stream ends with the same."""
    body = render_message(turn(ended), PLAIN)
    (delta,) = [data["delta"] for name, data in events(turn(ended)) if name == "message_delta"]

    assert (body["stop_reason"], body["stop_sequence"]) == (reason, sequence)
    assert (delta["stop_reason"], delta["stop_sequence"]) == (reason, sequence)


def test_usage_adds_up() -> None:
    """ANTH-2.3: Tokens read, written and neither add up to the input."""
    usage = Usage(prompt=5000, completion=9, reasoning=4, cached=4000, cache_written={300: 600, 3600: 300})
    shown = render_message(turn(usage=usage), PLAIN)["usage"]

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
    """ANTH-2.4: An empty turn has no content, whole or streamed."""
    assert render_message(TURNS["empty"], PLAIN)["content"] == []
    assert [name for name, _ in events(TURNS["empty"])] == ["message_start", "message_delta", "message_stop"]


@ANY
def test_events_are_framed_and_typed(planned: Turn) -> None:
    """ANTH-3.1: Each event is named by its type, and is one of the SDK's union."""
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
    """ANTH-3.3: The start has no content and one output token; the end has all output tokens."""
    stream = events(planned)
    start = stream[0][1]["message"]
    end = stream[-2][1]["usage"]

    assert (start["content"], start["stop_reason"]) == ([], None)
    assert start["usage"]["output_tokens"] == min(1, planned.usage.completion)
    assert end["output_tokens"] == planned.usage.completion
    assert end["input_tokens"] == start["usage"]["input_tokens"]


@ANY
def test_nothing_is_sent_before_the_first_token(planned: Turn) -> None:
    """ANTH-3.4: The first frame requires a token, if the turn has one."""
    assert render_plain(planned, PLAIN)[0].required_tokens[0] >= min(1, planned.length)


@ANY
def test_frames_carry_all_tokens_in_order(planned: Turn) -> None:
    """ANTH-3.5: Frames are sent as their tokens are generated, and carry each token once."""
    batches = render_plain(planned, PLAIN)
    ends = [end for batch in batches for end in batch.required_tokens]

    assert ends == sorted(ends)
    assert ends[-1] == planned.length
    assert sum(sum(batch.tokens) for batch in batches) == planned.length


@ANY
def test_deltas_join_to_the_message(planned: Turn) -> None:
    """ANTH-3.5: The deltas of each block join to the block of the whole message."""
    streamed: list[dict[str, Any]] = []
    inputs: dict[int, str] = {}
    for name, data in events(planned):
        if name == "content_block_start":
            streamed.append(data["content_block"])
        elif name == "content_block_delta":
            for field in ("text", "thinking", "signature"):
                if field in data["delta"]:
                    streamed[-1][field] += data["delta"][field]
            if "citation" in data["delta"]:
                streamed[-1]["citations"].append(data["delta"]["citation"])
            inputs[data["index"]] = inputs.get(data["index"], "") + data["delta"].get("partial_json", "")
    for index, partial_json in inputs.items():
        if partial_json:
            streamed[index]["input"] = from_json(partial_json.encode(), partial_mode=True)

    assert streamed == render_message(planned, PLAIN)["content"]


@ANY
def test_padding_is_spaces_before_the_last_brace(planned: Turn) -> None:
    """ANTH-3.6: Padded events are the plain events with up to 15 spaces; pings have none."""
    plain = joined(render_plain(planned, PLAIN)).splitlines()
    padded = joined(render_padded(planned, PLAIN)).splitlines()

    for one, other in zip(plain, padded, strict=True):
        spaces = len(other) - len(one)
        assert 0 <= spaces <= 15
        assert other == (one[:-1] + " " * spaces + one[-1] if one else "")
    assert 'data: {"type": "ping"}' in padded or "ping" not in "".join(plain)


def test_padding_differs_from_event_to_event() -> None:
    """ANTH-3.6: Events have paddings of different lengths."""
    lines = joined(render_padded(TURNS["thinking"], PLAIN)).splitlines()

    assert len({len(line) - len(line[:-1].rstrip()) for line in lines if line}) > 3


def test_thinking_comes_first_and_is_signed_last() -> None:
    """ANTH-4.2: The signature is the last delta of the thinking block, the same as in the whole message."""
    deltas = [data for name, data in events(TURNS["thinking"]) if name == "content_block_delta"]
    types = [data["delta"]["type"] for data in deltas if data["index"] == 0]

    assert types == ["thinking_delta"] * 3 + ["signature_delta"]
    assert (
        deltas[3]["delta"]["signature"] == render_message(TURNS["thinking"], PLAIN)["content"][0]["signature"]
    )


def test_omitted_thinking_is_signed_and_takes_time() -> None:
    """ANTH-4.5: The block has a signature and no text; the text follows when all thinking tokens exist."""
    block, text = render_message(TURNS["omitted"], PLAIN)["content"]
    batches = render_plain(TURNS["omitted"], PLAIN)

    assert (block["type"], block["thinking"], bool(block["signature"])) == ("thinking", "", True)
    assert text["text"] == TEXT.text
    (deltas,) = [batch for batch in batches if b"text_delta" in batch.head]
    assert (deltas.required_tokens, deltas.tokens) == ((4, 7, 8), (4, 3, 1))


@ANY
def test_the_same_turn_gives_the_same_bytes(planned: Turn) -> None:
    """ANTH-3.7: Whole and streamed, with signature and padding, rendering is a function of the turn."""
    copy = msgspec.json.decode(msgspec.json.encode(planned), type=Turn)

    assert joined(render_padded(copy, PLAIN)) == joined(render_padded(planned, PLAIN))
    assert render_message(copy, PLAIN) == render_message(planned, PLAIN)


def test_reasoning_that_was_not_requested_is_not_rendered() -> None:
    """SCRIPT-5.6: A script's reasoning counts; without `thinking` it has no block."""
    without_thinking = MessageOptions()
    body = render_message(TURNS["thinking"], without_thinking)

    assert [block["type"] for block in body["content"]] == ["text"]
    assert body["usage"]["output_tokens"] == 8
    assert sum(sum(batch.tokens) for batch in render_plain(TURNS["thinking"], without_thinking)) == 8
