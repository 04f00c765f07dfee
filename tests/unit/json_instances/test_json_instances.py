"""Instances: they conform to any schema, and they are repeatable."""

import json
import random
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.judges import problems_of
from support.schemas import PATTERNS, REAL, SCHEMAS, TOOLS, encoded

from llmsim.json_instances.making import instance, json_instance
from llmsim.json_schema.document import read
from llmsim.json_schema.validation import conforms

SEEDS = st.integers(0, 2**32)
MESSAGES = st.sampled_from(
    [
        "",
        "What's the weather in New York?",
        "add 2 and 3",
        'send "hi" to bob@acme.com on 2025-01-31',
        "été à Paris",
        "42",
    ]
)
LENIENT = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)


@LENIENT
@given(SCHEMAS, MESSAGES, SEEDS)
def test_the_text_is_an_instance(schema: Any, message: str, seed: int) -> None:
    """FIT-2.1: A generated text conforms to its schema, according to jsonschema."""
    text = json_instance(encoded(schema), message, random.Random(seed))

    assert problems_of(json.loads(text), schema) == []


@LENIENT
@given(TOOLS, MESSAGES, SEEDS)
def test_arguments_are_an_instance(schema: Any, message: str, seed: int) -> None:
    """FIT-1.6: Arguments conform to the schema of their tool."""
    made = json.loads(json_instance(encoded(schema), message, random.Random(seed)))

    assert isinstance(made, dict)
    assert problems_of(made, schema) == []


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(
    "message", ["", "A paid invoice over 120 by transfer for bob@acme.com in Berlin, due 2025-03-04"]
)
def test_schemas_of_real_clients_have_instances(name: str, message: str) -> None:
    """FIT-2.1: Schemas as pydantic, zod and the guides write them have instances, under every seed."""
    for seed in range(60):
        made = instance(read(encoded(REAL[name])), message, random.Random(seed))

        assert problems_of(made, REAL[name]) == []


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_are_matched(pattern: str) -> None:
    """FIT-2.1: Classes, groups, alternatives, repeats, anchors and back-references are supported."""
    schema = {"type": "string", "pattern": pattern}
    for seed in range(60):
        assert problems_of(instance(read(encoded(schema)), "", random.Random(seed)), schema) == []


@pytest.mark.parametrize(
    ("pattern", "least", "most"),
    [
        ("^[a-z]+$", 40, 50),
        ("^a{2,}b*$", 30, 30),
        ("^\\d+(-\\d+)*$", 25, 60),
        ("^x", 20, 25),
        ("x$", 20, 25),
        ("^[A-Z][a-z]*$", 1, 1),
        ("^(ab|c)*$", 10, 12),
        ("^(a|b)*$", 0, 1),
    ],
)
def test_patterns_and_lengths_hold_together(pattern: str, least: int, most: int) -> None:
    """FIT-2.1: A text has the required pattern and length."""
    schema = {"type": "string", "pattern": pattern, "minLength": least, "maxLength": most}
    for seed in range(30):
        assert problems_of(instance(read(encoded(schema)), "", random.Random(seed)), schema) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "minimum": 1e300},
        {"type": "number", "exclusiveMinimum": 0.1, "exclusiveMaximum": 0.10000000001},
        {"type": "number", "minimum": -1.7e308, "maximum": 1.7e308},
        {"type": "integer", "minimum": 10**18, "maximum": 10**18 + 3},
        {"type": "integer", "minimum": 0.5, "maximum": 1.5},
        {"type": "integer", "exclusiveMinimum": 6, "exclusiveMaximum": 8},
        {"type": "integer", "multipleOf": 9973},
        {"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 1},
        {"type": "number", "multipleOf": 0.1, "minimum": 10, "maximum": 11},
        {"type": "integer", "multipleOf": 2.0, "minimum": 3, "maximum": 5},
        {"allOf": [{"type": "number", "multipleOf": 4}, {"multipleOf": 6, "minimum": 13}]},
        {"type": "number", "maximum": -5},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    ],
)
def test_numbers_keep_their_bounds(schema: Any) -> None:
    """FIT-2.1: Bounds and multiples hold at any magnitude."""
    for seed in range(30):
        assert problems_of(instance(read(encoded(schema)), "5 of 7.5", random.Random(seed)), schema) == []


