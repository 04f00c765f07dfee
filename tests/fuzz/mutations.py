"""Hostile variants of sound requests, as hypothesis strategies.

The sound requests are those of the golden files. A variant differs in a few places: another value, a missing or repeated member,
a schema that takes long. What JSON encoders do not write (numbers of any length, lone surrogates, deep nesting) is written verbatim.
"""

import functools
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

MOST_CHANGES = 3
SCHEMA_KEYS = frozenset(
    {"schema", "parameters", "input_schema", "parametersJsonSchema", "responseJsonSchema", "responseSchema"}
)


class Verbatim:
    """JSON as it is to be written; it need not be valid."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Verbatim({self.text[:60]!r}, {len(self.text)} characters)"


def encode(node: Any) -> bytes:
    """Encode a value that has verbatim parts."""
    return _text(node).encode("utf-8", "surrogatepass")


def _text(node: Any) -> str:
    match node:
        case Verbatim():
            return node.text
        case dict():
            return (
                "{" + ",".join(f"{json.dumps(str(key))}:{_text(value)}" for key, value in node.items()) + "}"
            )
        case list():
            return "[" + ",".join(map(_text, node)) + "]"
    return json.dumps(node)


NUMBERS = (
    *(0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30, 0.1, 1e308, -1e308, 5e-324),
    *map(
        Verbatim, ("1e400", "-0", "1E+2", "1e-400", "9" * 400, "9" * 4_200, "9" * 5_000, "0." + "3" * 2_000)
    ),
    *map(Verbatim, ("NaN", "Infinity", "-Infinity")),
)

TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "\x7f\x1b[2J",
        "\r\nx-injected: 1\r\n\r\n",
        "data: [DONE]\n\n",
        "\ufeff",
        "\u2028\u2029",
        "\uffff",
    ),
    *(
        "\u202egnp",
        "\u00b2\u0663",
        "e\u0301" * 300,
        "\U0001f469\u200d\U0001f467" * 50,
        "<|endoftext|>",
        "%s%n",
        "../../etc/passwd",
    ),
    *(
        "a" * 65,
        "a" * 513,
        "a" * 70_000,
        "\U0001f600" * 20_000,
        "[" * 5_000,
        "9" * 500,
        "exactly 999999999999 words",
    ),
    *map(
        Verbatim,
        ('"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', "'x'", "undefined", "[1,]", '{"a":1,"a":[]}', ""),
    ),
)

SMALL = (
    None,
    True,
    False,
    [],
    {},
    [None],
    [[]],
    {"": None},
    {"type": "x"},
    {"type": None},
    {"$ref": "#"},
    ["x"] * 200,
)

PATTERNS = (
    *(
        "(a+)+$",
        "(a|aa)+$",
        "((((a*)*)*)*)*b",
        "(?:a?){40}a{40}",
        "(.*.*.*.*.*)x",
        r"^(\w+\s?)*$",
        "(?=(a+))a*b",
        "(x+x+)+y",
    ),
    *(
        "(?i)" + "[!-\uffff]" * 300,
        "(?u)(?a)x",
        "(?a)(?u)x",
        "(?L)x",
        "(?P<n>a)(?P<n>b)",
        r"\1",
        "(?(1)a|b)",
        "(?<=a+)b",
        "[z-a]",
    ),
    *(
        "(",
        "a**",
        "a{5,1}",
        "a{99999999999}",
        "(?:a{1,65535}){1,65535}",
        r"\p{L}+",
        r"\N{x}",
        r"\x4",
        "(?#",
        "^\\d{1000}$",
        "(?!)",
    ),
    *("(" * 500 + "a" + ")" * 500, "a" * 20_000, "|".join(["ab"] * 5_000), "\x00", "(?>a+)a", "(?:)*", "$^"),
)


@st.composite
def nested(draw: st.DrawFn) -> Verbatim:
    """Draw a value that is nested deeply."""
    opened, closed = draw(
        st.sampled_from(
            (("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), ('{"items":', "}"), ('{"properties":{"a":', "}}"))
        )
    )
    depth = draw(st.sampled_from((30, 101, 199, 201, 255, 340, 520, 950, 1_100, 20_000)))
    return Verbatim(opened * depth + "{}" + closed * depth)


def values() -> st.SearchStrategy[Any]:
    """Draw any value that a request may hold where another was expected."""
    return st.one_of(
        st.sampled_from(NUMBERS),
        st.sampled_from(TEXTS),
        st.sampled_from(SMALL),
        nested(),
        st.text(max_size=20),
        schemas(),
    )


def _object(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}


def _chain(word: str, levels: int) -> dict[str, Any]:
    """Return a schema with two references to the next in each, so that it doubles with every level."""
    links = {f"d{at}": {word: [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(levels)}
    return {"$defs": links | {f"d{levels}": {"type": "string"}}, "$ref": "#/$defs/d0"}


def schemas() -> st.SearchStrategy[Any]:
    """Draw a schema that is laborious, contradictory or malformed, at times below a sound object."""
    patterns, numbers, counts = (
        st.sampled_from(PATTERNS),
        st.sampled_from(NUMBERS),
        st.sampled_from((0, 1, 50, 1_000, 10**6, 10**9, 2**63, 10**30)),
    )
    found = st.one_of(
        st.builds(lambda one, most: {"type": "string", "pattern": one, "minLength": most}, patterns, counts),
        st.builds(lambda one: {"type": "string", "enum": ["a" * 16, "x"], "pattern": one}, patterns),
        st.builds(
            lambda one, many: {"type": "object", "propertyNames": {"pattern": one}, "minProperties": many},
            patterns,
            counts,
        ),
        st.builds(
            lambda one: {
                "type": "object",
                "patternProperties": {one: {"type": "integer"}},
                "minProperties": 3,
            },
            patterns,
        ),
        st.builds(
            lambda low, high, step: {"type": "number", "minimum": low, "maximum": high, "multipleOf": step},
            numbers,
            numbers,
            numbers,
        ),
        st.builds(
            lambda low: {"type": "array", "items": {"enum": [0, 1]}, "minItems": low, "uniqueItems": True},
            counts,
        ),
        st.builds(
            lambda low: {
                "type": "array",
                "minItems": low,
                "items": {"type": "array", "minItems": low, "items": {}},
            },
            counts,
        ),
        st.builds(
            lambda low: {"type": "array", "contains": {"const": 1}, "minContains": low, "maxContains": 1},
            counts,
        ),
        st.builds(_chain, st.sampled_from(("anyOf", "oneOf", "allOf")), st.sampled_from((4, 12, 20))),
        st.builds(lambda value: {"const": value}, st.one_of(nested(), numbers)),
        st.builds(
            lambda value: {"enum": [value, value, 1.0, True]}, st.one_of(numbers, st.sampled_from(SMALL))
        ),
        st.builds(
            lambda text: {
                "type": "string",
                "description": f"{{pattern: {text[:500]}, minLength: 99999999999}}",
            },
            patterns,
        ),
        st.builds(
            lambda many: _object(**{f"p{at}": {"type": "integer"} for at in range(many)}),
            st.sampled_from((99, 4_000)),
        ),
        st.sampled_from(
            (
                *(
                    {"$ref": "#"},
                    {"not": {}},
                    {"allOf": [{"type": "string"}, {"type": "integer"}]},
                    True,
                    False,
                ),
                {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
                {
                    "$defs": {"n": _object(l={"$ref": "#/$defs/n"}, r={"$ref": "#/$defs/n"})},
                    "$ref": "#/$defs/n",
                },
                {
                    "if": {"type": "string"},
                    "then": {"minLength": 9},
                    "else": {"$ref": "#/nothing/~2/99999999999999999999"},
                },
                {"type": ["string", "null", "string"], "format": "x" * 1_000, "default": {}},
                {"type": "array", "prefixItems": [{}, {}], "unevaluatedItems": False, "minItems": 5},
            )
        ),
        nested(),
    )
    return st.one_of(found, st.builds(lambda one, other: _object(a=one, b=other), found, found))


Place = tuple[Any, ...]


def places(node: Any, at: Place = ()) -> list[Place]:
    """List the places of a value, outer ones first."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [at, *(found for key, value in inner for found in places(value, (*at, key)))]


