"""Schemas of requests: the API's own form is written as JSON schema, and checked by the API's rules.

Decisions:
* Properties come in the order of `propertyOrdering`, in which the model writes them.
* JSON schemas (`parametersJsonSchema`, `responseJsonSchema`) are taken as they are, if they are valid.

Source: ai.google.dev/api/caching#Schema; messages of the API in cline/cline#7339.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from llmsim.errors import ApiRuleError, SchemaError
from llmsim.json_schema.document import read
from llmsim.providers.gemini.messages import Schema

_encode = msgspec.json.encode

_MOST_PROBLEM = 500
"""Characters of a problem, which may repeat keys of the request."""

_KEPT = (
    ("title", "title"),
    ("description", "description"),
    ("enum", "enum"),
    ("required", "required"),
    ("pattern", "pattern"),
    ("default", "default"),
    ("minimum", "minimum"),
    ("maximum", "maximum"),
    ("min_items", "minItems"),
    ("max_items", "maxItems"),
    ("min_length", "minLength"),
    ("max_length", "maxLength"),
    ("min_properties", "minProperties"),
    ("max_properties", "maxProperties"),
)
"""What both forms have: name in the struct and keyword."""

_FORMATS = frozenset({"date-time", "date", "time", "duration", "email", "uri", "uuid"})
"""Formats that JSON schema knows, too; the others are kinds of numbers, or `enum`."""


class RuleError(ApiRuleError):
    """The request breaks rules of the API: each has the path of a field and a sentence."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        shown = problems[:50]
        super().__init__(
            "".join(f"* GenerateContentRequest.{place}: {problem}\n" for place, problem in shown)
        )


def json_schema(schema: Schema, path: str, *, is_response: bool = False) -> bytes:
    """Return a schema of the API's own form as JSON schema.

    Args:
        schema: The schema.
        path: Its path in the request.
        is_response: Whether the response has it, and not the arguments of a function.

    Raises:
        RuleError: It breaks a rule of the API.
    """
    if problems := list(_problems(schema, path, is_response=is_response)):
        raise RuleError(*problems)
    return checked_schema(_converted(schema), path)


def checked_schema(document: Any, path: str) -> bytes:
    """Return a JSON schema as bytes.

    Raises:
        RuleError: It is invalid.
    """
    encoded = _encode(document)
    try:
        read(encoded)
    except SchemaError as error:
        raise RuleError((path, f"schema is invalid: {error.problem}"[:_MOST_PROBLEM])) from None
    return encoded


def _problems(schema: Schema, path: str, *, is_response: bool) -> Iterator[tuple[str, str]]:
    if schema.type == "ARRAY" and schema.items is None:
        yield f"{path}.items", "missing field."
    if (
        is_response
        and schema.type == "OBJECT"
        and not schema.properties
        and schema.additional_properties is None
    ):
        yield f"{path}.properties", "should be non-empty for OBJECT type"
    if schema.enum and schema.type not in ("STRING", None):
        yield f"{path}.enum", "only allowed for STRING type"
    if schema.properties is not None:
        for index, name in enumerate(schema.required or ()):
            if name not in schema.properties:
                yield f"{path}.required[{index}]", "property is not defined"
        for name, inner in schema.properties.items():
            yield from _problems(inner, f"{path}.properties[{name[:200]}]", is_response=is_response)
    if schema.items is not None:
        yield from _problems(schema.items, f"{path}.items", is_response=is_response)
    for index, inner in enumerate(schema.any_of or ()):
        yield from _problems(inner, f"{path}.any_of[{index}]", is_response=is_response)


def _converted(schema: Schema) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if schema.type not in (None, "TYPE_UNSPECIFIED"):
        kind = schema.type.lower()
        found["type"] = [kind, "null"] if schema.nullable and kind != "null" else kind
    for name, keyword in _KEPT:
        if (value := getattr(schema, name)) is not None:
            found[keyword] = value
    if schema.nullable and "enum" in found:
        found["enum"] = [*found["enum"], None]
    if schema.format in _FORMATS:
        found["format"] = schema.format
    if schema.properties is not None:
        ordered = [name for name in schema.property_ordering or () if name in schema.properties]
        names = dict.fromkeys((*ordered, *schema.properties))
        found["properties"] = {name: _converted(schema.properties[name]) for name in names}
    if schema.items is not None:
        found["items"] = _converted(schema.items)
    if schema.any_of is not None:
        found["anyOf"] = [_converted(inner) for inner in schema.any_of]
        if schema.nullable and "type" not in found:
            found["anyOf"].append({"type": "null"})
    if schema.defs is not None:
        found["$defs"] = {name: _converted(inner) for name, inner in schema.defs.items()}
    if schema.ref is not None:
        found["$ref"] = schema.ref.replace("#/defs/", "#/$defs/")
    if isinstance(schema.additional_properties, bool):
        found["additionalProperties"] = schema.additional_properties
    return found
