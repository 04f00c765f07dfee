"""The tools of the API's own: which there are, who runs them, and what those take that the client runs.

Decisions:
* A kind is a tool's `type` without its date: of what decides here, a newer version differs in nothing.
* What the client runs is really run. So of all that these tools can do, a simulated call asks for what looks and
  touches nothing: a file is viewed, not written, and commands are harmless.
* Nothing calls `mcp_toolset` and `advisor`: what the one offers only its server knows, and the other is another model.

Source: anthropic SDK 2.12, types/tool_union_param.py and types/beta; inputs: types/beta/beta_memory_tool_20250818_*.py,
types/computer_*_input.py, browser_*_input.py; Anthropic docs, agents-and-tools/tool-use/bash-tool, text-editor-tool,
computer-use-tool.
"""

import re
from typing import Any

import msgspec

from llmsim.domain import Tool, ToolKind
from llmsim.wire.codec import encode

_DATE = re.compile(r"_\d{8}$")

PYTHON = "code_execution_20250522"
"""The one version of code execution that runs Python instead of a shell."""


class Kind(msgspec.Struct, frozen=True):
    """A kind of tool.

    Attributes:
        names: What a request must call it, one of them; empty if it has no name.
        tools: What the model may call; the one tool of a kind with names is called as the request does.
        toolset: What the API calls the set of these tools; empty if they are none.
    """

    names: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    toolset: str = ""


def kind_of(type_: str) -> str:
    """Tell of what kind a tool of a dated type is."""
    return _DATE.sub("", type_)


def _hosted(name: str) -> Kind:
    return Kind((name,), (Tool(name, ToolKind.HOSTED),))


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _client(*names: str, description: str, takes: dict[str, Any]) -> Kind:
    return Kind(names, (Tool(names[0], ToolKind.FUNCTION, description, encode(takes)),))


def _toolset(toolset: str, **members: tuple[str, dict[str, Any]]) -> Kind:
    tools = tuple(
        Tool(name, ToolKind.FUNCTION, description, encode(takes))
        for name, (description, takes) in members.items()
    )
    return Kind(tools=tools, toolset=toolset)


_POINT = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0, "maximum": 700},
    "minItems": 2,
    "maxItems": 2,
}
_PATH = {"type": "string", "enum": ["/tmp", "/tmp/notes.txt"]}  # noqa: S108 - a name in an answer, no file

KINDS = {
    "web_search": _hosted("web_search"),
    "web_fetch": _hosted("web_fetch"),
    "code_execution": _hosted("code_execution"),
    "tool_search_tool_bm25": _hosted("tool_search_tool_bm25"),
    "tool_search_tool_regex": _hosted("tool_search_tool_regex"),
    "advisor": Kind(("advisor",)),
    "mcp_toolset": Kind(),
    "bash": _client(
        "bash",
        description="Run a command in a shell",
        takes=_object(command={"type": "string", "enum": ["pwd", "ls -la", "date", "uname -a"]}),
    ),
    "text_editor": _client(
        "str_replace_based_edit_tool",
        "str_replace_editor",
        description="View a file",
        takes=_object(command={"const": "view"}, path=_PATH),
    ),
    "memory": _client(
        "memory",
        description="View what was remembered",
        takes=_object(command={"const": "view"}, path={"const": "/memories"}),
    ),
    "computer": _client(
        "computer",
        description="Look at the screen and move the mouse",
        takes={
            "type": "object",
            "anyOf": [
                _object(action={"const": "screenshot"}),
                _object(action={"const": "cursor_position"}),
                _object(action={"const": "mouse_move"}, coordinate=_POINT),
            ],
        },
    ),
    "computer_toolset": _toolset(
        "computer",
        screenshot=("Take a screenshot of the screen", _object()),
        cursor_position=("Tell where the cursor is", _object()),
        mouse_move=("Move the mouse", _object(coordinate=_POINT)),
    ),
    "browser_toolset": _toolset(
        "browser",
        screenshot=("Take a screenshot of the page", _object()),
        get_page_text=("Read the text of the page", _object()),
        list_tabs=("List the open tabs", _object()),
        navigate=("Open a page of the web", _object(url={"const": "https://example.com/"})),
    ),
}
