"""The tools of a request: those of the client, and those that Anthropic defines.

Decisions:
* A tool that Anthropic defines is known by its `type` without the date: newer versions do not differ in what matters here.
* Tools that the client runs are really run. So of all that these tools can do, a simulated call only reads: a file is
  viewed, not written. Which command a shell gets is decided where arguments are generated.
* `mcp` knows what a toolset of a server offers.
* The least `max_uses` of all tools bounds the hosted calls of a turn, so that none of them is exceeded.
* A turn that is continued calls no hosted tools again: a paused one would never end.
* Without tools to call, the mode is `NONE`, whatever `tool_choice` is.

Source: anthropic SDK 2.14, types/tool_param.py, tool_choice_*_param.py, types/tool_union_param.py and types/beta; inputs:
types/beta/beta_memory_tool_20250818_*.py, types/computer_*_input.py, browser_*_input.py; Anthropic docs,
agents-and-tools/tool-use/bash-tool, text-editor-tool, computer-use-tool.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from llmsim.domain import Tool, ToolChoice, ToolKind, ToolMode
from llmsim.providers.anthropic.mcp import mcp_tools
from llmsim.providers.anthropic.messages_request import CompactionBlock, CountRequest, HostedBlock
from llmsim.providers.anthropic.tool_changes import offered_tools
from llmsim.providers.anthropic.tool_params import ToolParam
from llmsim.wire.codec import encode

_DATE = re.compile(r"_\d{8}$")

PYTHON = "code_execution_20250522"
"""The only version of code execution that runs Python instead of a shell."""

MOST_NAME = 256
"""Characters of a model or domain, which responses repeat."""

_MODES = {
    "auto": ToolMode.AUTO,
    "any": ToolMode.REQUIRED,
    "tool": ToolMode.REQUIRED,
    "none": ToolMode.NONE,
}


class AnthropicTool(msgspec.Struct, frozen=True):
    """A tool, or a toolset, that Anthropic defines.

    Attributes:
        names: The names that a request may use for it; empty if it has no name.
        tools: What the model may call; a tool with a name is called by the name in the request.
        toolset: The name of the toolset; empty for a single tool.
        tokens: What its definition costs, where the API's docs say so; 0 if it is counted as it is sent.
    """

    names: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    toolset: str = ""
    tokens: int = 0


def undated_type(type_: str) -> str:
    """Return the type of a tool without its date."""
    return _DATE.sub("", type_)


def parse_tools(request: CountRequest) -> tuple[Tool, ...]:
    """Parse the tools that may be called, of a request that was validated."""
    own = tuple(tool for param in offered_tools(request) for tool in _parse_tool(param))
    return own if request.mcp_servers is None else (*own, *(tool for tool, _ in mcp_tools(request)))


def _parse_tool(param: ToolParam) -> Iterator[Tool]:
    if param.is_custom:
        assert param.name is not None
        yield Tool(param.name, ToolKind.FUNCTION, param.description or "", param.schema())
        return
    defined = _defined_tool(param)
    disabled = {name for name, config in (param.configs or {}).items() if config and config.enabled is False}
    for tool in defined.tools:
        if defined.toolset:
            if tool.name not in disabled:
                yield tool
        elif param.name is not None:
            yield msgspec.structs.replace(tool, name=param.name)


def defined_tokens(param: ToolParam) -> int:
    """Return what the definition of a tool costs where the API's docs say so, else 0."""
    return 0 if param.is_custom else ANTHROPIC_TOOLS[undated_type(param.type or "")].tokens


def search_domain(allowed: Sequence[str]) -> str:
    """Return the domain in which a web search finds pages."""
    return allowed[0].removeprefix("https://").strip("/")[:MOST_NAME]


def parse_toolsets(request: CountRequest) -> dict[str, str]:
    """Parse the toolsets of a request: for each tool of one, the toolset by the tool's name."""
    defined = [_defined_tool(param) for param in request.tools or () if not param.is_custom]
    return {tool.name: one.toolset for one in defined if one.toolset for tool in one.tools}


def _defined_tool(param: ToolParam) -> AnthropicTool:
    return ANTHROPIC_TOOLS[undated_type(param.type or "")]


