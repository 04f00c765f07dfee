"""The complete part of a truncated JSON text.

Decisions:
* It is what the SDK makes of a stream that ends early: complete members and items, and no part of a truncated string.
  Source: anthropic SDK 2.14, lib/streaming/_messages.py, `partial_mode=True`.
"""

import re
from typing import Any

import orjson

from llmsim.budgets import json_problem


def parse_partial_object(text: str) -> dict[str, Any]:
    """Return the object of a JSON text, or the complete part of it if the text is truncated; empty if it is not an object."""
    try:
        encoded = text.encode()
        if json_problem(encoded):
            return {}
        value = orjson.loads(encoded)
    except UnicodeEncodeError:
        return {}
    except orjson.JSONDecodeError:
        value = _parse_complete_part(text)
    return value if isinstance(value, dict) else {}


_JSON_TOKEN = re.compile(
    r"""\s*(?:(?P<open>[{\[]) | (?P<close>[}\]]) | (?P<mark>[,:]) | (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<scalar>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\d.eE+-]) | true | false | null))""",
    re.VERBOSE | re.DOTALL,
)

_CLOSERS = {"{": "}", "[": "]"}


def _parse_complete_part(text: str) -> Any:
    closers: list[str] = []
    previous = ""
    kept, ending = 0, ""
    position = 0
    while (match := _JSON_TOKEN.match(text, position)) is not None:
        position = match.end()
        kind = str(match.lastgroup)
        token = match[kind]
        if kind == "open":
            closers.append(_CLOSERS[token])
        elif kind == "close" and (not closers or closers.pop() != token):
            break
        is_key = kind == "text" and previous != ":" and closers[-1:] == ["}"]
        if kind != "mark" and not is_key:
            kept, ending = position, "".join(reversed(closers))
        previous = token
        if not closers:
            break
    try:
        return orjson.loads(text[:kept] + ending)
    except orjson.JSONDecodeError:
        return None
