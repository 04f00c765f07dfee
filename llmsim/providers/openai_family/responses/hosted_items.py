"""Output items of calls of tools that the provider defines. If it runs them itself, the items include results.

Decisions:
* Nothing is run. Results are made up from the query: code that prints it, a page and a file with its words, a picture of
  one pixel. A file search finds parts of uploaded files where it reads vector stores.
* The arguments of a call that the client runs are its action, as JSON; a script may also have a command as it is.
* A kind of tool is a row of `_KINDS`. A tool without a row has an item but no events of its own.
* Tool input is generated token by token but shown only once complete, unless the API streams it. Tokens that no delta
  carries are carried by the end of the item.
* What is sent to an MCP server is a query, unless the client has approved other arguments.
* If an item's type has no status `incomplete`, a truncated one stays in progress.

Source: openai SDK 3.54, types/responses/response_output_item.py, response_*_tool_call.py and response_*_call_*_event.py;
recorded streams of the API.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from llmsim.domain import TokenizedText, ToolCallSegment, ToolKind
from llmsim.errors import InvalidFieldError, InvalidJsonError
from llmsim.providers.openai_family.responses.annotations import page_url
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.event_stream import EventStream
from llmsim.providers.openai_family.responses.options import FoundText, McpCall, ToolOptions
from llmsim.providers.openai_family.responses.output_items import NO_TEXT, ItemPosition, emit_added, emit_done
from llmsim.wire.codec import decoder, encode, escaped_text

_decode_action = decoder(dict[str, Any])
_PATCHED_FILE = "llmsim-example.txt"

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_NO_SERVER = McpCall("", "search")
_IMAGE_FORMAT = {"background": "opaque", "output_format": "png", "quality": "low", "size": "1x1"}


class _Call(msgspec.Struct, frozen=True):
    """The data of a call, from which the members of its item are built.

    Attributes:
        name: Name of the call.
        key: Unique among the items of all turns.
        call_id: The id by which a client returns a result.
        query: The query; empty while it is not complete.
        input: The query as the tool's streamed input; empty if the API does not stream it.
        tools: What the item shows.
        is_clients: Whether the client runs the tool.
        action: What it does then; empty while it is not complete.
    """

    name: str
    key: str
    call_id: str
    query: str
    input: str
    tools: ToolOptions
    is_clients: bool = False
    action: dict[str, Any] = {}


class _StreamedInput(msgspec.Struct, frozen=True):
    """A tool's input, where the API streams it.

    Attributes:
        head: Text before the query, which is the inside of a JSON string.
        tail: Text after it.
        member: Name of the input in the item and in the last of its events.
        delta: Event with a piece of it.
        done: Event with all of it.
    """

    head: str
    tail: str
    member: str
    delta: str
    done: str

    def build(self, query: TokenizedText, *, is_complete: bool) -> TokenizedText:
        """Return the input for `query`; a truncated one has no tail."""
        pieces = [encode(piece).decode()[1:-1] for piece in query.pieces]
        if not pieces:
            return NO_TEXT
        pieces[0] = self.head + pieces[0]
        if is_complete:
            pieces[-1] += self.tail
        return TokenizedText(tuple(pieces), query.cumulative_tokens)


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of item, and its events.

    Attributes:
        type: Type of the item.
        prefix: Prefix of its id.
        members: Builds its members beside id, type and status.
        opening: Events after its announcement.
        closing: Events before its end, if it is complete.
        streamed_input: Its input, if the API streams it; None if not.
        truncated_status: Its status if it is not complete.
        has_partial_images: Whether partial images are shown.
    """

    type: str
    prefix: str
    members: Callable[[_Call], dict[str, Any]] = lambda call: {}  # noqa: ARG005 - the signature of all members
    opening: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()
    streamed_input: _StreamedInput | None = None
    truncated_status: str = "incomplete"
    has_partial_images: bool = False


def _web_search(call: _Call) -> dict[str, Any]:
    action: dict[str, Any] = {"type": "search", "query": call.query}
    if call.query:
        action["queries"] = [call.query]
    if call.query and call.tools.sources:
        action["sources"] = [{"type": "url", "url": page_url(call.key)}]
    return {"action": action}