@pytest.mark.parametrize(
    "bounds",
    [
        {"minimum": -(2**53 - 1), "maximum": 2**53 - 1},
        {"minimum": -(2**31), "maximum": 2**31 - 1},
        {"minimum": 0, "maximum": 2**32 - 1},
        {"exclusiveMinimum": 0, "maximum": 2**53 - 1},
    ],
)
def test_bounds_of_a_type_are_none(bounds: dict[str, int]) -> None:
    """FIT-2.6: A number is as small as without the bounds that zod and others write for each integer."""
    schema = {"type": "integer"} | bounds
    for seed in range(30):
        assert 0 <= instance(read(encoded(schema)), "", random.Random(seed)) <= 100


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 2},
        {"type": "array", "items": {"enum": [1, 2, 3, 4, 5]}, "uniqueItems": True, "minItems": 5},
        {
            "type": "array",
            "items": {"type": "integer", "minimum": 1, "maximum": 6},
            "uniqueItems": True,
            "minItems": 6,
        },
        {
            "type": "array",
            "items": {"type": "integer"},
            "contains": {"minimum": 500, "type": "integer"},
            "minContains": 2,
        },
        {
            "type": "object",
            "properties": {"a": {"type": "string"}},
            "unevaluatedProperties": False,
            "minProperties": 1,
        },
        {
            "type": "object",
            "allOf": [{"properties": {"a": True}, "required": ["a"]}],
            "unevaluatedProperties": False,
        },
        {
            "type": "object",
            "properties": {"country": {"enum": ["US", "CA"]}, "code": {"type": "string"}},
            "required": ["country", "code"],
            "if": {"properties": {"country": {"const": "US"}}},
            "then": {"properties": {"code": {"pattern": "^\\d{5}$"}}},
            "else": {"properties": {"code": {"pattern": "^[A-Z]\\d[A-Z]$"}}},
        },
        {
            "anyOf": [{"type": "object", "required": ["a"]}, {"type": "object", "required": ["b"]}],
            "properties": {"a": {"type": "null"}},
        },
        {"allOf": [{"anyOf": [{"const": 1}, {"const": 2}]}, {"anyOf": [{"const": 2}, {"const": 3}]}]},
        {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 5}]},
        {"type": "string", "enum": ["a", "bb", "ccc"], "minLength": 2},
        {"nullable": True, "type": "integer", "not": {"type": "null"}},
        {"type": "object", "additionalProperties": {"$ref": "#"}},
        {"$defs": {"a/b~c %": {"const": 5}}, "$ref": "#/$defs/a~1b~0c%20%25"},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 0},
        {"type": "object", "properties": {"a": {"not": {}}, "b": {"type": "integer"}}, "required": ["b"]},
        {
            "type": "object",
            "propertyNames": {"enum": ["u", "v"]},
            "minProperties": 2,
            "additionalProperties": {"type": "integer"},
        },
        {
            "dependentRequired": {"a": ["b"], "b": ["c"]},
            "type": "object",
            "properties": {"a": {}, "b": {}, "c": {}},
            "minProperties": 1,
        },
    ],
    ids=lambda schema: " ".join(schema),
)
def test_keywords_hold_together(schema: Any) -> None:
    """FIT-2.1: The requirements of several keywords hold at once."""
    for seed in range(40):
        assert problems_of(instance(read(encoded(schema)), "", random.Random(seed)), schema) == []


@pytest.mark.parametrize("message", ["", "hello", "Paris, 5"])
def test_without_a_schema_it_is_an_object(message: str) -> None:
    """FIT-2.2: Without a schema the text is a JSON object."""
    made = json.loads(json_instance(b"", message, random.Random(7)))

    assert isinstance(made, dict)
    assert made


