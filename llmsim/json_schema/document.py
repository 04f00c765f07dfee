"""Parsed JSON schemas: checked, and their references resolved, once.

Decisions:
* Agents send the same schemas with every request, so a parsed schema is cached by its bytes. Large ones are parsed
  anew: 16 KB, some ten times as much when parsed, times the number of cached schemas bounds the memory.
* A reference may point to any place, anchor or id of its own document; nothing is fetched. An id names its schema,
  but does not change the base: a pointer always starts at the root.
* Schemas may be nested 100 levels deep. No client's model gets near it (OpenAI's strict mode allows 10), and
  code that walks a schema may recurse.
"""

import urllib.parse
from collections.abc import Iterator
from typing import Any

import msgspec

from llmsim.budgets import remembered
from llmsim.errors import SchemaError
from llmsim.json_schema import keywords

MOST_CACHED_BYTES = 16 * 1024
"""Larger schemas are not cached."""

MOST_LEVELS = 100
"""Levels of nested schemas."""

Context = tuple[str, ...]


class Schema(msgspec.Struct, frozen=True, eq=False):
    """A valid schema, with all its references. It is compared by identity: two of the same bytes may differ.

    Attributes:
        document: As decoded from JSON; must not be changed.
        references: Target of each `$ref`, by its text.
        is_small: Whether it may be cached, and what is derived from it.
        is_laborious: Whether to generate or validate its instances may take more than a millisecond.
        derived: What other packages cache with it, by type.
    """

    document: Any
    references: dict[str, Any]
    is_small: bool
    is_laborious: bool = False
    derived: dict[type, Any] = {}


@remembered(48, MOST_CACHED_BYTES)
def read(schema: bytes) -> Schema:
    """Parse a schema.

    Raises:
        SchemaError: The schema is invalid.
    """
    try:
        document = msgspec.json.decode(schema)
    except RecursionError:
        raise SchemaError((), f"more than {MOST_LEVELS} levels of nesting.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SchemaError((), f"it is not JSON: {error}.") from None
    references, is_laborious = _check(document)
    return Schema(document, references, len(schema) <= MOST_CACHED_BYTES, is_laborious)


def _check(document: Any) -> tuple[dict[str, Any], bool]:
    """Check the whole of `document` and resolve its references; return whether it is laborious, too."""
    names = dict(_names(document))
    references: dict[str, Any] = {}
    checked: set[int] = set()
    is_laborious = False
    # Iterators, not lists: a list of a million subschemas would take as many paths in memory.
    waiting: list[Iterator[tuple[Context, int, Any]]] = [iter([((), 1, document)])]
    while waiting:
        found = next(waiting[-1], None)
        if found is None:
            waiting.pop()
            continue
        context, level, raw = found
        if isinstance(raw, bool) or id(raw) in checked:
            continue
        if not isinstance(raw, dict):
            raise SchemaError(context, f"{keywords.shown(raw)} is not of type 'object', 'boolean'.")
        if level > MOST_LEVELS:
            raise SchemaError(context, f"more than {MOST_LEVELS} levels of nesting.")
        checked.add(id(raw))
        is_laborious = is_laborious or _is_laborious(raw)
        for keyword, value in raw.items():
            if problem := keywords.keyword_problem(keyword, value):
                raise SchemaError((*context, keyword), problem)
        for keyword in ("$ref", "$dynamicRef"):
            if (reference := raw.get(keyword)) is not None:
                references[reference] = target = _resolve(reference, document, names, context)
                # The target may be at a place without schemas, e.g. under `components`.
                waiting.append(iter([((*context, keyword), 1, target)]))
        waiting.append(_inner(raw, context, level + 1))
    return references, is_laborious or len(checked) > _MANY


def _inner(raw: dict[str, Any], context: Context, level: int) -> Iterator[tuple[Context, int, Any]]:
    for keys, item in keywords.subschemas(raw):
        yield (*context, *keys), level, item


_MANY = 64
"""Subschemas of a large schema."""

_MULTIPLY = {"minItems": 20, "minProperties": 20, "minContains": 20, "minLength": 2000}
"""Keywords that multiply the work, and up to which value they do not matter."""

_LABORIOUS = frozenset(
    {
        "contains",
        "dependentSchemas",
        "if",
        "not",
        "pattern",
        "patternProperties",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
"""Keywords whose instances are generated until one conforms."""

_DESCRIBED = ("pattern", "minItems", "min items", "minLength", "min length")
"""Keywords at the end of descriptions that are laborious, too."""


def _is_laborious(raw: dict[str, Any]) -> bool:
    if not _LABORIOUS.isdisjoint(raw) or len(raw) > _MANY:
        return True
    for keyword, few in _MULTIPLY.items():
        if keyword in raw and isinstance(raw[keyword], int | float) and raw[keyword] > few:
            return True
    lists = (raw.get(keyword) for keyword in ("enum", "examples", "required"))
    if any(isinstance(one, list) and len(one) > _MANY for one in lists):
        return True
    description = raw.get("description")
    return isinstance(description, str) and any(word in description for word in _DESCRIBED)


def _resolve(reference: str, document: Any, names: dict[str, Any], context: Context) -> Any:
    base, _, fragment = reference.partition("#")
    pointer = urllib.parse.unquote(fragment)
    target = names.get(base) if base else document
    if target is not None and pointer.startswith("/"):
        for step in pointer[1:].split("/"):
            target = _step(target, step.replace("~1", "/").replace("~0", "~"))
    elif pointer:
        target = names.get("#" + pointer)
    if target is None:
        raise SchemaError(
            context,
            f"reference to component {reference!r} which was not found in the schema.",
            is_placed=True,
        )
    return target


def _step(target: Any, key: str) -> Any:
    """Follow one step of a pointer; None if it leads nowhere."""
    if isinstance(target, dict):
        return target.get(key)
    if isinstance(target, list) and key.isascii() and key.isdigit() and int(key[:9]) < len(target):
        return target[int(key[:9])]
    return None


def _names(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield each schema with an id or an anchor, by the names that refer to it: an id whole, or its last part."""
    waiting = [document] if isinstance(document, dict) else []
    while waiting:
        raw = waiting.pop()
        if isinstance(name := raw.get("$id"), str) and name:
            yield name, raw
            yield name.removesuffix("#"), raw
            yield name.rstrip("#").rpartition("/")[2], raw
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(name := raw.get(keyword), str):
                yield "#" + name, raw
        waiting.extend(item for _, item in keywords.subschemas(raw) if isinstance(item, dict))
