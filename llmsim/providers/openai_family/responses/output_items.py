"""Output items: messages, reasoning, and calls of the client's tools.

Decisions:
* An item's id is derived from the turn's id and the item's index, so that it is the same in every rendering.
* A message is announced with its first visible token, so that clients do not see it ahead of its first text.
* Logprobs belong to texts only: in the delta of their tokens, and all together where the text is whole.
* Reasoning is announced with its first token and ends with its last. Tokens that are not shown are carried by the next
  event that carries any. A summary carries no tokens, but its pieces require as much of the reasoning to exist.
* A call is announced with its first token, which is of its name; the tokens of the name are carried by the first piece of
  its arguments. If the call is truncated before it has any, they are carried by its end.
* PERF: a text occurs four times in a stream, and is escaped once.
"""

from typing import Protocol

import msgspec

from llmsim.domain import (
    ReasoningSegment,
    RefusalSegment,
    TextSegment,
    TokenizedText,
    ToolCallSegment,
    ToolKind,
)
from llmsim.providers.openai_family.logprobs import render_logprobs
from llmsim.providers.openai_family.responses.dialect import SUMMARY, Dialect
from llmsim.providers.openai_family.responses.event_stream import EventStream
from llmsim.providers.openai_family.responses.options import ResponseOptions, ToolOptions
from llmsim.providers.openai_family.responses.sealed_content import encrypted_content
from llmsim.wire.codec import encode, escaped_text

NO_TEXT = TokenizedText((), ())

_MAX_ENCRYPTED_REASONING = 256
"""Most tokens of reasoning that its encrypted content stands for: some 2 KB, as in the API."""


class ItemPosition(msgspec.Struct, frozen=True):
    """The position of an item in the output of a turn.

    Attributes:
        turn_id: Id of the turn.
        index: Number of items before it.
        start: Tokens that exist before its first.
        end: Tokens that exist when it is done.
        is_complete: Whether all of it was generated.
    """

    turn_id: bytes
    index: int
    start: int
    end: int
    is_complete: bool

    @property
    def first_token(self) -> int:
        """Tokens that exist when its first one does."""
        return min(self.start + 1, self.end)

    @property
    def status(self) -> bytes:
        """Its final status."""
        return b"completed" if self.is_complete else b"incomplete"

    @property
    def key(self) -> str:
        """Its id without a prefix."""
        return self.item_id(b"").decode()[1:]

    def item_id(self, prefix: bytes) -> bytes:
        """Return the item's id."""
        return b"%b_%b%02x" % (prefix, self.turn_id, self.index)


class OutputItem(Protocol):
    """One item of a turn.

    Attributes:
        json: The finished item.
    """

    json: bytes

    def emit(self, stream: EventStream) -> None:
        """Add the item's events to a stream, from its announcement to its end."""
        ...


def emit_added(stream: EventStream, position: ItemPosition, item: bytes, required_tokens: int) -> None:
    """Announce an item."""
    members = b'"item":%b,"output_index":%d' % (item, position.index)
    stream.emit(b"response.output_item.added", members, required_tokens)


def emit_done(stream: EventStream, position: ItemPosition, item: bytes, *, carries_tokens: bool) -> None:
    """End an item; `carries_tokens` says whether tokens that no other event carries belong to it."""
    members = b'"item":%b,"output_index":%d' % (item, position.index)
    stream.emit(b"response.output_item.done", members, position.end, carries_tokens=carries_tokens)


class _PartKind(msgspec.Struct, frozen=True):
    """A kind of message part, and its events.

    Attributes:
        head: The part up to its logprobs.
        no_logprobs: The JSON member for empty logprobs; empty if the part has no such member.
        member: Name of the text in the part.
        delta: Event with a piece of the text.
        done: Event with all of the text.
    """

    head: bytes
    no_logprobs: bytes
    member: bytes
    delta: bytes
    done: bytes


_TEXT = _PartKind(
    b'{"type":"output_text","annotations":[]',
    b',"logprobs":[]',
    b"text",
    b"response.output_text.delta",
    b"response.output_text.done",
)
_REFUSAL = _PartKind(
    b'{"type":"refusal"', b"", b"refusal", b"response.refusal.delta", b"response.refusal.done"
)


