"""Rendering of a turn as a message, whole or as a stream of events.

Decisions:
* `message_start`, the first `content_block_start` and `ping` carry no token. They are sent with the first token, so that
  clients that time the first event and clients that time the first text measure the same.
* The block of a call starts with the first token of its name; the tokens of the name are counted with the next delta.
* The counts of a message do not include those of a compaction, which `iterations` has; a turn that ends with the compaction has none.
* The padding of an event is a function of its length and its position, so that rendering stays pure.

Source of fields and order: anthropic SDK 2.14, types/message.py, usage.py, raw_*.py, refusal_stop_details.py, and the
recorded streams in its tests and in those of vercel/ai, packages/anthropic/src/__fixtures__.
"""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from llmsim.domain import (
    Compaction,
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
from llmsim.providers.anthropic.blocks import (
    ContentBlock,
    content_blocks,
    hosted_usage,
)
from llmsim.providers.anthropic.context_management import render_edits
from llmsim.providers.anthropic.errors import render_stream_error
from llmsim.providers.anthropic.fallbacks import has_declined
from llmsim.providers.anthropic.messages import MessageOptions
from llmsim.providers.anthropic.model_rules import window_of
from llmsim.providers.anthropic.partial_json import parse_partial_object
from llmsim.providers.anthropic.signatures import sign
from llmsim.wire.codec import TokenizedTextMemo, encode, escaped_pieces, piece_tokens
from llmsim.wire.frames import FrameBatch, single, sse

_STOP_REASONS = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.WINDOW: "model_context_window_exceeded",
    FinishReason.PAUSE: "pause_turn",
}

_REFUSAL_DETAILS = {
    "type": "refusal",
    "category": None,
    "explanation": "This request was declined (simulated by llmsim).",
}
_FILTER_DETAILS = _REFUSAL_DETAILS | {
    "explanation": "This answer was stopped by a filter (simulated by llmsim)."
}

_DELTAS = {
    ReasoningSegment: b'thinking_delta","thinking',
    TextSegment: b'text_delta","text',
    RefusalSegment: b'text_delta","text',
    ToolCallSegment: b'input_json_delta","partial_json',
}

_EMPTY_INPUT = {"type": "input_json_delta", "partial_json": ""}
"""The first delta of a call. Source: recorded streams."""

_PING = b'event: ping\ndata: {"type": "ping"}\n\n'


_NO_USAGE = Usage(prompt=0, completion=0)

_ADVICE = Usage(prompt=0, completion=16)
"""What advice costs, which is made up and reads nothing."""


def _message_usage(turn: Turn) -> Usage:
    """Return the tokens of a turn without those of a compaction."""
    compaction = _compaction(turn)
    if compaction is None:
        return turn.usage
    if compaction.pauses:
        return _NO_USAGE
    return replace(turn.usage, prompt=turn.usage.prompt - compaction.prompt_tokens)


def _usage(
    turn: Turn, options: MessageOptions, hosted_counts: dict[str, int] | None = None
) -> dict[str, Any]:
    compaction = _compaction(turn)
    usage = _message_usage(turn)
    fields = {
        **_counts(usage),
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "server_tool_use": hosted_counts,
        "service_tier": options.tier,
        "inference_geo": options.geo,
        "speed": options.speed,
    }
    if compaction is not None:
        compacting = _counts(Usage(compaction.prompt_tokens, compaction.tokens))
        iterations = [{"type": "compaction"} | compacting]
        if not compaction.pauses:
            iterations.append({"type": "message"} | _counts(usage))
        fields["iterations"] = iterations
    elif options.advisor and _is_advised(turn):
        advice = {"type": "advisor_message", "model": options.advisor} | _counts(_ADVICE)
        fields["iterations"] = [{"type": "message"} | _counts(usage), advice]
    elif options.fallback and has_declined(turn):
        answered = {"type": "fallback_message", "model": options.fallback} | _counts(usage)
        fields["iterations"] = [{"type": "message"} | _counts(replace(usage, completion=0)), answered]
    return fields


def _is_advised(turn: Turn) -> bool:
    return any(
        isinstance(segment, ToolCallSegment) and segment.call.name == "advisor"
        for segment in turn.choices[0].segments
    )


def _counts(usage: Usage) -> dict[str, Any]:
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
    }


