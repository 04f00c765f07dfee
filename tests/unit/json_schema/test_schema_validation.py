"""Validation of values, compared with jsonschema."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.judges import is_valid
from support.schemas import SCHEMAS, VALUES, encoded

from llmsim.json_instances.making import instance
from llmsim.json_schema.document import read
from llmsim.json_schema.validation import conforms

LENIENT = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)


@LENIENT
@given(SCHEMAS, VALUES)
def test_any_value_is_validated_as_by_jsonschema(schema: Any, value: Any) -> None:
    """FIT-2.1: The result is that of jsonschema."""
    assert conforms(value, read(encoded(schema))) == is_valid(value, schema)


@LENIENT
@given(SCHEMAS, SCHEMAS, st.integers(0, 2**32))
def test_instances_of_other_schemas_are_validated_as_by_jsonschema(
    schema: Any, other: Any, seed: int
) -> None:
    """FIT-2.1: Also for values that nearly conform: instances of another schema."""
    made = instance(read(encoded(other)), "", random.Random(seed))

    assert conforms(made, read(encoded(schema))) == is_valid(made, schema)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"enum": [1, "a"]}, [1, 1.0, "a"], [True, "1", None]),
        ({"const": {"a": [1]}}, [{"a": [1.0]}], [{"a": [True]}, {"a": 1}]),
        ({"type": "integer"}, [1, 1.0, -0.0], [1.5, True, "1"]),
        ({"type": ["number", "null"]}, [1, None, 0.5], [False, ""]),
        ({"type": "integer", "nullable": True}, [None, 3], ["", 0.5]),
        ({"uniqueItems": True}, [[1, True], [[1], [True]], "aa"], [[1, 1.0], [{"a": 1}, {"a": 1.0}]]),
        ({"multipleOf": 0.5}, [1.5, 2, "x"], [0.7]),
        ({"multipleOf": 3}, [9, -3, 6.0, 10**30 * 3], [10, 10.5]),
        ({"exclusiveMinimum": 1, "maximum": 2}, [2, 1.1], [1, 2.1]),
        ({"minLength": 2, "maxLength": 3}, ["éé", "🙂🙂🙂"], ["é", "abcd"]),
        ({"pattern": "b+"}, ["abc", 5], ["a"]),
        ({"items": [{"type": "null"}], "additionalItems": False}, [[None], []], [[1], [None, None]]),
        ({"prefixItems": [{"type": "null"}], "items": {"type": "string"}}, [[None, "a"]], [["a"], [None, 1]]),
        ({"contains": {"const": 1}, "minContains": 2, "maxContains": 2}, [[1, 1, 0]], [[1], [1, 1, 1]]),
        ({"properties": {"a": {"type": "null"}}, "additionalProperties": False}, [{}, {"a": None}], [{"a": 1}, {"b": 1}]),
        ({"patternProperties": {"^x": {"type": "null"}}, "additionalProperties": {"type": "string"}}, [{"x1": None, "y": ""}], [{"x1": ""}, {"y": None}]),
        ({"propertyNames": {"maxLength": 1}}, [{"a": 1}], [{"ab": 1}]),
        ({"dependentRequired": {"a": ["b"]}}, [{"b": 1}, {"a": 1, "b": 1}], [{"a": 1}]),
        ({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}}, [{"c": 1, "d": 1}], [{"a": 1}, {"c": 1}]),
        ({"dependentSchemas": {"a": {"minProperties": 2}}}, [{"b": 1}, {"a": 1, "b": 2}], [{"a": 1}]),
        ({"if": {"type": "string"}, "then": {"minLength": 1}, "else": {"type": "null"}}, ["a", None], ["", 1]),
        ({"oneOf": [{"type": "integer"}, {"minimum": 5}]}, [1, 5.5], [5, 1.5]),
        ({"not": {"type": "null"}}, [0], [None]),
        ({"allOf": [{"properties": {"a": True}}], "properties": {"b": True}, "unevaluatedProperties": False}, [{"a": 1, "b": 1}], [{"c": 1}]),
        ({"if": {"required": ["k"], "properties": {"k": {"const": 1}}}, "then": {"properties": {"x": True}}, "unevaluatedProperties": False}, [{"k": 1, "x": 1}], [{"x": 1}]),
        ({"anyOf": [{"prefixItems": [True]}, {"contains": {"const": 7}}], "unevaluatedItems": False}, [[1], [1, 7]], [[1, 2]]),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}}, [[], [[[]]]], [[[1]]]),
        (False, [], [None]),
    ],
)  # fmt: skip
def test_keywords_are_validated(schema: Any, good: list[Any], bad: list[Any]) -> None:
    """FIT-2.1: Each keyword accepts conforming values only; equality is that of JSON."""
    assert [value for value in good if not conforms(value, read(encoded(schema)))] == []
    assert [value for value in bad if conforms(value, read(encoded(schema)))] == []


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {
            "$defs": {str(n): {"anyOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(60)}
            | {"60": False},
            "$ref": "#/$defs/0",
        },
        {
            "$defs": {str(n): {"$ref": f"#/$defs/{n + 1}"} for n in range(2000)} | {"2000": True},
            "$ref": "#/$defs/0",
        },
        {"unevaluatedProperties": False, "allOf": [{"$ref": "#"}]},
        {"pattern": "^(a+)+$"},
        {"pattern": "^a*a*a*a*a*a*a*a*c"},
        {"pattern": "(?=(a|b|ab)*c)"},
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_validation_is_bounded(schema: Any) -> None:
    """FIT-2.1: Recursive and exponential schemas are validated within bounds."""
    for value in ({"a": 1}, "a" * 60 + "b", "a" * 9000, [1]):
        assert conforms(value, read(encoded(schema))) in (True, False)
