"""Output items of MCP servers that are no calls: the lists of their tools, and requests for the client's approval.

Decisions:
* A list is complete as soon as it is announced, and comes before all else: a model must know the tools.
* A request has no events of its own: its item is added and done. Its tokens are carried by its end.

Source: openai SDK 3.57, types/responses/response_output_item.py; recorded streams of the API.
"""

from llmsim.domain import ToolCallSegment
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.event_stream import EventStream
from llmsim.providers.openai_family.responses.hosted_items import item_type
from llmsim.providers.openai_family.responses.options import McpServer, ToolOptions
from llmsim.providers.openai_family.responses.output_items import ItemPosition, emit_added, emit_done
from llmsim.wire.codec import encode

_EVENTS = (b"response.mcp_list_tools.in_progress", b"response.mcp_list_tools.completed")
_SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}


class McpToolListItem:
    """The list of an MCP server's tools."""

    def __init__(self, position: ItemPosition, server: McpServer, dialect: Dialect) -> None:
        self._position = position
        self._id = position.item_id(b"mcpl")
        self._event_prefix = dialect.extension_prefix
        members = {"id": self._id.decode(), "type": item_type(dialect, "mcp_list_tools")}
        tools = [
            {
                "name": name,
                "description": "Made up",
                "input_schema": _SCHEMA,
                "annotations": {"read_only": False},
            }
            for name in server.tools
        ]
        label = {"server_label": server.label}
        begun, done = (
            {"status": status} if dialect.always_status else {} for status in ("in_progress", "completed")
        )
        self._begun = encode(members | begun | label | {"tools": []})
        self.json = encode(members | done | label | {"tools": tools})

    def emit(self, stream: EventStream) -> None:
        """Add the item's events."""
        position = self._position
        place = b'"item_id":"%b","output_index":%d' % (self._id, position.index)
        emit_added(stream, position, self._begun, position.end)
        for event in _EVENTS:
            stream.emit(self._event_prefix + event, place, position.end)
        emit_done(stream, position, self.json, carries_tokens=False)


class ApprovalRequestItem:
    """A request for the client's approval of a call on an MCP server."""

    def __init__(
        self, position: ItemPosition, segment: ToolCallSegment, tools: ToolOptions, dialect: Dialect
    ) -> None:
        self._position = position
        shown = tools.mcp_calls[segment.call.name]
        members = {
            "id": position.item_id(b"mcpr").decode(),
            "type": item_type(dialect, "mcp_approval_request"),
            "name": shown.tool,
            "server_label": shown.server,
        }
        status = position.status.decode()
        begun, done = ({"status": one} if dialect.always_status else {} for one in ("in_progress", status))
        arguments = encode({"query": segment.arguments.text}).decode()
        self._begun = encode(members | begun | {"arguments": ""})
        # A part of the arguments must not be approved.
        self.json = encode(members | done | {"arguments": arguments if position.is_complete else ""})

    def emit(self, stream: EventStream) -> None:
        """Add the item's events."""
        position = self._position
        emit_added(stream, position, self._begun, position.first_token)
        emit_done(stream, position, self.json, carries_tokens=True)
