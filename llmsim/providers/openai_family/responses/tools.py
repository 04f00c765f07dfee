"""The tools of a request and its tool choice, and the echo of both.

Decisions:
* A hosted tool is known by its kind: `web_search_preview_2025_03_11` is a `web_search`. One that llmsim has no items for
  is echoed, and never called.
* Shells, patches and computers are run by the client, which returns their output; a shell in a container is the provider's.
* A namespace stands for the tools in it.
* Schemas are checked strictly only on request: by default the API makes of a schema what it can.
* The refusal of a named function that is not offered says `function`, as in the API; that of an allowed tool says its
  name.

Source: openai SDK 3.54, types/responses/tool.py, tool_choice_*.py; recorded refusals of the API.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from llmsim.domain import Tool, ToolChoice, ToolKind, ToolMode
from llmsim.errors import InvalidFieldError, ToolChoiceError
from llmsim.providers.openai_family.request_fields import Function, Name, TextFormat
from llmsim.providers.openai_family.responses.hosted_items import HOSTED_TOOLS
from llmsim.providers.openai_family.responses.input_items import Path, raise_below
from llmsim.providers.openai_family.responses.mcp_servers import KIND as MCP
from llmsim.providers.openai_family.responses.mcp_servers import calls_of, further, parse_server
from llmsim.providers.openai_family.responses.options import McpServer, ToolOptions
from llmsim.providers.openai_family.responses.request import Request
from llmsim.providers.openai_family.responses.tool_loading import PROGRAMS, SEARCH, read_loading
from llmsim.providers.openai_family.strict_schemas import parse_pattern, parse_schema
from llmsim.wire.codec import decoder


class AnyTool(Struct):
    """The type of a tool, or of a tool choice."""

    type: str


class GrammarFormat(Struct, tag_field="type", tag="grammar"):
    """Text of a grammar."""

    definition: str
    syntax: Literal["lark", "regex"]


class CustomTool(Struct):
    """A tool of the client that takes free text, or text of a grammar."""

    name: Name
    description: str | None = None
    format: TextFormat | GrammarFormat | None = None


class Namespace(Struct):
    """Functions and custom tools under one name."""

    name: Name
    tools: list[Raw]


class ImageTool(Struct):
    """Image generation."""

    partial_images: Annotated[int, Meta(ge=0, le=3)] | None = None


class Environment(Struct):
    """Where a shell runs."""

    type: str


class ShellTool(Struct):
    """A shell of the client, or of a container that the provider runs."""

    environment: Environment | None = None


class NamedChoice(Struct):
    """The one function or custom tool to call."""

    name: str


class McpChoice(Struct):
    """The MCP server to call."""

    server_label: str | None = None


class FileSearchTool(Struct):
    """The file search."""

    vector_store_ids: list[str] | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None


class AllowedTools(Struct):
    """The tools that may be called."""

    tools: Annotated[list[Raw], Meta(min_length=1, max_length=128)]
    mode: Literal["none", "auto", "required"] | None = None


_decode_any = decoder(AnyTool)
_decode_function = decoder(Function)
_decode_custom = decoder(CustomTool)
_decode_namespace = decoder(Namespace)
_decode_file_search = decoder(FileSearchTool)
_decode_image = decoder(ImageTool)
_decode_shell = decoder(ShellTool)
_decode_named_choice = decoder(NamedChoice)
_decode_mcp_choice = decoder(McpChoice)
_decode_allowed = decoder(AllowedTools)
_decode_members = decoder(dict[str, Raw])

_VERSION = re.compile(r"(?:_preview)?(?:_\d{4}_\d{2}_\d{2})?$")
_ALIASES = {"computer_use": "computer"}
_CLIENT_TOOLS = {
    "shell": "Run shell commands",
    "local_shell": "Run a shell command",
    "apply_patch": "Create or edit a file with a patch",
    "computer": "Use the computer: look at the screen, click and type",
}
"""Tools that the client runs, and what they do."""

_NO_OPTIONS = ToolOptions()


class ParsedTool(msgspec.Struct, frozen=True):
    """One element of `tools`.

    Attributes:
        kind: Its type, without the version of a hosted tool.
        echo: Its echo.
        callable_tools: The tools that may be called through it.
        options: What the items of its calls show, as fields of `ToolOptions`.
    """

    kind: str
    echo: Any
    callable_tools: tuple[Tool, ...] = ()
    options: dict[str, Any] = {}


def parse_tools(sent: Sequence[Raw]) -> tuple[ParsedTool, ...]:
    """Parse the tools of a request.

    Raises:
        InvalidFieldError: A tool is invalid.
        InvalidSchemaError: A function's parameters are not a valid schema.
    """
    tools: list[ParsedTool] = []
    has_server = False
    for index, one in enumerate(sent):
        tool = _parse_tool(bytes(one), ("tools", index))
        if tool.kind == MCP:
            if has_server:
                called = further(tool.callable_tools[0], tool.options[MCP])
                tool = msgspec.structs.replace(tool, callable_tools=(called,))
            has_server = True
        tools.append(tool)
    return tuple(tools)


def _parse_tool(sent: bytes, path: Path) -> ParsedTool:
    try:
        name = _decode_any(sent).type
        match name:
            case "function":
                function = _decode_function(sent)
            case "custom":
                custom = _decode_custom(sent)
                return ParsedTool(name, Raw(sent), (_build_custom_tool(custom, path),))
            case "namespace":
                namespace = _decode_namespace(sent)
            case _:
                return _parse_hosted(hosted_kind(name), name, sent)
    except InvalidFieldError as error:
        raise_below(error, path)
    if name == "namespace":
        return _parse_namespace(namespace, sent, (*path, "tools"))
    schema = parse_schema(
        function.parameters, (*path, "parameters"), "function", function.name, strict=function.strict is True
    )
    # A function is echoed with all its fields. Source: openai SDK, function_tool.py: strict by default.
    echo = {
        "description": None,
        "parameters": None,
        **_decode_members(sent),
        "strict": function.strict is not False,
    }
    return ParsedTool(
        name, echo, (Tool(function.name, ToolKind.FUNCTION, function.description or "", schema),)
    )


def _build_custom_tool(custom: CustomTool, path: Path) -> Tool:
    schema, grammar = b"", ""
    if isinstance(custom.format, GrammarFormat):
        grammar = custom.format.definition
        if custom.format.syntax == "regex":
            schema = parse_pattern(grammar, (*path, "format", "definition"), custom.name)
    return Tool(custom.name, ToolKind.CUSTOM, custom.description or "", schema, grammar)


def _parse_namespace(namespace: Namespace, sent: bytes, path: Path) -> ParsedTool:
    """Parse the tools of a namespace, which are functions and custom tools only."""
    inner: list[Tool] = []
    for index, tool in enumerate(namespace.tools):
        try:
            kind = _decode_any(bytes(tool)).type
        except InvalidFieldError as error:
            raise_below(error, (*path, index))
        if kind not in ("function", "custom"):
            raise InvalidFieldError((*path, index, "type"), "choice", ("function", "custom"), kind)
        inner += _parse_tool(bytes(tool), (*path, index)).callable_tools
    options = {"namespaces": dict.fromkeys((tool.name for tool in inner), namespace.name)}
    return ParsedTool("namespace", Raw(sent), tuple(inner), options)


def hosted_kind(name: str) -> str:
    """Return the kind of a hosted tool from its type, which may include a version."""
    kind = _VERSION.sub("", name, count=1)
    return _ALIASES.get(kind, kind)


def _parse_hosted(kind: str, name: str, sent: bytes) -> ParsedTool:
    tools = (Tool(kind, ToolKind.HOSTED),) if kind in HOSTED_TOOLS else ()
    options: dict[str, Any] = {}
    if kind in _CLIENT_TOOLS and not (kind == "shell" and _is_in_container(sent)):
        tools = (Tool(kind, ToolKind.CLIENT_HOSTED, _CLIENT_TOOLS[kind]),)
    if kind == MCP:
        tool, server = parse_server(sent)
        tools, options = (tool,), {MCP: server}
    elif kind == "file_search":
        search = _decode_file_search(sent)
        options = {"vector_stores": tuple(search.vector_store_ids or ())}
        if search.max_num_results is not None:
            options["most_found"] = search.max_num_results
    elif kind == "image_generation":
        options = {"partial_images": _decode_image(sent).partial_images or 0}
    elif kind == "computer":
        options = {"batches_actions": name == "computer"}
    return ParsedTool(kind, Raw(sent), tools, options)


def _is_in_container(sent: bytes) -> bool:
    environment = _decode_shell(sent).environment
    return environment is not None and environment.type.startswith("container")


def build_tool_options(request: Request, tools: Sequence[ParsedTool]) -> ToolOptions:
    """Build the options for items of tool calls."""
    included = request.include or ()
    if not included and not tools:
        return _NO_OPTIONS
    namespaces: dict[str, str] = {}
    options: dict[str, Any] = {}
    servers: list[McpServer] = []
    for tool in tools:
        own = dict(tool.options)
        namespaces |= own.pop("namespaces", {})
        if MCP in own:
            servers.append(own.pop(MCP))
        options = own | options
    if any(tool.kind in (SEARCH, PROGRAMS) for tool in tools):
        options |= read_loading(request.tools or ())
    return ToolOptions(
        results="file_search_call.results" in included,
        sources="web_search_call.action.sources" in included,
        outputs="code_interpreter_call.outputs" in included,
        namespaces=namespaces,
        unlisted=tuple(servers),
        mcp_calls=calls_of(tuple(servers)),
        **options,
    )


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
        mode, names, echo = _parse_choice(sent, tools)
    return ToolChoice(mode, names, request.parallel_tool_calls is not False, request.max_tool_calls), echo


def _parse_choice(sent: dict[str, Raw], tools: Sequence[ParsedTool]) -> tuple[ToolMode, tuple[str, ...], Any]:
    echo: Any = sent
    encoded = msgspec.json.encode(sent)
    known = _tools_by_choice(tools)
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
