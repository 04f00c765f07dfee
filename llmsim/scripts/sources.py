"""Decoders of scripts: JSON, TOML or YAML become plain values, each with its line.

Decisions:
* Every format is limited to JSON values, because the arguments of a call are sent as JSON: no dates, no infinity.
* A duplicate key is a mistake in all three formats, also where the format itself would use the last one.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

from llmsim.errors import ScriptError
from llmsim.json_source import TOO_DEEP, JsonError, parse_json
from llmsim.toml_source import DEEPEST, FindLines, KeyPath, TomlError, parse_toml

ScriptFormat = Literal["json", "toml", "yaml"]

FORMS: tuple[ScriptFormat, ...] = get_args(ScriptFormat)

MOST_BYTES: Mapping[ScriptFormat, int] = {"json": 1 << 20, "toml": 1 << 18, "yaml": 1 << 18}
"""Most bytes of a script; less for the slower parsers, which are written in Python."""


class Source(msgspec.Struct, frozen=True):
    """A decoded script.

    Attributes:
        value: A JSON value: dict, list, str, int, float, bool or None.
        find_lines: Finds the line of each value; some may be missing, in TOML those of values inside of another one.
        problems: Path and message of each wrong value or key.
    """

    value: Any
    find_lines: FindLines
    problems: tuple[tuple[KeyPath, str], ...] = ()


class MalformedError(Exception):
    """The text is malformed.

    Attributes:
        line: Line of the mistake; None if that is not known.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        """Carry the message and the line."""
        super().__init__(message)
        self.line = line


def load(data: bytes, form: ScriptFormat, name: str) -> Source:
    """Decode a script.

    Args:
        data: The script.
        form: Its format.
        name: Its name in messages.

    Raises:
        ScriptError: It is too large, not UTF-8, or malformed.
    """
    try:
        if len(data) > MOST_BYTES[form]:
            raise MalformedError(
                f"{len(data):,} bytes are too many; a script has at most {MOST_BYTES[form]:,}"
            )
        text = data.decode("utf-8-sig")
        value, find_lines, problems = _READERS[form](text)
        problems += _non_json(value)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScriptError((f"{name}:{line}: not UTF-8 text: {error.reason}",)) from None
    except RecursionError:
        raise ScriptError((f"{name}: {TOO_DEEP}",)) from None
    except MalformedError as error:
        path = name if error.line is None else f"{name}:{error.line}"
        raise ScriptError((f"{path}: {error}",)) from None
    return Source(value, find_lines, tuple(problems))


DecodedText = tuple[Any, FindLines, list[tuple[KeyPath, str]]]
"""A value, what finds the lines of its parts, and its problems."""

TWICE = "given twice"
"""The message about a duplicate key."""


def _read_json(text: str) -> DecodedText:
    try:
        value, find_lines, repeated = parse_json(text)
    except JsonError as error:
        raise MalformedError(str(error), error.line) from None
    return value, find_lines, [(path, TWICE) for path in repeated]


def _read_toml(text: str) -> DecodedText:
    try:
        value, find_lines = parse_toml(text)
    except TomlError as error:
        raise MalformedError(str(error), error.line) from None
    return value, find_lines, []


def _read_yaml(text: str) -> DecodedText:
    # PERF: 10 ms of the start of a server that reads no YAML.
    from llmsim.scripts.yaml_source import read_yaml

    return read_yaml(text)


def _non_json(root: Any) -> list[tuple[KeyPath, str]]:
    """Find values that JSON does not have."""
    problems: list[tuple[KeyPath, str]] = []
    _look_at(root, [], problems)
    return problems


def _look_at(value: Any, path: list[str | int], problems: list[tuple[KeyPath, str]]) -> None:
    if len(path) > DEEPEST:
        raise MalformedError(TOO_DEEP)
    match value:
        case None | bool():
            pass
        case str():
            if not _is_encodable(value):
                problems.append((tuple(path), "half a character: a surrogate without its other half"))
        case int():
            if not -(1 << 63) <= value < 1 << 64:
                problems.append((tuple(path), "a whole number of more than 64 bits"))
        case float():
            if not math.isfinite(value):
                problems.append((tuple(path), f"wanted a finite number, found {value}"))
        case list():
            for index, item in enumerate(value):
                _look_at(item, [*path, index], problems)
        case dict():
            for key, item in value.items():
                if not _is_encodable(key):
                    problems.append((tuple(path), "half a character in a key"))
                _look_at(item, [*path, key], problems)
        case _:
            problems.append((tuple(path), f"wanted a JSON value, found {value}; put it in quotes"))


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_READERS = {"json": _read_json, "toml": _read_toml, "yaml": _read_yaml}