class MessageItem:
    """A message: a text, or a refusal."""

    def __init__(
        self,
        position: ItemPosition,
        segment: TextSegment | RefusalSegment,
        phase: bytes = b"",
        annotations: tuple[bytes, ...] = (),
    ) -> None:
        kind = _TEXT if isinstance(segment, TextSegment) else _REFUSAL
        self._position = position
        self._kind = kind
        self._id = position.item_id(b"msg")
        self._phase = b',"phase":"%b"' % phase if phase else b""
        self._text = segment.text
        self._annotations = annotations
        self._head = kind.head if not annotations else kind.head[:-1] + b",".join(annotations) + b"]"
        self._logprobs: tuple[bytes, ...] = ()
        logprobs = kind.no_logprobs
        if segment.logprobs and logprobs:
            self._logprobs = tuple([render_logprobs(tokens) for tokens in segment.logprobs])
            logprobs = b',"logprobs":[%b]' % b",".join(filter(None, self._logprobs))
        # The part and the event with all of the text have these members in common.
        self._members = b'%b,"%b":"%b"' % (logprobs, kind.member, escaped_text(segment.text))
        self.json = self._render(position.status, b"%b%b}" % (self._head, self._members))

    def _render(self, status: bytes, part: bytes) -> bytes:
        return b'{"id":"%b","type":"message","status":"%b","content":[%b]%b,"role":"assistant"}' % (
            self._id,
            status,
            part,
            self._phase,
        )

    def emit(self, stream: EventStream) -> None:
        """Add the item's events."""
        position, text, kind = self._position, self._text, self._kind
        first = position.start + text.cumulative_tokens[0] if text.pieces else position.end
        place = b'"item_id":"%b","content_index":0,"output_index":%d' % (self._id, position.index)
        emit_added(stream, position, self._render(b"in_progress", b""), first)
        part = b'%b,"part":%b%b,"%b":""}' % (place, kind.head, kind.no_logprobs, kind.member)
        stream.emit(b"response.content_part.added", part, first)
        if self._logprobs:
            extras = [b',"logprobs":[%b]' % tokens for tokens in self._logprobs]
            stream.emit_deltas(kind.delta, place, text, position.start, extras=extras)
        elif text.pieces:
            stream.emit_deltas(kind.delta, place + kind.no_logprobs, text, position.start)
        for index, annotation in enumerate(self._annotations):
            members = b'%b,"annotation_index":%d,"annotation":%b' % (place, index, annotation)
            stream.emit(b"response.output_text.annotation.added", members, position.end)
        stream.emit(kind.done, place + self._members, position.end)
        part = b'%b,"part":%b%b}' % (place, self._head, self._members)
        stream.emit(b"response.content_part.done", part, position.end)
        emit_done(stream, position, self.json, carries_tokens=False)


class CompactionItem:
    """The compaction of a conversation that has become too long. It takes no tokens of the turn."""

    def __init__(self, position: ItemPosition, tokens: int, dialect: Dialect) -> None:
        item_id = position.item_id(b"cmp")
        status = b',"status":"completed"' if dialect.always_status else b""
        self._position = position
        self._event = dialect.extension_prefix + b"response.compaction.compacting"
        self._place = b'"item_id":"%b","output_index":%d' % (item_id, position.index)
        self._begun = b'{"id":"%b","type":"compaction"%b,"encrypted_content":""}' % (item_id, status)
        self.json = b'{"id":"%b","type":"compaction"%b,"encrypted_content":"%b"}' % (
            item_id,
            status,
            encrypted_content(item_id.decode(), tokens),
        )

    def emit(self, stream: EventStream) -> None:
        """Add the item's events."""
        emit_added(stream, self._position, self._begun, 0)
        stream.emit(self._event, self._place, 0)
        emit_done(stream, self._position, self.json, carries_tokens=False)


