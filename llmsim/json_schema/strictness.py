"""OpenAI's rules for schemas: those for all tools and formats, and more for `strict` ones.

Decisions:
* The first problem in the order of the document is reported, with OpenAI's message.
  Source: its guide "Structured outputs", supported schemas, and its replies as quoted in public issues. Only the
  message about too many properties is our own.
* `default` and the bounds of texts, numbers and arrays are accepted, as in the guide; earlier models refused them.
* Levels are counted in the values: an object in an array in an object makes three. The target of a reference is not
  counted again where it is used, so a recursive schema has a depth.
"""

from collections.abc import Callable, Iterator
from typing import Any

from llmsim.errors import SchemaError
from llmsim.json_schema import keywords
from llmsim.json_schema.document import Context, Schema

MOST_LEVELS = 10
MOST_PROPERTIES = 5000

_REFUSED = (
    "allOf",
    "oneOf",
    "not",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "if",
    "then",
    "else",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "minContains",
    "maxContains",
    "uniqueItems",
)

_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")

_INWARD = frozenset({"properties", "items", "prefixItems", "additionalProperties"})
"""Keywords whose schemas are one level deeper."""


def check_object(schema: Schema) -> None:
    """Refuse a schema whose instances need not be objects; tools and response formats need one.

    Raises:
        SchemaError: Its type is not `object`.
    """
    raw = schema.document
    found = raw.get("type") if isinstance(raw, dict) else None
    if found != "object":
        kind = str(found) if found is None or isinstance(found, str) else repr(found)
        raise SchemaError((), f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'.")


def check_items(schema: Schema) -> None:
    """Refuse arrays without `items`; tools need them, strict or not.

    Raises:
        SchemaError: An array has no `items`.
    """
    for context, _, raw in _walk(schema.document):
        if isinstance(raw, dict):
            _check(_items, context, raw)


def check_strict(schema: Schema) -> None:
    """Refuse a schema outside the strict subset.

    Raises:
        SchemaError: The schema breaks one of its rules.
    """
    check_object(schema)
    deepest = properties = 0
    for context, level, raw in _walk(schema.document):
        deepest = max(deepest, level)
        if not isinstance(raw, dict):
            raise SchemaError(context, "schema must have a 'type' key.", is_placed=True)
        properties += len(raw.get("properties", ()))
        for rule in _RULES:
            _check(rule, context, raw)
    if deepest > MOST_LEVELS:
        raise SchemaError((), f"{deepest} levels of nesting exceeds limit of {MOST_LEVELS}.")
    if properties > MOST_PROPERTIES:
        raise SchemaError((), f"{properties} properties exceeds limit of {MOST_PROPERTIES}.")


def _walk(document: Any) -> Iterator[tuple[Context, int, Any]]:
    """Yield each schema with its path and level, in document order; a boolean `additionalProperties` is left to its parent."""
    waiting: list[tuple[Context, int, Any]] = [((), 1, document)]
    while waiting:
        context, level, raw = waiting.pop()
        yield context, level, raw
        if not isinstance(raw, dict):
            continue
        inner: list[tuple[Context, int, Any]] = []
        for keys, item in keywords.subschemas(raw):
            if keys[0] == "additionalProperties" and isinstance(item, bool):
                continue
            if keys[0] in ("$defs", "definitions"):
                depth = 1
            else:
                depth = level + (keys[0] in _INWARD and _holds_values(item))
            inner.append(((*context, *keys), depth, item))
        waiting.extend(reversed(inner))


def _holds_values(raw: Any) -> bool:
    kinds = raw.get("type") if isinstance(raw, dict) else None
    return any(kind in ("object", "array") for kind in (kinds if isinstance(kinds, list) else [kinds]))


def _check(rule: "Rule", context: Context, raw: dict[str, Any]) -> None:
    if problem := rule(raw, context):
        raise SchemaError(context, problem, is_placed=True)


Rule = Callable[[dict[str, Any], Context], str | None]
"""Returns the problem of the schema at `context`; None if there is none."""


def _reference(raw: dict[str, Any], context: Context) -> str | None:
    if (reference := raw.get("$ref")) is None:
        return None
    if beside := sorted(set(raw) - {"$ref"}):
        return f"$ref cannot have keywords {{{', '.join(map(repr, beside))}}}."
    parts = reference.split("/")
    if reference != "#" and not (
        len(parts) == 3 and parts[0] == "#" and parts[1] in ("$defs", "definitions")
    ):
        return "reference can only point to definitions defined at the top level of the schema."
    return None


def _permitted(raw: dict[str, Any], context: Context) -> str | None:
    return next((f"{keyword!r} is not permitted." for keyword in raw if keyword in _REFUSED), None)


def _root(raw: dict[str, Any], context: Context) -> str | None:
    return "'anyOf' is not permitted." if not context and "anyOf" in raw else None


def _typed(raw: dict[str, Any], context: Context) -> str | None:
    return None if raw.keys() & {"type", "anyOf", "$ref"} else "schema must have a 'type' key."


def _closed(raw: dict[str, Any], context: Context) -> str | None:
    if _is(raw, "object") and raw.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false."
    return None


def _complete(raw: dict[str, Any], context: Context) -> str | None:
    if not _is(raw, "object"):
        return None
    properties, required = raw.get("properties", {}), dict.fromkeys(raw.get("required", ()))
    wanted = "'required' is required to be supplied and to be an array including every key in properties."
    for name in properties:
        if name not in required:
            return f"{wanted} Missing {name!r}."
    extra = (name for name in required if name not in properties)
    return next((f"{wanted} Extra required key {name!r} supplied." for name in extra), None)


def _items(raw: dict[str, Any], context: Context) -> str | None:
    if _is(raw, "array") and not raw.keys() & {"items", "prefixItems"}:
        return "array schema missing items."
    return None


def _formats(raw: dict[str, Any], context: Context) -> str | None:
    form = raw.get("format")
    return f"{form!r} is not a valid format." if form is not None and form not in _FORMATS else None


def _is(raw: dict[str, Any], kind: str) -> bool:
    found = raw.get("type")
    return found == kind or (isinstance(found, list) and kind in found)


_RULES: tuple[Rule, ...] = (_reference, _root, _permitted, _typed, _closed, _complete, _items, _formats)
