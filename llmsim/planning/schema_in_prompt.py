"""A JSON schema in a prompt's text: how libraries without `json_schema` use `json_object`.

Decisions:
* The last schema of the conversation counts: an object with `properties` that a message holds as JSON.
"""

import json
from collections.abc import Iterator, Sequence

from llmsim.budgets import json_problem, remembered
from llmsim.domain import Message
from llmsim.errors import SchemaError
from llmsim.json_schema.document import read

_MOST_CHARACTERS = 50_000
"""Characters of a text up to which it is searched."""

_MOST_STARTS = 64
"""Braces at which a schema is searched for."""

_decode = json.JSONDecoder().raw_decode


def find_schema(messages: Sequence[Message]) -> bytes:
    """Find the last schema in the texts of a conversation; empty if there is none."""
    for message in reversed(messages):
        for text in reversed(message.texts):
            if '"properties"' in text and len(text) <= _MOST_CHARACTERS and (found := _find(text)):
                return found
    return b""


@remembered(256, max_chars=8000)
def _find(text: str) -> bytes:
    return next((schema for value in _objects(text) if (schema := _as_schema(value))), b"")


def _objects(text: str) -> Iterator[object]:
    """Yield the JSON objects of a text, without those nested in another."""
    at = 0
    for _ in range(_MOST_STARTS):
        at = text.find("{", at)
        if at < 0:
            return
        try:
            value, at = _decode(text, at)
        except (ValueError, RecursionError):
            at += 1
        else:
            yield value


def _as_schema(value: object) -> bytes:
    if not isinstance(value, dict) or not isinstance(value.get("properties"), dict):
        return b""
    try:
        schema = json.dumps(value).encode()
        if json_problem(schema):
            return b""
        read(schema)
    except (SchemaError, RecursionError):
        return b""
    return schema
