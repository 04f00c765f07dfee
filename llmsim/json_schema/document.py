"""A JSON schema as a client sends it: read, checked and its references resolved, once.

Decisions:
* Agents send the same schemas with every request, so what is read is remembered by its bytes. Large ones are read
  anew: 64 KB times the number remembered is what they may cost in memory.
* A reference may name any place, anchor or id of its own document; nothing is fetched. An id names its schema,
  but is no new base: a pointer is counted from the root always.
* Schemas may stand in one another at most 100 deep. No client's model gets near it (OpenAI's strict mode takes 10), and
  whoever walks a schema may recurse.
"""

import functools
import urllib.parse
from collections.abc import Iterator
from typing import Any

import msgspec

from llmsim.errors import SchemaError
from llmsim.json_schema import keywords

MOST_REMEMBERED_BYTES = 64 * 1024
"""Schemas of more bytes are not remembered."""

MOST_LEVELS = 100
"""So many schemas may stand in one another."""

_REMEMBERED = 256

Context = tuple[str, ...]


class Schema(msgspec.Struct, frozen=True, eq=False):
    """A schema that is one, with all its references. It is its own identity: two of the same bytes may differ.

    Attributes:
        document: As decoded from JSON; not to be changed.
        references: What each `$ref` of it stands for, by its text.
        is_small: Whether it may be remembered, and with it what is derived from it.
    """

    document: Any
    references: dict[str, Any]
    is_small: bool


def read(schema: bytes) -> Schema:
    """Read a schema from JSON.

    Raises:
        SchemaError: It is no schema.
    """
    return _remembered(schema) if len(schema) <= MOST_REMEMBERED_BYTES else _read(schema)


def _read(schema: bytes) -> Schema:
    try:
        document = msgspec.json.decode(schema)
    except RecursionError:
        raise SchemaError((), f"more than {MOST_LEVELS} levels of nesting.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SchemaError((), f"it is not JSON: {error}.") from None
    return Schema(document, _references(document), len(schema) <= MOST_REMEMBERED_BYTES)


_remembered = functools.lru_cache(maxsize=_REMEMBERED)(_read)


def _references(document: Any) -> dict[str, Any]:
    """Check the whole of `document`, and resolve what it refers to."""
    names = dict(_names(document))
    references: dict[str, Any] = {}
    checked: set[int] = set()
    waiting: list[tuple[Context, int, Any]] = [((), 1, document)]
    while waiting:
        context, level, raw = waiting.pop()
        if isinstance(raw, bool) or id(raw) in checked:
            continue
        if not isinstance(raw, dict):
            raise SchemaError(context, f"{keywords.shown(raw)} is not of type 'object', 'boolean'.")
        if level > MOST_LEVELS:
            raise SchemaError(context, f"more than {MOST_LEVELS} levels of nesting.")
        checked.add(id(raw))
        for keyword, value in raw.items():
            if problem := keywords.complaint(keyword, value):
                raise SchemaError((*context, keyword), problem)
        for keyword in ("$ref", "$dynamicRef"):
            if (reference := raw.get(keyword)) is not None:
                references[reference] = target = _resolve(reference, document, names, context)
                # It may stand where no schema is looked for, e.g. under `components`.
                waiting.append(((*context, keyword), 1, target))
        inner = [((*context, *keys), level + 1, item) for keys, item in keywords.subschemas(raw)]
        waiting.extend(reversed(inner))
    return references


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
    """Go one step of a pointer; None where there is nothing."""
    if isinstance(target, dict):
        return target.get(key)
    if isinstance(target, list) and key.isascii() and key.isdigit() and int(key[:9]) < len(target):
        return target[int(key[:9])]
    return None


def _names(document: Any) -> Iterator[tuple[str, Any]]:
    """Give each schema that has an id or an anchor, by what may refer to it: an id whole, or by its last part."""
    waiting = [document]
    while waiting:
        raw = waiting.pop()
        if not isinstance(raw, dict):
            continue
        if isinstance(name := raw.get("$id"), str) and name:
            yield name, raw
            yield name.removesuffix("#"), raw
            yield name.rstrip("#").rpartition("/")[2], raw
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(name := raw.get(keyword), str):
                yield "#" + name, raw
        waiting.extend(item for _, item in keywords.subschemas(raw))
