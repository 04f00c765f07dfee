"""The tool choice of a request, and its echo.

Decisions:
* The refusal of a named function that is not offered says `function`, as in the API; that of an allowed tool says its name.
* A choice of programs means the tools that only programs call; a choice of a tool on an MCP server, that this one is called there.

Source: openai SDK 3.57, types/responses/tool_choice_*.py; recorded refusals of the API.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from llmsim.domain import ToolChoice, ToolMode
from llmsim.errors import InvalidFieldError, ToolChoiceError
from llmsim.providers.openai_family.responses.input_items import Path, raise_below
from llmsim.providers.openai_family.responses.mcp_servers import KIND as MCP
from llmsim.providers.openai_family.responses.request import Request
from llmsim.providers.openai_family.responses.tool_loading import PROGRAMS, read_loading
from llmsim.providers.openai_family.responses.tools import NO_NAMES, AnyTool, ParsedTool, hosted_kind
from llmsim.wire.codec import decoder


class NamedChoice(Struct):
    """The one function or custom tool to call."""

    name: str


class McpChoice(Struct):
    """The MCP server to call, and the tool on it."""

    server_label: str | None = None
    name: str | None = None


class AllowedTools(Struct):
    """The tools that may be called."""

    tools: Annotated[list[Raw], Meta(min_length=1, max_length=128)]
    mode: Literal["none", "auto", "required"] | None = None


_decode_any = decoder(AnyTool)
_decode_named_choice = decoder(NamedChoice)
_decode_mcp_choice = decoder(McpChoice)
_decode_allowed = decoder(AllowedTools)


def parse_tool_choice(request: Request, tools: Sequence[ParsedTool]) -> tuple[ToolChoice, Any]:
    """Parse the tool choice of a request.

    Returns:
        The choice, and its echo.

    Raises:
        InvalidFieldError: It is invalid.
        ToolChoiceError: It names a tool that is not offered.
    """
    sent = request.tool_choice
    names: tuple[str, ...] | None = None
    echo: Any = sent or "auto"
    if sent is None:
        mode = ToolMode.AUTO
    elif isinstance(sent, str):
        mode = ToolMode(sent)
        if mode is ToolMode.REQUIRED and not tools:
            raise ToolChoiceError(sent)
    else:
        mode, names, echo = _parse_choice(sent, tools, request.tools or ())
    return ToolChoice(mode, names, request.parallel_tool_calls is not False, request.max_tool_calls), echo


def chosen_mcp_tools(choice: Any) -> Mapping[str, str]:
    """Return the tools of MCP servers that a tool choice names, by the label of their server; what is invalid is refused later."""
    if not isinstance(choice, dict):
        return NO_NAMES
    encoded = msgspec.json.encode(choice)
    chosen: dict[str, str] = {}
    with contextlib.suppress(InvalidFieldError):
        if _decode_any(encoded).type == "allowed_tools":
            candidates = [bytes(one) for one in _decode_allowed(encoded).tools]
        else:
            candidates = [encoded]
        for one in candidates:
            if _decode_any(one).type == MCP:
                found = _decode_mcp_choice(one)
                if found.server_label is not None and found.name is not None:
                    chosen.setdefault(found.server_label, found.name)
    return chosen


def _parse_choice(
    sent: dict[str, Raw], tools: Sequence[ParsedTool], sent_tools: Sequence[Raw]
) -> tuple[ToolMode, tuple[str, ...], Any]:
    echo: Any = sent
    encoded = msgspec.json.encode(sent)
    known = _tools_by_choice(tools)
    if (PROGRAMS, None) in known:
        known[PROGRAMS, None] = read_loading(sent_tools)["program_tools"]
    path: Path = ("tool_choice",)
    try:
        name = _decode_any(encoded).type
        if name != "allowed_tools":
            names, mode = _chosen_tools(encoded, name, known, name), ToolMode.REQUIRED
        else:
            allowed = _decode_allowed(encoded)
            found: list[str] = []
            for index, one in enumerate(allowed.tools):
                path = ("tool_choice", "tools", index)
                kind = _decode_any(bytes(one)).type
                found += _chosen_tools(bytes(one), kind, known, "")
            names, mode = tuple(dict.fromkeys(found)), ToolMode(allowed.mode or "auto")
            echo = {**sent, "mode": mode.value}
    except InvalidFieldError as error:
        raise_below(error, path)
    # A tool that cannot be called is not required.
    return mode if names or mode is ToolMode.NONE else ToolMode.AUTO, names, echo


def _tools_by_choice(tools: Sequence[ParsedTool]) -> dict[tuple[str, str | None], tuple[str, ...]]:
    """Map each possible choice, its type and the name in it, to the tools that it means."""

    def choices() -> Iterator[tuple[tuple[str, str | None], tuple[str, ...]]]:
        for parsed in tools:
            yield (parsed.kind, None), tuple(tool.name for tool in parsed.callable_tools)
            if parsed.kind == MCP:
                yield (parsed.kind, parsed.options[MCP].label), (parsed.callable_tools[0].name,)
            for tool in parsed.callable_tools:
                yield (tool.kind.value, tool.name), (tool.name,)

    return dict(choices())


def _chosen_tools(
    choice: bytes, choice_type: str, known: Mapping[tuple[str, str | None], tuple[str, ...]], label: str
) -> tuple[str, ...]:
    """Return the tools that a choice means; `label` names it in a refusal, its own name if that is empty."""
    name: str | None = None
    kind = choice_type
    match choice_type:
        case "function" | "custom":
            name = _decode_named_choice(choice).name
            label = label or name
        case "mcp":
            name = _decode_mcp_choice(choice).server_label
        case _:
            kind = hosted_kind(choice_type)
    names = known.get((kind, name))
    if names is None:
        raise ToolChoiceError(label or choice_type)
    return names
