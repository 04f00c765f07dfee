"""Calls of hosted tools: the provider makes them itself, so their items say what came of it.

Decisions:
* Nothing is run, and what is found is made up of the query: code that prints it, a page and a file that bear it, a
  picture of one pixel.
* A kind of tool is a row of `_SHAPES`. One that is not there is told by its item alone.
* What a tool is asked becomes known by and by; it shows when all of it is there, except where the API streams it.
  Tokens that no delta carries leave with the end of the item.
* The first call of a server's tool in a turn comes behind the list of them.
* Where an item's type knows no `incomplete`, one that is cut stays in progress.

Source: openai SDK 3.54, types/responses/response_output_item.py, response_*_tool_call.py and response_*_call_*_event.py;
recorded streams of the API.
"""

import shlex
from collections.abc import Callable
from typing import Any

import msgspec

from llmsim.domain import TokenizedText, ToolCallSegment
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.options import ToolOptions
from llmsim.providers.openai_family.responses.place import (
    NOTHING,
    ItemPosition,
    announce,
    conclude,
    whole_text,
)
from llmsim.providers.openai_family.responses.stream import EventStream
from llmsim.wire.codec import encode

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_PICTURE = {"background": "opaque", "output_format": "png", "quality": "low", "size": "1x1"}


class _Facts(msgspec.Struct, frozen=True):
    """What the members of an item are made of.

    Attributes:
        key: Unique among the items of all turns.
        call_id: By which a client would answer the call.
        query: What the tool is asked, as far as it is known.
        written: The same as the tool takes it, where the API streams that.
        tools: What the items tell.
    """

    key: str
    call_id: str
    query: str
    written: str
    tools: ToolOptions


class _Script(msgspec.Struct, frozen=True):
    """How a query is written down that the API streams.

    Attributes:
        head: What stands before the query, which is the inside of a JSON string.
        tail: What stands behind it.
        member: What it is called in the item and in the last of its events.
        delta: Event that carries a piece.
        done: Event that carries all of it.
    """

    head: str
    tail: str
    member: str
    delta: str
    done: str

    def of(self, query: TokenizedText, *, whole: bool) -> TokenizedText:
        """Write `query` down; what is cut has no tail."""
        pieces = [encode(piece).decode()[1:-1] for piece in query.pieces]
        if not pieces:
            return NOTHING
        pieces[0] = self.head + pieces[0]
        if whole:
            pieces[-1] += self.tail
        return TokenizedText(tuple(pieces), query.cumulative_tokens)


def _nothing(facts: _Facts) -> dict[str, Any]:  # noqa: ARG001 - the shape of members
    return {}


