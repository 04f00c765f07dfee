"""Parsing schemas: valid ones, invalid ones, and references."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judges import is_schema
from support.schemas import DEFINITIONS, REAL, SCHEMAS, encoded

from llmsim.errors import SchemaError
from llmsim.json_schema.document import MOST_CACHED_BYTES, MOST_LEVELS, read
from llmsim.json_schema.keywords import ONE_SCHEMA, SCHEMA_LISTS, SCHEMA_NAMES, keyword_problem
from llmsim.json_schema.validation import conforms


@given(SCHEMAS)
def test_valid_schemas_are_accepted(schema: Any) -> None:
    """FIT-2.1: Every schema of the usual keywords is accepted."""
    assert read(encoded(schema)).document == schema


@pytest.mark.parametrize("name", REAL)
def test_schemas_of_real_clients_are_accepted(name: str) -> None:
    """FIT-2.1: Schemas of pydantic, zod and the guides are accepted."""
    assert read(encoded(REAL[name])).document == REAL[name]


@pytest.mark.parametrize(
    ("schema", "context", "message"),
    [
        ([], (), "[] is not of type 'object', 'boolean'."),
        (None, (), "None is not of type 'object', 'boolean'."),
        ({"type": "banana"}, ("type",), "'banana' is not valid under any of the given schemas."),
        ({"type": []}, ("type",), "[] is not valid under any of the given schemas."),
        ({"type": [{}]}, ("type",), "[{}] is not valid under any of the given schemas."),
        ({"type": ["null", "null"]}, ("type",), "['null', 'null'] has non-unique elements."),
        ({"properties": {"x": {"type": "Boolean"}}}, ("properties", "x", "type"), "'Boolean' is not valid under any of the given schemas."),
        ({"properties": []}, ("properties",), "[] is not of type 'object'."),
        ({"properties": {"x": 5}}, ("properties", "x"), "5 is not of type 'object', 'boolean'."),
        ({"properties": {"x": {"required": True}}}, ("properties", "x", "required"), "True is not of type 'array'."),
        ({"required": [1]}, ("required",), "1 is not of type 'string'."),
        ({"required": ["a", "a"]}, ("required",), "['a', 'a'] has non-unique elements."),
        ({"enum": []}, ("enum",), "[] should be non-empty."),
        ({"enum": {}}, ("enum",), "{} is not of type 'array'."),
        ({"minimum": "1"}, ("minimum",), "'1' is not of type 'number'."),
        ({"exclusiveMinimum": True}, ("exclusiveMinimum",), "True is not of type 'number'."),
        ({"multipleOf": 0}, ("multipleOf",), "0 is less than or equal to the minimum of 0."),
        ({"minLength": -1}, ("minLength",), "-1 is less than the minimum of 0."),
        ({"minLength": 1.5}, ("minLength",), "1.5 is not of type 'integer'."),
        ({"maxItems": None}, ("maxItems",), "None is not of type 'integer'."),
        ({"uniqueItems": "yes"}, ("uniqueItems",), "'yes' is not of type 'boolean'."),
        ({"pattern": "["}, ("pattern",), "'[' is not a 'regex'."),
        ({"pattern": r"\p{L}"}, ("pattern",), r"'\\p{L}' is not a 'regex'."),
        ({"pattern": "a{99999999999}"}, ("pattern",), "'a{99999999999}' is not a 'regex'."),
        ({"patternProperties": {"(": {}}}, ("patternProperties",), "'(' is not a 'regex'."),
        ({"anyOf": {}}, ("anyOf",), "{} is not of type 'array'."),
        ({"allOf": []}, ("allOf",), "[] should be non-empty."),
        ({"oneOf": [{}, 1]}, ("oneOf", "1"), "1 is not of type 'object', 'boolean'."),
        ({"items": "string"}, ("items",), "'string' is not of type 'object', 'array', 'boolean'."),
        ({"items": [1]}, ("items", "0"), "1 is not of type 'object', 'boolean'."),
        ({"not": []}, ("not",), "[] is not of type 'object', 'boolean'."),
        ({"additionalProperties": None}, ("additionalProperties",), "None is not of type 'object', 'boolean'."),
        ({"dependentRequired": {"a": "b"}}, ("dependentRequired",), "'b' is not of type 'array'."),
        ({"dependencies": {"a": 5}}, ("dependencies", "a"), "5 is not of type 'object', 'boolean'."),
        ({"$defs": {"a": 1}}, ("$defs", "a"), "1 is not of type 'object', 'boolean'."),
        ({"$ref": 5}, ("$ref",), "5 is not of type 'string'."),
        ({"description": 5}, ("description",), "5 is not of type 'string'."),
        ({"$ref": "#/examples/0", "examples": [{"type": 1}]}, ("$ref", "type"), "1 is not valid under any of the given schemas."),
    ],
)  # fmt: skip
def test_invalid_schemas_are_refused(schema: Any, context: tuple[str, ...], message: str) -> None:
    """FIT-2.3: With OpenAI's message and the path of the problem."""
    with pytest.raises(SchemaError) as refused:
        read(encoded(schema))

    assert (refused.value.context, str(refused.value)) == (context, message)


