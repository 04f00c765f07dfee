"""Calls of the client's own tools: functions and custom tools.

Decisions:
* A call is announced with its first token, which is of its name; the tokens of the name leave with the first piece of
  its arguments, and those of a call that was cut before it had any, with its end.
"""

import msgspec

from llmsim.domain import ToolCallSegment, ToolKind
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.options import ToolOptions
from llmsim.providers.openai_family.responses.place import (
    ItemPosition,
    announce,
    conclude,
    whole_text,
)
from llmsim.providers.openai_family.responses.stream import EventStream
from llmsim.wire.codec import encode


class _Kind(msgspec.Struct, frozen=True):
    """A kind of call.

    Attributes:
        type: Of the item.
        prefix: Of its id.
        name: What its arguments are called.
        delta: Event that carries a piece of them.
        done: Event that carries all of them.
    """

    type: bytes
    prefix: bytes
    name: bytes
    delta: bytes
    done: bytes


_FUNCTION = _Kind(
    b"function_call",
    b"fc",
    b"arguments",
    b"response.function_call_arguments.delta",
    b"response.function_call_arguments.done",
)
_CUSTOM = _Kind(
    b"custom_tool_call",
    b"ctc",
    b"input",
    b"response.custom_tool_call_input.delta",
    b"response.custom_tool_call_input.done",
)


class ClientCall:
    """A call that the client is to make."""

    def __init__(
        self, place: ItemPosition, segment: ToolCallSegment, tools: ToolOptions, dialect: Dialect
    ) -> None:
        call = segment.call
        kind = _CUSTOM if call.kind is ToolKind.CUSTOM else _FUNCTION
        self._place = place
        self._kind = kind
        self._before = place.before + segment.header_tokens
        self._prefix = b"" if kind.type in dialect.standard else dialect.prefix
        self._id = place.id(kind.prefix)
        self._call_id = encode(call.public_id("call_"))
        self._name = encode(call.name)
        space = tools.namespaces.get(call.name)
        self._space = b"" if space is None else b',"namespace":' + encode(space)
        self._told_name = b""
        if kind is _FUNCTION and dialect.names_calls:
            self._told_name = b',"name":' + self._name
        self._arguments = segment.arguments
        self._text = whole_text(self._arguments)
        self.item = self._item(place.status, self._text)

    def _item(self, status: bytes, text: bytes = b"") -> bytes:
        return b'{"id":"%b","type":"%b%b","status":"%b","%b":"%b","call_id":%b,"name":%b%b}' % (
            self._id,
            self._prefix,
            self._kind.type,
            status,
            self._kind.name,
            text,
            self._call_id,
            self._name,
            self._space,
        )

    def tell(self, stream: EventStream) -> None:
        """Add its events."""
        place, kind = self._place, self._kind
        where = b'"item_id":"%b","output_index":%d' % (self._id, place.at)
        announce(stream, place, self._item(b"in_progress"), place.first)
        if self._arguments.pieces:
            stream.pour(self._prefix + kind.delta, where, self._arguments, self._before)
        whole = b'%b,"%b":"%b"%b' % (where, kind.name, self._text, self._told_name)
        stream.tell(self._prefix + kind.done, whole, place.end)
        conclude(stream, place, self.item, carries=True)
