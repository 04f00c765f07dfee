"""The generator of one value for a schema.

Decisions:
* Values are generated to conform, then validated where generation alone does not guarantee it (`not`, `oneOf`,
  `contains` ...), and generated again if they are not valid, a bounded number of times.
* Recursion ends: in the second nesting of a schema in itself only required members are generated, and of
  several branches the one that ends first.
* What the schema itself supplies, values and names of members, is free once: no more than the body holds. Repeated it counts as
  much as a text that is written, for a short schema may ask for a long constant a thousand times.
"""

from random import Random
from typing import Any

from llmsim.json_instances import scalars
from llmsim.json_instances.member_names import kind_of
from llmsim.json_instances.members import MOST_MEMBERS, Members
from llmsim.json_instances.message_values import MessageValues
from llmsim.json_instances.shape import ANY_KIND, Group, Parts, Shape
from llmsim.json_instances.shapes import Shapes
from llmsim.json_schema.validation import canonical, is_of

_TRIES = 10
_MOST_VALUES = 10_000
_LONG = 20
_MOST_ITEMS = 1000
_MOST_LEVELS = 60
_ENTRIES_A_STEP = 32
_MULTIPLE_STEPS = 4
"""Steps of the tries to find a multiple."""


_NOT_NULL = 0.85
_EXEMPLARY = 0.7


