"""JSON schemas: those of real clients, and hypothesis strategies that generate others."""

import json
from typing import Any

from hypothesis import strategies as st

WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
    },
    "required": ["location", "unit", "days"],
    "additionalProperties": False,
}

MATH_REASONING: dict[str, Any] = {
    "type": "object",
    "properties": {
        "steps": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"explanation": {"type": "string"}, "output": {"type": "string"}},
                "required": ["explanation", "output"],
                "additionalProperties": False,
            },
        },
        "final_answer": {"type": "string"},
    },
    "required": ["steps", "final_answer"],
    "additionalProperties": False,
}
"""From OpenAI's guide to structured outputs."""

USER_INTERFACE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "type": {
            "type": "string",
            "description": "The type of the UI component",
            "enum": ["div", "button", "header", "section", "field", "form"],
        },
        "label": {
            "type": "string",
            "description": "The label of the UI component, used for buttons or form fields",
        },
        "children": {"type": "array", "description": "Nested UI components", "items": {"$ref": "#"}},
        "attributes": {
            "type": "array",
            "description": "Arbitrary attributes for the UI component, suitable for any element",
            "items": {
                "type": "object",
                "properties": {
                    "name": {
                        "type": "string",
                        "description": "The name of the attribute, for example onClick or className",
                    },
                    "value": {"type": "string", "description": "The value of the attribute"},
                },
                "additionalProperties": False,
                "required": ["name", "value"],
            },
        },
    },
    "required": ["type", "label", "children", "attributes"],
    "additionalProperties": False,
}
"""From OpenAI's guide to structured outputs: a recursive schema."""

LINKED_LIST: dict[str, Any] = {
    "type": "object",
    "properties": {"linked_list": {"$ref": "#/$defs/linked_list_node"}},
    "$defs": {
        "linked_list_node": {
            "type": "object",
            "properties": {
                "value": {"type": "number"},
                "next": {"anyOf": [{"$ref": "#/$defs/linked_list_node"}, {"type": "null"}]},
            },
            "additionalProperties": False,
            "required": ["next", "value"],
        }
    },
    "additionalProperties": False,
    "required": ["linked_list"],
}
"""From OpenAI's guide to structured outputs: recursion through a definition."""

PYDANTIC: dict[str, Any] = {
    "$defs": {
        "Address": {
            "properties": {
                "street": {"title": "Street", "type": "string"},
                "postcode": {
                    "pattern": "^[A-Z]{1,2}\\d{1,2} ?\\d[A-Z]{2}$",
                    "title": "Postcode",
                    "type": "string",
                },
            },
            "required": ["street", "postcode"],
            "title": "Address",
            "type": "object",
        },
        "Card": {
            "properties": {
                "kind": {"const": "card", "title": "Kind", "type": "string"},
                "number": {
                    "maxLength": 19,
                    "minLength": 12,
                    "pattern": "^\\d+$",
                    "title": "Number",
                    "type": "string",
                },
            },
            "required": ["kind", "number"],
            "title": "Card",
            "type": "object",
        },
        "Transfer": {
            "properties": {
                "kind": {"const": "transfer", "title": "Kind", "type": "string"},
                "iban": {"pattern": "^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$", "title": "Iban", "type": "string"},
            },
            "required": ["kind", "iban"],
            "title": "Transfer",
            "type": "object",
        },
        "Status": {"enum": ["open", "paid", "cancelled"], "title": "Status", "type": "string"},
    },
    "properties": {
        "id": {"format": "uuid", "title": "Id", "type": "string"},
        "created": {"format": "date-time", "title": "Created", "type": "string"},
        "due": {
            "anyOf": [{"format": "date", "type": "string"}, {"type": "null"}],
            "default": None,
            "title": "Due",
        },
        "status": {"$ref": "#/$defs/Status", "default": "open"},
        "address": {"anyOf": [{"$ref": "#/$defs/Address"}, {"type": "null"}]},
        "payment": {
            "discriminator": {
                "mapping": {"card": "#/$defs/Card", "transfer": "#/$defs/Transfer"},
                "propertyName": "kind",
            },
            "oneOf": [{"$ref": "#/$defs/Card"}, {"$ref": "#/$defs/Transfer"}],
            "title": "Payment",
        },
        "total": {"exclusiveMinimum": 0, "multipleOf": 0.5, "title": "Total", "type": "number"},
        "tags": {"items": {"type": "string"}, "title": "Tags", "type": "array", "uniqueItems": True},
        "meta": {"additionalProperties": {"type": "integer"}, "title": "Meta", "type": "object"},
        "pair": {
            "maxItems": 2,
            "minItems": 2,
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "title": "Pair",
            "type": "array",
        },
        "email": {"format": "email", "title": "Email", "type": "string"},
    },
    "required": ["id", "created", "status", "address", "payment", "total", "pair", "email"],
    "title": "Invoice",
    "type": "object",
}
"""As pydantic writes a model with options, an enumeration, a discriminated union, a set, a mapping and a tuple."""

