"""TOML texts with the lines of their keys."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.toml_source import TomlError, parse_toml

SOURCE = '''\
name = "a # [[b]]"  # [[c]]
list = [
  { x = 1 },  # ]
  "[",
]
[[rules]]
"text" = """
[[rules]]
text = 1 \\"""
"""
when.header."x-y" = 'z'
[[rules.calls]]
[[rules]]
[rules.when]
model = \'\'\'
a = 2\'\'\'
'''


class _All:
    """Every path."""

    def __contains__(self, _: object) -> bool:
        return True


_ALL = _All()


def test_lines_of_keys() -> None:
    """CTRL-3.5, RULES-3.3: Each key has its line, in tables, lists of tables and dotted names; texts and comments have none."""
    value, find_lines = parse_toml(SOURCE)

    assert value == tomllib.loads(SOURCE)
    assert find_lines(_ALL) == {
        ("name",): 1,
        ("list",): 2,
        ("rules", 0): 6,
        ("rules", 0, "text"): 7,
        ("rules", 0, "when"): 11,
        ("rules", 0, "when", "header"): 11,
        ("rules", 0, "when", "header", "x-y"): 11,
        ("rules", 0, "calls", 0): 12,
        ("rules", 1): 13,
        ("rules", 1, "when"): 14,
        ("rules", 1, "when", "model"): 15,
    }


@pytest.mark.parametrize(("text", "line"), [("x = 1\ny == 2", 2), ("x = [", None)])
def test_malformed_texts(text: str, line: int | None) -> None:
    """SCRIPT-3.1: With the line, where the parser knows it."""
    with pytest.raises(TomlError) as caught:
        parse_toml(text)

    assert caught.value.line == line


TEXTS = st.text(st.sampled_from("ab.=[]{}\"'#\\\n \t1"), max_size=60)


@given(TEXTS)
def test_nothing_but_a_toml_error_leaves_the_parser(text: str) -> None:
    """CTRL-3.5: Whatever the text is; a line is one of the text's."""
    try:
        value, find_lines = parse_toml(text)
    except (TomlError, RecursionError):
        return
    assert isinstance(value, dict)
    lines = find_lines(_ALL)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
    for path in lines:
        _look_up(value, path)


def _look_up(value: Any, path: tuple[str | int, ...]) -> None:
    for step in path:
        value = value[step]