def _replaced(node: Any, at: Place, change: Any) -> Any:
    if not at:
        return change(node)
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[at[0]] = _replaced(copy[at[0]], at[1:], change)
    return copy


@st.composite
def variants(draw: st.DrawFn, sound: list[Any]) -> bytes:
    """Draw a variant of one of several sound requests."""
    node = draw(st.sampled_from(sound))
    for _ in range(draw(st.integers(1, MOST_CHANGES))):
        known = places(node)
        schema_places = [at for at in known if at and at[-1] in SCHEMA_KEYS]
        if schema_places and draw(st.booleans()):
            schema = draw(schemas())
            node = _replaced(node, draw(st.sampled_from(schema_places)), lambda _, new=schema: new)
            continue
        at = draw(st.sampled_from(known))
        match draw(st.sampled_from(("value", "value", "value", "gone", "list", "object", "many"))):
            case "value":
                value = draw(values())
                node = _replaced(node, at, lambda _, new=value: new)
            case "gone" if at and isinstance(at[-1], str):
                node = _replaced(
                    node, at[:-1], lambda old, key=at[-1]: {k: v for k, v in old.items() if k != key}
                )
            case "list":
                node = _replaced(node, at, lambda old: [old])
            case "object":
                node = _replaced(node, at, lambda old: {"type": old, "text": old, "": old})
            case _:
                node = _replaced(node, at, lambda old: old * 40 if isinstance(old, list) else [old] * 40)
    data = encode(node)
    match draw(st.integers(0, 11)):
        case 0:
            return data[: draw(st.integers(0, len(data)))]
        case 1:
            cut = draw(st.integers(0, len(data)))
            return (
                data[:cut]
                + draw(st.sampled_from((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\x00", b"\n")))
                + data[cut:]
            )
    return data


@functools.cache
def sound_requests(folder: Path) -> list[Any]:
    """Read the requests of an endpoint's golden files, once: a file that changes meanwhile would change what was drawn before."""
    return [json.loads(path.read_bytes()) for path in sorted(folder.glob("*/request.json"))]
