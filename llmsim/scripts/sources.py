"""Scripts as they are written: JSON, TOML or YAML in bytes become plain values, each with its line.

Decisions:
* Every form ends in what JSON can say, for the arguments of a call are sent as JSON: no dates, no infinity.
* A key that is given twice is a mistake in all three forms, also where the form itself would take the last.
* YAML is read with the scalars of version 1.2: `no` is a text, `12:30` too. Tags and merge keys are refused. Nodes are
  counted as they are expanded, so that aliases of aliases cost no more than the limit.
* PERF: PyYAML's C parser is ten times as fast, and dies of a stack overflow on deep nesting. Theirs is not ours to risk.
"""

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import msgspec
import yaml

from llmsim.errors import ScriptError

ScriptFormat = Literal["json", "toml", "yaml"]

FORMS: tuple[ScriptFormat, ...] = get_args(ScriptFormat)

KeyPath = tuple[str | int, ...]
"""Keys and indices from the root to a value, e.g. `("turns", 3, "text")`."""

MOST_BYTES: Mapping[ScriptFormat, int] = {"json": 1 << 20, "toml": 1 << 18, "yaml": 1 << 18}
"""Bytes of a script. Parsers written in Python are slower, and may take as much."""

_DEEPEST = 64
_MOST_VALUES = 100_000


class Source(msgspec.Struct, frozen=True):
    """A script as it is written.

    Attributes:
        value: What JSON can say: dict, list, str, int, float, bool or None.
        lines: Line of a value, counted from 1; some may be missing, and in TOML all are.
        problems: What is wrong with single values, and with keys: place and words.
    """

    value: Any
    lines: Mapping[KeyPath, int]
    problems: tuple[tuple[KeyPath, str], ...] = ()


class _MalformedError(Exception):
    """The text is not of its form. Carries the words and the line."""

    def __init__(self, words: str, line: int | None = None) -> None:
        super().__init__(words)
        self.line = line


def load(data: bytes, form: ScriptFormat, name: str) -> Source:
    """Read plain values.

    Args:
        data: The script.
        form: How it is written.
        name: What it is called in messages.

    Raises:
        ScriptError: It is too large, not UTF-8, or not of its form.
    """
    try:
        if len(data) > MOST_BYTES[form]:
            raise _MalformedError(
                f"{len(data):,} bytes are too many; a script has at most {MOST_BYTES[form]:,}"
            )
        text = data.decode("utf-8-sig")
        value, lines, problems = _READERS[form](text)
        problems += _strange(value)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScriptError((f"{name}:{line}: not UTF-8 text: {error.reason}",)) from None
    except RecursionError:
        raise ScriptError((f"{name}: {_TOO_DEEP}",)) from None
    except _MalformedError as error:
        place = name if error.line is None else f"{name}:{error.line}"
        raise ScriptError((f"{place}: {error}",)) from None
    return Source(value, lines, tuple(problems))


_Read = tuple[Any, dict[KeyPath, int], list[tuple[KeyPath, str]]]

_TOO_DEEP = f"nested too deep; at most {_DEEPEST} levels"
_TWICE = "given twice"


def _read_json(text: str) -> _Read:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _MalformedError(f"not JSON: {error.msg} at column {error.colno}", error.lineno) from None
    except ValueError as error:
        raise _MalformedError(f"not JSON: {error}") from None
    lines: dict[KeyPath, int] = {}
    problems: list[tuple[KeyPath, str]] = []
    repeated: set[KeyPath] = set()
    for place, line in _json_places(text):
        # What is inside a value that is given twice is met twice as well, and is no second mistake.
        if place in lines and place[:-1] not in repeated:
            problems.append((place, _TWICE))
        if place in lines:
            repeated.add(place)
        lines[place] = line
    return value, lines, problems


