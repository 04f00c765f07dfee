"""Instances within the budget of a request."""

import json
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from llmsim.budgets import WorkBudget
from llmsim.json_instances.call_arguments import CalledTool
from llmsim.json_instances.calls import json_arguments
from llmsim.json_instances.making import instance, json_instance
from llmsim.json_schema.document import read
from llmsim.json_schema.validation import conforms


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "minProperties": 10**9}
    for _ in range(levels):
        schema = {"type": "array", "items": schema, "minItems": 1000, "uniqueItems": True}
    return {"type": "object", "properties": {"a": schema}, "required": ["a"]}


EVIL = "((((a*)*)*)*)*b"
LABORIOUS: dict[str, Any] = {
    "nested": nested(4),
    "evil enum": {
        "type": "object",
        "properties": {"a": {"enum": ["a" * 16, "x"], "pattern": EVIL}},
        "required": ["a"],
    },
    "evil names": {"type": "object", "propertyNames": {"pattern": "(?:a?){50}a{50}"}, "minProperties": 3},
    "wide sets": {
        "type": "object",
        "properties": {
            f"p{n}": {"type": "string", "pattern": "(?i)" + "[a-\uffff]" * (150 + n)} for n in range(40)
        },
        "required": [f"p{n}" for n in range(40)],
    },
    "many names": {
        "type": "object",
        "properties": {f"p{n}": {"type": "string"} for n in range(5000)},
        "patternProperties": {f"x{n}": {"type": "string"} for n in range(200)},
        "required": [f"p{n}" for n in range(5000)],
    },
    "branches": {
        "type": "object",
        "anyOf": [{"oneOf": [{"not": {"required": [f"{a}{b}"]}} for a in range(30)]} for b in range(30)],
    },
    "enumerations": {
        "type": "object",
        "properties": {
            f"p{n}": {"enum": [f"v{n}{m}" for m in range(500)], "not": {"const": 1}} for n in range(50)
        },
        "required": [f"p{n}" for n in range(50)],
    },
    "all of": {
        "type": "object",
        "allOf": [{"properties": {f"p{n}": {}}, "examples": [n] * 20} for n in range(3000)],
    },
    "recursion": {
        "$ref": "#/$defs/a",
        "type": "object",
        "$defs": {
            "a": {
                "type": "object",
                "properties": {"x": {"anyOf": [{"$ref": "#/$defs/a"}] * 9}},
                "required": ["x"],
            }
        },
    },
    "chain": {
        "type": "object",
        "$ref": "#/$defs/a0",
        "$defs": {
            f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{min(n + 1, 499)}"}, {"title": str(n)}]}
            for n in range(500)
        },
    },
}


@pytest.mark.parametrize("name", LABORIOUS)
def test_laborious_schemas_get_an_object(name: str) -> None:
    """BUDG-3.1, BUDG-3.2: All loops draw from one budget, which is exceeded by one value at most."""
    budget = WorkBudget(5000)
    schema = json.dumps(LABORIOUS[name]).encode()
    made = [json.loads(json_instance(schema, "", random.Random(seed), budget)) for seed in range(20)]

    assert all(isinstance(one, dict) for one in made)


@pytest.mark.parametrize("name", LABORIOUS)
def test_what_takes_many_steps_is_laborious(name: str) -> None:
    """BUDG-5.1: A schema that is not estimated as laborious takes few steps."""
    budget = WorkBudget()
    steps = budget.left
    schema = read(json.dumps(LABORIOUS[name]).encode())
    instance(schema, "", random.Random(7), budget)

    assert schema.is_laborious or steps - budget.left < 5000


@pytest.mark.parametrize("name", LABORIOUS)
def test_a_response_does_not_depend_on_earlier_ones(name: str) -> None:
    """BUDG-3.3: What is cached costs as many steps as what is not."""
    if "evil" in name or "wide" in name:
        pytest.skip("patterns are bounded by time")
    schema = json.dumps(LABORIOUS[name]).encode()
    fresh = json_instance(schema, "", random.Random(7), WorkBudget(3000))
    for seed in range(5):
        json_instance(schema, "", random.Random(seed), WorkBudget(3000))

    assert json_instance(schema, "", random.Random(7), WorkBudget(3000)) == fresh


