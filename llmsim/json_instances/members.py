"""Members of generated objects."""

from collections.abc import Container, Iterator
from random import Random

from llmsim.json_instances import scalars
from llmsim.json_instances.shape import Shape
from llmsim.json_instances.shapes import Shapes

MOST_MEMBERS = 200
"""Most members with invented names; those that a schema names may be more."""

_MOST_REQUIRED = 5000
_TRIES = 12
_OPTIONAL = 0.65
_INVENTION_STEPS = 4


class Members:
    """Chooses members.

    Args:
        shapes: The shapes of the schema.
        rng: Draws optional members.
    """

    def __init__(self, shapes: Shapes, rng: Random) -> None:
        self._shapes = shapes
        self._budget = shapes.budget
        self._rng = rng

    def given(self, shape: Shape, *, is_ending: bool, is_drawn: bool = True) -> dict[str, None]:
        """Choose the members of an object.

        Args:
            shape: Its requirements.
            is_ending: Whether to choose as few as possible.
            is_drawn: Whether to draw optional members and to invent some, or to choose those only that are needed.
        """
        given = dict.fromkeys(list(shape.required)[:_MOST_REQUIRED])
        self._add_needed(shape, given, list(given))
        optional = [name for name in shape.names if name not in given and self._may_be_given(shape, name)]
        if not is_ending and is_drawn:
            for name in optional:
                if self._rng.random() < _OPTIONAL and len(given) < shape.most_members:
                    self.add(shape, given, name)
        for name in optional:
            if len(given) >= shape.fewest_members or self._budget.is_spent:
                break
            self.add(shape, given, name)
        wanted = min(shape.fewest_members - len(given), MOST_MEMBERS)
        if not shape.names and shape.is_map and not is_ending and is_drawn:
            wanted = max(wanted, self._rng.randint(1, 3))
        for _ in range(_TRIES + 3 * wanted if wanted > 0 else 0):
            if wanted <= 0 or len(given) >= shape.most_members or self._budget.is_spent:
                break
            name = self._invented(shape)
            if name not in given and self._may_be_given(shape, name):
                given[name] = None
                wanted -= 1
        return given

    def optional(self, shape: Shape, given: Container[str]) -> Iterator[str]:
        """Yield the named members of an object that may be added to `given`."""
        for name in shape.names:
            if name not in given and self._may_be_given(shape, name):
                yield name

    def add(self, shape: Shape, given: dict[str, None], name: str) -> None:
        """Add a member with all that it needs, or none of them."""
        if name in given:
            return
        wider = {name: None}
        self._add_needed(shape, wider, [name], given)
        if len(given) + len(wider) <= shape.most_members and not any(
            other in shape.barred for other in wider
        ):
            given.update(wider)

    def _add_needed(
        self, shape: Shape, given: dict[str, None], waiting: list[str], known: Container[str] = ()
    ) -> None:
        """Add to `given` what those that are `waiting` need and is not in `known`."""
        while waiting and not self._budget.is_spent:
            needed = shape.needs.get(waiting.pop(), ())
            self._budget.spend(len(needed))
            for name in needed:
                if name not in given and name not in known:
                    given[name] = None
                    waiting.append(name)

    def _may_be_given(self, shape: Shape, name: str) -> bool:
        if self._budget.is_spent:
            return False
        if (
            name in shape.barred
            or name in shape.dependents
            or self._shapes.of(shape.member(name, self._budget)).is_impossible
        ):
            return False
        return not shape.name_parts or self._shapes.is_valid(name, shape.name_parts)

    def _invented(self, shape: Shape) -> str:
        """Generate a name for a member that the schema does not name."""
        self._budget.spend(_INVENTION_STEPS)
        if shape.name_patterns or shape.name_parts:
            asked = Shape((), frozenset())
            named = self._shapes.of(shape.name_parts)
            if named.values is not None:
                return str(self._rng.choice(named.values or [""]))
            asked.patterns = (
                named.patterns or [self._rng.choice(shape.name_patterns)]
                if (named.patterns or shape.name_patterns)
                else []
            )
            asked.shortest, asked.longest, asked.format = named.shortest, named.longest, named.format
            return scalars.text(asked, "", None, self._rng, self._budget)
        return scalars.phrase(self._rng, 1, 2).replace(" ", "_")