def _file_search(call: _Call) -> dict[str, Any]:
    if not call.query:
        return {"queries": [], "results": None}
    found = call.tools.found
    if found is None:
        found = (FoundText({}, f"file-{call.key}", "found.txt", 0.9, call.query),)
    results = [msgspec.structs.asdict(one) for one in found]
    return {"queries": [call.query], "results": results if call.tools.results else None}


def _code_interpreter(call: _Call) -> dict[str, Any]:
    has_output = call.tools.outputs and call.query
    outputs = [{"type": "logs", "logs": f"{call.query}\n"}] if has_output else None
    return {"code": call.input, "container_id": f"cntr_{call.key}", "outputs": outputs}


def _image(call: _Call) -> dict[str, Any]:
    if not call.query:
        return {"result": None}
    return {"result": _PIXEL, "revised_prompt": call.query, **_IMAGE_FORMAT}


def _mcp(call: _Call) -> dict[str, Any]:
    shown = call.tools.mcp_calls.get(call.name, _NO_SERVER)
    output = call.query or None
    if output is not None and shown.approval is not None:
        query = _parse_action(call.query).get("query")
        output = query if isinstance(query, str) else output
    return {
        "approval_request_id": shown.approval,
        "arguments": call.input,
        "error": None,
        "name": shown.tool,
        "output": output,
        "server_label": shown.server,
    }


def _computer(call: _Call) -> dict[str, Any]:
    action = call.action or {"type": "screenshot"}
    # Source: openai SDK, response_computer_tool_call.py: `computer` has a list, `computer_use_preview` one action.
    actions = {"actions": [action]} if call.tools.batches_actions else {"action": action}
    return {**actions, "call_id": call.call_id, "pending_safety_checks": []}


def _local_shell(call: _Call) -> dict[str, Any]:
    command = {"command": ["bash", "-c", call.query] if call.query and not call.action else []}
    return {"action": {"type": "exec", **command, "env": {}, **call.action}, "call_id": call.call_id}


def _shell(call: _Call) -> dict[str, Any]:
    commands = {"commands": [call.query] if call.query and not call.action else []}
    if not call.is_clients:
        # NOTE: a client may run what it finds here: the query must not become a part of it.
        commands = {"commands": ["echo ok"]}
    action = {**commands, "max_output_length": None, "timeout_ms": None, **call.action}
    return {
        "action": action,
        "call_id": call.call_id,
        "environment": {"type": "local"} if call.is_clients else None,
    }


def _apply_patch(call: _Call) -> dict[str, Any]:
    operation = {"type": "create_file", "path": _PATCHED_FILE, "diff": call.query}
    return {"operation": call.action or operation, "call_id": call.call_id}


def _parse_action(query: str) -> dict[str, Any]:
    """Parse an action; empty if it is no JSON object."""
    try:
        return _decode_action(query.encode())
    except (InvalidJsonError, InvalidFieldError, UnicodeEncodeError):
        return {}


def _events(name: str, *states: str) -> tuple[str, ...]:
    return tuple(f"response.{name}.{state}" for state in states)


_KINDS = {
    "web_search": _Kind(
        type="web_search_call",
        prefix="ws",
        members=_web_search,
        opening=_events("web_search_call", "in_progress"),
        closing=_events("web_search_call", "searching", "completed"),
    ),
    "file_search": _Kind(
        type="file_search_call",
        prefix="fs",
        members=_file_search,
        opening=_events("file_search_call", "in_progress"),
        closing=_events("file_search_call", "searching", "completed"),
    ),
    "code_interpreter": _Kind(
        type="code_interpreter_call",
        prefix="ci",
        members=_code_interpreter,
        opening=_events("code_interpreter_call", "in_progress"),
        closing=_events("code_interpreter_call", "interpreting", "completed"),
        streamed_input=_StreamedInput(
            'print("', '")', "code", *_events("code_interpreter_call_code", "delta", "done")
        ),
    ),
    "image_generation": _Kind(
        type="image_generation_call",
        prefix="ig",
        members=_image,
        opening=_events("image_generation_call", "in_progress", "generating"),
        closing=_events("image_generation_call", "completed"),
        truncated_status="in_progress",
        has_partial_images=True,
    ),
    "mcp": _Kind(
        type="mcp_call",
        prefix="mcp",
        members=_mcp,
        opening=_events("mcp_call", "in_progress"),
        closing=_events("mcp_call", "completed"),
        streamed_input=_StreamedInput(
            '{"query":"', '"}', "arguments", *_events("mcp_call_arguments", "delta", "done")
        ),
    ),
    "computer": _Kind(type="computer_call", prefix="cu", members=_computer),
    "local_shell": _Kind(type="local_shell_call", prefix="lsh", members=_local_shell),
    "shell": _Kind(type="shell_call", prefix="sh", members=_shell),
    "apply_patch": _Kind(
        type="apply_patch_call", prefix="apc", members=_apply_patch, truncated_status="in_progress"
    ),
}