class ReasoningItem:
    """The model's reasoning."""

    def __init__(
        self,
        position: ItemPosition,
        segment: ReasoningSegment,
        options: ResponseOptions,
        dialect: Dialect,
    ) -> None:
        self._position = position
        self._id = position.item_id(b"rs")
        self._style = dialect.reasoning if options.summary is None else SUMMARY
        self._text = segment.text or NO_TEXT
        self._has_status = dialect.always_status
        encrypted = b""
        if options.encrypts_reasoning:
            content = encrypted_content(self._id.decode(), min(segment.tokens, _MAX_ENCRYPTED_REASONING))
            encrypted = b',"encrypted_content":"%b"' % content
        self._part = self._render_part(escaped_text(self._text))
        self.json = self._render(position.status, self._part if self._text.pieces else b"", encrypted)

    def _render(self, status: bytes, part: bytes = b"", encrypted: bytes = b"") -> bytes:
        is_full = self._style.is_full
        return b'{"id":"%b","type":"reasoning"%b%b,"content":[%b],"summary":[%b]}' % (
            self._id,
            b',"status":"%b"' % status if self._has_status else b"",
            encrypted,
            part if is_full else b"",
            b"" if is_full else part,
        )

    def _render_part(self, text: bytes) -> bytes:
        return b'{"type":"%b","text":"%b"}' % (self._style.part_type, text)

    def emit(self, stream: EventStream) -> None:
        """Add the item's events."""
        position, text, style = self._position, self._text, self._style
        emit_added(stream, position, self._render(b"in_progress"), position.first_token)
        if text.pieces:
            place = b'"item_id":"%b","output_index":%d,"%b":0' % (self._id, position.index, style.index_name)
            first, last = position.start + text.cumulative_tokens[0], position.start + text.tokens
            stream.emit(style.part_added, place + b',"part":' + self._render_part(b""), first)
            stream.emit_deltas(style.delta, place, text, position.start, carries_tokens=style.is_full)
            stream.emit(style.done, place + b',"text":"%b"' % escaped_text(text), last)
            stream.emit(style.part_done, place + b',"part":' + self._part, last)
        emit_done(stream, position, self.json, carries_tokens=False)


class _CallKind(msgspec.Struct, frozen=True):
    """A kind of call.

    Attributes:
        type: Type of the item.
        prefix: Prefix of its id.
        member: Name of its arguments.
        delta: Event with a piece of them.
        done: Event with all of them.
    """

    type: bytes
    prefix: bytes
    member: bytes
    delta: bytes
    done: bytes


_FUNCTION = _CallKind(
    b"function_call",
    b"fc",
    b"arguments",
    b"response.function_call_arguments.delta",
    b"response.function_call_arguments.done",
)
_CUSTOM = _CallKind(
    b"custom_tool_call",
    b"ctc",
    b"input",
    b"response.custom_tool_call_input.delta",
    b"response.custom_tool_call_input.done",
)


class ClientCallItem:
    """A call of a function or custom tool, which the client runs."""

    def __init__(
        self,
        position: ItemPosition,
        segment: ToolCallSegment,
        tools: ToolOptions,
        dialect: Dialect,
        program: str | None = None,
    ) -> None:
        call = segment.call
        kind = _CUSTOM if call.kind is ToolKind.CUSTOM else _FUNCTION
        self._position = position
        self._kind = kind
        self._arguments_start = position.start + segment.header_tokens
        self._type_prefix = b"" if kind.type in dialect.standard_calls else dialect.extension_prefix
        self._id = position.item_id(kind.prefix)
        self._call_id = encode(call.public_id("call_"))
        self._name = encode(call.name)
        namespace = tools.namespaces.get(call.name)
        self._namespace = b"" if namespace is None else b',"namespace":' + encode(namespace)
        if program is not None:
            self._namespace += b',"caller":{"type":"program","caller_id":%b}' % encode(program)
        self._has_name = kind is _FUNCTION and dialect.names_functions
        self._arguments = segment.arguments
        self.json = self._render(position.status, escaped_text(self._arguments))

    def _render(self, status: bytes, arguments: bytes = b"") -> bytes:
        return b'{"id":"%b","type":"%b%b","status":"%b","%b":"%b","call_id":%b,"name":%b%b}' % (
            self._id,
            self._type_prefix,
            self._kind.type,
            status,
            self._kind.member,
            arguments,
            self._call_id,
            self._name,
            self._namespace,
        )

    def emit(self, stream: EventStream) -> None:
        """Add the item's events."""
        position, kind, arguments = self._position, self._kind, self._arguments
        place = b'"item_id":"%b","output_index":%d' % (self._id, position.index)
        emit_added(stream, position, self._render(b"in_progress"), position.first_token)
        if arguments.pieces:
            stream.emit_deltas(self._type_prefix + kind.delta, place, arguments, self._arguments_start)
        name = b',"name":' + self._name if self._has_name else b""
        members = b'%b,"%b":"%b"%b' % (place, kind.member, escaped_text(arguments), name)
        stream.emit(self._type_prefix + kind.done, members, position.end)
        emit_done(stream, position, self.json, carries_tokens=True)
