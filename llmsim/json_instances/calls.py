"""The generator of arguments of tool calls: instances that are fit to be executed, and harmless.

Decisions:
* It is the generator of instances, but nothing is drawn: `call_arguments` supplies the values, and an optional member
  without one is left out.
* The hazard of a value is that of its tool and of all members that contain it or stand beside it. So a command is one in a
  nested object, too, and beside a command nothing comes from the message.
* PERF: a tool of five members takes 60 us after the first time, of a core of a shared 2-core machine.
"""

import json
from random import Random
from typing import Any

from llmsim.budgets import WorkBudget
from llmsim.json_instances import harmless, scalars
from llmsim.json_instances.call_arguments import CallArguments, CalledTool
from llmsim.json_instances.harmless import Hazard
from llmsim.json_instances.maker import Maker
from llmsim.json_instances.making import nearest_instance
from llmsim.json_instances.member_names import kind_of
from llmsim.json_instances.message_facts import MOST_READ, extract_facts
from llmsim.json_instances.shape import ANY_KIND, Shape
from llmsim.json_instances.shapes import Shapes
from llmsim.json_schema.document import Schema, read
from llmsim.json_schema.validation import is_of

_MOST_SIBLINGS = 200

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_arguments(
    tool: CalledTool, schema: bytes, message: str, rng: Random, budget: WorkBudget | None = None
) -> str:
    """Generate the arguments of a call, as compact JSON.

    Args:
        tool: The tool.
        schema: The schema of its arguments.
        message: The question that the call is about; empty if there is none.
        rng: Draws what the schema alone decides, as a text for a pattern.
        budget: The budget of the request; None for one of its own.

    Raises:
        SchemaError: The schema is invalid.
    """
    return _encode(arguments(tool, read(schema), message, rng, budget))


def arguments(
    tool: CalledTool, schema: Schema, message: str, rng: Random, budget: WorkBudget | None = None
) -> Any:
    """Generate the arguments of a call; see `json_arguments`. It may share parts with the schema, which must not be changed."""
    values = CallArguments(tool, extract_facts(message[:MOST_READ]))
    return nearest_instance(schema, budget or WorkBudget(), lambda shapes: _CallMaker(shapes, values, rng))


