"""Chat completions: a turn rendered as a stream of chunks.

Decisions:
* The chunk that announces the role is not a token. It is sent with the first visible token, so that
  clients which time the first chunk and clients which time the first text measure the same.
* A call is announced with its first token; the other tokens of its name are carried by the first piece of its arguments.
* The streams of several choices interleave by token: all choices are generated side by side.

Source of fields and order: openai SDK 3.54, types/chat/chat_completion_chunk.py.
"""

from collections.abc import Sequence

from llmsim.domain import Fault, ReasoningSegment, TextSegment, TokenizedText, ToolCall, ToolCallSegment, Turn
from llmsim.providers.openai.chat import ChatOptions
from llmsim.providers.openai.chat_audio import (
    TRANSCRIPT_END,
    TRANSCRIPT_HEAD,
    role_delta,
    sound_chunks,
    sound_tokens,
)
from llmsim.providers.openai.chat_completion import (
    DELTA_MEMBERS,
    INPUT_MEMBERS,
    Message,
    fingerprint,
    finish_reason,
    render_choice_logprobs,
    render_citations,
    render_usage,
    visible_segments,
)
from llmsim.providers.openai.chat_moderation import render_moderation
from llmsim.providers.openai.errors import render_fault
from llmsim.providers.openai_family.logprobs import render_logprobs
from llmsim.providers.openai_family.obfuscation import padding
from llmsim.wire.codec import TokenizedTextMemo, encode, escaped_pieces, piece_tokens
from llmsim.wire.frames import SSE_DONE, FrameBatch, interleave, single, sse


def render_stream(turn: Turn, options: ChatOptions) -> tuple[FrameBatch, ...]:
    """Render the streamed completion: role, text, finish reason and, if requested, usage; then `[DONE]`."""
    chunks = _ChunkRenderer(turn, options)
    last = chunks.render_usage() + SSE_DONE if options.include_usage else SSE_DONE
    if options.moderated is not None:
        last = chunks.render_moderation(*options.moderated) + last
    end = single(last, turn.length)
    if len(turn.choices) == 1:
        return (*chunks.render_choice(0), end)
    return (interleave([chunks.render_choice(index) for index in range(len(turn.choices))]), end)


def render_stream_fault(turn: Turn, options: ChatOptions, fault: Fault, frames: int) -> bytes:  # noqa: ARG001 - the signature of all endpoints
    """Render the end of a failing stream: the error as an event, and no `[DONE]`.

    Source: openai SDK 3.54, _streaming.py: an event whose data has `error` raises.
    """
    return sse(render_fault(fault).body)


