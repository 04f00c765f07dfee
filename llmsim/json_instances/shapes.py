"""The shapes in one schema, and the least nesting of their values."""

from typing import Any

from llmsim.json_instances.narrowing import narrow
from llmsim.json_instances.shape import ANY_KIND, Group, Parts, Shape
from llmsim.json_schema.document import Schema
from llmsim.json_schema.validation import Validator

_MOST_CACHED = 1024
_KINDS = (*ANY_KIND, "integer")
_MOST_LISTED = 10_000
_FARTHEST_END = 8
_STEPS = 2000


class Shapes:
    """The shapes of one schema, cached by the parts they were read from."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._shapes: dict[tuple[tuple[int, ...], frozenset[int]], Shape] = {}
        self._ends: dict[tuple[int, int], bool] = {}
        self._enumerated: dict[int, frozenset[Any]] = {}

    def of(self, parts: Parts, settled: frozenset[int] = frozenset()) -> Shape:
        """Return the shape of `parts`; groups whose ids are `settled` are ignored."""
        key = (tuple(map(id, parts)), settled)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= _MOST_CACHED:
                self._shapes.clear()
            shape = self._shapes[key] = self._read(parts, settled)
        return shape

    def narrowed(self, shape: Shape, group: Group, branch: Parts) -> Shape:
        """Return the shape after `branch` was chosen from `group`."""
        return self.of(shape.parts + branch, shape.settled | {group.id})

    def validator(self, steps: int) -> Validator:
        """Return a validator for `steps` steps."""
        return Validator(self.schema.references, self._enumerated, steps=steps)

    def is_valid(self, value: Any, parts: Parts, validator: Validator | None = None) -> bool:
        """Return whether `value` conforms to all `parts`."""
        validator = validator or self.validator(_STEPS)
        return all(validator.is_valid(value, part) for part in parts)

    def _read(self, parts: Parts, settled: frozenset[int]) -> Shape:
        shape = Shape(parts, settled)
        waiting, read = list(reversed(parts)), set[int]()
        while waiting:
            raw = waiting.pop()
            if raw is False:
                shape.is_impossible = True
            if isinstance(raw, bool) or id(raw) in read:
                continue
            read.add(id(raw))
            narrow(shape, raw)
            inner = [self.schema.references[raw[key]] for key in ("$ref", "$dynamicRef") if key in raw]
            inner += raw.get("allOf", ())
            waiting.extend(reversed(inner))
        shape.is_doubtful |= len(shape.patterns) > 1 or len(shape.groups) > 1
        shape.kinds = tuple(filter(shape.types.__contains__, _KINDS)) or ("null",)
        if "number" in shape.kinds:
            shape.kinds = tuple(kind for kind in shape.kinds if kind != "integer")
        shape.is_impossible |= not shape.types or shape.values == []
        return shape

    def fitting(self, shape: Shape) -> list[Any]:
        """Return the enumerated values of `shape` that conform to all of it, of the first 10 000."""
        if shape.fitting is None:
            shape.fitting = [
                value for value in (shape.values or [])[:_MOST_LISTED] if self.is_valid(value, shape.parts)
            ]
        return shape.fitting

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
            self._ends[key] = self._may_end(self.of((raw,)), levels)
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
            [shape.member(name) for name in shape.required] if "object" in shape.types else [shape.item(0)]
        )
        return levels > 0 and all(self._ends_within(part, levels - 1) for parts in inner for part in parts)
