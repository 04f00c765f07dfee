"""Checks of a request that its types do not express: fields that contradict each other, and JSON schemas.

Decisions:
* Structured outputs and strict tools accept a part of JSON schema only. What the API was seen to refuse is refused here;
  what it may refuse besides (recursion, the size of the compiled grammar) is accepted.
* Agents send the same tools with every request, so the problem of a schema is cached by the bytes of the schema.

Source: responses of the API; Anthropic docs, agents-and-tools/tool-use and build-with-claude/extended-thinking; for schemas
messages of the API as quoted in public issues: anthropics/claude-code#7365, BerriAI/litellm#35808, agentjido/req_llm#302,
laravel/ai#715.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from llmsim.budgets import remembered
from llmsim.errors import InvalidFieldError, SchemaError
from llmsim.json_schema.document import MOST_CACHED_BYTES, read
from llmsim.json_schema.keywords import subschemas
from llmsim.providers.anthropic.context_management import check_context_management
from llmsim.providers.anthropic.defined_tool_rules import check_defined_tool
from llmsim.providers.anthropic.mcp_rules import check_mcp
from llmsim.providers.anthropic.message_rules import check_messages
from llmsim.providers.anthropic.messages_request import CountRequest, MessageRequest
from llmsim.providers.anthropic.passages import has_citations
from llmsim.providers.anthropic.tool_changes import check_tool_changes
from llmsim.providers.anthropic.tool_params import ToolParam, raw_json
from llmsim.providers.anthropic.tools import ANTHROPIC_TOOLS, undated_type

_SEE_THINKING = (
    "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
)


def check_conversation(request: CountRequest, headers: Mapping[str, str] = MappingProxyType({})) -> None:
    """Check tools, output format and messages.

    Args:
        request: The request.
        headers: Its headers, of which those of betas count.

    Raises:
        InvalidFieldError: Fields contradict each other, or a schema is invalid.
    """
    _check_tools(request)
    check_mcp(request, headers)
    _check_format(request)
    check_messages(request)
    check_context_management(request)


def check_generation(request: MessageRequest, *, thinks: bool) -> None:
    """Check the fields that only generation has.

    Raises:
        InvalidFieldError: Fields contradict each other.
    """
    if thinks:
        _check_thinking(request)
    for index, stop in enumerate(request.stop_sequences or ()):
        if not stop.strip():
            raise _conflict(
                ("stop_sequences", index),
                f"stop_sequences.{index}: each stop sequence must contain non-whitespace",
            )


def _check_thinking(request: MessageRequest) -> None:
    thinking = request.thinking
    assert thinking is not None
    if thinking.type == "enabled":
        if thinking.budget_tokens is None:
            raise InvalidFieldError(("thinking", "enabled", "budget_tokens"), "missing", None)
        if thinking.budget_tokens >= request.max_tokens:
            raise _conflict(
                ("max_tokens",),
                f"`max_tokens` must be greater than `thinking.budget_tokens`. {_SEE_THINKING}",
            )
    if request.temperature not in (None, 1):
        raise _conflict(
            ("temperature",),
            f"`temperature` may only be set to 1 when thinking is enabled or in adaptive mode. {_SEE_THINKING}",
        )
    if request.top_k is not None:
        raise _conflict(
            ("top_k",),
            f"`top_k` must be unset when thinking is enabled or in adaptive mode. {_SEE_THINKING}",
        )
    if request.tool_choice is not None and request.tool_choice.type in ("any", "tool"):
        raise _conflict(("tool_choice",), "Thinking may not be enabled when tool_choice forces tool use.")


def _check_tools(request: CountRequest) -> None:
    names: set[str] = set()
    for index, tool in enumerate(request.tools or ()):
        names_of_tool = (_check_custom_tool if tool.is_custom else _check_anthropic_tool)(tool, index)
        if names_of_tool & names:
            raise _conflict(("tools",), "tools: Tool names must be unique.")
        names |= names_of_tool
    names |= check_tool_changes(request)
    choice = request.tool_choice
    if choice is None:
        return
    if choice.type != "none" and not request.tools:
        raise _conflict(("tool_choice",), "tool_choice may only be specified while providing tools.")
    if choice.type == "tool":
        if choice.name is None:
            raise InvalidFieldError(("tool_choice", "tool", "name"), "missing", None)
        if choice.name not in names:
            raise _conflict(("tool_choice",), f"Tool '{choice.name[:128]}' not found in provided tools")


def _check_custom_tool(tool: ToolParam, index: int) -> set[str]:
    """Check a tool that the client defines; return the names by which it may be chosen."""
    if tool.name is None:
        raise InvalidFieldError(("tools", index, "custom", "name"), "missing", None)
    schema = tool.schema()
    if not schema:
        raise InvalidFieldError(("tools", index, "custom", "input_schema"), "missing", None)
    problem = tool_problem(schema, f"tools.{index}.custom", strict=bool(tool.strict))
    if problem is not None:
        raise _conflict(("tools", index, "input_schema"), problem)
    return {tool.name}


def _check_anthropic_tool(tool: ToolParam, index: int) -> set[str]:
    """Check a tool that Anthropic defines; return the names by which it may be chosen."""
    type_ = tool.type or ""
    kind = undated_type(type_)
    defined = ANTHROPIC_TOOLS.get(kind)
    if defined is None:
        raise InvalidFieldError(("tools", index, "type"), "choice", ("custom", *ANTHROPIC_TOOLS), type_)
    for place, pinned in enumerate(tool.tools or ()):
        schema = raw_json(pinned.input_schema)
        problem = (
            tool_problem(schema, f"tools.{index}.{type_}.tools.{place}", strict=False) if schema else None
        )
        if problem is not None:
            raise _conflict(("tools", index, type_, "tools", place, "input_schema"), problem)
    if not defined.names:
        return {member.name for member in defined.tools}
    path = ("tools", index, type_, "name")
    if tool.name is None:
        raise InvalidFieldError(path, "missing", None)
    if tool.name not in defined.names:
        raise InvalidFieldError(path, "choice", defined.names, tool.name)
    check_defined_tool(tool, kind, index)
    return {tool.name}


def _check_format(request: CountRequest) -> None:
    if request.output_format is not None and request.output_config and request.output_config.format:
        raise _conflict(
            ("output_format",),
            "output_format: `output_format` and `output_config.format` cannot both be specified. `output_format` is "
            "deprecated; use `output_config.format`.",
        )
    requested = request.format()
    if requested is None:
        return
    output_format, path = requested
    schema = raw_json(output_format.schema)
    if not schema:
        raise InvalidFieldError((*path, "schema"), "missing", None)
    if any(
        isinstance(message.content, list) and has_citations(message.content) for message in request.messages
    ):
        raise _conflict(path, f"{'.'.join(path)}: structured outputs cannot be used with citations")
    problem = format_problem(schema, ".".join(path))
    if problem is not None:
        raise _conflict((*path, "schema"), problem)


def _conflict(path: tuple[str | int, ...], message: str) -> InvalidFieldError:
    return InvalidFieldError(path, "conflict", message)


_INVALID_SCHEMA = (
    "JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12). "
    "Learn more about tool use at https://docs.claude.com/en/docs/tool-use."
)
"""The message for a tool whose schema is invalid."""

"""Length of a schema above which its problem is not cached, so that the cache stays small."""

_UNSUPPORTED = {
    "object": ("propertyNames", "patternProperties", "minProperties", "maxProperties"),
    "array": ("maxItems", "uniqueItems", "contains"),
    "string": ("minLength", "maxLength"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
"""Keywords that strict schemas must not have, by type. Source: Anthropic docs, structured-outputs, JSON Schema limitations."""

_TYPED = ("type", "anyOf", "allOf", "oneOf", "enum", "const", "$ref")


def tool_problem(schema: bytes, place: str, *, strict: bool) -> str | None:
    """Return what is wrong with the schema of a tool.

    Args:
        schema: JSON as it was sent.
        place: The tool's place in the request, e.g. `tools.0.custom`.
        strict: Whether the tool is strict.

    Returns:
        A message; None if the schema is accepted.
    """
    problem = _schema_problem(schema, strict=strict, tool=True)
    return f"{place}{problem[0]}: {problem[1]}" if problem is not None else None


def format_problem(schema: bytes, place: str) -> str | None:
    """Return what is wrong with the schema of an output format at `place`; None if the schema is accepted."""
    problem = _schema_problem(schema, strict=True, tool=False)
    return f"{place}.schema: {problem[1]}" if problem is not None else None


def _schema_problem(schema: bytes, *, strict: bool, tool: bool) -> tuple[str, str] | None:
    return _check_schema(schema, strict, tool)


@remembered(128, MOST_CACHED_BYTES)
def _check_schema(schema: bytes, strict: bool, tool: bool) -> tuple[str, str] | None:
    """Return what is wrong with a schema: the place in its tool, and the message."""
    if not schema.startswith(b"{"):
        return ".input_schema", "Input should be a valid dictionary"
    try:
        document = read(schema).document
    except SchemaError as error:
        return (".input_schema", _INVALID_SCHEMA) if tool else ("", f"Invalid schema: {error.problem}")
    if tool:
        if "type" not in document:
            return ".input_schema.type", "Field required"
        if document["type"] != "object":
            return ".input_schema.type", "Input should be 'object'"
    if not strict:
        return None
    if not any(key in document for key in _TYPED):
        return "", "Invalid schema: Schema type is missing"
    return next((("", message) for message in _strict_violations(document)), None)


def _strict_violations(document: dict[str, Any]) -> Iterator[str]:
    """Yield how a schema, or one inside it, violates the rules of strict schemas."""
    pending = [document]
    while pending:
        schema = pending.pop()
        if "oneOf" in schema:
            yield "Schema type 'oneOf' is not supported"
        types = schema.get("type")
        for type_ in types if isinstance(types, list) else [types]:
            if isinstance(type_, str):
                yield from _type_violations(type_, schema)
        inner = [subschema for _, subschema in subschemas(schema) if isinstance(subschema, dict)]
        pending += reversed(inner)


def _type_violations(type_: str, schema: dict[str, Any]) -> Iterator[str]:
    if type_ == "object":
        additional = schema.get("additionalProperties")
        if "additionalProperties" not in schema:
            yield "For 'object' type, 'additionalProperties' must be explicitly set to false"
        elif additional is not False:
            found = "true" if additional is True else "object"
            yield (
                f"For 'object' type, 'additionalProperties: {found}' is not supported. "
                "Please set 'additionalProperties' to false"
            )
    if type_ == "array" and schema.get("minItems", 0) not in (0, 1):
        bounds = f"[{schema['minItems']}, {schema.get('maxItems', '∞')}]"
        yield f"For 'array' type, 'minItems' values other than 0 or 1 are not supported (got: {bounds})"
    if unsupported := sorted(key for key in _UNSUPPORTED.get(type_, ()) if key in schema):
        are = (
            f"property '{unsupported[0]}' is"
            if len(unsupported) == 1
            else f"properties {', '.join(unsupported)} are"
        )
        yield f"For '{type_}' type, {are} not supported"
