"""A turn becomes a message, whole or as a stream of events.

Decisions:
* Events that announce (`message_start`, the first `content_block_start`, `ping`) carry no token. They leave with the
  first token, so that clients which time the first event and clients which time the first text measure the same.
* Thinking that is not shown opens and closes its block all the same: its signature is there to be sent back.
* Nothing is rendered of a text that is empty: such a message has no content.
* The padding of an event is a function of its bytes and its place, so that rendering stays pure.

Source of fields and order: anthropic SDK 2.12, types/message.py, usage.py, raw_*.py, and the recorded streams in its
tests (WIRE.md, section 4).
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.exchange import Choice, FinishReason, Passage, SegmentKind, Turn, Usage
from llmsim.providers.anthropic.messages import MessageOptions
from llmsim.wire.codec import PassageMemo, encode, escaped, spans
from llmsim.wire.frames import Run, single, sse

_STOP_REASONS = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}

_PING = b'event: ping\ndata: {"type": "ping"}\n\n'

_EMPTY = Passage((), ())

_SIGNATURE = 192
"""Bytes of a signature. Source: recorded streams, where they are some hundred characters of base64."""


class _Block(msgspec.Struct, frozen=True):
    """One block of content.

    Attributes:
        kind: What it is.
        passage: What is shown of it.
        before: Tokens that exist before it begins.
        tokens: Tokens it takes.
    """

    kind: SegmentKind
    passage: Passage
    before: int
    tokens: int


def _blocks(choice: Choice) -> list[_Block]:
    blocks = []
    before = 0
    for segment in choice.segments:
        passage = segment.passage or _EMPTY
        if passage.pieces or segment.kind is SegmentKind.REASONING:
            blocks.append(_Block(segment.kind, passage, before, segment.tokens))
        before += segment.tokens
    return blocks


def _signature(turn: Turn) -> str:
    return base64.b64encode(hashlib.shake_128(turn.id.encode()).digest(_SIGNATURE)).decode()


def _usage(usage: Usage, options: MessageOptions) -> dict[str, Any]:
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
        "server_tool_use": None,
        "service_tier": options.tier,
        "inference_geo": options.geo,
        "speed": options.speed,
    }


def _ending(choice: Choice) -> dict[str, Any]:
    reason = "stop_sequence" if choice.stopped_by is not None else _STOP_REASONS[choice.finish]
    return {"stop_reason": reason, "stop_sequence": choice.stopped_by, "stop_details": None}


def _head(turn: Turn) -> dict[str, Any]:
    return {"id": f"msg_{turn.id}", "type": "message", "role": "assistant", "model": turn.model}


def message(turn: Turn, options: MessageOptions) -> dict[str, Any]:
    """Give the whole message as builtins."""
    choice = turn.choices[0]
    content: list[dict[str, Any]] = []
    for block in _blocks(choice):
        if block.kind is SegmentKind.REASONING:
            content.append(
                {"type": "thinking", "thinking": block.passage.text, "signature": _signature(turn)}
            )
        else:
            content.append({"type": "text", "text": block.passage.text})
    return (
        _head(turn)
        | {"content": content}
        | _ending(choice)
        | {"container": None, "diagnostics": None}
        | _context(options)
        | {"usage": _usage(turn.usage, options)}
    )


def _context(options: MessageOptions) -> dict[str, Any]:
    return {"context_management": {"applied_edits": []}} if options.manages_context else {}


def render_answer(turn: Turn, options: MessageOptions) -> bytes:
    """Render the whole answer."""
    return encode(message(turn, options))


def render_plain(turn: Turn, options: MessageOptions) -> tuple[Run, ...]:
    """Render the streamed answer without padding."""
    return _Stream(turn, options, padded=False).runs()


def render_padded(turn: Turn, options: MessageOptions) -> tuple[Run, ...]:
    """Render the streamed answer as the API does: with spaces before the last brace of its events."""
    return _Stream(turn, options, padded=True).runs()


_SPACES = b" " * 16


def _padding(length: int, place: int) -> bytes:
    return _SPACES[: (length * 5 + place * 7) % 16]


def _pad(passage: Passage) -> tuple[bytes, ...]:
    pieces = enumerate(escaped(passage))
    return tuple(b'%b"}%b' % (piece, _padding(len(piece), place)) for place, piece in pieces)


_PADDED = PassageMemo(_pad)


class _Stream:
    """The events of one turn."""

    def __init__(self, turn: Turn, options: MessageOptions, *, padded: bool) -> None:
        self._turn = turn
        self._options = options
        self._padded = padded
        self._place = 0

    def runs(self) -> tuple[Run, ...]:
        """Give all events, in their order."""
        turn = self._turn
        choice = turn.choices[0]
        blocks = _blocks(choice)
        runs: list[Run] = []
        opening = self._start()
        hidden = 0
        for index, block in enumerate(blocks):
            opening += self._block_start(index, block)
            if index == 0:
                opening += _PING
            passage = block.passage
            if passage.pieces:
                first = block.before + passage.ends[0]
                runs.append(single(opening, first))
                runs.append(self._deltas(index, block, hidden))
                hidden = block.tokens - passage.tokens
            else:
                runs.append(single(opening, block.before + min(1, block.tokens)))
                hidden += block.tokens
            runs.append(single(self._block_stop(index, block), block.before + block.tokens))
            opening = b""
        if opening:
            runs.append(single(opening, turn.length))
        runs.append(self._end(choice, hidden))
        return tuple(runs)

    def _start(self) -> bytes:
        usage = _usage(self._turn.usage, self._options)
        usage |= {
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

    def _block_start(self, index: int, block: _Block) -> bytes:
        content: dict[str, Any] = {"type": "text", "text": ""}
        if block.kind is SegmentKind.REASONING:
            content = {"type": "thinking", "thinking": "", "signature": ""}
        return self._event("content_block_start", {"index": index, "content_block": content})

    def _deltas(self, index: int, block: _Block, hidden: int) -> Run:
        """Give the deltas of a block; its first one brings `hidden` tokens that were not shown."""
        kind = b'thinking_delta","thinking' if block.kind is SegmentKind.REASONING else b'text_delta","text'
        head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b":"'
            % (index, kind)
        )
        passage = block.passage
        ends: Sequence[int] = passage.ends
        tokens: Sequence[int] = spans(passage)
        if block.before:
            ends = tuple(block.before + end for end in ends)
        if hidden:
            tokens = (hidden + tokens[0], *tokens[1:])
        if self._padded:
            return Run(head, _PADDED(passage), b"}\n\n", ends, tokens)
        return Run(head, escaped(passage), b'"}}\n\n', ends, tokens)

    def _block_stop(self, index: int, block: _Block) -> bytes:
        signed = b""
        if block.kind is SegmentKind.REASONING:
            delta = {"type": "signature_delta", "signature": _signature(self._turn)}
            signed = self._event("content_block_delta", {"index": index, "delta": delta})
        return signed + self._event("content_block_stop", {"index": index})

    def _end(self, choice: Choice, hidden: int) -> Run:
        usage = _usage(self._turn.usage, self._options)
        for only_at_the_start in ("cache_creation", "service_tier", "inference_geo", "speed"):
            del usage[only_at_the_start]
        event = {"delta": _ending(choice) | {"container": None}, "usage": usage} | _context(self._options)
        data = self._event("message_delta", event) + self._event("message_stop", {})
        return Run(b"", (data,), b"", (self._turn.length,), (hidden,) if hidden else ())

    def _event(self, name: str, fields: dict[str, Any]) -> bytes:
        data = encode({"type": name} | fields)
        if self._padded:
            self._place += 1
            data = b"%b%b}" % (data[:-1], _padding(len(data), self._place))
        return sse(data, name)
