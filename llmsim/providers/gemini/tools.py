"""Tools of a request: the functions that the client runs.

Decisions:
* Tools that the API runs itself (search, maps, code, addresses) are called as `tools.hosted_calls` says. Beside functions they are not:
  an answer without them is one that the real API gives, too.
* `computer_use`, `file_search` and MCP servers are accepted and counted, and never used.

Source: google-genai SDK 3.6, types.FunctionDeclaration, FunctionCallingConfig; the message about names in
router-for-me/Cli-Proxy-API-Management-Center#120.
"""

import re
from collections.abc import Iterator

from llmsim.domain import Tool, ToolChoice, ToolKind, ToolMode
from llmsim.errors import ApiRuleError
from llmsim.providers.gemini.grounding import RUN_BY_API
from llmsim.providers.gemini.messages import FunctionDeclaration, GenerateContentRequest
from llmsim.providers.gemini.schemas import RuleError, checked_schema, json_schema

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
_BAD_NAME = (
    "Invalid function name. Must start with a letter or an underscore. Must be alphameric (a-z, A-Z, 0-9), "
    "underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64."
)

_MODES = {
    "MODE_UNSPECIFIED": ToolMode.AUTO,
    "AUTO": ToolMode.AUTO,
    "VALIDATED": ToolMode.AUTO,
    "ANY": ToolMode.REQUIRED,
    "NONE": ToolMode.NONE,
}


def parse_tools(request: GenerateContentRequest) -> tuple[Tool, ...]:
    """Parse the functions of a request.

    Raises:
        ApiRuleError: A name or schema is invalid, or a name is used twice.
    """
    tools = tuple(_functions(request))
    names = [tool.name for tool in tools]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ApiRuleError(f"Duplicate function declaration found: {twice}")
    return tools or tuple(_run_by_api(request))


def _run_by_api(request: GenerateContentRequest) -> Iterator[Tool]:
    for name in RUN_BY_API:
        if any(getattr(tool, name) is not None for tool in request.tools):
            yield Tool(name, ToolKind.HOSTED)


def _functions(request: GenerateContentRequest) -> Iterator[Tool]:
    for index, tool in enumerate(request.tools):
        for place, function in enumerate(tool.function_declarations or ()):
            path = f"tools[{index}].function_declarations[{place}]"
            if not _NAME.fullmatch(function.name):
                raise RuleError((f"{path}.name", _BAD_NAME))
            yield Tool(function.name, ToolKind.FUNCTION, function.description, _schema(function, path))


def _schema(function: FunctionDeclaration, path: str) -> bytes:
    if function.parameters is not None and function.parameters_json_schema is not None:
        raise RuleError((path, "only one of parameters and parameters_json_schema may be set."))
    if function.parameters_json_schema is not None:
        return checked_schema(function.parameters_json_schema, f"{path}.parameters_json_schema")
    if function.parameters is not None:
        return json_schema(function.parameters, f"{path}.parameters")
    return b""


def parse_tool_choice(request: GenerateContentRequest, tools: tuple[Tool, ...]) -> ToolChoice:
    """Parse whether functions are to be called, and which.

    Raises:
        ApiRuleError: Functions are allowed that are not declared, or that no mode allows to choose.
    """
    config = request.tool_config.function_calling_config if request.tool_config is not None else None
    if config is None:
        return ToolChoice() if tools else ToolChoice(ToolMode.NONE)
    allowed = tuple(config.allowed_function_names)
    if allowed and config.mode not in ("ANY", "VALIDATED"):
        raise ApiRuleError("Allowed function names should be set only when function calling mode is ANY.")
    known = {tool.name for tool in tools if tool.kind is ToolKind.FUNCTION}
    if missing := [name for name in allowed if name not in known]:
        raise ApiRuleError(
            f"Allowed function names should be a subset of the names of the declared functions. Unknown: {missing[0][:200]}"
        )
    if not tools:
        return ToolChoice(ToolMode.NONE)
    if not known:
        # The mode is that of functions.
        return ToolChoice()
    return ToolChoice(_MODES[config.mode], allowed or None)
