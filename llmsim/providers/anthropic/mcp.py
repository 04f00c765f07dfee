"""Tools of MCP servers: called, and answered with made-up results. No server is ever asked.

Decisions:
* What a server offers is known from the toolset's pinned `tools`, or by name from its `configs` or from the server's `allowed_tools`;
  a server of which nothing is known has a tool `search`. In the newest beta the first response lists them, and later ones go by that.

Source: anthropic SDK 2.14, types/beta/beta_mcp_tool_use_block.py, beta_mcp_tool_result_block.py.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.domain import Tool, ToolKind
from llmsim.providers.anthropic.connected_request import McpServer, McpTool
from llmsim.providers.anthropic.messages_request import CountRequest, McpToolListingBlock, MessageParam
from llmsim.providers.anthropic.tool_changes import withdrawn_tools
from llmsim.providers.anthropic.tool_params import ToolParam, raw_json
from llmsim.wire.codec import encode

TOOLSET = "mcp_toolset"

_decode = msgspec.json.decode

_UNKNOWN_TOOL = "search"

_QUERY = encode({"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]})
"""The schema of a tool of which only the name is known."""


def mcp_tools(request: CountRequest) -> list[tuple[Tool, str]]:
    """Return the tools of servers that may be called, each with the name of its server; of tools with one name the first."""
    toolsets = {tool.mcp_server_name: tool for _, tool in toolsets_of(request)}
    taken = {tool.name for tool in request.tools or ()}
    found: list[tuple[Tool, str]] = []
    listings = _listings(request.messages) if request.mcp_servers else {}
    withdrawn = withdrawn_tools(request) if request.mcp_servers else frozenset()
    for server in request.mcp_servers or ():
        toolset = toolsets.get(server.name)
        listed = listings.get(server.name)
        for tool in _own_tools(server) if toolset is None else _toolset_tools(toolset, listed):
            if withdrawn and not withdrawn.isdisjoint((f"{server.name}/", f"{server.name}/{tool.name}")):
                continue
            if tool.name not in taken:
                taken.add(tool.name)
                found.append((tool, server.name))
    return found


def _own_tools(server: McpServer) -> list[Tool]:
    config = server.tool_configuration
    if config is not None and config.enabled is False:
        return []
    allowed = None if config is None else config.allowed_tools
    return [_tool(name) for name in ([_UNKNOWN_TOOL] if allowed is None else allowed)]


def _listings(messages: Sequence[MessageParam]) -> dict[str, list[McpTool]]:
    """Return the tools of servers that earlier responses have listed."""
    return {
        block.mcp_server_name: block.tools
        for message in messages
        if isinstance(message.content, list)
        for block in message.content
        if isinstance(block, McpToolListingBlock)
        if block.mcp_server_name is not None and block.tools is not None
    }


def new_listings(request: CountRequest, tools: Sequence[tuple[Tool, str]]) -> tuple[dict[str, Any], ...]:
    """Return the blocks that list tools of servers, of which no earlier response and no toolset has them.

    Args:
        request: The request.
        tools: The tools of all servers, each with the name of its server.
    """
    known = _listings(request.messages)
    return tuple(
        {
            "type": "mcp_tool_listing",
            "mcp_server_name": toolset.mcp_server_name,
            "tools": [
                {
                    "name": tool.name,
                    "description": tool.description or None,
                    "input_schema": _decode(tool.schema),
                }
                for tool, server in tools
                if server == toolset.mcp_server_name
            ],
        }
        for _, toolset in toolsets_of(request)
        if toolset.tools is None and toolset.mcp_server_name not in known
    )


def _toolset_tools(toolset: ToolParam, listed: Sequence[McpTool] | None) -> list[Tool]:
    configs = toolset.configs or {}
    by_default = toolset.default_config is None or toolset.default_config.enabled is not False

    def is_enabled(name: str) -> bool:
        config = configs.get(name)
        return by_default if config is None or config.enabled is None else config.enabled

    if (pinned := toolset.tools if toolset.tools is not None else listed) is not None:
        return [
            _tool(tool.name, tool.description or "", raw_json(tool.input_schema))
            for tool in pinned
            if is_enabled(tool.name)
        ]
    known = [name for name in configs if is_enabled(name)]
    return [_tool(name) for name in known or ([_UNKNOWN_TOOL] if by_default else [])]


def _tool(name: str, description: str = "", schema: bytes = b"") -> Tool:
    return Tool(name, ToolKind.HOSTED, description, schema or _QUERY)


def toolsets_of(request: CountRequest) -> Sequence[tuple[int, ToolParam]]:
    """Return the toolsets of servers with their places among the tools."""
    return [(index, tool) for index, tool in enumerate(request.tools or ()) if tool.type == TOOLSET]


def render_mcp_call(call_id: str, name: str, server: str) -> dict[str, Any]:
    """Render a call as it is when its block starts."""
    return {"type": "mcp_tool_use", "id": call_id, "name": name, "input": {}, "server_name": server}


def render_mcp_result(call_id: str, name: str, server: str) -> dict[str, Any]:
    """Render the result of a call."""
    text = f"This result of {name} was made up by llmsim; the server {server} was not asked."
    content = [{"type": "text", "text": text, "citations": None}]
    return {"type": "mcp_tool_result", "tool_use_id": call_id, "is_error": False, "content": content}