@LENIENT
@given(SCHEMAS, MESSAGES, SEEDS)
def test_a_seed_repeats_the_instance(schema: Any, message: str, seed: int) -> None:
    """FIT-5.1: The same seed gives the same text, whatever was generated in between."""
    first = json_instance(encoded(schema), message, random.Random(seed))
    json_instance(encoded(schema), "another message", random.Random(seed + 1))

    assert json_instance(encoded(schema), message, random.Random(seed)) == first


def test_other_seeds_give_other_texts() -> None:
    """FIT-5.1: Everything else than schema and message is drawn at random."""
    written = {json_instance(encoded(REAL["pydantic"]), "", random.Random(seed)) for seed in range(20)}

    assert len(written) > 15


def test_members_have_the_order_of_the_schema() -> None:
    """FIT-2.1: Members have the order of the schema; the text is compact and not escaped."""
    schema = {
        "type": "object",
        "properties": {"z": {"const": "é"}, "a": {"const": 1.5}},
        "required": ["a", "z"],
    }

    assert json_instance(encoded(schema), "", random.Random(1)) == '{"z":"é","a":1.5}'


def test_optional_members_are_mostly_given() -> None:
    """FIT-2.1: An optional member is generated more often than not, and not always."""
    schema = read(encoded({"type": "object", "properties": {"note": {"type": "string"}}}))
    given_ = sum("note" in instance(schema, "", random.Random(seed)) for seed in range(400))

    assert 200 < given_ < 350


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "array",
            "minItems": 10**9,
            "items": {"type": "array", "minItems": 10**9, "items": {"type": "string"}},
        },
        {"type": "string", "minLength": 10**12},
        {"type": "object", "minProperties": 10**9},
        {"type": "string", "pattern": "^(a{1000}){1000}$"},
        {"type": "string", "pattern": "^(a+)+$", "examples": ["a" * 40 + "!"]},
        {"enum": ["a" * 40 + "!"], "pattern": "^(a+)+$"},
        {
            "type": "object",
            "properties": {"query": {"type": "string", "pattern": "a*a*a*a*a*a*!"}},
            "required": ["query"],
        },
        {"type": "object", "properties": {"self": {"$ref": "#"}}, "required": ["self"]},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}]},
        {"not": {"$ref": "#"}},
        {"not": {}},
        False,
        {"enum": ["a"], "type": "integer"},
        {"allOf": [{"type": "string"}, {"type": "object"}]},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 6},
        {"type": "number", "multipleOf": 1e-300, "minimum": 1e300},
        {"type": "number", "multipleOf": 1e300, "minimum": 1},
        {"type": "string", "pattern": "^a$", "minLength": 5},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"type": "object", "required": [str(number) for number in range(20_000)]},
        {"type": "array", "uniqueItems": True, "items": {"const": 1}, "minItems": 5},
        {
            "$defs": {str(n): {"anyOf": [{"$ref": f"#/$defs/{n + 1}"}] * 2} for n in range(60)}
            | {"60": False},
            "$ref": "#/$defs/0",
        },
        {
            "$defs": {str(n): {"$ref": f"#/$defs/{n + 1}"} for n in range(2000)} | {"2000": {"const": 1}},
            "$ref": "#/$defs/0",
        },
        {
            "type": "object",
            "properties": {"a": {"enum": [f"{number} x" for number in range(30_000)]}},
            "required": ["a"],
        },
        {"anyOf": [{"anyOf": [{"type": "array", "items": {"$ref": "#"}, "minItems": 3}] * 5}] * 5},
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_impossible_and_endless_schemas_are_bounded(schema: Any) -> None:
    """FIT-2.1: The result is JSON of a bounded size, in a bounded time."""
    for message in ("Paris 5", "a" * 5000):
        text = json_instance(encoded(schema), message, random.Random(3))

        json.loads(text)
        assert len(text) < 2_000_000


