"""What is laborious."""

import json
from typing import Any

import pytest

from llmsim.domain import Message, Prompt, ResponseFormat, Tool, ToolKind
from llmsim.planning.cost import is_laborious, is_long, is_long_step
from llmsim.scripts.reading import read

HELLO = (Message("user", ("Hello",)),)


def schema(**keywords: Any) -> bytes:
    return json.dumps({"type": "object", "properties": {"a": {"type": "string"}}} | keywords).encode()


def tool(content: bytes) -> Tool:
    return Tool(name="f", description="", schema=content, kind=ToolKind.FUNCTION)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, False),
        ({"stream": True, "seed": 1, "stop": ("a",), "limit": 5}, False),
        ({"choices": 2}, False),
        ({"tools": (tool(schema()),)}, False),
        ({"form": ResponseFormat(schema(), "n")}, False),
        ({"form": ResponseFormat()}, False),
        ({"logprobs": 5}, False),
        ({"choices": 100}, True),
        ({"logprobs": 20, "choices": 4}, True),
        ({"messages": HELLO * 500}, True),
        ({"tools": (tool(schema()), tool(schema(propertyNames={"pattern": "a+"})))}, True),
        ({"form": ResponseFormat(schema(properties={"a": {"type": "string", "pattern": "a+"}}), "n")}, True),
        ({"form": ResponseFormat(schema(minProperties=10**9), "n")}, True),
        ({"form": ResponseFormat(schema(properties={f"p{n}": {} for n in range(100)}), "n")}, True),
        ({"form": ResponseFormat(b'{"type":"string","\\u0070attern":"a+"}', "n")}, True),
        ({"form": ResponseFormat(), "messages": (Message("user", ('{"properties": {}}',)),)}, True),
    ],
    ids=range(16),
)
def test_laborious_requests(fields: dict[str, Any], expected: bool) -> None:
    """BUDG-5.1: What multiplies the work counts, however small the body; plain requests and common tools stay."""
    assert is_laborious(Prompt(**{"model": "m", "messages": HELLO} | fields)) is expected


def test_a_long_conversation_is_laborious() -> None:
    """BUDG-5.1: Also one that the request only continues."""
    assert not is_long(Prompt(model="m", messages=HELLO))
    assert is_long(Prompt(model="m", messages=(*HELLO, Message("user", ("x" * 40_000,)))))


def test_laborious_scripts() -> None:
    """BUDG-5.1: Patterns are searched, and long texts tokenized, in a thread."""
    turns = [
        {"type": "assistant", "text": "x" * 40_000, "expect": {"matches": "a+"}},
        {"type": "assistant", "text": "x", "expect": {"contains": "a"}},
        {"type": "assistant", "text": "x", "expect": {"tool_result": {"call": "c", "matches": "a"}}},
    ]
    script = read(json.dumps({"turns": turns}).encode(), "json", "s")
    steps = [script.at(cursor) for cursor in range(3)]

    assert [step is not None and is_long_step(step) for step in steps] == [True, False, False]
    assert [turn.expect is not None and turn.expect.has_patterns for turn in script.turns] == [
        True,
        False,
        True,
    ]