class _ChunkRenderer:
    """Renders the chunks of one turn; what they have in common is rendered once."""

    def __init__(self, turn: Turn, options: ChatOptions) -> None:
        self._turn = turn
        self._options = options
        self._padded = options.include_obfuscation
        self._envelope = (
            b'data: {"id":"chatcmpl-%b","object":"chat.completion.chunk","created":%d,"model":%b,'
            b'"service_tier":"%b","system_fingerprint":"%b","choices":['
        ) % (
            turn.id.encode(),
            turn.created,
            encode(turn.model),
            options.service_tier.encode(),
            fingerprint(turn.model),
        )
        self._usage = _NO_USAGE if options.include_usage else b""

    def render_choice(self, index: int) -> tuple[FrameBatch, ...]:
        """Render the chunks of one choice."""
        choice = self._turn.choices[index]
        head = self._envelope + b'{"index":%d,"delta":' % index
        batches: list[FrameBatch] = []
        visible = visible_segments(choice)
        speaks = bool(self._options.audio_format) and sound_tokens(choice) > 0
        carried = calls = 0
        for segment, start in visible:
            if isinstance(segment, ToolCallSegment):
                carried = self._add_call(batches, head, segment, start, carried, calls)
                calls += 1
            else:
                carried = self._add_text(batches, head, segment, start, carried, speaks=speaks)
        role = (
            b'{"role":"assistant","content":null}'
            if calls and isinstance(visible[0][0], ToolCallSegment)
            else b'{"role":"assistant","content":""}'
        )
        if speaks:
            role = role_delta(self._turn, index)
            rest = self._usage + self._obfuscation(b"")
            batches += sound_chunks(
                self._turn, index, self._options.audio_format, head=head, rest=rest, carried=carried
            )
        last = b'{"annotations":%b}' % render_citations(visible) if self._options.searches else b"{}"
        finish = b'"%b"' % finish_reason(choice, self._options).encode()
        first = batches[0].required_tokens[0] if batches else choice.tokens
        return (
            self._single_chunk(head + role, b"null", padding(0, 0), first),
            *batches,
            self._single_chunk(head + last, finish, b"", choice.tokens),
        )

    def _single_chunk(
        self, head: bytes, finish: bytes, padding: bytes, required_tokens: int, tokens: int = 0
    ) -> FrameBatch:
        data = b'%b,"logprobs":null,"finish_reason":%b}]%b%b}\n\n' % (
            head,
            finish,
            self._usage,
            self._obfuscation(padding),
        )
        return FrameBatch(b"", (data,), b"", (required_tokens,), (tokens,) if tokens else ())

    def _add_text(
        self,
        batches: list[FrameBatch],
        choice_head: bytes,
        segment: Message | ReasoningSegment,
        start: int,
        carried: int,
        *,
        speaks: bool,
    ) -> int:
        """Add the pieces of a text, refusal or reasoning; return the number of tokens carried so far."""
        text = segment.text
        if text is None or not text.pieces:
            return carried
        if speaks and isinstance(segment, TextSegment):
            batches.append(self._transcript_chunks(choice_head, segment, text, start, carried))
            return start + text.tokens
        head = b'%b{"%b":"' % (choice_head, DELTA_MEMBERS[type(segment)])
        if not isinstance(segment, ReasoningSegment) and segment.logprobs:
            # Source: recorded streams; each chunk has the logprobs of its own tokens.
            rests = [
                _REST % (b'"', render_choice_logprobs({type(segment): render_logprobs(piece)}))
                for piece in segment.logprobs
            ]
            batches.append(self._piece_chunks(head, text, rests, start, carried))
        elif self._padded:
            batches.append(_build_batch(head, _PADDED[self._usage](text), b'"}\n\n', text, start, carried))
        else:
            tail = _REST_OF_TEXT + self._usage + b"}\n\n"
            batches.append(_build_batch(head, escaped_pieces(text), tail, text, start, carried))
        return start + text.tokens

    def _transcript_chunks(
        self, choice_head: bytes, segment: TextSegment, text: TokenizedText, start: int, carried: int
    ) -> FrameBatch:
        """Build the chunks of a text that is spoken."""
        logprobs = [
            render_choice_logprobs({TextSegment: render_logprobs(piece)}) for piece in segment.logprobs
        ] or [b"null"] * len(text.pieces)
        rests = [_REST % (TRANSCRIPT_END, one) for one in logprobs]
        return self._piece_chunks(choice_head + TRANSCRIPT_HEAD, text, rests, start, carried)

    def _add_call(
        self,
        batches: list[FrameBatch],
        choice_head: bytes,
        segment: ToolCallSegment,
        start: int,
        carried: int,
        index: int,
    ) -> int:
        """Add the chunks of call number `index`; return the number of tokens carried so far."""
        arguments = segment.arguments
        announcement, head, close = self._call_deltas(segment.call, index)
        if segment.tokens:
            first = start + 1
            chunk = choice_head + announcement
            batches.append(self._single_chunk(chunk, b"null", padding(0, index), first, first - carried))
            carried = first
        if not arguments.pieces:
            return carried
        rests = [_REST % (close, b"null")] * len(arguments.pieces)
        arguments_start = start + segment.header_tokens
        batches.append(self._piece_chunks(choice_head + head, arguments, rests, arguments_start, carried))
        return start + segment.tokens

    def _call_deltas(self, call: ToolCall, index: int) -> tuple[bytes, bytes, bytes]:
        """Return the delta that announces a call, and the head and end of those with a piece of its input."""
        name = encode(call.name)
        if self._options.uses_functions:
            announcement = b'{"function_call":{"name":%b,"arguments":""}}' % name
            return announcement, b'{"function_call":{"arguments":"', b'"}'
        kind, member = call.kind.value.encode(), INPUT_MEMBERS[call.kind].encode()
        announcement = b'{"tool_calls":[{"index":%d,"id":%b,"type":"%b","%b":{"name":%b,"%b":""}}]}' % (
            index,
            encode(call.public_id("call_")),
            kind,
            kind,
            name,
            member,
        )
        return announcement, b'{"tool_calls":[{"index":%d,"%b":{"%b":"' % (index, kind, member), b'"}}]'

    def _piece_chunks(
        self, head: bytes, text: TokenizedText, rests: Sequence[bytes], start: int, carried: int
    ) -> FrameBatch:
        """Build a batch of chunks that differ in more than their piece: each has its own rest."""
        bodies = [
            piece + rest + self._usage + self._obfuscation(padding(len(piece), position))
            for position, (piece, rest) in enumerate(zip(escaped_pieces(text), rests, strict=True), start=1)
        ]
        return _build_batch(head, bodies, b"}\n\n", text, start, carried)

    def _obfuscation(self, padding: bytes) -> bytes:
        return b',"obfuscation":"%b"' % padding if self._padded else b""

    def render_moderation(self, given: bytes, model: str) -> bytes:
        """Render the chunk that carries the moderation."""
        results = render_moderation(self._turn, model, given)
        return self._envelope + b"],%b%b%b}\n\n" % (results, self._usage, self._obfuscation(b""))

    def render_usage(self) -> bytes:
        """Render the chunk that carries the usage."""
        usage = render_usage(self._turn, self._options)
        return self._envelope + b'],"usage":%b%b}\n\n' % (usage, self._obfuscation(b""))


def _build_batch(
    head: bytes, bodies: Sequence[bytes], tail: bytes, text: TokenizedText, start: int, carried: int
) -> FrameBatch:
    """Build the batch of a text that begins after `start` tokens, `carried` of which earlier frames carry."""
    required, tokens = text.cumulative_tokens, piece_tokens(text)
    if start:
        required = tuple(start + end for end in required)
        tokens = (start - carried + tokens[0], *tokens[1:])
    return FrameBatch(head, bodies, tail, required, tokens)


_NO_USAGE = b',"usage":null'
_REST = b'%b},"logprobs":%b,"finish_reason":null}]'
_REST_OF_TEXT = _REST % (b'"', b"null")


def _padded_with(usage: bytes) -> TokenizedTextMemo[tuple[bytes, ...]]:
    middle = _REST_OF_TEXT + usage + b',"obfuscation":"'

    def pad(text: TokenizedText) -> tuple[bytes, ...]:
        pieces = enumerate(escaped_pieces(text), start=1)
        return tuple(piece + middle + padding(len(piece), position) for position, piece in pieces)

    return TokenizedTextMemo(pad)


_PADDED = {usage: _padded_with(usage) for usage in (b"", _NO_USAGE)}
"""The bodies of a text's padded chunks, by their usage member."""