def test_a_number_is_preferred_to_its_text() -> None:
    """FIT-2.1: A value that may be a number or a text, as pydantic's decimals, is a number."""
    schema = read(encoded({"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "null"}]}))
    made = [instance(schema, "a text", random.Random(seed)) for seed in range(100)]

    assert {type(one) for one in made} == {float, type(None)}
    assert sum(one is None for one in made) < 40


def test_deep_schemas_are_followed_to_their_end() -> None:
    """FIT-2.1: Nested objects are generated as deep as in the schema."""
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(45):
        schema = {"type": "object", "properties": {"in": schema}, "required": ["in"]}
    read_ = read(encoded(schema))

    assert conforms(instance(read_, "", random.Random(1)), read_)


@pytest.mark.parametrize(
    ("member", "bounds"),
    [
        ({"type": "number"}, {"minimum": 0, "maximum": 1}),
        ({"type": "integer"}, {"exclusiveMinimum": 0, "multipleOf": 5}),
        ({"type": "string"}, {"pattern": r"^\d{5}$"}),
        ({"type": "string"}, {"minLength": 30, "maxLength": 40}),
        ({"type": "array", "items": {"type": "string"}}, {"minItems": 3, "maxItems": 4}),
    ],
)
@pytest.mark.parametrize("before", ["", "What it is.\n\n"])
def test_bounds_in_a_description_hold(member: dict[str, Any], bounds: dict[str, Any], before: str) -> None:
    """FIT-2.5: As appended by the Anthropic SDK, for any message; other keywords beside them are ignored."""
    appended = ", ".join(f"{key}: {value}" for key, value in {**bounds, "default": None, "x": "a: b"}.items())
    schema = {
        "type": "object",
        "properties": {"score": {**member, "description": before + "{" + appended + "}"}},
        "required": ["score"],
    }
    for seed in range(20):
        made = json.loads(json_instance(encoded(schema), "I rate 12.5 and 7", random.Random(seed)))
        assert problems_of(made["score"], {**member, **bounds}) == []


def test_an_address_with_a_pattern_is_plausible() -> None:
    """FIT-2.1: Zod sends both for an email; the address is not generated from the pattern."""
    pattern = (
        r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
    )
    schema = {"type": "string", "format": "email", "pattern": pattern}

    assert json.loads(json_instance(encoded(schema), "", random.Random(7))).endswith("@example.com")


def test_bounds_in_words_hold() -> None:
    """FIT-2.5: As appended by the AI SDK, at the end of a line."""
    schema = {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "description": "exclusive minimum: 2; maximum: 4; multiple of: 2."},
            "id": {"type": "string", "description": "Its id.\npattern: ^[A-Z]{3}-\\d+$."},
        },
        "required": ["n", "id"],
    }
    for seed in range(20):
        made = json.loads(json_instance(encoded(schema), "I rate 12 and 7", random.Random(seed)))
        assert made["n"] == 4
        assert re.fullmatch(r"[A-Z]{3}-\d+", made["id"])


@pytest.mark.parametrize(
    "description", ["{pattern: [a-}", "{minimum: many, minLength: -1}", "{see: below}", "{}"]
)
def test_other_descriptions_are_prose(description: str) -> None:
    """FIT-2.5: A description that only looks like bounds has no effect."""
    schema = {"type": "string", "description": description}

    assert isinstance(json.loads(json_instance(encoded(schema), "", random.Random(7))), str)


def test_a_keyword_has_precedence_over_a_description() -> None:
    """FIT-2.5: The bounds of the schema itself hold."""
    schema = {"type": "integer", "minimum": 50, "maximum": 60, "description": "{maximum: 3}"}

    assert 50 <= json.loads(json_instance(encoded(schema), "", random.Random(7))) <= 60


@pytest.mark.parametrize("bounds", [{}, {"maximum": 20}, {"minimum": -7}, {"minimum": 1e308}])
@pytest.mark.parametrize("step", [50, 0.5])
def test_unique_multiples(bounds: dict[str, Any], step: float) -> None:
    """FIT-2.1: More of them are required than are near the bounds."""
    item = {"type": "number", "multipleOf": step, **bounds}
    schema = {"type": "array", "items": item, "uniqueItems": True, "minItems": 5}
    made = json.loads(json_instance(encoded(schema), "", random.Random(0)))

    assert len(made) >= 5
    assert bounds.get("minimum") == 1e308 or problems_of(made, schema) == []