def test_validation_is_bounded() -> None:
    """BUDG-3.1: What is not checked counts as conforming."""
    schema = read(json.dumps({"items": {"not": {"const": 1}}}).encode())

    assert not conforms([0] * 500 + [1], schema)
    assert conforms([0] * 500 + [1], schema, WorkBudget(100))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "multipleOf": 5e-324, "minimum": 1e308},
        {"type": "integer", "minimum": 1.7e308},
        {"type": "integer", "allOf": [{"multipleOf": 2**63 - n} for n in range(30)], "minimum": 0.5},
        {"type": "number", "exclusiveMinimum": -1.7e308, "maximum": 1.7e308, "multipleOf": 1e-300},
        {"type": "number", "description": "x\n\n{minimum: NaN, maximum: 1e999}"},
        {"type": "number", "description": "x\nminimum: " + "9" * 1900 + "."},
        {
            "type": "array",
            "uniqueItems": True,
            "minItems": 5,
            "items": {"type": "number", "multipleOf": 1e300},
        },
    ],
    ids=range(7),
)
def test_extreme_numbers(schema: Any) -> None:
    """BUDG-1.3: Numbers of instances are finite, whatever the bounds are."""
    for seed in range(30):
        made = instance(read(json.dumps(schema).encode()), "1e999 and " + "9" * 400, random.Random(seed))
        json.dumps(made, allow_nan=False)


LONG = "x" * 50_000
MULTIPLIED: dict[str, Any] = {
    "constant": {"const": LONG},
    "enumeration": {"enum": [[LONG], [LONG, LONG]]},
    "default": {"type": "array", "default": [LONG]},
    "example": {"type": "array", "examples": [[LONG]]},
    "name": {"type": "object", "properties": {LONG: {"type": "integer"}}, "required": [LONG]},
    "invented names": {
        "type": "object",
        "minProperties": 100,
        "propertyNames": {"minLength": 1000},
        "additionalProperties": {"type": "boolean"},
    },
    "nested constant": {"type": "object", "properties": {"a": {"const": {"b": LONG}}}, "required": ["a"]},
}


@pytest.mark.parametrize("name", MULTIPLIED)
@pytest.mark.parametrize(
    "generate", [json_instance, partial(json_arguments, CalledTool("f"))], ids=["json", "call"]
)
def test_what_a_schema_supplies_is_not_multiplied(name: str, generate: Callable[..., str]) -> None:
    """BUDG-3.5: a list of a thousand copies of a long constant, example or name ends early."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": MULTIPLIED[name], "minItems": 1000}},
        "required": ["a"],
    }
    encoded = json.dumps(schema).encode()
    assert len(generate(encoded, "a list", random.Random(1))) < len(encoded) + 250_000


def test_one_long_constant_is_free() -> None:
    """BUDG-3.5: a constant that is supplied once is in the response whole, and what follows it too."""
    schema = {
        "type": "object",
        "properties": {"a": {"const": LONG * 10}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    }
    made = json.loads(json_instance(json.dumps(schema).encode(), "", random.Random(1)))
    assert made["a"] == LONG * 10
    assert isinstance(made["b"], int)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^$", "minLength": 10_000},
        {"type": "string", "minLength": 10**6, "maxLength": 0},
    ],
    ids=["filled pattern", "impossible length"],
)
def test_impossible_values_are_not_tried_for_long(schema: dict[str, Any]) -> None:
    """BUDG-3.1: What no value fits draws few random numbers, however often a list asks for it."""

    class Counting(random.Random):
        drawn = 0

        def getrandbits(self, bits: int, /) -> int:
            self.drawn += 1
            return super().getrandbits(bits)

        def random(self) -> float:
            self.drawn += 1
            return super().random()

    rng = Counting(1)
    whole = {
        "type": "array",
        "items": {"type": "object", "properties": {"a": schema}, "required": ["a"]},
        "minItems": 1000,
    }
    json.loads(json_instance(json.dumps(whole).encode(), "", rng))
    assert rng.drawn < 700_000