def _compaction(turn: Turn) -> Compaction | None:
    return None if turn.edited is None else turn.edited.compaction


def _stop_fields(turn: Turn) -> dict[str, Any]:
    choice = turn.choices[0]
    reason, details = _STOP_REASONS[choice.finish], None
    compaction = _compaction(turn)
    if compaction is not None and compaction.pauses:
        reason = "compaction"
    elif choice.stopped_by is not None:
        reason = "stop_sequence"
    elif choice.finish is FinishReason.LENGTH and _fills_window(turn):
        reason = "model_context_window_exceeded"
    elif choice.finish is FinishReason.CONTENT_FILTER:
        details = _FILTER_DETAILS
    elif (
        choice.finish is FinishReason.STOP
        and choice.segments
        and isinstance(choice.segments[-1], RefusalSegment)
    ):
        reason, details = "refusal", _REFUSAL_DETAILS
    return {"stop_reason": reason, "stop_sequence": choice.stopped_by, "stop_details": details}


def _fills_window(turn: Turn) -> bool:
    """Return whether a turn ended where the model's window does."""
    return _message_usage(turn).prompt + turn.choices[0].tokens == window_of(turn.model)


def _identity(turn: Turn) -> dict[str, Any]:
    return {"id": f"msg_{turn.id}", "type": "message", "role": "assistant", "model": turn.model}


def render_message(turn: Turn, options: MessageOptions) -> dict[str, Any]:
    """Render the whole message, as builtins."""
    blocks = content_blocks(turn, options)
    hosted = hosted_usage(turn, blocks, options)
    content: list[dict[str, Any]] = []
    for block in blocks:
        text = block.text.text
        if block.fields is None and block.deltas:
            citations = [delta["citation"] for delta in block.deltas]
            content.append({"type": "text", "text": text, "citations": citations})
        elif block.fields is None:
            content.append(
                {"type": "thinking", "thinking": text, "signature": sign(turn.id, text)}
                if block.kind is ReasoningSegment
                else {"type": "text", "text": text}
            )
        elif block.kind is ToolCallSegment:
            content.append(block.fields | {"input": parse_partial_object(text)})
        else:
            content.append(block.fields)
    answering = {"model": options.fallback} if options.fallback and has_declined(turn) else {}
    return {
        **_identity(turn),
        **answering,
        "content": content,
        **_stop_fields(turn),
        "container": hosted.container,
        "diagnostics": None,
        **_context_management(turn, options),
        "usage": _usage(turn, options, hosted.counts),
    }


def _context_management(turn: Turn, options: MessageOptions) -> dict[str, Any]:
    return {"context_management": render_edits(turn.edited)} if options.manages_context else {}


def render_response(turn: Turn, options: MessageOptions) -> bytes:
    """Render the body of the whole response."""
    return encode(render_message(turn, options))


def render_plain(turn: Turn, options: MessageOptions) -> tuple[FrameBatch, ...]:
    """Render a streamed response without padding."""
    return _StreamRenderer(turn, options, padded=False).render()


def render_padded(turn: Turn, options: MessageOptions) -> tuple[FrameBatch, ...]:
    """Render a streamed response as the API does: with spaces before the last brace of its events."""
    return _StreamRenderer(turn, options, padded=True).render()


def render_stream_fault(turn: Turn, options: MessageOptions, fault: Fault, frames: int) -> bytes:  # noqa: ARG001 - the shape of `ChannelFormat.render_stream_fault`
    """Render the event with which a failing stream ends.

    It has no request id, which belongs to the response and is unknown here. Source: messages of the API as quoted in
    public issues (anthropics/anthropic-sdk-go#200), some with an id, some without.
    """
    return sse(render_stream_error(fault), "error")


_SPACES = b" " * 16


def _padding(length: int, position: int) -> bytes:
    return _SPACES[: (length * 5 + position * 7) % 16]


def _pad(text: TokenizedText) -> tuple[bytes, ...]:
    pieces = enumerate(escaped_pieces(text))
    return tuple(b'%b"}%b' % (piece, _padding(len(piece), position)) for position, piece in pieces)


_PADDED = TokenizedTextMemo(_pad)


