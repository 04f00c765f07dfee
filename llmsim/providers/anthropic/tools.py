"""What a request offers to be called, and the form it asks for, in the house's words.

Decisions:
* The least `max_uses` of all tools bounds the hosted calls of a turn, so that none of them is overrun.
* Where nothing can be called, nothing is to be called, whatever `tool_choice` says.

Source: anthropic SDK 2.12, types/tool_param.py, tool_choice_*_param.py, json_output_format_param.py.
"""

from collections.abc import Iterator

import msgspec

from llmsim.domain import ResponseFormat, Tool, ToolChoice, ToolKind, ToolMode
from llmsim.providers.anthropic import messages_wire as wire
from llmsim.providers.anthropic.kinds import KINDS, kind_of

_MODES = {
    "auto": ToolMode.AUTO,
    "any": ToolMode.REQUIRED,
    "tool": ToolMode.REQUIRED,
    "none": ToolMode.NONE,
}


def offered(request: wire.CountRequest) -> tuple[Tool, ...]:
    """Give what may be called; the request was checked."""
    return tuple(tool for sent in request.tools or () for tool in _tools(sent))


def _tools(sent: wire.Tool) -> Iterator[Tool]:
    if sent.type in (None, "custom"):
        assert sent.name is not None
        yield Tool(sent.name, ToolKind.FUNCTION, sent.description or "", sent.schema())
        return
    kind = KINDS[kind_of(sent.type or "")]
    disabled = {name for name, member in (sent.configs or {}).items() if member and member.enabled is False}
    for tool in kind.tools:
        if kind.toolset:
            if tool.name not in disabled:
                yield tool
        elif sent.name is not None:
            yield msgspec.structs.replace(tool, name=sent.name)


def toolsets(request: wire.CountRequest) -> dict[str, str]:
    """Give the toolset of each tool that is of one, by the tool's name."""
    kinds = [KINDS[kind_of(sent.type)] for sent in request.tools or () if sent.type not in (None, "custom")]
    return {tool.name: kind.toolset for kind in kinds if kind.toolset for tool in kind.tools}


def chosen(request: wire.CountRequest, tools: tuple[Tool, ...]) -> ToolChoice:
    """Tell whether `tools` are to be called, and which."""
    choice = request.tool_choice
    if not tools:
        return ToolChoice(ToolMode.NONE)
    uses = [sent.max_uses for sent in request.tools or () if sent.max_uses is not None]
    limit = min(uses, default=None)
    if choice is None:
        return ToolChoice(limit=limit)
    return ToolChoice(
        mode=_MODES[choice.type],
        names=(choice.name,) if choice.type == "tool" and choice.name is not None else None,
        parallel=not choice.disable_parallel_tool_use,
        limit=limit,
    )


def wanted_format(request: wire.CountRequest) -> tuple[wire.OutputFormat, tuple[str, ...]] | None:
    """Give the format that is asked for, and where; the older field is still taken."""
    if request.output_config is not None and request.output_config.format is not None:
        return request.output_config.format, ("output_config", "format")
    if request.output_format is not None:
        return request.output_format, ("output_format",)
    return None


def wanted_form(request: wire.CountRequest) -> ResponseFormat | None:
    """Give the form of the text; None for prose. The request was checked."""
    wanted = wanted_format(request)
    return ResponseFormat(wire.sent(wanted[0].schema)) if wanted is not None else None
