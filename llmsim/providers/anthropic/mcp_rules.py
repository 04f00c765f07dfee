"""Rules for the MCP servers of a request and for their toolsets.

Decisions:
* A toolset of a server that is not declared is refused if any server is; a request without `mcp_servers` has no tools of servers.
* The first version of the beta has no toolsets: its servers offer their tools at once. It is known by its header, or by
  `tool_configuration`; a request that names no version may be of either.

Source: Anthropic docs, agents-and-tools/mcp-connector; anthropics/anthropic-sdk-csharp#255 (a server without a toolset).
"""

from collections.abc import Mapping

from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.mcp import TOOLSET, toolsets_of
from llmsim.providers.anthropic.messages_request import CountRequest

_TOOLSET_BETAS = ("mcp-client-2025-11-20", "mcp-client-2026-09-15")
"""Betas in which each server needs a toolset; in the last one responses list the tools of servers."""


def lists_tools(headers: Mapping[str, str]) -> bool:
    """Return whether a response lists the tools of servers."""
    return _TOOLSET_BETAS[-1] in headers.get("anthropic-beta", "")


def check_mcp(request: CountRequest, headers: Mapping[str, str]) -> None:
    """Check the servers of a request and its toolsets.

    Raises:
        InvalidFieldError: They contradict each other.
    """
    servers = request.mcp_servers
    toolsets = toolsets_of(request)
    for index, tool in toolsets:
        if tool.mcp_server_name is None:
            raise InvalidFieldError(("tools", index, TOOLSET, "mcp_server_name"), "missing", None)
    if not servers:
        return
    names = [server.name for server in servers]
    for index, server in enumerate(servers):
        if not server.url.lower().startswith("https://"):
            raise _conflict(
                ("mcp_servers", index, "url"), f"mcp_servers.{index}.url: URL scheme should be 'https'"
            )
    if len(set(names)) < len(names):
        raise _conflict(("mcp_servers",), "mcp_servers: MCP server names must be unique.")
    used = [tool.mcp_server_name for _, tool in toolsets]
    for (index, _), name in zip(toolsets, used, strict=True):
        place = f"tools.{index}.{TOOLSET}"
        if name not in names:
            raise _conflict(("tools", index), f"{place}: MCP server '{name}' not found in `mcp_servers`.")
        if used.count(name) > 1:
            raise _conflict(
                ("tools", index), f"{place}: MCP server '{name}' is referenced by several toolsets."
            )
    betas = headers.get("anthropic-beta", "")
    if not toolsets and not any(beta in betas for beta in _TOOLSET_BETAS):
        return
    for server in servers:
        if server.name not in used and server.tool_configuration is None:
            raise _conflict(
                ("mcp_servers",),
                f"MCP server '{server.name}' is defined but not referenced by any `{TOOLSET}` in `tools`.",
            )


def _conflict(path: tuple[str | int, ...], message: str) -> InvalidFieldError:
    return InvalidFieldError(path, "conflict", message)
