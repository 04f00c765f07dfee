"""Tools, tool choice and response format of a chat completion request.

Decisions:
* `functions` and `function_call` are the deprecated names of `tools` and `tool_choice`: one call per turn, rendered under
  the deprecated names.
* A grammar that is a regular expression becomes a schema of texts; one in Lark is accepted, and its tool is called with
  free text.

Source of the refusals: replies of the API.
"""

from collections.abc import Sequence

from llmsim.domain import Message, ResponseFormat, Tool, ToolChoice, ToolKind, ToolMode
from llmsim.errors import InvalidFieldError
from llmsim.providers.openai.chat_request import (
    AllowedChoice,
    AnyTool,
    ChatRequest,
    CustomTool,
    FunctionTool,
    GrammarFormat,
    NamedCustom,
    NamedFunction,
    SchemaFormat,
)
from llmsim.providers.openai_family.request_fields import Function, JsonFormat
from llmsim.providers.openai_family.strict_schemas import Path, parse_pattern, parse_schema


def parse_tools(request: ChatRequest) -> tuple[Tool, ...]:
    """Parse the tools of a request.

    Raises:
        InvalidSchemaError: A schema is invalid.
        InvalidFieldError: Deprecated and current names are mixed.
    """
    if request.functions is not None:
        if request.tools is not None:
            raise InvalidFieldError(
                ("functions",),
                "conflict",
                "'functions' and 'tools' cannot be used together; 'functions' is deprecated in favor of 'tools'.",
            )
        return tuple(
            _build_function(function, ("functions", index, "parameters"))
            for index, function in enumerate(request.functions)
        )
    if not request.tools:
        return ()
    return tuple(_build_tool(tool, index) for index, tool in enumerate(request.tools))


def _build_tool(tool: AnyTool, index: int) -> Tool:
    match tool:
        case FunctionTool(function=function):
            return _build_function(function, ("tools", index, "function", "parameters"))
        case CustomTool(custom=custom):
            schema, grammar = b"", ""
            if isinstance(custom.format, GrammarFormat):
                grammar = custom.format.grammar.definition
                if custom.format.grammar.syntax == "regex":
                    path = ("tools", index, "custom", "format", "grammar", "definition")
                    schema = parse_pattern(grammar, path, custom.name)
            return Tool(custom.name, ToolKind.CUSTOM, custom.description or "", schema, grammar)


def _build_function(function: Function, path: Path) -> Tool:
    schema = parse_schema(
        function.parameters, path, "function", function.name, strict=function.strict is True
    )
    return Tool(function.name, ToolKind.FUNCTION, function.description or "", schema)


_DEFAULT_CHOICE = ToolChoice()


def parse_tool_choice(request: ChatRequest, tools: Sequence[Tool]) -> ToolChoice:
    """Parse the tool choice of a request.

    Raises:
        InvalidFieldError: It names a tool that is not offered, or no tools are.
    """
    if request.functions is not None:
        return _parse_function_call(request, tools)
    # PERF: nearly all requests; 0.1 us against 0.8 us.
    if request.tool_choice is None and request.parallel_tool_calls is None:
        return _DEFAULT_CHOICE
    if not tools:
        for name in ("tool_choice", "parallel_tool_calls"):
            if getattr(request, name) not in (None, "none"):
                raise InvalidFieldError(
                    (name,),
                    "conflict",
                    f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.",
                )
    parallel = request.parallel_tool_calls is not False
    match request.tool_choice:
        case None:
            return ToolChoice(parallel=parallel)
        case str(mode):
            return ToolChoice(ToolMode(mode), parallel=parallel)
        case AllowedChoice(allowed_tools=allowed):
            names = tuple(_name_of(choice) for choice in allowed.tools)
            return ToolChoice(ToolMode(allowed.mode), _check_offered(names, tools), parallel)
        case NamedFunction() | NamedCustom() as choice:
            return ToolChoice(ToolMode.REQUIRED, _check_offered((_name_of(choice),), tools), parallel)


def _name_of(choice: NamedFunction | NamedCustom) -> str:
    return choice.function.name if isinstance(choice, NamedFunction) else choice.custom.name


def _check_offered(
    names: tuple[str, ...], tools: Sequence[Tool], path: Path = ("tool_choice",)
) -> tuple[str, ...]:
    """Return `names`; refuse one that is not the name of a tool."""
    known = {tool.name for tool in tools}
    for name in names:
        if name not in known:
            raise InvalidFieldError(
                path,
                "conflict",
                f"Invalid value for '{path[0]}': tool '{name[:100]}' is not in the list of tools.",
            )
    return names


def _parse_function_call(request: ChatRequest, tools: Sequence[Tool]) -> ToolChoice:
    match request.function_call:
        case None:
            return ToolChoice(parallel=False)
        case str(mode):
            return ToolChoice(ToolMode(mode), parallel=False)
        case named:
            return ToolChoice(
                ToolMode.REQUIRED, _check_offered((named.name,), tools, ("function_call",)), parallel=False
            )


def parse_response_format(request: ChatRequest, messages: Sequence[Message]) -> ResponseFormat | None:
    """Parse the response format of a request; None for plain text.

    Raises:
        InvalidSchemaError: The schema is invalid.
        InvalidFieldError: The format is `json_object`, and no message contains the word.
    """
    match request.response_format:
        case None:
            return None
        case JsonFormat():
            if not any("json" in text.lower() for message in messages for text in message.texts):
                raise InvalidFieldError(
                    ("messages",),
                    "conflict",
                    "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
                    "'json_object'.",
                )
            return ResponseFormat()
        case SchemaFormat(json_schema=named):
            schema = parse_schema(
                named.schema,
                ("response_format",),
                "response_format",
                named.name,
                strict=named.strict is True,
            )
            return ResponseFormat(schema, named.name, named.description or "")
        case _:
            return None