class _Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of item, and its events.

    Attributes:
        type: Of the item.
        prefix: Of its id.
        members: What it has beside id, type and status.
        opening: Events behind its announcement.
        closing: Events before its end, where it is done.
        script: How its query is streamed; None if it is not.
        cut: Its status where it is not done.
        pictures: Whether pictures in the making are told.
    """

    type: str
    prefix: str
    members: Callable[[_Facts], dict[str, Any]] = _nothing
    opening: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()
    script: _Script | None = None
    cut: str = "incomplete"
    pictures: bool = False


def _web_search(facts: _Facts) -> dict[str, Any]:
    action: dict[str, Any] = {"type": "search", "query": facts.query}
    if facts.query:
        action["queries"] = [facts.query]
    if facts.query and facts.tools.sources:
        action["sources"] = [{"type": "url", "url": f"https://example.com/{facts.key}"}]
    return {"action": action}


def _file_search(facts: _Facts) -> dict[str, Any]:
    if not facts.query:
        return {"queries": [], "results": None}
    found = {
        "attributes": {},
        "file_id": f"file-{facts.key}",
        "filename": "found.txt",
        "score": 0.9,
        "text": facts.query,
    }
    return {"queries": [facts.query], "results": [found] if facts.tools.results else None}


def _code_interpreter(facts: _Facts) -> dict[str, Any]:
    shown = facts.tools.outputs and facts.query
    outputs = [{"type": "logs", "logs": f"{facts.query}\n"}] if shown else None
    return {"code": facts.written, "container_id": f"cntr_{facts.key}", "outputs": outputs}


def _image(facts: _Facts) -> dict[str, Any]:
    if not facts.query:
        return {"result": None}
    return {"result": _PIXEL, "revised_prompt": facts.query, **_PICTURE}


def _mcp(facts: _Facts) -> dict[str, Any]:
    return {
        "approval_request_id": None,
        "arguments": facts.written,
        "error": None,
        "name": facts.tools.server_tool,
        "output": facts.query or None,
        "server_label": facts.tools.server,
    }


def _computer(facts: _Facts) -> dict[str, Any]:
    return {"action": {"type": "screenshot"}, "call_id": facts.call_id, "pending_safety_checks": []}


def _local_shell(facts: _Facts) -> dict[str, Any]:
    action = {"type": "exec", "command": ["echo", facts.query], "env": {}}
    return {"action": action, "call_id": facts.call_id}


def _shell(facts: _Facts) -> dict[str, Any]:
    # A client really runs it: what a user says must not become more than a word of it.
    action = {"commands": [f"echo {shlex.quote(facts.query)}"], "max_output_length": None, "timeout_ms": None}
    return {"action": action, "call_id": facts.call_id, "environment": None}


def _apply_patch(facts: _Facts) -> dict[str, Any]:
    operation = {"type": "create_file", "path": "note.txt", "diff": f"+{facts.query}\n"}
    return {"operation": operation, "call_id": facts.call_id}


def _stages(name: str, *stages: str) -> tuple[str, ...]:
    return tuple(f"response.{name}.{stage}" for stage in stages)


_SHAPES = {
    "web_search": _Shape(
        type="web_search_call",
        prefix="ws",
        members=_web_search,
        opening=_stages("web_search_call", "in_progress"),
        closing=_stages("web_search_call", "searching", "completed"),
    ),
    "file_search": _Shape(
        type="file_search_call",
        prefix="fs",
        members=_file_search,
        opening=_stages("file_search_call", "in_progress"),
        closing=_stages("file_search_call", "searching", "completed"),
    ),
    "code_interpreter": _Shape(
        type="code_interpreter_call",
        prefix="ci",
        members=_code_interpreter,
        opening=_stages("code_interpreter_call", "in_progress"),
        closing=_stages("code_interpreter_call", "interpreting", "completed"),
        script=_Script('print("', '")', "code", *_stages("code_interpreter_call_code", "delta", "done")),
    ),
    "image_generation": _Shape(
        type="image_generation_call",
        prefix="ig",
        members=_image,
        opening=_stages("image_generation_call", "in_progress", "generating"),
        closing=_stages("image_generation_call", "completed"),
        cut="in_progress",
        pictures=True,
    ),
    "mcp": _Shape(
        type="mcp_call",
        prefix="mcp",
        members=_mcp,
        opening=_stages("mcp_call", "in_progress"),
        closing=_stages("mcp_call", "completed"),
        script=_Script('{"query":"', '"}', "arguments", *_stages("mcp_call_arguments", "delta", "done")),
    ),
    "computer": _Shape(type="computer_call", prefix="cu", members=_computer),
    "local_shell": _Shape(type="local_shell_call", prefix="lsh", members=_local_shell),
    "shell": _Shape(type="shell_call", prefix="sh", members=_shell),
    "apply_patch": _Shape(type="apply_patch_call", prefix="apc", members=_apply_patch, cut="in_progress"),
}

KINDS = frozenset(_SHAPES)
"""Hosted tools that can be called."""


class HostedCall:
    """A call that the provider makes."""

    def __init__(
        self, place: ItemPosition, segment: ToolCallSegment, tools: ToolOptions, dialect: Dialect
    ) -> None:
        call = segment.call
        shape = _SHAPES.get(call.name) or _Shape(type=f"{call.name}_call", prefix="ht")
        query = segment.arguments
        self._place = place
        self._shape = shape
        self._before = place.before + segment.header_tokens
        self._id = place.id(shape.prefix.encode())
        self._type = _named(dialect, shape.type)
        self._prefix = dialect.prefix
        self._script = NOTHING
        if shape.script is not None:
            self._script = shape.script.of(query, whole=place.done)
        self._partial_images = tools.partial_images if shape.pictures and place.done else 0
        facts = _Facts(
            key=place.id(b"").decode()[1:],
            call_id=call.public_id("call_"),
            query="",
            written="",
            tools=tools,
        )
        self._begun = self._item("in_progress", facts)
        whole = msgspec.structs.replace(facts, query=query.text, written=self._script.text)
        self.item = self._item("completed" if place.done else shape.cut, whole)

    def _item(self, status: str, facts: _Facts) -> bytes:
        members = {"id": self._id.decode(), "type": self._type, "status": status}
        return encode(members | self._shape.members(facts))

    def tell(self, stream: EventStream) -> None:
        """Add its events."""
        place, shape = self._place, self._shape
        where = b'"item_id":"%b","output_index":%d' % (self._id, place.at)
        announce(stream, place, self._begun, place.first)
        for stage in shape.opening:
            stream.tell(self._event(stage), where, place.first)
        if shape.script is not None:
            if self._script.pieces:
                stream.pour(self._event(shape.script.delta), where, self._script, self._before)
            written = b'%b,"%b":"%b"' % (where, shape.script.member.encode(), whole_text(self._script))
            stream.tell(self._event(shape.script.done), written, place.end)
        for index in range(self._partial_images):
            picture = encode({"partial_image_index": index, "partial_image_b64": _PIXEL, **_PICTURE})[1:-1]
            event = self._event("response.image_generation_call.partial_image")
            stream.tell(event, where + b"," + picture, place.end)
        for stage in shape.closing if place.done else ():
            stream.tell(self._event(stage), where, place.end)
        conclude(stream, place, self.item, carries=True)

    def _event(self, name: str) -> bytes:
        return self._prefix + name.encode()


class ServerTools:
    """The list of a server's tools, which is there as soon as it is announced."""

    def __init__(self, place: ItemPosition, tools: ToolOptions, dialect: Dialect) -> None:
        self._place = place
        self._id = place.id(b"mcpl")
        self._prefix = dialect.prefix
        members = {"id": self._id.decode(), "type": _named(dialect, "mcp_list_tools")}
        schema = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
        listed = {
            "name": tools.server_tool,
            "description": "Made up",
            "input_schema": schema,
            "annotations": {"read_only": False},
        }
        label = {"server_label": tools.server}
        begun, done = (
            {"status": status} if dialect.always_status else {} for status in ("in_progress", "completed")
        )
        self._begun = encode(members | begun | label | {"tools": []})
        self.item = encode(members | done | label | {"tools": [listed]})

    def tell(self, stream: EventStream) -> None:
        """Add its events."""
        place = self._place
        where = b'"item_id":"%b","output_index":%d' % (self._id, place.at)
        announce(stream, place, self._begun, place.end)
        for event in _stages("mcp_list_tools", "in_progress", "completed"):
            stream.tell(self._prefix + event.encode(), where, place.end)
        conclude(stream, place, self.item, carries=False)


def _named(dialect: Dialect, kind: str) -> str:
    """Give the type of an item in a dialect."""
    return kind if kind.encode() in dialect.standard else dialect.prefix.decode() + kind
