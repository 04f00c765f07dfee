"""JSON texts: read, with the line of each value, and with the keys that are given twice, which parsers do not give.

Decisions:
* The text is parsed by the standard library first; lines and repeated keys are found in what it took.
"""

import json
import re
from collections.abc import Container, Iterator
from typing import Any, NamedTuple

import msgspec

from llmsim.toml_source import DEEPEST, FindLines, KeyPath

TOO_DEEP = f"nested too deep; at most {DEEPEST} levels"
"""The message about a text of more levels."""

HALF_CHARACTER = "half a character: a surrogate without its other half"
"""The message about a text that cannot be encoded."""

_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
"""A bracket, or a text, which may hold some."""

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
        find_lines: Finds those of the values in it; of one that is repeated, the last.
        repeated: Paths of the values that are given a second time.
    """

    value: Any
    find_lines: FindLines
    repeated: list[KeyPath]


def parse_json(text: str) -> JsonSource:
    """Parse a text.

    Raises:
        JsonError: It is no JSON, or has more than `DEEPEST` levels.
    """
    repeats = False

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeats
        table = dict(pairs)
        repeats = repeats or len(table) < len(pairs)
        return table

    try:
        value = json.loads(text, object_pairs_hook=build)
    except json.JSONDecodeError as error:
        raise JsonError(f"not JSON: {error.msg} at column {error.colno}", error.lineno) from None
    except ValueError as error:
        raise JsonError(f"not JSON: {error}", None) from None
    except RecursionError:
        raise JsonError(TOO_DEEP, None) from None
    _check_depth(text)

    def find_lines(wanted: Container[KeyPath]) -> dict[KeyPath, int]:
        return {path: line for path, line in _find_paths(text) if path in wanted}

    return JsonSource(value, find_lines, _find_repeated(text) if repeats else [])


def _check_depth(text: str) -> None:
    depth = 0
    for found in _BRACKET.finditer(text):
        sign = found[0]
        if sign in "[{":
            if depth == DEEPEST:
                raise JsonError(TOO_DEEP, text.count("\n", 0, found.start()) + 1)
            depth += 1
        elif sign in "]}":
            depth -= 1


def _find_repeated(text: str) -> list[KeyPath]:
    repeated: list[KeyPath] = []
    known: set[KeyPath] = set()
    within: set[KeyPath] = set()
    for path, _ in _find_paths(text):
        if path in known:
            # Values inside a duplicate are duplicates, too, but no further mistakes.
            if path[:-1] not in within:
                repeated.append(path)
            within.add(path)
        known.add(path)
    return repeated


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
            inside.append(sign)
            path.append(0 if sign == "[" else "")
            is_key = sign == "{"
