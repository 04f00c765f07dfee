"""The strict subset: what OpenAI refuses, with its messages."""

from collections.abc import Callable
from typing import Any

import pytest
from support.schemas import LINKED_LIST, MATH_REASONING, USER_INTERFACE, WEATHER, encoded

from llmsim.errors import SchemaError
from llmsim.json_schema.document import Schema, read
from llmsim.json_schema.strictness import check_items, check_object, check_strict

COMPLETE = "'required' is required to be supplied and to be an array including every key in properties."


def refusal(check: Callable[[Schema], None], schema: Any) -> str:
    with pytest.raises(SchemaError) as refused:
        check(read(encoded(schema)))
    return str(refused.value)


def closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@pytest.mark.parametrize("schema", [WEATHER, MATH_REASONING, USER_INTERFACE, LINKED_LIST, closed()])
def test_strict_schemas_pass(schema: Any) -> None:
    """FIT-2.3: The schemas of OpenAI's own guide are strict."""
    check_strict(read(encoded(schema)))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({}, "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'."),
        (True, "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'."),
        ({"type": "array"}, "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"array\"'."),
        ({"anyOf": [closed()]}, "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'."),
    ],
)
def test_the_root_is_an_object(schema: Any, message: str) -> None:
    """FIT-2.3: A schema that allows anything but an object is refused, strict or not."""
    assert refusal(check_object, schema) == refusal(check_strict, schema) == message


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (
            {"type": "object"},
            "In context=(), 'additionalProperties' is required to be supplied and to be false.",
        ),
        (
            closed(steps={"type": "object", "additionalProperties": {"type": "string"}}),
            "In context=('properties', 'steps'), 'additionalProperties' is required to be supplied and to be false.",
        ),
        (
            closed(a={"type": "string"}) | {"required": []},
            f"In context=(), {COMPLETE} Missing 'a'.",
        ),
        (
            closed() | {"required": ["b"]},
            f"In context=(), {COMPLETE} Extra required key 'b' supplied.",
        ),
        (
            closed(data={"allOf": [{"type": "string"}]}),
            "In context=('properties', 'data'), 'allOf' is not permitted.",
        ),
        (
            closed(a={"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
            "In context=('properties', 'a'), 'uniqueItems' is not permitted.",
        ),
        (closed() | {"anyOf": [closed()]}, "In context=(), 'anyOf' is not permitted."),
        (closed(a={"const": 5}), "In context=('properties', 'a'), schema must have a 'type' key."),
        (
            closed(a={"anyOf": [{"type": "null"}, {}]}),
            "In context=('properties', 'a', 'anyOf', '1'), schema must have a 'type' key.",
        ),
        (closed(a={"type": "array"}), "In context=('properties', 'a'), array schema missing items."),
        (
            closed(u={"type": "string", "format": "uri"}),
            "In context=('properties', 'u'), 'uri' is not a valid format.",
        ),
        (
            closed(x={"$ref": "#/$defs/x", "description": "d"}) | {"$defs": {"x": {"type": "string"}}},
            "context=('properties', 'x'), $ref cannot have keywords {'description'}.",
        ),
        (
            closed(x={"type": "string"}, y={"$ref": "#/properties/x"}),
            "In context=('properties', 'y'), reference can only point to definitions defined at the top level of the schema.",
        ),
        (
            closed() | {"$defs": {"x": {"type": "object"}}},
            "In context=('$defs', 'x'), 'additionalProperties' is required to be supplied and to be false.",
        ),
    ],
)
def test_schemas_that_are_not_strict_are_refused(schema: Any, message: str) -> None:
    """FIT-2.3: With OpenAI's message for the first problem in the document."""
    assert refusal(check_strict, schema) == message


@pytest.mark.parametrize(
    "keyword", ["oneOf", "not", "if", "patternProperties", "dependentRequired", "unevaluatedProperties"]
)
def test_keywords_outside_the_subset_are_refused(keyword: str) -> None:
    """FIT-2.3: The message names the keyword."""
    value: Any = {"oneOf": [closed()], "patternProperties": {}, "dependentRequired": {}}.get(keyword, {})

    assert (
        refusal(check_strict, closed() | {keyword: value}) == f"In context=(), {keyword!r} is not permitted."
    )


def test_levels_and_properties_are_counted() -> None:
    """FIT-2.3: A strict schema may have ten levels and 5000 properties."""
    schema: dict[str, Any] = closed(a={"type": "string"})
    for _ in range(9):
        schema = closed(a=schema)
    wide = closed(**{str(number): {"type": "null"} for number in range(5000)})

    check_strict(read(encoded(schema)))
    check_strict(read(encoded(wide)))
    assert refusal(check_strict, closed(a=schema)) == "11 levels of nesting exceeds limit of 10."
    assert refusal(check_strict, closed(a=wide)) == "5001 properties exceeds limit of 5000."


def test_arrays_of_tools_need_items() -> None:
    """FIT-2.3: An array without items is refused in a tool that is not strict, too."""
    schema = {"type": "object", "properties": {"paths": {"type": "array"}}}

    assert refusal(check_items, schema) == "In context=('properties', 'paths'), array schema missing items."
    check_items(read(encoded(MATH_REASONING)))
