"""Shapes: the requirements of several schemas for one value.

Decisions:
* A value is generated for a list of schemas that it must all conform to, so `allOf`, `$ref`, a chosen branch and two
  schemas of one member are handled alike: one schema more.
* Schemas are never merged. A shape is read from those of the document, and cached by their identity.
"""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from llmsim.budgets import WorkBudget
from llmsim.json_schema.keywords import TYPES

Parts = tuple[Any, ...]
"""Schemas of one document, all of which a value must conform to."""

ANY_KIND = ("object", "array", "string", "number", "boolean", "null")
"""Types to choose from if any is allowed; an integer is a number."""

_MOST_CACHED = 256


class Group(msgspec.Struct, eq=False):
    """Alternative schemas: `anyOf`, `oneOf`, or the two outcomes of an `if`.

    Attributes:
        id: Identifies the group in `Shape.settled`.
        branches: The alternatives; each adds its schemas to the parts.
    """

    id: int
    branches: list[Parts]


class Shape(msgspec.Struct, eq=False):
    """All requirements for a value.

    Attributes:
        parts: The schemas it was read from.
        settled: Ids of the groups whose branch was chosen.
        types: Names of allowed types.
        kinds: Types to choose from, in the order of `ANY_KIND`; null if none is left.
        likely: The implied type if `type` is missing; None if there is none.
        values: Enumerated values; None if it is not enumerated.
        fitting: Those of `values` that conform to all parts; None until computed.
        fitting_steps: Steps of work that `fitting` took.
        cost: Steps of work to read the shape.
        suggestions: Defaults and examples, not validated.
        defaults: The defaults among them.
        is_doubtful: Whether a value must be validated, even if all its parts conform.
        is_impossible: Whether obviously nothing conforms.
    """

    parts: Parts
    settled: frozenset[int]
    types: frozenset[str] = TYPES
    kinds: tuple[str, ...] = ()
    likely: str | None = None
    values: list[Any] | None = None
    fitting: list[Any] | None = None
    fitting_steps: int = 0
    cost: int = 1
    suggestions: list[Any] = []
    defaults: list[Any] = []
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

    def member(self, name: str, budget: WorkBudget) -> Parts:
        """Return the schemas of the member `name`; those that the budget suffices for."""
        # A cached member costs the same, so that a response does not depend on earlier requests.
        if not budget.spend(1 + len(self.objects) // 4 + len(self.name_patterns)):
            return ()
        parts = self.members.get(name)
        if parts is None:
            parts = tuple(part for raw in self.objects for part in _member(raw, name, self.names, budget))
            if budget.patterns.is_spent:
                return parts
            if len(self.members) < _MOST_CACHED:
                self.members[name] = parts
        return parts

    def item(self, place: int, budget: WorkBudget) -> Parts:
        """Return the schemas of the item at `place`; those that the budget suffices for."""
        if not budget.spend(1 + len(self.lists) // 4):
            return ()
        return tuple(part for raw in self.lists for part in _item(raw, place, self.prefix))


def _member(raw: dict[str, Any], name: str, known: dict[str, None], budget: WorkBudget) -> Iterator[Any]:
    is_evaluated = False
    if (member := raw.get("properties", {}).get(name)) is not None:
        is_evaluated = True
        yield member
    for pattern, inner in raw.get("patternProperties", {}).items():
        if budget.patterns.search(pattern, name) is not False:
            is_evaluated = True
            yield inner
    if not is_evaluated:
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
