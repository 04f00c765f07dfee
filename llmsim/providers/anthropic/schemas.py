"""Whether the schemas of a request are ones that the API takes, and what it says of those that are not.

Decisions:
* Agents send the same tools with every request: what is wrong with a schema is remembered by its bytes.
* Structured outputs and strict tools take a part of JSON schema only. What the API was seen to refuse is refused here;
  what it may refuse besides (recursion, the size of the compiled grammar) is taken.

Source: messages of the API as quoted in public issues: anthropics/claude-code#7365, BerriAI/litellm#35808,
agentjido/req_llm#302, laravel/ai#715.
"""

import functools
from collections.abc import Iterator
from typing import Any

from llmsim.errors import SchemaError
from llmsim.json_schema.document import read
from llmsim.json_schema.keywords import subschemas

_DRAFT = (
    "JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12). "
    "Learn more about tool use at https://docs.claude.com/en/docs/tool-use."
)
"""What is said of a tool's schema that is none."""

_REMEMBERED = 16_384
"""Bytes of a schema up to which it is remembered, as what is remembered must stay small."""

_UNSUPPORTED = {
    "object": ("propertyNames", "patternProperties", "minProperties", "maxProperties"),
    "array": ("maxItems", "uniqueItems", "contains"),
    "string": ("minLength", "maxLength"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
"""What strict schemas must not say of a type. Source: Anthropic docs, structured-outputs, JSON Schema limitations."""

_TYPED = ("type", "anyOf", "allOf", "oneOf", "enum", "const", "$ref")


def tool_problem(schema: bytes, place: str, *, strict: bool) -> str | None:
    """Say what is wrong with the schema of a tool.

    Args:
        schema: JSON as it was sent.
        place: The tool's, e.g. `tools.0.custom`.
        strict: Whether the tool's input is to follow it to the letter.

    Returns:
        A whole sentence; None if nothing is.
    """
    problem = _remembered(schema, strict=strict)
    if problem is None:
        return None
    inner, said = problem
    return f"{place}{inner}: {said}"


def format_problem(schema: bytes, place: str) -> str | None:
    """Say what is wrong with the schema of an output format, which is `place`; None if nothing is."""
    problem = _remembered(schema, strict=True, tool=False)
    return f"{place}.schema: {problem[1]}" if problem is not None else None


def _remembered(schema: bytes, *, strict: bool, tool: bool = True) -> tuple[str, str] | None:
    look = _known if len(schema) <= _REMEMBERED else _known.__wrapped__
    return look(schema, strict, tool)


@functools.lru_cache(maxsize=1024)
def _known(schema: bytes, strict: bool, tool: bool) -> tuple[str, str] | None:
    """Give what is wrong with a schema: the place in its tool, and the words."""
    if not schema.startswith(b"{"):
        return ".input_schema", "Input should be a valid dictionary"
    try:
        document = read(schema).document
    except SchemaError as error:
        return (".input_schema", _DRAFT) if tool else ("", f"Invalid schema: {error.problem}")
    if tool:
        if "type" not in document:
            return ".input_schema.type", "Field required"
        if document["type"] != "object":
            return ".input_schema.type", "Input should be 'object'"
    if not strict:
        return None
    if not any(key in document for key in _TYPED):
        return "", "Invalid schema: Schema type is missing"
    return next((("", said) for said in _breaches(document)), None)


def _breaches(document: dict[str, Any]) -> Iterator[str]:
    """Say how a schema, or one inside it, breaks the rules of strict ones."""
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if "oneOf" in node:
            yield "Schema type 'oneOf' is not supported"
        said = node.get("type")
        for kind in said if isinstance(said, list) else [said]:
            if isinstance(kind, str):
                yield from _breaches_of(kind, node)
        inner = [schema for _, schema in subschemas(node) if isinstance(schema, dict)]
        waiting += reversed(inner)


def _breaches_of(kind: str, node: dict[str, Any]) -> Iterator[str]:
    if kind == "object":
        more = node.get("additionalProperties")
        if "additionalProperties" not in node:
            yield "For 'object' type, 'additionalProperties' must be explicitly set to false"
        elif more is not False:
            found = "true" if more is True else "object"
            yield (
                f"For 'object' type, 'additionalProperties: {found}' is not supported. "
                "Please set 'additionalProperties' to false"
            )
    if kind == "array" and node.get("minItems", 0) not in (0, 1):
        bounds = f"[{node['minItems']}, {node.get('maxItems', '∞')}]"
        yield f"For 'array' type, 'minItems' values other than 0 or 1 are not supported (got: {bounds})"
    if wrong := sorted(key for key in _UNSUPPORTED.get(kind, ()) if key in node):
        are = f"property '{wrong[0]}' is" if len(wrong) == 1 else f"properties {', '.join(wrong)} are"
        yield f"For '{kind}' type, {are} not supported"