class _StreamRenderer:
    """Renders the events of one turn."""

    def __init__(self, turn: Turn, options: MessageOptions, *, padded: bool) -> None:
        self._turn = turn
        self._options = options
        self._padded = padded
        self._events = 0
        self._counted = 0  # tokens that the frames so far carry
        self._usage = _usage(turn, options)

    def render(self) -> tuple[FrameBatch, ...]:
        """Render all events, in order."""
        turn = self._turn
        blocks = content_blocks(turn, self._options)
        batches: list[FrameBatch] = []
        opening = self._start()
        for index, block in enumerate(blocks):
            opening += self._block_start(index, block)
            if index == 0:
                opening += _PING
            if block.deltas:
                opening += self._own_deltas(index, block)
            text = block.text
            first = min(1, block.tokens)
            if block.kind is ToolCallSegment:
                opening += self._event("content_block_delta", {"index": index, "delta": _EMPTY_INPUT})
            elif text.pieces:
                first = text.cumulative_tokens[0]
            batches.append(single(opening, block.tokens_before + first))
            if text.pieces:
                batches.append(self._deltas(index, block))
            batches.append(single(self._block_stop(index, block), block.tokens_before + block.tokens))
            opening = b""
        if opening:
            batches.append(single(opening, turn.length))
        batches.append(self._end(blocks))
        return tuple(batches)

    def _start(self) -> bytes:
        usage = self._usage | {
            "output_tokens": min(1, self._usage["output_tokens"]),
            "output_tokens_details": {"thinking_tokens": 0},
        }
        usage.pop("iterations", None)
        message = _identity(self._turn) | {
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "container": None,
            "diagnostics": None,
            "usage": usage,
        }
        return self._event("message_start", {"message": message})

    def _block_start(self, index: int, block: ContentBlock) -> bytes:
        fields = block.start or block.fields
        if fields is None:
            fields = {"type": "text", "text": ""}
            if block.kind is ReasoningSegment:
                fields = {"type": "thinking", "thinking": "", "signature": ""}
        return self._event("content_block_start", {"index": index, "content_block": fields})

    def _own_deltas(self, index: int, block: ContentBlock) -> bytes:
        """Render the deltas of a block that are not its text."""
        events = (
            self._event("content_block_delta", {"index": index, "delta": delta}) for delta in block.deltas
        )
        return b"".join(events)

    def _deltas(self, index: int, block: ContentBlock) -> FrameBatch:
        """Render the deltas of a block; the first one also carries the tokens before it that no frame has carried."""
        assert block.kind is not None
        head = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b":"'
            % (index, _DELTAS[block.kind])
        )
        text = block.text
        required: Sequence[int] = text.cumulative_tokens
        tokens: Sequence[int] = piece_tokens(text)
        before = block.tokens_before + block.header_tokens
        if before:
            required = tuple(before + end for end in required)
        if required[0] - self._counted != tokens[0]:
            tokens = (required[0] - self._counted, *tokens[1:])
        self._counted = before + text.tokens
        if self._padded:
            return FrameBatch(head, _PADDED(text), b"}\n\n", required, tokens)
        return FrameBatch(head, escaped_pieces(text), b'"}}\n\n', required, tokens)

    def _block_stop(self, index: int, block: ContentBlock) -> bytes:
        signature = b""
        if block.kind is ReasoningSegment:
            delta = {"type": "signature_delta", "signature": sign(self._turn.id, block.text.text)}
            signature = self._event("content_block_delta", {"index": index, "delta": delta})
        return signature + self._event("content_block_stop", {"index": index})

    def _end(self, blocks: list[ContentBlock]) -> FrameBatch:
        turn = self._turn
        hosted = hosted_usage(turn, blocks, self._options)
        usage = self._usage | {"server_tool_use": hosted.counts}
        for only_at_the_start in ("cache_creation", "service_tier", "inference_geo", "speed"):
            del usage[only_at_the_start]
        delta = _stop_fields(turn) | {"container": hosted.container}
        event = {"delta": delta, "usage": usage} | _context_management(turn, self._options)
        data = self._event("message_delta", event) + self._event("message_stop", {})
        uncounted = turn.length - self._counted
        return FrameBatch(b"", (data,), b"", (turn.length,), (uncounted,) if uncounted else ())

    def _event(self, name: str, fields: dict[str, Any]) -> bytes:
        data = encode({"type": name} | fields)
        if self._padded:
            self._events += 1
            data = b"%b%b}" % (data[:-1], _padding(len(data), self._events))
        return sse(data, name)
