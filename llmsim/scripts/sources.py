"""Decoders of scripts: JSON, TOML or YAML become plain values, each with its line.

Decisions:
* Every format is limited to JSON values, because the arguments of a call are sent as JSON: no dates, no infinity.
* A duplicate key is a mistake in all three formats, also where the format itself would use the last one.
* YAML has the scalars of version 1.2: `no` is a text, `12:30` too. Tags and merge keys are refused. Nodes are
  counted after expansion, so that aliases of aliases cost no more than the limit.
* PERF: PyYAML's C parser is ten times as fast, but dies of a stack overflow on deep nesting, which a client could cause.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import msgspec
import yaml

from llmsim.errors import ScriptError
from llmsim.toml_source import DEEPEST, KeyPath, TomlError, parse_toml

ScriptFormat = Literal["json", "toml", "yaml"]

FORMS: tuple[ScriptFormat, ...] = get_args(ScriptFormat)

MOST_BYTES: Mapping[ScriptFormat, int] = {"json": 1 << 20, "toml": 1 << 18, "yaml": 1 << 18}
"""Most bytes of a script; less for the slower parsers, which are written in Python."""

_MOST_VALUES = 100_000


class Source(msgspec.Struct, frozen=True):
    """A decoded script.

    Attributes:
        value: A JSON value: dict, list, str, int, float, bool or None.
        lines: Line of a value, counted from 1; some may be missing, in TOML those of values inside of another one.
        problems: Path and message of each wrong value or key.
    """

    value: Any
    lines: Mapping[KeyPath, int]
    problems: tuple[tuple[KeyPath, str], ...] = ()


class _MalformedError(Exception):
    """The text is malformed. Carries the message and the line."""

    def __init__(self, message: str, line: int | None = None) -> None:
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
            raise _MalformedError(
                f"{len(data):,} bytes are too many; a script has at most {MOST_BYTES[form]:,}"
            )
        text = data.decode("utf-8-sig")
        value, lines, problems = _READERS[form](text)
        problems += _non_json(value)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScriptError((f"{name}:{line}: not UTF-8 text: {error.reason}",)) from None
    except RecursionError:
        raise ScriptError((f"{name}: {_TOO_DEEP}",)) from None
    except _MalformedError as error:
        path = name if error.line is None else f"{name}:{error.line}"
        raise ScriptError((f"{path}: {error}",)) from None
    return Source(value, lines, tuple(problems))


_Read = tuple[Any, dict[KeyPath, int], list[tuple[KeyPath, str]]]

_TOO_DEEP = f"nested too deep; at most {DEEPEST} levels"
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
    for path, line in _json_paths(text):
        # Values inside a duplicate are duplicates, too, but no further mistakes.
        if path in lines and path[:-1] not in repeated:
            problems.append((path, _TWICE))
        if path in lines:
            repeated.add(path)
        lines[path] = line
    return value, lines, problems


_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def _json_paths(text: str) -> Iterator[tuple[KeyPath, int]]:
    """Yield the path and line of every value of valid JSON."""
    path: list[str | int] = []
    line, counted, is_key = 1, 0, False
    inside: list[str] = []
    for found in _JSON_TOKEN.finditer(text):
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
                raise _MalformedError(_TOO_DEEP, line)
            inside.append(sign)
            path.append(0 if sign == "[" else "")
            is_key = sign == "{"


def _read_toml(text: str) -> _Read:
    try:
        value, lines = parse_toml(text)
    except TomlError as error:
        raise _MalformedError(str(error), error.line) from None
    return value, lines, []


class _Scalars(yaml.SafeLoader):
    """Resolves scalars as the core schema of YAML 1.2 does, except for infinity."""

    yaml_implicit_resolvers = {}

    def fetch_flow_collection_start(self, token_type: Any) -> None:
        """Begin a list or object in brackets; it is refused here, because the scanner takes time by the square of their depth."""
        if self.flow_level > DEEPEST:
            raise _MalformedError(_TOO_DEEP, self.get_mark().line + 1)
        super().fetch_flow_collection_start(token_type)


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
        message = ", ".join(filter(None, (error.context, error.problem)))
        raise _MalformedError(f"not YAML: {message}", mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _MalformedError(f"not YAML: {error.reason}", line) from None
    except (ValueError, OverflowError) as error:
        # NOTE: PyYAML lets escapes and version numbers that are out of range through to `chr` and `int`.
        raise _MalformedError(f"not YAML: {error}") from None
    builder = _YamlBuilder()
    value = None if node is None else builder.build(node, ())
    return value, builder.lines, builder.problems


class _YamlBuilder:
    """Builds values of YAML nodes and expands aliases."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[tuple[KeyPath, str]] = []
        self._values = 0

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        """Return the value of a node."""
        line = node.start_mark.line + 1
        self._values += 1
        if self._values > _MOST_VALUES:
            raise _MalformedError(
                f"more than {_MOST_VALUES:,} values, aliases counted as often as they are used"
            )
        if len(path) > DEEPEST:
            raise _MalformedError(_TOO_DEEP, line)
        self.lines[path] = line
        kind = node.tag.removeprefix(_TAG)
        match node:
            case yaml.ScalarNode():
                return self._scalar(kind, node.value, path)
            case yaml.SequenceNode() if kind == "seq":
                return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
            case yaml.MappingNode() if kind == "map":
                return self._mapping(node, path)
        self.problems.append((path, f"tag {_shortened(node.tag)} is not supported"))
        return None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _MalformedError("a key that is not a text", key.start_mark.line + 1)
            name = key.value
            if name in values:
                self.problems.append(((*path, name), _TWICE))
            values[name] = self.build(item, (*path, name))
        return values

    def _scalar(self, kind: str, text: str, path: KeyPath) -> Any:
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
            self.problems.append((path, f"{_shortened(text)} is not a valid {kind}"))
            return None
        self.problems.append((path, f"tag {_shortened(kind)} is not supported"))
        return None


def _non_json(root: Any) -> list[tuple[KeyPath, str]]:
    """Find values that JSON does not have."""
    problems: list[tuple[KeyPath, str]] = []
    waiting: list[tuple[KeyPath, Any]] = [((), root)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > DEEPEST:
            raise _MalformedError(_TOO_DEEP)
        match value:
            case None | bool():
                pass
            case str():
                if not _is_encodable(value):
                    problems.append((path, "half a character: a surrogate without its other half"))
            case int():
                if not -(1 << 63) <= value < 1 << 64:
                    problems.append((path, "a whole number of more than 64 bits"))
            case float():
                if not math.isfinite(value):
                    problems.append((path, f"wanted a finite number, found {value}"))
            case list():
                waiting += [((*path, index), item) for index, item in enumerate(value)]
            case dict():
                for key, item in value.items():
                    if not _is_encodable(key):
                        problems.append((path, "half a character in a key"))
                    waiting.append(((*path, key), item))
            case _:
                problems.append((path, f"wanted a JSON value, found {value}; put it in quotes"))
    return problems


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


_READERS = {"json": _read_json, "toml": _read_toml, "yaml": _read_yaml}