HOSTED_TOOLS = frozenset(_KINDS)
"""Hosted tools that can be called."""


class HostedCallItem:
    """A call of a hosted tool."""

    def __init__(
        self, position: ItemPosition, segment: ToolCallSegment, tools: ToolOptions, dialect: Dialect
    ) -> None:
        name, query = segment.call.name, segment.arguments
        kind = _KINDS.get(name.partition(":")[0]) or _Kind(type=f"{name}_call", prefix="ht")
        self._position = position
        self._kind = kind
        self._input_start = position.start + segment.header_tokens
        self._id = position.item_id(kind.prefix.encode())
        self._type = item_type(dialect, kind.type)
        self._event_prefix = dialect.extension_prefix
        self._input = NO_TEXT
        if kind.streamed_input is not None:
            shown = tools.mcp_calls.get(name)
            is_whole = shown is not None and shown.approval is not None
            self._input = (
                query if is_whole else kind.streamed_input.build(query, is_complete=position.is_complete)
            )
        self._partial_images = tools.partial_images if kind.has_partial_images and position.is_complete else 0
        begun = _Call(
            name=name,
            key=position.key,
            call_id=segment.call.public_id("call_"),
            query="",
            input="",
            tools=tools,
            is_clients=segment.call.kind is ToolKind.CLIENT_HOSTED,
        )
        self._begun = self._render("in_progress", begun)
        # What is truncated must not be run.
        is_hidden = begun.is_clients and not position.is_complete
        done = msgspec.structs.replace(
            begun,
            query="" if is_hidden else query.text,
            input=self._input.text,
            action=_parse_action(query.text) if begun.is_clients and not is_hidden else {},
        )
        self.json = self._render("completed" if position.is_complete else kind.truncated_status, done)

    def _render(self, status: str, call: _Call) -> bytes:
        members = {"id": self._id.decode(), "type": self._type, "status": status}
        return encode(members | self._kind.members(call))

    def emit(self, stream: EventStream) -> None:
        """Add the item's events."""
        position, kind = self._position, self._kind
        place = b'"item_id":"%b","output_index":%d' % (self._id, position.index)
        emit_added(stream, position, self._begun, position.first_token)
        for event in kind.opening:
            stream.emit(self._event_name(event), place, position.first_token)
        streamed = kind.streamed_input
        if streamed is not None:
            if self._input.pieces:
                stream.emit_deltas(self._event_name(streamed.delta), place, self._input, self._input_start)
            members = b'%b,"%b":"%b"' % (place, streamed.member.encode(), escaped_text(self._input))
            stream.emit(self._event_name(streamed.done), members, position.end)
        for index in range(self._partial_images):
            image = encode({"partial_image_index": index, "partial_image_b64": _PIXEL, **_IMAGE_FORMAT})[1:-1]
            name = self._event_name("response.image_generation_call.partial_image")
            stream.emit(name, place + b"," + image, position.end)
        for event in kind.closing if position.is_complete else ():
            stream.emit(self._event_name(event), place, position.end)
        emit_done(stream, position, self.json, carries_tokens=True)

    def _event_name(self, name: str) -> bytes:
        return self._event_prefix + name.encode()


def item_type(dialect: Dialect, name: str) -> str:
    """Return the type of an item in a dialect."""
    return name if name.encode() in dialect.standard_calls else dialect.extension_prefix.decode() + name
