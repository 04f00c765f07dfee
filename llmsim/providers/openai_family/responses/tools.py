"""The tools of a request, and their echo.

Decisions:
* A hosted tool is known by its kind: `web_search_preview_2025_03_11` is a `web_search`. One that llmsim has no items for
  is echoed, and never called; `tool_types` refuses types that the API does not have.
* Shells, patches and computers are run by the client, which returns their output; a shell in a container is the provider's.
* A namespace stands for the tools in it.
* Schemas are checked strictly only on request: by default the API makes of a schema what it can.

Source: openai SDK 3.54, types/responses/tool.py.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from llmsim.domain import Tool, ToolKind
from llmsim.errors import InvalidFieldError
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.openai_family.request_fields import Function, Name, TextFormat
from llmsim.providers.openai_family.responses.client_search import brought_tools, parse_search, with_tools
from llmsim.providers.openai_family.responses.conversation import Head
from llmsim.providers.openai_family.responses.hosted_items import HOSTED_TOOLS
from llmsim.providers.openai_family.responses.input_items import Path, raise_below
from llmsim.providers.openai_family.responses.mcp_servers import KIND as MCP
from llmsim.providers.openai_family.responses.mcp_servers import calls_of, further, parse_server
from llmsim.providers.openai_family.responses.options import McpServer, ResponseOptions, ToolOptions
from llmsim.providers.openai_family.responses.request import Request
from llmsim.providers.openai_family.responses.tool_loading import (
    PROGRAMS,
    SEARCH,
    deferred_names,
    read_loading,
)
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


class FileSearchTool(Struct):
    """The file search."""

    vector_store_ids: list[str] | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None


_decode_any = decoder(AnyTool)
_decode_function = decoder(Function)
_decode_custom = decoder(CustomTool)
_decode_namespace = decoder(Namespace)
_decode_file_search = decoder(FileSearchTool)
_decode_image = decoder(ImageTool)
_decode_shell = decoder(ShellTool)


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
NO_NAMES: Mapping[str, str] = {}


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


def parse_tools(
    sent: Sequence[Raw], chosen: Mapping[str, str] = NO_NAMES, path: Path = ("tools",)
) -> tuple[ParsedTool, ...]:
    """Parse the tools of a request.

    Args:
        sent: The tools.
        chosen: The tools of MCP servers that the tool choice names, by `chosen_mcp_tools`.
        path: Their place in the request.

    Raises:
        InvalidFieldError: A tool is invalid.
        InvalidSchemaError: A function's parameters are not a valid schema.
        ToolChoiceError: A server does not offer the tool that is to be called.
    """
    tools: list[ParsedTool] = []
    has_server = False
    for index, one in enumerate(sent):
        tool = _parse_tool(bytes(one), (*path, index), chosen)
        if tool.kind == MCP:
            if has_server:
                called = further(tool.callable_tools[0], tool.options[MCP])
                tool = msgspec.structs.replace(tool, callable_tools=(called,))
            has_server = True
        tools.append(tool)
    return tuple(tools)


def _parse_tool(sent: bytes, path: Path, chosen: Mapping[str, str] = NO_NAMES) -> ParsedTool:
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
                return _parse_hosted(hosted_kind(name), name, sent, path, chosen)
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


def _parse_hosted(kind: str, name: str, sent: bytes, path: Path, chosen: Mapping[str, str]) -> ParsedTool:
    if kind == SEARCH:
        called = parse_search(sent, path)
        return ParsedTool(kind, Raw(sent), called, {"searches_client": True} if called else {})
    tools = (Tool(kind, ToolKind.HOSTED),) if kind in HOSTED_TOOLS else ()
    options: dict[str, Any] = {}
    if kind in _CLIENT_TOOLS and not (kind == "shell" and _is_in_container(sent)):
        tools = (Tool(kind, ToolKind.CLIENT_HOSTED, _CLIENT_TOOLS[kind]),)
    if kind == MCP:
        tool, server = parse_server(sent, chosen)
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


def offered_tools(request: Request, tools: Sequence[ParsedTool]) -> tuple[Tool, ...]:
    """Return the tools that may be called: not those that the client is still to find."""
    offered = tuple(called for tool in tools for called in tool.callable_tools)
    if any("searches_client" in tool.options for tool in tools):
        withheld = deferred_names(request.tools or ())
        return tuple(tool for tool in offered if tool.name not in withheld)
    return offered


def with_brought_tools(
    request: ParsedRequest[ResponseOptions], items: Sequence[bytes], heads: Sequence[Head]
) -> ParsedRequest[ResponseOptions]:
    """Return a request with the tools that items of its conversation bring.

    Raises:
        InvalidFieldError: A tool is invalid.
        InvalidSchemaError: A function's parameters are not a valid schema.
    """
    brought: list[Tool] = []
    namespaces: dict[str, str] = {}
    for index, (item, head) in enumerate(zip(items, heads, strict=True)):
        for parsed in parse_tools(brought_tools(item, head), path=("input", index, "tools")):
            brought += parsed.callable_tools if parsed.kind != MCP else ()
            namespaces |= parsed.options.get("namespaces", {})
    if not brought and not request.options.tools.searches_client:
        return request
    return with_tools(request, brought, namespaces, heads)