def parse_tool_choice(request: CountRequest, tools: tuple[Tool, ...]) -> ToolChoice:
    """Parse whether `tools` are to be called, and which."""
    choice = request.tool_choice
    if not tools:
        return ToolChoice(ToolMode.NONE)
    limit = min((tool.max_uses for tool in request.tools or () if tool.max_uses is not None), default=None)
    may_pause = any(tool.kind is ToolKind.HOSTED for tool in tools)
    if may_pause and continues_turn(request):
        limit, may_pause = 0, False
    if choice is None:
        return ToolChoice(limit=limit, may_pause=may_pause)
    return ToolChoice(
        mode=_MODES[choice.type],
        names=(choice.name,) if choice.type == "tool" and choice.name is not None else None,
        parallel=not choice.disable_parallel_tool_use,
        limit=limit,
        may_pause=may_pause,
    )


def continues_turn(request: CountRequest) -> bool:
    """Return whether a request goes on with a paused turn: one with blocks of hosted tools or a compaction, or any that offers such tools.

    A turn of a script may pause before it calls anything.
    """
    if not request.messages or request.messages[-1].role != "assistant":
        return False
    content = request.messages[-1].content
    if isinstance(content, str):
        return False
    if any(isinstance(block, HostedBlock | CompactionBlock) for block in content):
        return True
    kinds = {tool.kind for param in request.tools or () for tool in _parse_tool(param)}
    return ToolKind.HOSTED in kinds or bool(request.mcp_servers)


def _hosted_tool(name: str) -> AnthropicTool:
    return AnthropicTool((name,), (Tool(name, ToolKind.HOSTED),))


def _object_schema(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _client_tool(*names: str, description: str, schema: dict[str, Any], tokens: int = 0) -> AnthropicTool:
    tool = Tool(names[0], ToolKind.FUNCTION, description, encode(schema))
    return AnthropicTool(names, (tool,), tokens=tokens)


def _toolset(toolset: str, **members: tuple[str, dict[str, Any]]) -> AnthropicTool:
    tools = tuple(
        Tool(name, ToolKind.FUNCTION, description, encode(schema))
        for name, (description, schema) in members.items()
    )
    return AnthropicTool(tools=tools, toolset=toolset)


_POINT = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0, "maximum": 700},
    "minItems": 2,
    "maxItems": 2,
}
_PATH = {"type": "string", "default": "/tmp"}  # noqa: S108 - a path in a response, not a file

ANTHROPIC_TOOLS = {
    "web_search": _hosted_tool("web_search"),
    "web_fetch": _hosted_tool("web_fetch"),
    "code_execution": _hosted_tool("code_execution"),
    "tool_search_tool_bm25": _hosted_tool("tool_search_tool_bm25"),
    "tool_search_tool_regex": _hosted_tool("tool_search_tool_regex"),
    "advisor": _hosted_tool("advisor"),
    "mcp_toolset": AnthropicTool(),
    "bash": _client_tool(
        "bash",
        description="Run a command in a shell",
        schema=_object_schema(command={"type": "string"}),
        tokens=245,
    ),
    "text_editor": _client_tool(
        "str_replace_based_edit_tool",
        "str_replace_editor",
        description="View a file",
        schema=_object_schema(command={"const": "view"}, path=_PATH),
        tokens=700,
    ),
    "memory": _client_tool(
        "memory",
        description="View what was remembered",
        schema=_object_schema(command={"const": "view"}, path={"const": "/memories"}),
    ),
    "computer": _client_tool(
        "computer",
        description="Look at the screen and move the mouse",
        schema={
            "type": "object",
            "anyOf": [
                _object_schema(action={"const": "screenshot"}),
                _object_schema(action={"const": "cursor_position"}),
                _object_schema(action={"const": "mouse_move"}, coordinate=_POINT),
            ],
        },
        tokens=735,
    ),
    "computer_toolset": _toolset(
        "computer",
        screenshot=("Take a screenshot of the screen", _object_schema()),
        cursor_position=("Tell where the cursor is", _object_schema()),
        mouse_move=("Move the mouse", _object_schema(coordinate=_POINT)),
    ),
    "browser_toolset": _toolset(
        "browser",
        screenshot=("Take a screenshot of the page", _object_schema()),
        get_page_text=("Read the text of the page", _object_schema()),
        list_tabs=("List the open tabs", _object_schema()),
        navigate=("Open a page of the web", _object_schema(url={"const": "https://example.com/"})),
    ),
}