_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def _json_places(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Give the place and line of every value of sound JSON."""
    place: list[str | int] = []
    line, counted, is_key = 1, 0, False
    inside: list[str] = []
    for found in _JSON_TOKEN.finditer(text):
        sign = found[0]
        match sign:
            case ":":
                continue
            case ",":
                if inside[-1] == "[":
                    place[-1] = int(place[-1]) + 1
                is_key = inside[-1] == "{"
                continue
            case "]" | "}":
                inside.pop()
                place.pop()
                continue
        line += text.count("\n", counted, found.start())
        counted = found.start()
        if is_key:
            place[-1] = json.loads(sign)
            is_key = False
            continue
        yield tuple(place), line
        if sign in "[{":
            if len(inside) == _DEEPEST:
                raise _MalformedError(_TOO_DEEP, line)
            inside.append(sign)
            place.append(0 if sign == "[" else "")
            is_key = sign == "{"


_LONG_KEY = re.compile(
    rf"""(?:(?:(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{_DEEPEST}}}"""
)


def _read_toml(text: str) -> _Read:
    # NOTE: tomllib takes memory by the square of a dotted key's parts: 256 KiB of `a.a.a…` are 40 GB. The pattern does not
    # tell keys from texts; no text has so many words in a row with a full stop behind each.
    if found := _LONG_KEY.search(text):
        raise _MalformedError(f"a key of more than {_DEEPEST} parts", text.count("\n", 0, found.start()) + 1)
    try:
        return tomllib.loads(text), {}, []
    except ValueError as error:
        found = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        words = str(error)[: found.start()] if found else str(error)
        raise _MalformedError(f"not TOML: {words}", int(found[1]) if found else None) from None


class _Scalars(yaml.SafeLoader):
    """Tells scalars apart as YAML 1.2 does in its core schema, infinity aside."""

    yaml_implicit_resolvers = {}


_TAG = "tag:yaml.org,2002:"
for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Scalars.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})$"), list(_first))


def _read_yaml(text: str) -> _Read:
    try:
        node = yaml.compose(text, Loader=_Scalars)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = ", ".join(filter(None, (error.context, error.problem)))
        raise _MalformedError(f"not YAML: {words}", mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _MalformedError(f"not YAML: {error.reason}", line) from None
    except (ValueError, OverflowError) as error:
        # NOTE: PyYAML lets escapes and version numbers that are out of range through to `chr` and `int`.
        raise _MalformedError(f"not YAML: {error}") from None
    unfolded = _Unfolded()
    value = None if node is None else unfolded.value(node, ())
    return value, unfolded.lines, unfolded.problems


class _Unfolded:
    """Makes values of YAML nodes, aliases unfolded."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[tuple[KeyPath, str]] = []
        self._values = 0

    def value(self, node: yaml.Node, place: KeyPath) -> Any:
        """Give the value of a node."""
        line = node.start_mark.line + 1
        self._values += 1
        if self._values > _MOST_VALUES:
            raise _MalformedError(
                f"more than {_MOST_VALUES:,} values, aliases counted as often as they are used"
            )
        if len(place) > _DEEPEST:
            raise _MalformedError(_TOO_DEEP, line)
        self.lines[place] = line
        kind = node.tag.removeprefix(_TAG)
        match node:
            case yaml.ScalarNode():
                return self._scalar(kind, node.value, place)
            case yaml.SequenceNode() if kind == "seq":
                return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
            case yaml.MappingNode() if kind == "map":
                return self._mapping(node, place)
        self.problems.append((place, f"tag {_shortened(node.tag)} is not taken"))
        return None

    def _mapping(self, node: yaml.MappingNode, place: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _MalformedError("a key that is no text", key.start_mark.line + 1)
            name = key.value
            if name in values:
                self.problems.append(((*place, name), _TWICE))
            values[name] = self.value(item, (*place, name))
        return values

    def _scalar(self, kind: str, text: str, place: KeyPath) -> Any:
        try:
            match kind:
                case "str":
                    return text
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    return int(text) if text[1:2] not in ("o", "x") else int(text, 0)
                case "float":
                    return float(text)
        except ValueError:
            self.problems.append((place, f"{_shortened(text)} is no {kind}"))
            return None
        self.problems.append((place, f"tag {_shortened(kind)} is not taken"))
        return None


def _strange(root: Any) -> list[tuple[KeyPath, str]]:
    """Find what JSON cannot say."""
    problems: list[tuple[KeyPath, str]] = []
    waiting: list[tuple[KeyPath, Any]] = [((), root)]
    while waiting:
        place, value = waiting.pop()
        if len(place) > _DEEPEST:
            raise _MalformedError(_TOO_DEEP)
        match value:
            case None | bool():
                pass
            case str():
                if not _is_sound(value):
                    problems.append((place, "half a character: a surrogate without its other half"))
            case int():
                if not -(1 << 63) <= value < 1 << 64:
                    problems.append((place, "a whole number of more than 64 bits"))
            case float():
                if not math.isfinite(value):
                    problems.append((place, f"wanted a finite number, found {value}"))
            case list():
                waiting += [((*place, index), item) for index, item in enumerate(value)]
            case dict():
                for key, item in value.items():
                    if not _is_sound(key):
                        problems.append((place, "half a character in a key"))
                    waiting.append(((*place, key), item))
            case _:
                problems.append((place, f"wanted what JSON can say, found {value}; put it in quotes"))
    return problems


def _is_sound(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


_READERS = {"json": _read_json, "toml": _read_toml, "yaml": _read_yaml}
