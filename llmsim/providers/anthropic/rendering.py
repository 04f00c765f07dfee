"""A turn becomes a message, whole or as a stream of events.

Decisions:
* Events that announce (`message_start`, the first `content_block_start`, `ping`) carry no token. They leave with the
  first token, so that clients which time the first event and clients which time the first text measure the same.
* The block of a call begins with the first token of its name; tokens of names leave with the next delta.
* The padding of an event is a function of its bytes and its place, so that rendering stays pure.

Source of fields and order: anthropic SDK 2.12, types/message.py, usage.py, raw_*.py, refusal_stop_details.py, and the
recorded streams in its tests and in those of vercel/ai, packages/anthropic/src/__fixtures__.
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

from llmsim.domain import (
    Choice,
    Fault,
    FinishReason,
    ReasoningSegment,
    RefusalSegment,
    TextSegment,
    TokenizedText,
    ToolCallSegment,
    Turn,
    Usage,
)
from llmsim.providers.anthropic.blocks import Block, blocks_of, served
from llmsim.providers.anthropic.errors import broken
from llmsim.providers.anthropic.messages import MessageOptions
from llmsim.wire.codec import TokenizedTextMemo, encode, escaped_pieces, piece_tokens
from llmsim.wire.frames import FrameBatch, single, sse

_STOP_REASONS = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}

_DECLINED = {
    "type": "refusal",
    "category": None,
    "explanation": "This request was declined (simulated by llmsim).",
}
_FILTERED = _DECLINED | {"explanation": "This answer was stopped by a filter (simulated by llmsim)."}

_DELTAS = {
    ReasoningSegment: b'thinking_delta","thinking',
    TextSegment: b'text_delta","text',
    RefusalSegment: b'text_delta","text',
    ToolCallSegment: b'input_json_delta","partial_json',
}

_FIRST = {"type": "input_json_delta", "partial_json": ""}
"""The first delta of a call. Source: recorded streams."""

_PING = b'event: ping\ndata: {"type": "ping"}\n\n'

_SIGNATURE = 192
"""Bytes of a signature. Source: recorded streams, where they are some hundred characters of base64."""


def _signature(turn: Turn) -> str:
    return base64.b64encode(hashlib.shake_128(turn.id.encode()).digest(_SIGNATURE)).decode()


def _usage(usage: Usage, options: MessageOptions, hosted: dict[str, int] | None = None) -> dict[str, Any]:
    written = usage.cache_written
    return {
        "input_tokens": usage.prompt - usage.cached - sum(written.values()),
        "cache_creation_input_tokens": sum(written.values()),
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": written.get(300, 0),
            "ephemeral_1h_input_tokens": written.get(3600, 0),
        },
        "output_tokens": usage.completion,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "server_tool_use": hosted,
        "service_tier": options.tier,
        "inference_geo": options.geo,
        "speed": options.speed,
    }


def _ending(choice: Choice) -> dict[str, Any]:
    reason, details = _STOP_REASONS[choice.finish], None
    if choice.stopped_by is not None:
        reason = "stop_sequence"
    elif choice.finish is FinishReason.CONTENT_FILTER:
        details = _FILTERED
    elif (
        choice.finish is FinishReason.STOP
        and choice.segments
        and isinstance(choice.segments[-1], RefusalSegment)
    ):
        reason, details = "refusal", _DECLINED
    return {"stop_reason": reason, "stop_sequence": choice.stopped_by, "stop_details": details}


def _head(turn: Turn) -> dict[str, Any]:
    return {"id": f"msg_{turn.id}", "type": "message", "role": "assistant", "model": turn.model}


def message(turn: Turn, options: MessageOptions) -> dict[str, Any]:
    """Give the whole message as builtins."""
    blocks = blocks_of(turn, options)
    hosted = served(turn, blocks)
    content: list[dict[str, Any]] = []
    for block in blocks:
        if block.content is not None:
            content.append(block.whole())
        elif block.kind is ReasoningSegment:
            content.append(
                {"type": "thinking", "thinking": block.passage.text, "signature": _signature(turn)}
            )
        else:
            content.append({"type": "text", "text": block.passage.text})
    return {
        **_head(turn),
        "content": content,
        **_ending(turn.choices[0]),
        "container": hosted.container,
        "diagnostics": None,
        **_context(options),
        "usage": _usage(turn.usage, options, hosted.usage),
    }


def _context(options: MessageOptions) -> dict[str, Any]:
    return {"context_management": {"applied_edits": []}} if options.manages_context else {}


def render_response(turn: Turn, options: MessageOptions) -> bytes:
    """Render the whole answer."""
    return encode(message(turn, options))


def render_plain(turn: Turn, options: MessageOptions) -> tuple[FrameBatch, ...]:
    """Render the streamed answer without padding."""
    return _Stream(turn, options, padded=False).runs()


def render_padded(turn: Turn, options: MessageOptions) -> tuple[FrameBatch, ...]:
    """Render the streamed answer as the API does: with spaces before the last brace of its events."""
    return _Stream(turn, options, padded=True).runs()


def render_stream_fault(turn: Turn, options: MessageOptions, fault: Fault, frames: int) -> bytes:  # noqa: ARG001 - one shape for all
    """Render the event with which a stream breaks off.

    It has no request id, which is the response's own and unknown here. Source: messages of the API as quoted in
    public issues (anthropics/anthropic-sdk-go#200), some with an id, some without.
    """
    return sse(broken(fault), "error")


_SPACES = b" " * 16


def _padding(length: int, place: int) -> bytes:
    return _SPACES[: (length * 5 + place * 7) % 16]


def _pad(passage: TokenizedText) -> tuple[bytes, ...]:
    pieces = enumerate(escaped_pieces(passage))
    return tuple(b'%b"}%b' % (piece, _padding(len(piece), place)) for place, piece in pieces)


_PADDED = TokenizedTextMemo(_pad)


class _Stream:
    """The events of one turn."""

    def __init__(self, turn: Turn, options: MessageOptions, *, padded: bool) -> None:
        self._turn = turn
        self._options = options
        self._padded = padded
        self._place = 0
        self._usage = _usage(turn.usage, options)

    def runs(self) -> tuple[FrameBatch, ...]:
        """Give all events, in their order."""
        turn = self._turn
        blocks = blocks_of(turn, self._options)
        runs: list[FrameBatch] = []
        opening = self._start()
        carried = 0
        for index, block in enumerate(blocks):
            opening += self._block_start(index, block)
            if index == 0:
                opening += _PING
            passage = block.passage
            first = min(1, block.tokens)
            if block.kind is ToolCallSegment:
                opening += self._event("content_block_delta", {"index": index, "delta": _FIRST})
            elif passage.pieces:
                first = passage.cumulative_tokens[0]
            runs.append(single(opening, block.before + first))
            if passage.pieces:
                runs.append(self._deltas(index, block, carried))
                carried = block.before + block.lead + passage.tokens
            runs.append(single(self._block_stop(index, block), block.before + block.tokens))
            opening = b""
        if opening:
            runs.append(single(opening, turn.length))
        runs.append(self._end(blocks, carried))
        return tuple(runs)

    def _start(self) -> bytes:
        usage = self._usage | {
            "output_tokens": min(1, self._turn.usage.completion),
            "output_tokens_details": {"thinking_tokens": 0},
        }
        begun = _head(self._turn) | {
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "container": None,
            "diagnostics": None,
            "usage": usage,
        }
        return self._event("message_start", {"message": begun})

    def _block_start(self, index: int, block: Block) -> bytes:
        content = block.content
        if content is None:
            content = {"type": "text", "text": ""}
            if block.kind is ReasoningSegment:
                content = {"type": "thinking", "thinking": "", "signature": ""}
        return self._event("content_block_start", {"index": index, "content_block": content})

    def _deltas(self, index: int, block: Block, carried: int) -> FrameBatch:
        """Give the deltas of a block; its first one brings all tokens that exist then and were not `carried` yet."""
        assert block.kind is not None
        head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b":"'
            % (index, _DELTAS[block.kind])
        )
        passage = block.passage
        ends: Sequence[int] = passage.cumulative_tokens
        tokens: Sequence[int] = piece_tokens(passage)
        if before := block.before + block.lead:
            ends = tuple(before + end for end in ends)
        if ends[0] - carried != tokens[0]:
            tokens = (ends[0] - carried, *tokens[1:])
        if self._padded:
            return FrameBatch(head, _PADDED(passage), b"}\n\n", ends, tokens)
        return FrameBatch(head, escaped_pieces(passage), b'"}}\n\n', ends, tokens)

    def _block_stop(self, index: int, block: Block) -> bytes:
        signed = b""
        if block.kind is ReasoningSegment:
            delta = {"type": "signature_delta", "signature": _signature(self._turn)}
            signed = self._event("content_block_delta", {"index": index, "delta": delta})
        return signed + self._event("content_block_stop", {"index": index})

    def _end(self, blocks: list[Block], carried: int) -> FrameBatch:
        turn = self._turn
        hosted = served(turn, blocks)
        usage = self._usage | {"server_tool_use": hosted.usage}
        for only_at_the_start in ("cache_creation", "service_tier", "inference_geo", "speed"):
            del usage[only_at_the_start]
        delta = _ending(turn.choices[0]) | {"container": hosted.container}
        event = {"delta": delta, "usage": usage} | _context(self._options)
        data = self._event("message_delta", event) + self._event("message_stop", {})
        hidden = turn.length - carried
        return FrameBatch(b"", (data,), b"", (turn.length,), (hidden,) if hidden else ())

    def _event(self, name: str, fields: dict[str, Any]) -> bytes:
        data = encode({"type": name} | fields)
        if self._padded:
            self._place += 1
            data = b"%b%b}" % (data[:-1], _padding(len(data), self._place))
        return sse(data, name)
