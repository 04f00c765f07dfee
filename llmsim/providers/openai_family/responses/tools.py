"""The tools of a request: what may be called, whether it is to be, and how each is repeated.

Decisions:
* A hosted tool goes by its kind: `web_search_preview_2025_03_11` is a `web_search`. One that llmsim has no items for is
  repeated, and not offered to be called.
* A namespace is as good as the tools in it.
* Schemas are checked strictly only where the client says so: by default the API makes of a schema what it can.
* A named function that is not offered is refused by the word `function`, as the API does; one among allowed tools
  by its name.

Source: openai SDK 3.54, types/responses/tool.py, tool_choice_*.py; recorded refusals of the API.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from llmsim.domain import Tool, ToolChoice, ToolKind, ToolMode
from llmsim.errors import InvalidFieldError, ToolChoiceError
from llmsim.providers.openai_family.responses.hosted import KINDS
from llmsim.providers.openai_family.responses.items import Path, moved
from llmsim.providers.openai_family.responses.options import ToolOptions
from llmsim.providers.openai_family.responses.request import Name, Request
from llmsim.providers.openai_family.strict_schemas import checked_pattern, checked_schema
from llmsim.wire.codec import decoder


class AnyTool(Struct):
    """What every tool and every choice of one has."""

    type: str


class FunctionTool(Struct):
    """A function of the client's own; `strict` is null or true unless said otherwise."""

    name: Name
    description: str | None = None
    parameters: Raw = Raw()
    strict: bool | None = None


class TextFormat(Struct, tag_field="type", tag="text"):
    """Any text."""


class GrammarFormat(Struct, tag_field="type", tag="grammar"):
    """Text of a grammar."""

    definition: str
    syntax: Literal["lark", "regex"]


class CustomTool(Struct):
    """A tool of the client's own that takes free text, or one of a grammar."""

    name: Name
    description: str | None = None
    format: TextFormat | GrammarFormat | None = None


class Namespace(Struct):
    """Functions and custom tools under one name."""

    name: Name
    tools: list[Raw]


class ToolFilter(Struct):
    """Which tools of a server may be called."""

    tool_names: list[str] | None = None


class McpTool(Struct):
    """A server with tools."""

    server_label: str | None = None
    allowed_tools: list[str] | ToolFilter | None = None


class ImageTool(Struct):
    """What makes pictures."""

    partial_images: Annotated[int, Meta(ge=0, le=3)] | None = None


class NamedChoice(Struct):
    """The one function or custom tool to be called."""

    name: str


class McpChoice(Struct):
    """The server of which a tool is to be called."""

    server_label: str | None = None


class AllowedTools(Struct):
    """The tools that may be called."""

    tools: Annotated[list[Raw], Meta(min_length=1, max_length=128)]
    mode: Literal["none", "auto", "required"] | None = None


_any_tool = decoder(AnyTool)
_function = decoder(FunctionTool)
_custom = decoder(CustomTool)
_namespace = decoder(Namespace)
_mcp = decoder(McpTool)
_image = decoder(ImageTool)
_named = decoder(NamedChoice)
_mcp_choice = decoder(McpChoice)
_allowed = decoder(AllowedTools)
_members = decoder(dict[str, Raw])

_VERSION = re.compile(r"(?:_preview)?(?:_\d{4}_\d{2}_\d{2})?$")
_ALIASES = {"computer_use": "computer"}
_NO_OPTIONS = ToolOptions()
_ANY_SERVER_TOOL = "search"
"""What is called on a server that does not say which tools it has."""


class Offer(msgspec.Struct, frozen=True):
    """One element of `tools`.

    Attributes:
        kind: Its type, of a hosted tool without its version.
        shown: How it is repeated.
        tools: What may be called because of it.
        options: What the items of its calls tell, as fields of `ToolOptions`.
    """

    kind: str
    shown: Any
    tools: tuple[Tool, ...] = ()
    options: dict[str, Any] = {}


def read_tools(sent: Sequence[Raw]) -> tuple[Offer, ...]:
    """Read the tools of a request.

    Raises:
        InvalidFieldError: One of them is none.
        InvalidSchemaError: A function's parameters are no schema.
    """
    return tuple(_read_tool(bytes(tool), ("tools", index)) for index, tool in enumerate(sent))


def _read_tool(sent: bytes, path: Path) -> Offer:
    try:
        named = _any_tool(sent).type
        match named:
            case "function":
                function = _function(sent)
            case "custom":
                custom = _custom(sent)
                return Offer(named, Raw(sent), (_custom_tool(custom, path),))
            case "namespace":
                space = _namespace(sent)
            case _:
                return _hosted(hosted_kind(named), sent)
    except InvalidFieldError as error:
        moved(error, path)
    if named == "namespace":
        return _spaced(space, sent, (*path, "tools"))
    schema = checked_schema(
        function.parameters, (*path, "parameters"), "function", function.name, strict=function.strict is True
    )
    # A function is repeated with all its fields. Source: openai SDK, function_tool.py: strict by default.
    shown = {
        "description": None,
        "parameters": None,
        **_members(sent),
        "strict": function.strict is not False,
    }
    return Offer(named, shown, (Tool(function.name, ToolKind.FUNCTION, function.description or "", schema),))


def _custom_tool(custom: CustomTool, path: Path) -> Tool:
    grammar = custom.format
    schema = b""
    if isinstance(grammar, GrammarFormat) and grammar.syntax == "regex":
        schema = checked_pattern(grammar.definition, (*path, "format", "definition"), custom.name)
    return Tool(custom.name, ToolKind.CUSTOM, custom.description or "", schema)