class Maker:
    """Generates one value.

    Attributes:
        has_doubts: Whether the value may not conform.
    """

    def __init__(self, shapes: Shapes, values: MessageValues, rng: Random) -> None:
        self._shapes = shapes
        self._budget = shapes.budget
        self._rng = rng
        self._members = Members(shapes, rng)
        self._message = values
        self.restart(is_plain=False)

    def restart(self, *, is_plain: bool) -> None:
        """Forget the value; the next one is made of the schema alone if `is_plain`."""
        self.has_doubts = False
        self._is_full = False
        self._is_plain = is_plain
        self._values = 0
        self._above: list[Shape] = []
        self._supplied: dict[int, int] = {}
        self._message.used.clear()

    @property
    def is_spent(self) -> bool:
        """Whether the schema requires more than the limits allow."""
        return self._is_full or self._budget.is_spent

    def make(self, parts: Parts, name: str, *, is_ending: bool) -> Any:
        """Generate a value for all `parts`.

        Args:
            parts: Schemas.
            name: Name of the innermost member that contains it.
            is_ending: Whether to make it as small as possible.
        """
        self._values += 1
        if self._values > _MOST_VALUES // 2:
            is_ending = True
        if self._values > _MOST_VALUES or len(self._above) > _MOST_LEVELS or not self._budget.spend():
            self.has_doubts = self._is_full = True
            return None
        shape = self._shapes.of(parts)
        is_ending = is_ending or self._above.count(shape) > 1
        self._above.append(shape)
        made = self._conforming(shape, name, is_ending=is_ending)
        self._above.pop()
        return made

    def _conforming(self, shape: Shape, name: str, *, is_ending: bool) -> Any:
        """Generate a value; if it may not conform, generate others until one does."""
        chosen = self._chosen(shape, name, is_ending=is_ending)
        if not shape.is_doubtful and not chosen.is_doubtful:
            self.has_doubts |= chosen.is_impossible
            return self._made(chosen, name, is_ending=is_ending)
        was_plain, used = self._is_plain, set(self._message.used)
        nearest = None
        for number in range(_TRIES if self._values <= _MOST_VALUES // 2 else 1):
            # The message and the examples would only offer the same values again.
            self._is_plain = was_plain or number > 1
            made = self._made(chosen, name, is_ending=is_ending)
            if self._shapes.is_valid(made, shape.parts):
                nearest = made
                break
            nearest = made if number == 0 else nearest
            if self.is_spent:
                break
            self._message.used = set(used)
            chosen = self._chosen(shape, name, is_ending=is_ending)
        else:
            self.has_doubts = True
        self._is_plain = was_plain
        return nearest

    def _made(self, shape: Shape, name: str, *, is_ending: bool) -> Any:
        """Generate a value of a shape without branches."""
        if shape.values is not None:
            return self._copied(self._listed(shape))
        self._budget.spend(len(shape.suggestions) // _ENTRIES_A_STEP)
        if shape.suggestions and not self._is_plain and (found := self._suggested(shape)):
            return self._copied(found[0])
        kind = self._kind(shape, name, is_ending=is_ending)
        match kind:
            case "object":
                return self._object(shape, name, is_ending=is_ending)
            case "array":
                return self._array(shape, name, is_ending=is_ending)
            case "string":
                text = self._text(shape, name)
                self._count(len(text))
                return text
            case "boolean":
                return self._boolean()
            case "null":
                return None
        self._budget.spend(_MULTIPLE_STEPS * len(shape.multiples))
        return self._number(shape, name, is_integer=kind == "integer")

    def _count(self, chars: int) -> None:
        """Count a text as the values that it is as long as."""
        self._values += chars // _LONG
        self._budget.spend(chars // _LONG)

    def _copied(self, supplied: Any) -> Any:
        """Return a value, or the name of a member, of the schema itself; count it from the second time on."""
        key = id(supplied)
        if (chars := self._supplied.get(key)) is None:
            self._supplied[key] = _chars(supplied)
        else:
            self._count(chars)
        return supplied

    def _named(self, shape: Shape, name: str) -> str:
        """Return the name of a member, counted like a text unless it is the schema's."""
        if name in shape.names:
            return str(self._copied(name))
        self._count(len(name))
        return name

    def _text(self, shape: Shape, name: str) -> str:
        return scalars.text(shape, name, self._usable_values, self._rng, self._budget)

    def _number(self, shape: Shape, name: str, *, is_integer: bool) -> float:
        return scalars.number(shape, name, self._usable_values, self._rng, is_integer=is_integer)

    def _boolean(self) -> bool:
        return self._rng.random() < 0.5

    @property
    def _usable_values(self) -> MessageValues | None:
        return None if self._is_plain else self._message

    def _chosen(self, shape: Shape, name: str, *, is_ending: bool) -> Shape:
        """Choose branches until none are left."""
        while shape.groups and not self._budget.is_spent:
            shape = self._narrowed(shape, shape.groups[0], name, is_ending=is_ending)
        return shape

    def _narrowed(self, shape: Shape, group: Group, name: str, *, is_ending: bool) -> Shape:
        """Choose a possible branch; prefer one that is not null or that the message mentions."""
        narrowed = [self._shapes.narrowed(shape, group, branch) for branch in group.branches]
        possible = [place for place, other in enumerate(narrowed) if self._may_be(other)]
        if not possible:
            self.has_doubts = True
            return narrowed[0]
        if is_ending:
            # Shortest first; equal ones are chosen at random.
            start = self._rng.randrange(len(possible))
            places = possible[start:] + possible[:start]
            return narrowed[min(places, key=lambda place: self._shapes.distance(group.branches[place]))]
        if len(possible) > 1:
            solid = [place for place in possible if narrowed[place].types != {"null"}]
            if solid and (
                len(solid) == len(possible) or not self._is_null([narrowed[place] for place in solid], name)
            ):
                possible = solid
        if len(possible) > 1 and not self._is_plain and self._message.facts.text:
            mentioned = [place for place in possible if self._is_mentioned(narrowed[place])]
            possible = mentioned or possible
        # A number or its text, as pydantic writes a decimal: words would not do.
        if narrowed[possible[0]].kinds in (("number",), ("integer",)):
            possible = [place for place in possible if narrowed[place].kinds != ("string",)]
        return self._branch([narrowed[place] for place in possible])

    def _is_null(self, others: list[Shape], name: str) -> bool:
        """Decide whether a value that may be null is null."""
        return self._rng.random() >= _NOT_NULL

    def _branch(self, branches: list[Shape]) -> Shape:
        return self._rng.choice(branches)

    def _may_be(self, shape: Shape) -> bool:
        return not shape.is_impossible and (shape.values is None or bool(self._shapes.fitting(shape)))

    def _is_mentioned(self, shape: Shape) -> bool:
        """Return whether the message mentions the discriminator of a branch: a constant, its own or that of a member."""
        marks = list(shape.values or ()) if shape.values and len(shape.values) == 1 else []
        for name in list(shape.required)[:4]:
            if name in shape.names:
                marks += self._shapes.of(shape.member(name, self._budget)).values or ()
        return any(isinstance(mark, str) and self._message.facts.mentions(mark) for mark in marks[:8])

    def _listed(self, shape: Shape) -> Any:
        """Choose one of enumerated values, one that the message mentions if possible."""
        fitting = self._shapes.fitting(shape)
        if not fitting:
            self.has_doubts = True
            return shape.values[0] if shape.values else None
        if len(fitting) == 1:
            return fitting[0]
        if not self._is_plain and self._message.facts.text:
            mentions = self._message.facts.mentions
            for value in fitting[:MOST_MEMBERS]:
                if isinstance(value, str) and mentions(value):
                    return value
            numbers = [value for value in fitting if is_of(value, "number")]
            for number in self._message.numbers("") if numbers else ():
                if number in numbers:
                    return number
        one = self._rng.choice(fitting)
        # Null is less likely than the other values: it is drawn again once.
        return self._rng.choice(fitting) if one is None else one

    def _suggested(self, shape: Shape) -> list[Any]:
        """Return at random a default or an example that conforms; texts and numbers are left to the message."""
        rest = [one for one in shape.suggestions if not is_of(one, "string") and not is_of(one, "number")]
        if not rest or self._rng.random() > _EXEMPLARY:
            return []
        one = self._rng.choice(rest)
        is_empty = one is None or one in ([], {})
        return [one] if not is_empty and self._shapes.is_valid(one, shape.parts) else []

    def _kind(self, shape: Shape, name: str, *, is_ending: bool) -> str:
        """Choose the type, a scalar if the value must end, and rarely null."""
        kinds = shape.kinds
        if len(kinds) == 1:
            return kinds[0]
        if kinds == ANY_KIND:
            return shape.likely or "string"
        if is_ending:
            return self._rng.choice([kind for kind in kinds if kind not in ("object", "array")] or kinds[-1:])
        if self._rng.random() < _NOT_NULL:
            kinds = tuple(kind for kind in kinds if kind != "null")
            if shape.likely in kinds:
                return shape.likely
        return self._rng.choice(kinds)

    def _array(self, shape: Shape, name: str, *, is_ending: bool) -> list[Any]:
        least = max([shape.fewest, *(count for _, count in shape.contains)])
        most = int(min(shape.longest_array, max(least, _MOST_ITEMS)))
        count = self._count_items(shape, name, least, most, is_ending=is_ending)
        made: list[Any] = []
        seen: set[Any] = set()
        for place in range(min(count, _MOST_ITEMS)):
            if self._values > _MOST_VALUES or self._budget.is_spent:
                break
            parts = shape.item(place, self._budget)
            if self._shapes.of(parts).is_impossible:
                break
            for inner, wanted in shape.contains:
                if place < wanted and (inner is not True):
                    parts = (*parts, inner)
            item = self.make(parts, name, is_ending=is_ending)
            if shape.is_unique:
                item = self._another(parts, name, item, seen, is_ending=is_ending)
                if (mark := canonical(item, self._budget)) in seen:
                    if place >= least:
                        break
                    self.has_doubts = True
                seen.add(mark)
            made.append(item)
        self.has_doubts |= len(made) < least
        return made

    def _count_items(self, shape: Shape, name: str, least: int, most: int, *, is_ending: bool) -> int:
        if is_ending:
            return least
        if shape.prefix:
            least = max(least, min(shape.prefix, most))
            is_open = any(raw.get("items", raw.get("additionalItems")) is not None for raw in shape.lists)
            return min(most, least + (self._rng.randint(0, 1) if is_open else 0))
        if not self._is_plain:
            item = self._shapes.of(shape.item(0, self._budget))
            found = self._message.count(
                kind_of(name, item.format),
                is_number=not item.types.isdisjoint(("integer", "number")) and len(item.types) <= 2,
            )
            if found:
                return max(least, min(found, most))
        # Deeper lists are shorter, so that trees stay small.
        return self._rng.randint(
            min(max(least, 1), most), max(least, min(most, least + max(1, 4 - len(self._above))))
        )

    def _another(self, parts: Parts, name: str, item: Any, seen: set[Any], *, is_ending: bool) -> Any:
        """Generate other items until one is new, first at random, then by counting."""
        was_plain, self._is_plain = self._is_plain, True
        for _ in range(_TRIES):
            if canonical(item, self._budget) not in seen or self._budget.is_spent:
                break
            item = self.make(parts, name, is_ending=is_ending)
        else:
            shape = self._shapes.of(parts)
            others: list[Any] = self._shapes.fitting(shape) or [False, True, None]
            if is_of(item, "number"):
                others = scalars.counted(shape, min(len(seen) + 2, _MOST_ITEMS))
                self._budget.spend(len(others) // _ENTRIES_A_STEP)
            item = next(
                (
                    one
                    for one in others
                    if canonical(one, self._budget) not in seen and self._shapes.is_valid(one, parts)
                ),
                item,
            )
        self._is_plain = was_plain
        return item

    def _object(self, shape: Shape, name: str, *, is_ending: bool) -> dict[str, Any]:
        given = self._members.given(shape, is_ending=is_ending)
        for other, parts in shape.dependents.items():
            if other in given and -id(parts[0]) not in shape.settled:
                deeper = self._shapes.of(shape.parts + parts, shape.settled | {-id(part) for part in parts})
                return self._object(
                    self._chosen(deeper, name, is_ending=is_ending), name, is_ending=is_ending
                )
        ordered = [one for one in shape.names if one in given]
        ordered += [one for one in given if one not in shape.names]
        return {
            self._named(shape, one): self.make(shape.member(one, self._budget), one, is_ending=is_ending)
            for one in ordered
        }


def _chars(value: Any) -> int:
    """Return about how many characters of JSON a value takes."""
    match value:
        case str():
            return len(value) + 2
        case list():
            return 2 + sum([_chars(item) + 1 for item in value])
        case dict():
            return 2 + sum([len(name) + _chars(member) + 4 for name, member in value.items()])
    return 4
