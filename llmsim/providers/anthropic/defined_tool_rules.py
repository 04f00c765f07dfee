"""Rules for the tools that Anthropic defines: the name that a version has, and members that it needs or that exclude each other.

Source: anthropic SDK 2.14, types/tool_text_editor_*_param.py, beta/beta_tool_computer_use_*_param.py; Anthropic docs, web-search-tool and
web-fetch-tool, "domain filtering".
"""

from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.tool_params import ToolParam

_NAMES = {
    "text_editor_20241022": "str_replace_editor",
    "text_editor_20250124": "str_replace_editor",
    "text_editor_20250429": "str_replace_based_edit_tool",
    "text_editor_20250728": "str_replace_based_edit_tool",
}
"""The names of those versions that differ in them."""

_NEEDED = {"computer": ("display_height_px", "display_width_px")}
"""Members that tools need besides their name, by their kind."""


def check_defined_tool(tool: ToolParam, kind: str, index: int) -> None:
    """Check a tool that Anthropic defines.

    Args:
        tool: The tool, whose kind is known and whose name is one of its kind.
        kind: Its type without the date.
        index: Its place in `tools`.

    Raises:
        InvalidFieldError: It has another version's name, lacks a member, or has two that exclude each other.
    """
    path = ("tools", index, tool.type or "")
    name = _NAMES.get(tool.type or "", tool.name)
    if tool.name != name:
        raise InvalidFieldError((*path, "name"), "choice", (name,), tool.name)
    for member in _NEEDED.get(kind, ()):
        if getattr(tool, member) is None:
            raise InvalidFieldError((*path, member), "missing", None)
    if tool.allowed_domains and tool.blocked_domains:
        raise InvalidFieldError(
            path,
            "conflict",
            f"tools.{index}.{tool.type}: `allowed_domains` and `blocked_domains` cannot both be specified.",
        )
