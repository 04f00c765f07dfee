"""JSON texts: read, with the line of each value, and with the keys that are given twice, which parsers do not give.

Decisions:
* The text is parsed by the standard library first; lines are found in what it took.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from llmsim.toml_source import DEEPEST, KeyPath

TOO_DEEP = f"nested too deep; at most {DEEPEST} levels"
"""The message about a text of more levels."""

HALF_CHARACTER = "half a character: a surrogate without its other half"
"""The message about a text that cannot be encoded."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


class JsonError(ValueError):
    """The text is no JSON, or nested too deep.

    Attributes:
        line: Where, counted from 1; None if it is not known.
    """

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line


class JsonSource(NamedTuple):
    """A text as parsed.

    Attributes:
        value: The value.
        lines: Of each value in it, counted from 1.
        repeated: Paths of the values that are given a second time.
    """

    value: Any
    lines: dict[KeyPath, int]
    repeated: list[KeyPath]


def parse_json(text: str) -> JsonSource:
    """Parse a text.

    Raises:
        JsonError: It is no JSON, or has more than `DEEPEST` levels.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise JsonError(f"not JSON: {error.msg} at column {error.colno}", error.lineno) from None
    except ValueError as error:
        raise JsonError(f"not JSON: {error}", None) from None
    except RecursionError:
        raise JsonError(TOO_DEEP, None) from None
    lines: dict[KeyPath, int] = {}
    repeated: list[KeyPath] = []
    within: set[KeyPath] = set()
    for path, line in _find_paths(text):
        if path in lines:
            # Values inside a duplicate are duplicates, too, but no further mistakes.
            if path[:-1] not in within:
                repeated.append(path)
            within.add(path)
        lines[path] = line
    return JsonSource(value, lines, repeated)


def is_encodable(value: Any) -> bool:
    """Return whether every text in a value can be encoded: JSON has escapes for halves of characters."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return False
    return True


def _find_paths(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield the path and line of every value of valid JSON."""
    path: list[str | int] = []
    line, counted, is_key = 1, 0, False
    inside: list[str] = []
    for found in _TOKEN.finditer(text):
        sign = found[0]
        match sign:
            case ":":
                continue
            case ",":
                if inside[-1] == "[":
                    path[-1] = int(path[-1]) + 1
                is_key = inside[-1] == "{"
                continue
            case "]" | "}":
                inside.pop()
                path.pop()
                continue
        line += text.count("\n", counted, found.start())
        counted = found.start()
        if is_key:
            path[-1] = json.loads(sign)
            is_key = False
            continue
        yield tuple(path), line
        if sign in "[{":
            if len(inside) == DEEPEST:
                raise JsonError(TOO_DEEP, line)
            inside.append(sign)
            path.append(0 if sign == "[" else "")
            is_key = sign == "{"