ZOD: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "$ref": "#/definitions/event",
    "definitions": {
        "event": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 1},
                "date": {"type": ["string", "null"]},
                "kind": {
                    "anyOf": [{"type": "string", "const": "online"}, {"type": "string", "const": "onsite"}]
                },
                "slots": {
                    "type": "array",
                    "items": {"type": "integer", "exclusiveMinimum": 0},
                    "minItems": 1,
                    "maxItems": 3,
                },
                "host": {"allOf": [{"$ref": "#/definitions/event/properties/name"}, {"maxLength": 40}]},
            },
            "required": ["name", "date", "kind", "slots", "host"],
            "additionalProperties": False,
        }
    },
}
"""As zod-to-json-schema writes a schema of draft 7."""

REAL = {
    "weather": WEATHER,
    "math_reasoning": MATH_REASONING,
    "user_interface": USER_INTERFACE,
    "linked_list": LINKED_LIST,
    "pydantic": PYDANTIC,
    "zod": ZOD,
}


def encoded(schema: Any) -> bytes:
    """Encode a schema as a client sends it."""
    return json.dumps(schema).encode()


PATTERNS = (
    "^[a-z]{3,8}$",
    "^[A-Z]{2}-\\d{4}$",
    "^#?([a-f0-9]{6}|[a-f0-9]{3})$",
    "^\\+?[1-9]\\d{1,14}$",
    "^(\\w+)-\\1$",
    "^[^@\\s]+@[^@\\s]+\\.[a-z]{2,}$",
    "\\d+\\.\\d+",
    "^(?:a|b)+?c*$",
    "^.{2,5}[!?]$",
    "^(?i:yes|no)$",
    "^\\S+ \\S+$",
    "[^a-zA-Z0-9 ]",
    "^(?!abc)[a-c]{3,}$",
    "[\\u0430-\\u044f]{2}",
)

FORMATS = (
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "uuid",
)
FORMATS += ("json-pointer", "regex")

NAMES = st.sampled_from(["a", "b", "city", "name", "date", "count", "query", "email", "items", "x-y", "été"])


@st.composite
def numbers(draw: st.DrawFn) -> dict[str, Any]:
    """Build a schema of numbers that some number conforms to."""
    schema: dict[str, Any] = {"type": draw(st.sampled_from(["integer", "number"]))}
    low = draw(st.integers(-(10**6), 10**6))
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + draw(st.integers(200, 10**6))
    if draw(st.booleans()):
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 3, 7, 10, 50, 0.5, 0.25]))
    return schema


