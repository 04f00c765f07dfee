"""TOML texts: read, with the line of each key, which the parser of the standard library does not give.

Decisions:
* Lines are found in a text that has been parsed without an error: what is not understood here has no line, and is no mistake.
* What stands inside of a list or of a table in braces has no line of its own: it has that of its key.
"""

import functools
import re
import tomllib
from collections.abc import Callable, Container, Mapping
from typing import Any

KeyPath = tuple[str | int, ...]
"""Keys and indices from the root to a value, e.g. `("rules", 3, "text")`."""

FindLines = Callable[[Container[KeyPath]], Mapping[KeyPath, int]]
"""Finds the lines of some values, counted from 1: a text without a mistake needs none, and all those of a long one take megabytes."""

DEEPEST = 64
"""Most parts of a key."""

_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_KEY = rf"{_PART}(?:[ \t]*+\.[ \t]*+{_PART})*+"
_PARTS = re.compile(_PART)
_HEADER = re.compile(rf"[ \t]*+(\[\[?)[ \t]*+({_KEY})[ \t]*+\]")
_SETTING = re.compile(rf"[ \t]*+({_KEY})[ \t]*+=")
_LONG_KEY = re.compile(rf"(?:(?<![A-Za-z0-9_-]){_PART}[ \t]*+\.[ \t]*+){{{DEEPEST}}}")
_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\.|""?(?!"))*+"{3,5}'
    r"|'''(?:[^']|''?(?!'))*+'{3,5}"
    r"""|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+'|#[^\n]*+|[\[\]{}\n]""",
    re.DOTALL,
)
"""What may hold brackets or ends of lines, and these."""


class TomlError(ValueError):
    """The text is no TOML.

    Attributes:
        line: Where, counted from 1; None if it is not known.
    """

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line


def parse_toml(text: str) -> tuple[dict[str, Any], FindLines]:
    """Parse a text; return its tables, and what finds the lines of their keys.

    Raises:
        TomlError: It is no TOML.
    """
    # NOTE: tomllib takes memory by the square of a dotted key's parts: 256 KiB of `a.a.a…` are 40 GB. The pattern does not
    # distinguish keys from texts; no text has so many words in a row, each followed by a full stop.
    if found := _LONG_KEY.search(text):
        raise TomlError(f"a key of more than {DEEPEST} parts", text.count("\n", 0, found.start()) + 1)
    try:
        value = tomllib.loads(text)
    except ValueError as error:
        place = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        message = str(error)[: place.start()] if place else str(error)
        raise TomlError(f"not TOML: {message}", int(place[1]) if place else None) from None
    return value, functools.partial(_find_lines, text)


def _find_lines(text: str, wanted: Container[KeyPath]) -> dict[KeyPath, int]:
    lines: dict[KeyPath, int] = {}
    elements: dict[KeyPath, int] = {}
    table: KeyPath = ()
    position, line = 0, 1
    while position < len(text):
        start = position
        if header := _HEADER.match(text, position):
            table = _resolve(_split(header[2]), elements, is_element=header[1] == "[[")
            if table in wanted:
                lines.setdefault(table, line)
            position = header.end()
        elif setting := _SETTING.match(text, position):
            path = table
            for part in _split(setting[1]):
                path = (*path, part)
                if path in wanted:
                    lines.setdefault(path, line)
            position = setting.end()
        position = _end_of_line(text, position)
        line += text.count("\n", start, position)
    return lines


def _resolve(parts: list[str], elements: dict[KeyPath, int], *, is_element: bool) -> KeyPath:
    """Return the path of a table by its header.

    Args:
        parts: The parts of its name.
        elements: How many elements each list of tables has so far.
        is_element: Whether it is a further element of such a list.
    """
    path: KeyPath = ()
    for number, part in enumerate(parts, 1):
        path = (*path, part)
        if is_element and number == len(parts):
            elements[path] = elements.get(path, 0) + 1
        if path in elements:
            path = (*path, elements[path] - 1)
    return path


def _split(key: str) -> list[str]:
    parts: list[str] = _PARTS.findall(key)
    return [next(iter(tomllib.loads(f"{part}=0"))) if part[0] in "\"'" else part for part in parts]


def _end_of_line(text: str, position: int) -> int:
    """Return where the line after the value at a position begins."""
    depth = 0
    for token in _TOKEN.finditer(text, position):
        match token[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case "\n" if depth <= 0:
                return token.end()
    return len(text)