class _CallMaker(Maker):
    """Generates the arguments of one call."""

    def __init__(self, shapes: Shapes, arguments: CallArguments, rng: Random) -> None:
        self._arguments = arguments
        super().__init__(shapes, arguments.values, rng)

    def restart(self, *, is_plain: bool) -> None:
        super().restart(is_plain=is_plain)
        self._hazard = self._arguments.hazard

    def _text(self, shape: Shape, name: str) -> str:
        hazard = self._effective_hazard
        candidates = self._arguments.texts(shape, name, hazard)
        return scalars.text(shape, name, None, self._rng, self._budget, candidates)

    def _number(self, shape: Shape, name: str, *, is_integer: bool) -> float:
        candidates = self._arguments.numbers(shape, name, self._effective_hazard, is_integer=is_integer)
        return scalars.number(
            shape,
            name,
            None,
            self._rng,
            is_integer=is_integer,
            candidates=() if self._is_plain else candidates,
        )

    def _boolean(self) -> bool:
        return self._rng.random() < 0.5 if self._is_plain else False

    def _suggested(self, shape: Shape) -> list[Any]:
        """Return the default, unless something runs or is removed; texts and numbers are left to the message."""
        if self._hazard & (Hazard.RUNS | Hazard.REMOVES) and shape.kinds != ("boolean",):
            return []
        rest = [
            one
            for one in shape.defaults
            if one is not None and not is_of(one, "string") and not is_of(one, "number")
        ]
        return [one for one in rest[:1] if self._shapes.is_valid(one, shape.parts)]

    @property
    def _effective_hazard(self) -> int:
        """The hazard of the value; a value of the schema alone takes nothing from the message."""
        if not self._is_plain:
            return self._hazard
        return self._hazard if self._hazard & Hazard.RUNS else self._hazard | Hazard.REMOVES

    def _listed(self, shape: Shape) -> Any:
        fitting = self._shapes.fitting(shape)
        if not fitting:
            return super()._listed(shape)
        if self._is_plain:
            return self._rng.choice(fitting)
        return self._arguments.choose(fitting, self._hazard, shape.defaults)

    def _is_null(self, others: list[Shape], name: str) -> bool:
        return not any(self._is_supplied(other, name) for other in others)

    def _branch(self, branches: list[Shape]) -> Shape:
        if self._is_plain:
            return self._rng.choice(branches)
        nulls = [branch for branch in branches if branch.types == {"null"}]
        return next(iter(nulls or [one for one in branches if not self._changes(one)] or branches))

    def _is_mentioned(self, shape: Shape) -> bool:
        return not self._changes(shape) and super()._is_mentioned(shape)

    def _changes(self, shape: Shape) -> bool:
        """Return whether the discriminator of a branch names an action that changes something."""
        marks = list(shape.values or ())[:1]
        for name in list(shape.required)[:4]:
            if name in shape.names:
                values = self._shapes.of(shape.member(name, self._budget)).values or ()
                marks += values if len(values) == 1 else ()
        return any(isinstance(mark, str) and harmless.changes(mark) for mark in marks)

    def _kind(self, shape: Shape, name: str, *, is_ending: bool) -> str:
        kinds = shape.kinds
        if len(kinds) == 1 or kinds == ANY_KIND or self._is_plain:
            return super()._kind(shape, name, is_ending=is_ending)
        if "null" in kinds and not self._is_supplied(shape, name):
            return "null"
        kinds = tuple(kind for kind in kinds if kind != "null")
        if shape.likely in kinds:
            return shape.likely
        return next((kind for kind in kinds if kind not in ("object", "array")), kinds[0])

    def _is_supplied(self, shape: Shape, name: str) -> bool:
        """Return whether there is a value for a member that may be left out or null."""
        if not name:
            return True
        runs = harmless.member_hazard(name, shape.description) & Hazard.RUNS
        return (runs and shape.values is None) or self._arguments.is_supplied(shape, name, self._hazard)

    def _array(self, shape: Shape, name: str, *, is_ending: bool) -> list[Any]:
        commands = self._arguments.command_list(shape, name, self._hazard)
        if commands is not None and not self._is_plain and self._shapes.is_valid(commands, shape.parts):
            return commands
        return super()._array(shape, name, is_ending=is_ending)

    def _count_items(self, shape: Shape, name: str, least: int, most: int, *, is_ending: bool) -> int:
        if is_ending:
            return least
        if shape.prefix:
            return max(least, min(shape.prefix, most))
        found = 0
        if not self._is_plain:
            item = self._shapes.of(shape.item(0, self._budget))
            is_number = not item.types.isdisjoint(("integer", "number")) and len(item.types) <= 2
            found = self._arguments.count(kind_of(name, item.format), self._hazard, is_number=is_number)
        return max(least, min(max(1, found), most))

    def _object(self, shape: Shape, name: str, *, is_ending: bool) -> dict[str, Any]:
        given = self._members.given(shape, is_ending=is_ending, is_drawn=False)
        if any(other in given for other in shape.dependents):
            # Rare, and their schemas add to the object: made as any instance is, with nothing of the message.
            outer, self._hazard = self._hazard, self._inside(shape, self._hazard) | Hazard.REMOVES
            whole = super()._object(shape, name, is_ending=is_ending)
            self._hazard = outer
            return whole
        outer = self._hazard
        self._hazard = inner = self._inside(shape, outer)
        made = {one: self._member(shape, one, inner, is_ending=is_ending) for one in given}
        # Required members come first: an optional one gets what they leave.
        for one in () if is_ending or self._is_plain else list(self._members.optional(shape, given)):
            member = self._shapes.of(shape.member(one, self._budget))
            self._hazard = self._of_member(member, one, inner)
            if self._arguments.is_supplied(member, one, self._hazard):
                self._members.add(shape, given, one)
                made |= {
                    more: self._member(shape, more, inner, is_ending=is_ending)
                    for more in given
                    if more not in made
                }
        self._hazard = outer
        ordered = [one for one in shape.names if one in made]
        return {one: made[one] for one in (*ordered, *(one for one in made if one not in shape.names))}

    def _member(self, shape: Shape, name: str, hazard: int, *, is_ending: bool) -> Any:
        parts = shape.member(name, self._budget)
        self._hazard = self._of_member(self._shapes.of(parts), name, hazard)
        made = self.make(parts, self._named(shape, name), is_ending=is_ending)
        self._hazard = hazard
        return made

    def _of_member(self, shape: Shape, name: str, hazard: int) -> int:
        hazard |= harmless.member_hazard(name, shape.description[:200])
        if not {"object", "array"}.isdisjoint(shape.kinds) and shape.kinds != ANY_KIND:
            hazard |= harmless.action_hazard(name)
        return hazard

    def _inside(self, shape: Shape, hazard: int) -> int:
        """Return the hazard of the members of an object: that of the object, and of what they do together."""
        hazard &= ~Hazard.HAS_COMMAND
        for name in list(shape.names)[:_MOST_SIBLINGS]:
            member = self._shapes.of(shape.member(name, self._budget))
            if member.values is None:
                if "string" in member.kinds or "array" in member.kinds or member.groups:
                    hazard |= (own := harmless.sibling_hazard(name, member.description[:200]))
                    hazard |= Hazard.HAS_COMMAND if own & Hazard.RUNS else Hazard.NONE
            elif member.values and all(
                isinstance(one, str) and harmless.changes(one) for one in member.values
            ):
                hazard |= harmless.action_hazard(member.values[0])
        return hazard & ~Hazard.READS or hazard
