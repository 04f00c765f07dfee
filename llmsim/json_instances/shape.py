"""What several schemas together ask of one value.

Decisions:
* A value is made for a list of schemas that it must all conform to, so `allOf`, `$ref`, a chosen branch and two
  mentions of one member are the same thing: one schema more.
* Schemas are never put together to new ones. A shape is read off the document's own, and remembered by which they are.
"""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from llmsim.json_schema import regexes

Parts = tuple[Any, ...]
"""Schemas of one document, all of which a value must conform to."""

ALL_TYPES = frozenset({"null", "boolean", "object", "array", "number", "integer", "string"})

ANY_KIND = ("object", "array", "string", "number", "boolean", "null")
"""Types that a value may be made of where any will do; an integer is a number."""

_MOST_REMEMBERED = 256


class Group(msgspec.Struct, eq=False):
    """Schemas of which one is to be chosen: `anyOf`, `oneOf`, or the two outcomes of an `if`.

    Attributes:
        id: By which a shape knows that it was chosen from.
        branches: What may be chosen; each adds its schemas to the parts.
    """

    id: int
    branches: list[Parts]


class Shape(msgspec.Struct, eq=False):
    """All that is asked of a value.

    Attributes:
        parts: The schemas it was read from.
        settled: Ids of the groups that were chosen from.
        types: Names of types it may have.
        kinds: Those that a value may be made of, in the order of `ANY_KIND`; null if none is left.
        likely: The type it has in mind where none is said; None where nothing tells.
        values: What it may be one of; None if it is not enumerated.
        fitting: Those of `values` that conform to all parts, once somebody has asked.
        suggestions: Defaults and examples, as yet unjudged.
        is_doubtful: Whether a value must be judged, even if all its parts were made to fit.
        is_impossible: Whether it is seen at once that nothing conforms.
    """

    parts: Parts
    settled: frozenset[int]
    types: frozenset[str] = ALL_TYPES
    kinds: tuple[str, ...] = ()
    likely: str | None = None
    values: list[Any] | None = None
    fitting: list[Any] | None = None
    suggestions: list[Any] = []
    description: str = ""
    is_doubtful: bool = False
    is_impossible: bool = False
    groups: list[Group] = []
    # Numbers: bounds and whether they are excluded.
    least: tuple[float, bool] | None = None
    most: tuple[float, bool] | None = None
    multiples: list[float] = []
    # Texts.
    shortest: int = 0
    longest: float = math.inf
    patterns: list[str] = []
    format: str = ""
    # Arrays.
    fewest: int = 0
    longest_array: float = math.inf
    is_unique: bool = False
    prefix: int = 0
    contains: list[tuple[Any, int]] = []
    lists: list[dict[str, Any]] = []
    # Objects.
    names: dict[str, None] = {}
    required: dict[str, None] = {}
    barred: set[str] = set()
    needs: dict[str, list[str]] = {}
    dependents: dict[str, Parts] = {}
    fewest_members: int = 0
    most_members: float = math.inf
    name_parts: Parts = ()
    name_patterns: list[str] = []
    objects: list[dict[str, Any]] = []
    is_map: bool = False
    members: dict[str, Parts] = {}

    def member(self, name: str) -> Parts:
        """Give what is asked of the member `name`."""
        parts = self.members.get(name)
        if parts is None:
            parts = tuple(part for raw in self.objects for part in _member(raw, name, self.names))
            if len(self.members) < _MOST_REMEMBERED:
                self.members[name] = parts
        return parts

    def item(self, place: int) -> Parts:
        """Give what is asked of the item at `place`."""
        return tuple(part for raw in self.lists for part in _item(raw, place, self.prefix))


def _member(raw: dict[str, Any], name: str, known: dict[str, None]) -> Iterator[Any]:
    is_judged = False
    if (member := raw.get("properties", {}).get(name)) is not None:
        is_judged = True
        yield member
    for pattern, inner in raw.get("patternProperties", {}).items():
        if regexes.matches(pattern, name):
            is_judged = True
            yield inner
    if not is_judged:
        yield raw.get("additionalProperties", True)
        if name not in known:
            yield raw.get("unevaluatedProperties", True)


def _item(raw: dict[str, Any], place: int, known: int) -> Iterator[Any]:
    items = raw.get("items", True)
    prefix, rest = (
        (items, raw.get("additionalItems", True))
        if isinstance(items, list)
        else (raw.get("prefixItems", ()), items)
    )
    yield prefix[place] if place < len(prefix) else rest
    if place >= known:
        yield raw.get("unevaluatedItems", True)
