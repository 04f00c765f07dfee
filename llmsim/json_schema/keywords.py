"""The keywords of JSON Schema, and the rules for their values.

Decisions:
* Draft 2020-12 is the language; draft 7's `definitions`, `dependencies` and `items` of several, and OpenAPI's
  `nullable`, are understood, too. Unknown keywords are ignored, as in the standard.
* Messages are those of Python's jsonschema, which OpenAI passes on.
  Source: OpenAI's replies as quoted in public issues, e.g. "'Boolean' is not valid under any of the given schemas.",
  "[] is not of type 'object', 'boolean'.", "'^(?<x>a)$' is not a 'regex'".
"""

from collections.abc import Callable, Iterator
from typing import Any

from llmsim.json_schema import regexes

TYPES = frozenset({"null", "boolean", "object", "array", "number", "integer", "string"})

ONE_SCHEMA = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords whose value is a schema; that of `items` may be a list of them."""

SCHEMA_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
"""Keywords whose value is a list of schemas."""

SCHEMA_NAMES = frozenset(
    {"$defs", "definitions", "properties", "patternProperties", "dependentSchemas", "dependencies"}
)
"""Keywords whose value is an object of schemas; that of `dependencies` may hold lists of names."""

_SHOWN = 200

_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "number": (int, float),
    "integer": (int,),
}


def shown(value: Any) -> str:
    """Return `value` for a message, truncated if it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def keyword_problem(keyword: str, value: Any) -> str | None:
    """Return the problem of a keyword's value, nested schemas aside; None if there is none."""
    check = _CHECKS.get(keyword)
    return check(value) if check else None


def subschemas(raw: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each schema nested in `raw`, with the keys that lead to it."""
    for keyword, value in raw.items():
        if keyword in SCHEMA_LISTS and isinstance(value, list):
            for index, item in enumerate(value):
                yield (keyword, str(index)), item
        elif keyword in ONE_SCHEMA:
            yield (keyword,), value
        elif keyword in SCHEMA_NAMES and isinstance(value, dict):
            for name, item in value.items():
                if not (keyword == "dependencies" and isinstance(item, list)):
                    yield (keyword, name), item


def type_problem(value: Any, *wanted: str) -> str | None:
    """Return the problem of a value that has none of the types `wanted`; None if it has one."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    for name in wanted:
        if isinstance(value, _PYTHON_TYPES[name]) and (is_number or name not in ("number", "integer")):
            return None
        if name == "integer" and isinstance(value, float) and value.is_integer():
            return None
    return f"{shown(value)} is not of type {', '.join(map(repr, wanted))}."


def _types(value: Any) -> str | None:
    names = value if isinstance(value, list) and value else [value]
    # `in` a frozenset needs a hash, which a list or an object does not have.
    if all(isinstance(name, str) and name in TYPES for name in names):
        return _unique(value) if isinstance(value, list) else None
    return f"{shown(value)} is not valid under any of the given schemas."


def _filled(value: Any) -> str | None:
    return type_problem(value, "array") or (None if value else "[] should be non-empty.")


def _names(value: Any) -> str | None:
    if wrong := type_problem(value, "array"):
        return wrong
    for name in value:
        if wrong := type_problem(name, "string"):
            return wrong
    return _unique(value)


def _unique(value: list[Any]) -> str | None:
    return None if len(set(value)) == len(value) else f"{shown(value)} has non-unique elements."


def _names_by_name(value: Any) -> str | None:
    if wrong := type_problem(value, "object"):
        return wrong
    return next((wrong for names in value.values() if (wrong := _names(names))), None)


def _dependencies(value: Any) -> str | None:
    if wrong := type_problem(value, "object"):
        return wrong
    lists = (names for names in value.values() if isinstance(names, list))
    return next((wrong for names in lists if (wrong := _names(names))), None)


def _count(value: Any) -> str | None:
    if wrong := type_problem(value, "integer"):
        return wrong
    return f"{value} is less than the minimum of 0." if value < 0 else None


def _positive(value: Any) -> str | None:
    if wrong := type_problem(value, "number"):
        return wrong
    return f"{value} is less than or equal to the minimum of 0." if value <= 0 else None


def _regex(value: Any) -> str | None:
    if wrong := type_problem(value, "string"):
        return wrong
    return None if regexes.is_valid(value) else f"{shown(value)} is not a 'regex'."


def _regex_names(value: Any) -> str | None:
    if wrong := type_problem(value, "object"):
        return wrong
    return next((wrong for pattern in value if (wrong := _regex(pattern))), None)


def _of(*wanted: str) -> Callable[[Any], str | None]:
    return lambda value: type_problem(value, *wanted)


_CHECKS: dict[str, Callable[[Any], str | None]] = {
    "$ref": _of("string"),
    "$dynamicRef": _of("string"),
    "$id": _of("string"),
    "$anchor": _of("string"),
    "$dynamicAnchor": _of("string"),
    "$schema": _of("string"),
    "$comment": _of("string"),
    "$defs": _of("object"),
    "definitions": _of("object"),
    "type": _types,
    "enum": _filled,
    "title": _of("string"),
    "description": _of("string"),
    "examples": _of("array"),
    "deprecated": _of("boolean"),
    "readOnly": _of("boolean"),
    "writeOnly": _of("boolean"),
    "nullable": _of("boolean"),
    "format": _of("string"),
    "allOf": _filled,
    "anyOf": _filled,
    "oneOf": _filled,
    "prefixItems": _filled,
    "multipleOf": _positive,
    "maximum": _of("number"),
    "exclusiveMaximum": _of("number"),
    "minimum": _of("number"),
    "exclusiveMinimum": _of("number"),
    "maxLength": _count,
    "minLength": _count,
    "pattern": _regex,
    "maxItems": _count,
    "minItems": _count,
    "uniqueItems": _of("boolean"),
    "maxContains": _count,
    "minContains": _count,
    "maxProperties": _count,
    "minProperties": _count,
    "required": _names,
    "properties": _of("object"),
    "patternProperties": _regex_names,
    "dependentRequired": _names_by_name,
    "dependentSchemas": _of("object"),
    "dependencies": _dependencies,
    "contentEncoding": _of("string"),
    "contentMediaType": _of("string"),
    "items": _of("object", "array", "boolean"),
}
