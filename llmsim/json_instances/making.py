"""Instances of a schema: plausible JSON for structured responses. The arguments of `calls` are generated likewise.

Decisions:
* The work is bounded for any schema: by the budget of the request, from which all loops draw, and by 10 000 values, a long text counted
  as one for each 20 characters, 1000 items of an array, 200 invented members, 60 levels. A schema that requires more, or the
  impossible, gets the nearest value: never an exception.
* PERF: the shapes of a schema are read once and cached with it. An object of five members takes 45 us after the
  first time, and 150 us then, of a core of a shared 2-core machine.
"""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from llmsim.budgets import WorkBudget
from llmsim.json_instances.maker import Maker
from llmsim.json_instances.message_facts import MOST_READ, extract_facts
from llmsim.json_instances.message_values import MessageValues
from llmsim.json_instances.shape import Parts
from llmsim.json_instances.shapes import Shapes
from llmsim.json_schema.document import Schema, read

_WHOLE_TRIES = 3

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_ANY_OBJECT = read(
    b'{"type":"object","properties":{"answer":{"type":"string","description":"The answer, a sentence"},'
    b'"confidence":{"type":"number","minimum":0,"maximum":1}},"required":["answer","confidence"]}'
)


def json_instance(schema: bytes, message: str, rng: Random, budget: WorkBudget | None = None) -> str:
    """Generate an instance, as compact JSON.

    Args:
        schema: A JSON schema; empty for any object.
        message: The last user message; empty if there is none.
        rng: Draws what neither the schema nor the message decides.
        budget: The budget of the request; None for one of its own.

    Raises:
        SchemaError: The schema is invalid.
    """
    return _encode(instance(read(schema) if schema else _ANY_OBJECT, message, rng, budget))


def instance(
    schema: Schema, message: str, rng: Random, budget: WorkBudget | None = None, *, name: str = ""
) -> Any:
    """Generate an instance; members have the order of the schema. It may share parts with the schema, which must not be changed.

    Args:
        schema: The schema.
        message: The last user message, from which values are taken; empty if there is none.
        rng: Draws everything else.
        budget: The budget of the request; None for one of its own.
        name: Name of the value; empty if unknown.
    """
    values = MessageValues(extract_facts(message[:MOST_READ]))
    return nearest_instance(
        schema, budget or WorkBudget(), lambda shapes: Maker(shapes, values, rng), name=name
    )


def nearest_instance(
    schema: Schema, budget: WorkBudget, maker_for: Callable[[Shapes], Maker], *, name: str = ""
) -> Any:
    """Generate the nearest value to an instance.

    Args:
        schema: The schema.
        budget: Bounds the work.
        maker_for: Creates the generator of a value for the shapes of the schema.
        name: Name of the value; empty if unknown.
    """
    shapes = Shapes(schema, budget)
    try:
        made = _nearest(shapes, (schema.document,), maker_for(shapes), name)
    except RecursionError:
        # Levels of values, of schemas and of the server above add up.
        made = None
    is_object = isinstance(schema.document, dict) and schema.document.get("type") == "object"
    return {} if made is None and is_object else made


def _nearest(shapes: Shapes, parts: Parts, maker: Maker, name: str) -> Any:
    nearest = None
    for number in range(_WHOLE_TRIES):
        maker.restart(is_plain=number > 1)
        made = maker.make(parts, name, is_ending=number == _WHOLE_TRIES - 1)
        if not maker.has_doubts or maker.is_spent or shapes.is_valid(made, parts):
            return made
        nearest = made if number == 0 else nearest
    return nearest
