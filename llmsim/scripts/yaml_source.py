"""The decoder of scripts in YAML.

Decisions:
* YAML has the scalars of version 1.2: `no` is a text, `12:30` too. Tags and merge keys are refused. Nodes are
  counted after expansion, so that aliases of aliases cost no more than the limit.
* PERF: PyYAML's C parser is ten times as fast, but dies of a stack overflow on deep nesting, which a client could cause.
"""

import re
from typing import Any

import yaml

from llmsim.json_source import TOO_DEEP
from llmsim.scripts.sources import TWICE, DecodedText, MalformedError
from llmsim.toml_source import DEEPEST, KeyPath

_MOST_VALUES = 100_000


class _Scalars(yaml.SafeLoader):
    """Resolves scalars as the core schema of YAML 1.2 does, except for infinity."""

    yaml_implicit_resolvers = {}

    def fetch_flow_collection_start(self, token_type: Any) -> None:
        """Begin a list or object in brackets; it is refused here, because the scanner takes time by the square of their depth."""
        if self.flow_level > DEEPEST:
            raise MalformedError(TOO_DEEP, self.get_mark().line + 1)
        super().fetch_flow_collection_start(token_type)


_TAG = "tag:yaml.org,2002:"
for _name, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Scalars.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})$"), list(_first))


def read_yaml(text: str) -> DecodedText:
    """Read YAML.

    Raises:
        MalformedError: It is not YAML.
    """
    try:
        node = yaml.compose(text, Loader=_Scalars)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(filter(None, (error.context, error.problem)))
        raise MalformedError(f"not YAML: {message}", mark.line + 1 if mark else None) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise MalformedError(f"not YAML: {error.reason}", line) from None
    except (ValueError, OverflowError) as error:
        # NOTE: PyYAML lets escapes and version numbers that are out of range through to `chr` and `int`.
        raise MalformedError(f"not YAML: {error}") from None
    builder = _YamlBuilder()
    value = None if node is None else builder.build(node, ())
    return value, lambda _: builder.lines, builder.problems


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
            raise MalformedError(
                f"more than {_MOST_VALUES:,} values, aliases counted as often as they are used"
            )
        if len(path) > DEEPEST:
            raise MalformedError(TOO_DEEP, line)
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
                raise MalformedError("a key that is not a text", key.start_mark.line + 1)
            name = key.value
            if name in values:
                self.problems.append(((*path, name), TWICE))
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


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