@pytest.mark.parametrize(
    "reference",
    ["#/$defs/none", "other.json", "#none", "#/type/0", "#/anyOf/7", "#/anyOf/x", "https://a.example/b"],
)
def test_dangling_references_are_refused(reference: str) -> None:
    """FIT-2.3: A reference without a target in the schema is refused, and nothing is fetched."""
    with pytest.raises(SchemaError) as refused:
        read(encoded({"type": "object", "anyOf": [{}], "properties": {"a": {"$ref": reference}}}))

    assert str(refused.value) == (
        f"In context=('properties', 'a'), reference to component {reference!r} which was not found in the schema."
    )


@pytest.mark.parametrize(
    "text", [b"", b"{", b"nul", b"\xff", b'"\\ud800"', b"1e999", b"[" * 100_000 + b"]" * 100_000]
)
def test_invalid_json_is_refused(text: bytes) -> None:
    """FIT-2.3: Bytes that are not JSON are not a schema."""
    with pytest.raises(SchemaError):
        read(text)


@pytest.mark.parametrize("keyword", ["properties", "allOf", "items", "not"])
def test_nesting_is_bounded(keyword: str) -> None:
    """FIT-2.3: Schemas may be nested up to a limit."""
    wrap = {
        "properties": lambda inner: {"properties": {"a": inner}},
        "allOf": lambda inner: {"allOf": [inner]},
        "items": lambda inner: {"items": inner},
        "not": lambda inner: {"not": inner},
    }[keyword]
    schema: Any = {}
    for _ in range(MOST_LEVELS - 1):
        schema = wrap(schema)
    conforms({"a": [[{"a": 1}]]}, read(encoded(schema)))

    with pytest.raises(SchemaError, match="more than 100 levels of nesting"):
        read(encoded(wrap(schema)))


@pytest.mark.parametrize(
    "reference",
    ["#/$defs/word", "#/%24defs/word", "#named", "#/$defs/a~1b%20~0c", "word.json", "https://a.example/word.json", "#/components/schemas/Word",
     "#/anyOf/0", "https://a.example/word.json#"],
)  # fmt: skip
def test_references_are_resolved(reference: str) -> None:
    """FIT-2.1: Pointers with their escapes, anchors and ids of the same document are followed."""
    word = {"type": "integer"}
    schema = {
        "properties": {"it": {"$ref": reference}},
        "$defs": {
            "word": word,
            "a/b ~c": word,
            "anchor": {"$anchor": "named", **word},
            "id": {"$id": "https://a.example/word.json", **word},
        },
        "anyOf": [word, True],
        "components": {"schemas": {"Word": word}},
    }

    assert conforms({"it": 1}, read(encoded(schema)))
    assert not conforms({"it": "1"}, read(encoded(schema)))


def test_schemas_are_cached_unless_they_are_large() -> None:
    """FIT-2.1: The same bytes are parsed once, except for large ones, which would fill the memory."""
    small, large = encoded(REAL["zod"]), encoded({"description": "x" * MOST_CACHED_BYTES})

    assert read(small) is read(small)
    assert read(large) is not read(large)
    assert (read(small).is_small, read(large).is_small) == (True, False)


KEYWORDS = sorted(
    ONE_SCHEMA | SCHEMA_LISTS | SCHEMA_NAMES | {"type", "enum", "const", "required", "minimum", "multipleOf", "minLength", "pattern", "$ref",
    "dependentRequired", "uniqueItems", "format", "description", "$id", "$anchor", "examples", "default"}
)  # fmt: skip
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["#", "#/$defs/a", "string", "a", "(", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS) | st.sampled_from(["a", ""]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(JUNK)
def test_any_json_is_accepted_or_refused(schema: Any) -> None:
    """FIT-2.3: Any JSON is accepted as a schema or refused; nothing else happens."""
    refused = ""
    try:
        conforms({"a": [1, "a"]}, read(encoded(schema)))
    except SchemaError as error:
        refused = str(error)

    assert refused == "" or refused.endswith(".")


@given(st.sampled_from(KEYWORDS), JUNK)
def test_keywords_follow_the_standard(keyword: str, value: Any) -> None:
    """FIT-2.3: Exactly those values of a keyword are refused that violate the standard's own schema."""
    schema = {keyword: value, "$defs": DEFINITIONS} if keyword != "$defs" else {keyword: value}
    ours = True
    try:
        read(json.dumps(schema).encode())
    except SchemaError:
        ours = False
    theirs = is_schema(schema)

    if ours:
        # Keywords of drafts before 2020-12 are accepted, too; ids and anchors are only names.
        assert theirs or any(
            word in json.dumps(value) or word == keyword
            for word in ("items", "dependencies", "$id", "$anchor", "$ref")
        )
    elif theirs:
        # The standard does not check dangling references, empty lists of values and regular expressions.
        assert any(
            word in json.dumps(schema)
            for word in ("$ref", "enum", "pattern", "definitions", "contentSchema", "additionalItems")
        )
        assert keyword_problem(keyword, value) is None or keyword in (
            "enum",
            "pattern",
            "patternProperties",
            "definitions",
            "dependencies",
        )


def test_what_is_not_reached_takes_no_memory() -> None:
    """BUDG-3.4: The first of many wrong parts ends the check: less than 10 bytes for each other, besides its own."""
    schema = json.dumps({"type": "array", "prefixItems": [0] * 100_000}).encode()
    tracemalloc.start()
    try:
        with pytest.raises(SchemaError, match="0 is not of type"):
            read(schema)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 100_000 * 8 * 2