@st.composite
def texts(draw: st.DrawFn) -> dict[str, Any]:
    """Build a schema of texts that some text conforms to."""
    schema: dict[str, Any] = {"type": "string"}
    match draw(st.sampled_from(["", "lengths", "pattern", "format", "default"])):
        case "lengths":
            schema["minLength"] = least = draw(st.integers(0, 60))
            schema["maxLength"] = least + draw(st.integers(0, 40))
        case "pattern":
            schema["pattern"] = draw(st.sampled_from(PATTERNS))
        case "format":
            schema["format"] = draw(st.sampled_from(FORMATS))
        case "default":
            schema["default"] = draw(st.sampled_from(["ab", 5, None]))
            schema["minLength"] = draw(st.integers(0, 4))
    return schema


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([0.5, 1.0, 2.0, -1.5])
    | st.sampled_from(["", "a", "ab", "Paris"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)

LEAVES = st.one_of(
    st.just(True),
    st.just({}),
    st.sampled_from(
        [
            {"type": "null"},
            {"type": "boolean"},
            {"type": ["string", "null"]},
            {"type": ["integer", "boolean"]},
        ]
    ),
    numbers(),
    texts(),
    st.builds(lambda value: {"const": value}, VALUES),
    st.builds(lambda values: {"enum": values}, st.lists(VALUES, min_size=1, max_size=4)),
)


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Build a schema of arrays that some array conforms to."""
    schema: dict[str, Any] = {"type": "array"}
    match draw(st.sampled_from(["items", "prefix", "contains", "unique", "old", "empty"])):
        case "items":
            schema["items"] = draw(inner)
            schema["minItems"] = least = draw(st.integers(0, 3))
            schema["maxItems"] = least + draw(st.integers(0, 3))
        case "prefix":
            schema["prefixItems"] = draw(st.lists(inner, min_size=1, max_size=3))
            schema["items"] = draw(st.just(False) | inner)
        case "contains":
            schema["contains"] = draw(inner)
            schema["minContains"] = draw(st.integers(0, 2))
        case "unique":
            schema["items"] = draw(
                numbers() | st.just({"type": "string"}) | st.just({"enum": [1, 2, "a", None]})
            )
            schema["uniqueItems"] = True
            schema["minItems"] = draw(st.integers(0, 4))
        case "empty":
            schema |= {"items": draw(inner), "maxItems": 0}
        case "old":
            schema["minItems"] = draw(st.integers(0, 2))
    return schema


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Build a schema of objects that some object conforms to."""
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    names = sorted(properties)
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if names:
        schema["required"] = draw(st.lists(st.sampled_from(names), unique=True))
    match draw(
        st.sampled_from(
            [
                "",
                "closed",
                "map",
                "names",
                "needs",
                "dependents",
                "patterns",
                "fewest",
                "closed whole",
                "if",
                "not",
            ]
        )
    ):
        case "closed":
            schema["additionalProperties"] = False
        case "closed whole":
            schema["unevaluatedProperties"] = False
        case "map":
            schema |= {"additionalProperties": draw(inner), "minProperties": draw(st.integers(0, 5))}
        case "names":
            schema = {"type": "object", "propertyNames": {"pattern": "^[a-z]{2,6}$"}, "minProperties": 2}
        case "needs" if len(names) > 1:
            schema["dependentRequired"] = {names[0]: names[1:]}
        case "dependents" if names:
            schema["dependentSchemas"] = {
                names[0]: {"required": ["more"], "properties": {"more": draw(inner)}}
            }
        case "patterns":
            schema = {
                "type": "object",
                "patternProperties": {"^x_[a-z]+$": draw(inner)},
                "additionalProperties": False,
            }
            schema["minProperties"] = draw(st.integers(0, 2))
        case "fewest" if names:
            schema["minProperties"] = draw(st.integers(0, len(names)))
            schema["maxProperties"] = len(names)
        case "if":
            schema["properties"] = {"kind": {"enum": ["one", "two"]}} | properties
            schema["if"] = {"properties": {"kind": {"const": "one"}}, "required": ["kind"]}
            schema["then"] = {"required": ["then"], "properties": {"then": draw(inner)}}
            schema["else"] = {"required": ["else"], "properties": {"else": draw(inner)}}
        case "not":
            schema["not"] = {"required": ["barred"]}
    return schema


@st.composite
def combinations(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Build a schema that combines others and that some value conforms to."""
    match draw(st.sampled_from(["anyOf", "oneOf", "allOf", "not", "ref", "nested"])):
        case "anyOf":
            return {"anyOf": draw(st.lists(inner, min_size=1, max_size=3))}
        case "oneOf":
            kinds = draw(st.permutations([{"type": "null"}, numbers(), texts(), {"type": "boolean"}]))
            return {
                "oneOf": [draw(kind) if isinstance(kind, st.SearchStrategy) else kind for kind in kinds[:3]]
            }
        case "allOf":
            first, second = draw(objects(inner)), draw(inner)
            return (
                {"allOf": [first, {"required": ["own"], "properties": {"own": second}}]}
                if _is_open(first)
                else first
            )
        case "not":
            return {
                "type": ["string", "integer", "null"],
                "not": draw(st.sampled_from([{"type": "null"}, {"const": "Paris"}, {"minimum": 50}])),
            }
        case "ref":
            return {"$ref": draw(st.sampled_from(["#/$defs/tree", "#/$defs/list", "#/$defs/word", "#named"]))}
    return {
        "type": "object",
        "properties": {"inner": {"anyOf": [draw(inner), {"$ref": "#/$defs/tree"}]}},
        "required": ["inner"],
    }


def _is_open(schema: dict[str, Any]) -> bool:
    closing = {
        "additionalProperties",
        "unevaluatedProperties",
        "maxProperties",
        "propertyNames",
        "patternProperties",
    }
    return schema.keys().isdisjoint(closing) and "own" not in schema["properties"]


DEFINITIONS: dict[str, Any] = {
    "tree": {
        "type": "object",
        "properties": {
            "value": {"type": "integer"},
            "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
        },
        "required": ["value", "children"],
        "additionalProperties": False,
    },
    "list": {
        "type": "object",
        "properties": {
            "head": {"$ref": "#/$defs/word"},
            "tail": {"anyOf": [{"$ref": "#/$defs/list"}, {"type": "null"}]},
        },
        "required": ["head", "tail"],
    },
    "word": {"$anchor": "named", "type": "string", "minLength": 2, "maxLength": 30},
}

INNER: st.SearchStrategy[Any] = st.recursive(
    LEAVES, lambda inner: arrays(inner) | objects(inner) | combinations(inner), max_leaves=8
)

SCHEMAS = INNER.map(lambda schema: (schema if isinstance(schema, dict) else {}) | {"$defs": DEFINITIONS})
"""Schemas that some value conforms to."""

TOOLS = objects(INNER).map(lambda schema: schema | {"$defs": DEFINITIONS})
"""Schemas of tool arguments."""
