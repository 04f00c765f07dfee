"""MCP servers of a request: the tools that they offer, and which calls need the client's approval.

Decisions:
* Nothing connects to a server. It offers the tools that the request names, in `allowed_tools` or else in its filters of
  approval; the first of them is called, unless the tool choice names another.
* Every call needs approval unless the request says otherwise. A list of tools that need it exempts all others; a list of
  tools that need none exempts no other.
* Tools that are made up may modify data: no filter for tools that only read names them.

Source: openai SDK 3.57, types/responses/tool.py, `Mcp`.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, structs

from llmsim.domain import Tool, ToolKind
from llmsim.errors import ToolChoiceError
from llmsim.providers.openai_family.responses.options import McpCall, McpServer
from llmsim.wire.codec import decoder

KIND = "mcp"
"""The kind of tool, and the name by which the first server of a request is called."""

_DEFAULT_TOOL = "search"
"""The tool of a server whose tools are not named."""


class ToolFilter(Struct):
    """Some of the tools of a server."""

    tool_names: list[str] | None = None
    read_only: bool | None = None

    def holds(self, name: str) -> bool:
        """Check whether the tool `name` is one of them."""
        if self.read_only:
            return False
        return name in self.tool_names if self.tool_names is not None else self.read_only is False


class ApprovalFilter(Struct):
    """The tools whose calls need approval, and those whose calls need none."""

    always: ToolFilter | None = None
    never: ToolFilter | None = None

    def needs_approval(self, name: str) -> bool:
        """Check whether calls of the tool `name` need approval."""
        if self.always is not None and self.always.holds(name):
            return True
        if self.never is not None:
            return not self.never.holds(name)
        return self.always is None


class McpTool(Struct):
    """An MCP server."""

    server_label: str
    server_url: str | None = None
    connector_id: str | None = None
    tunnel_id: str | None = None
    allowed_tools: list[str] | ToolFilter | None = None
    require_approval: Literal["always", "never"] | ApprovalFilter | None = None

    def tool_names(self) -> tuple[str, ...]:
        """Return the names of the tools that it offers; there is one at least."""
        allowed = self.allowed_tools
        named = allowed.tool_names if isinstance(allowed, ToolFilter) else allowed
        if named is None and isinstance(self.require_approval, ApprovalFilter):
            filters = (self.require_approval.never, self.require_approval.always)
            named = [name for one in filters if one is not None for name in one.tool_names or ()]
        return tuple(dict.fromkeys(named or ())) or (_DEFAULT_TOOL,)

    def needs_approval(self, name: str) -> bool:
        """Check whether calls of its tool `name` need approval."""
        if isinstance(self.require_approval, ApprovalFilter):
            return self.require_approval.needs_approval(name)
        return self.require_approval != "never"


_decode = decoder(McpTool)


def parse_server(sent: bytes, chosen: Mapping[str, str]) -> tuple[Tool, McpServer]:
    """Parse a server: as a tool that may be called, and as it is listed.

    Args:
        sent: The server.
        chosen: The tool that is to be called, by the label of its server.

    Raises:
        InvalidFieldError: It is invalid.
        ToolChoiceError: It does not offer the tool that is to be called.
    """
    server = _decode(sent)
    names = server.tool_names()
    called = chosen.get(server.server_label, names[0])
    if called not in names:
        if names != (_DEFAULT_TOOL,):
            raise ToolChoiceError(called)
        # Its tools are not known, and one of them is now.
        names = (called,)
    kind = ToolKind.ON_APPROVAL if server.needs_approval(called) else ToolKind.HOSTED
    return Tool(KIND, kind), McpServer(server.server_label, names, called)


def further(tool: Tool, server: McpServer) -> Tool:
    """Return the tool of a server that is not the first of its request."""
    return structs.replace(tool, name=f"{KIND}:{server.label}")


def calls_of(servers: tuple[McpServer, ...]) -> dict[str, McpCall]:
    """Return what calls of servers show, by the name of the call."""
    return {
        KIND if index == 0 else f"{KIND}:{server.label}": McpCall(server.label, server.called)
        for index, server in enumerate(servers)
    }