def _spaced(space: Namespace, sent: bytes, path: Path) -> Offer:
    """Offer the tools of a namespace, which holds none but functions and custom tools."""
    inner: list[Tool] = []
    for index, tool in enumerate(space.tools):
        try:
            kind = _any_tool(bytes(tool)).type
        except InvalidFieldError as error:
            moved(error, (*path, index))
        if kind not in ("function", "custom"):
            raise InvalidFieldError((*path, index, "type"), "choice", ("function", "custom"), kind)
        inner += _read_tool(bytes(tool), (*path, index)).tools
    spaces = {"namespaces": dict.fromkeys((tool.name for tool in inner), space.name)}
    return Offer("namespace", Raw(sent), tuple(inner), spaces)


def hosted_kind(named: str) -> str:
    """Give the kind of a hosted tool by its type, which may bear a version."""
    kind = _VERSION.sub("", named, count=1)
    return _ALIASES.get(kind, kind)


def _hosted(kind: str, sent: bytes) -> Offer:
    tools = (Tool(kind, ToolKind.HOSTED),) if kind in KINDS else ()
    options: dict[str, Any] = {}
    if kind == "mcp":
        server = _mcp(sent)
        allowed = server.allowed_tools
        names = allowed.tool_names if isinstance(allowed, ToolFilter) else allowed
        options = {
            "server": server.server_label or kind,
            "server_tool": next(iter(names or ()), _ANY_SERVER_TOOL),
        }
    elif kind == "image_generation":
        options = {"partial_images": _image(sent).partial_images or 0}
    return Offer(kind, Raw(sent), tools, options)


def tool_options(request: Request, offers: Sequence[Offer]) -> ToolOptions:
    """Tell what the items of tools tell; of several servers the first is called."""
    included = request.include or ()
    if not included and not offers:
        return _NO_OPTIONS
    namespaces: dict[str, str] = {}
    options: dict[str, Any] = {}
    for offer in offers:
        own = dict(offer.options)
        namespaces |= own.pop("namespaces", {})
        options = own | options
    return ToolOptions(
        results="file_search_call.results" in included,
        sources="web_search_call.action.sources" in included,
        outputs="code_interpreter_call.outputs" in included,
        namespaces=namespaces,
        **options,
    )


def read_choice(request: Request, offers: Sequence[Offer]) -> tuple[ToolChoice, Any]:
    """Read whether and which tools are to be called.

    Returns:
        The choice, and how it is repeated.

    Raises:
        InvalidFieldError: It is no choice.
        ToolChoiceError: It is one of a tool that is not offered.
    """
    sent = request.tool_choice
    names: tuple[str, ...] | None = None
    shown: Any = sent or "auto"
    if sent is None:
        mode = ToolMode.AUTO
    elif isinstance(sent, str):
        mode = ToolMode(sent)
        if mode is ToolMode.REQUIRED and not offers:
            raise ToolChoiceError(sent)
    else:
        mode, names, shown = _read_choice(sent, offers)
    return ToolChoice(mode, names, request.parallel_tool_calls is not False, request.max_tool_calls), shown


def _read_choice(sent: dict[str, Raw], offers: Sequence[Offer]) -> tuple[ToolMode, tuple[str, ...], Any]:
    shown: Any = sent
    whole = msgspec.json.encode(sent)
    known = _names_by_choice(offers)
    path: Path = ("tool_choice",)
    try:
        named = _any_tool(whole).type
        if named != "allowed_tools":
            names, mode = _chosen(whole, named, known, named), ToolMode.REQUIRED
        else:
            allowed = _allowed(whole)
            found: list[str] = []
            for index, one in enumerate(allowed.tools):
                path = ("tool_choice", "tools", index)
                kind = _any_tool(bytes(one)).type
                found += _chosen(bytes(one), kind, known, "")
            names, mode = tuple(dict.fromkeys(found)), ToolMode(allowed.mode or "auto")
            shown = {**sent, "mode": mode.value}
    except InvalidFieldError as error:
        moved(error, path)
    # A tool that cannot be called need not be.
    return mode if names or mode is ToolMode.NONE else ToolMode.AUTO, names, shown


def _names_by_choice(offers: Sequence[Offer]) -> dict[tuple[str, str | None], tuple[str, ...]]:
    """Map what a choice says, its type and what it names beside it, to the tools that it means."""

    def meanings() -> Iterator[tuple[tuple[str, str | None], tuple[str, ...]]]:
        for offer in offers:
            yield (offer.kind, None), tuple(tool.name for tool in offer.tools)
            if offer.kind == "mcp":
                yield (offer.kind, offer.options["server"]), (offer.kind,)
            for tool in offer.tools:
                yield (tool.kind.value, tool.name), (tool.name,)

    return dict(meanings())


def _chosen(
    choice: bytes, named: str, known: Mapping[tuple[str, str | None], tuple[str, ...]], word: str
) -> tuple[str, ...]:
    """Give the tools that a choice of type `named` means; `word` is what a refusal names it by, its own name if empty."""
    name: str | None = None
    kind = named
    match named:
        case "function" | "custom":
            name = _named(choice).name
            word = word or name
        case "mcp":
            name = _mcp_choice(choice).server_label
        case _:
            kind = hosted_kind(named)
    names = known.get((kind, name))
    if names is None:
        raise ToolChoiceError(word or named)
    return names
