"""The shapes in one schema, and the least nesting of their values."""

from typing import Any

from llmsim.budgets import WorkBudget
from llmsim.json_instances.narrowing import narrow
from llmsim.json_instances.shape import ANY_KIND, Group, Parts, Shape
from llmsim.json_schema.document import Schema
from llmsim.json_schema.validation import Validator

_MOST_WEIGHT = 512
"""Entries of the shapes that are cached with a schema; some 0.3 KB each."""

_KINDS = (*ANY_KIND, "integer")
_MOST_LISTED = 10_000
_MOST_PARTS = 1000
_FARTHEST_END = 8
_DEEPEST = 50
_FITTING_STEPS = 5000
_ENTRIES_A_STEP = 32

_UNREAD = Shape((), frozenset(), kinds=ANY_KIND)
"""The shape of what the budget did not suffice for."""


class ShapeCache:
    """What was read of one schema, for all of its instances.

    Attributes:
        shapes: Shapes by the ids of their parts, and of the groups that are settled.
        weight: Entries of all of them.
        enumerated: Cache of the validators.
    """

    def __init__(self) -> None:
        self.shapes: dict[tuple[tuple[int, ...], frozenset[int]], Shape] = {}
        self.weight = 0
        self.enumerated: dict[int, frozenset[Any]] = {}


class Shapes:
    """The shapes of one schema, for one instance.

    Args:
        schema: The schema.
        budget: Bounds the work.

    Attributes:
        budget: The same.
    """

    def __init__(self, schema: Schema, budget: WorkBudget) -> None:
        self.budget = budget
        self._references = schema.references
        cache = schema.derived.get(ShapeCache) if schema.is_small else None
        if cache is None:
            cache = ShapeCache()
            if schema.is_small:
                schema.derived[ShapeCache] = cache
        self._cache: ShapeCache = cache
        self._ends: dict[tuple[int, int], bool] = {}
        self._ends_depth = 0
        self._fitting: set[int] = set()
        self._validator = self._new_validator(budget)

    def _new_validator(self, budget: WorkBudget) -> Validator:
        return Validator(self._references, budget, self._cache.enumerated)

    def of(self, parts: Parts, settled: frozenset[int] = frozenset()) -> Shape:
        """Return the shape of `parts`; groups whose ids are `settled` are ignored."""
        if self.budget.is_spent:
            return _UNREAD
        cache, key = self._cache, (tuple(map(id, parts)), settled)
        shape = cache.shapes.get(key)
        if shape is None:
            shape = self._read(parts, settled)
            # NOTE: a thread may plan with the same schema; both get a shape of the same content.
            if cache.weight > _MOST_WEIGHT:
                cache.shapes, cache.weight = {}, 0
            cache.shapes[key] = shape
            cache.weight += shape.cost + len(shape.names) + len(shape.required)
        # A cached shape costs the same, so that a response does not depend on earlier requests.
        self.budget.spend(shape.cost)
        return shape

    def narrowed(self, shape: Shape, group: Group, branch: Parts) -> Shape:
        """Return the shape after `branch` was chosen from `group`."""
        return self.of(shape.parts + branch, shape.settled | {group.id})

    def is_valid(self, value: Any, parts: Parts) -> bool:
        """Return whether `value` conforms to all `parts`."""
        return all(self._validator.is_valid(value, part) for part in parts)

    def _read(self, parts: Parts, settled: frozenset[int]) -> Shape:
        shape = Shape(parts, settled)
        waiting, read = list(reversed(parts)), set[int]()
        while waiting and len(read) < _MOST_PARTS:
            raw = waiting.pop()
            if raw is False:
                shape.is_impossible = True
            if isinstance(raw, bool) or id(raw) in read:
                continue
            read.add(id(raw))
            narrow(shape, raw)
            inner = [self._references[raw[key]] for key in ("$ref", "$dynamicRef") if key in raw]
            inner += raw.get("allOf", ())
            waiting.extend(reversed(inner))
        shape.is_doubtful |= len(shape.patterns) > 1 or len(shape.groups) > 1
        shape.kinds = tuple(filter(shape.types.__contains__, _KINDS)) or ("null",)
        if "number" in shape.kinds:
            shape.kinds = tuple(kind for kind in shape.kinds if kind != "integer")
        shape.is_impossible |= not shape.types or shape.values == []
        entries = len(shape.names) + len(shape.required) + len(shape.values or ()) + len(shape.suggestions)
        shape.cost = 1 + len(read) + entries // _ENTRIES_A_STEP
        return shape

    def fitting(self, shape: Shape) -> list[Any]:
        """Return the enumerated values of `shape` that conform to all of it, of the first 10 000."""
        values = shape.values or []
        if self.budget.is_spent:
            return values[:1]
        fitting = shape.fitting
        if fitting is None:
            # A budget of its own, for the result serves other requests, too.
            budget = WorkBudget(_FITTING_STEPS, self.budget.patterns)
            validator = self._new_validator(budget)
            fitting = [
                value
                for value in values[:_MOST_LISTED]
                if all(validator.is_valid(value, part) for part in shape.parts)
            ]
            shape.fitting_steps = _FITTING_STEPS - budget.left
            if not budget.patterns.is_spent:
                shape.fitting = fitting
        if id(shape) not in self._fitting:
            self._fitting.add(id(shape))
            self.budget.spend(shape.fitting_steps)
        self.budget.spend(len(fitting) // _ENTRIES_A_STEP)
        return fitting

    def distance(self, parts: Parts) -> int:
        """Return the least number of levels of a value that conforms to `parts`; 8 means more, or infinitely many."""
        return max((self._distance(part) for part in parts), default=0)

    def _distance(self, raw: Any) -> int:
        return next(
            (levels for levels in range(_FARTHEST_END) if self._ends_within(raw, levels)), _FARTHEST_END
        )

    def _ends_within(self, raw: Any, levels: int) -> bool:
        """Return whether a value for `raw` alone may have at most `levels` levels below its own."""
        if isinstance(raw, bool):
            return raw
        key = (id(raw), levels)
        if key not in self._ends:
            self._ends[key] = False  # while it leads back to itself
            if self._ends_depth > _DEEPEST:
                return False
            self._ends_depth += 1
            self._ends[key] = self._may_end(self.of((raw,)), levels)
            self._ends_depth -= 1
        return self._ends[key]

    def _may_end(self, shape: Shape, levels: int) -> bool:
        if shape.is_impossible:
            return False
        for group in shape.groups:
            if not any(all(self._ends_within(part, levels) for part in branch) for branch in group.branches):
                return False
        if shape.values is not None or not shape.types <= {"object", "array"}:
            return True
        if "array" in shape.types and not shape.fewest:
            return True
        if "object" in shape.types and not shape.required:
            return True
        inner = (
            [shape.member(name, self.budget) for name in shape.required]
            if "object" in shape.types
            else [shape.item(0, self.budget)]
        )
        return levels > 0 and all(self._ends_within(part, levels - 1) for parts in inner for part in parts)
