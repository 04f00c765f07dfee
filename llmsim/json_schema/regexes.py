r"""Regular expressions of schemas, compiled once, and bounded in time.

Decisions:
* Patterns are Python's: OpenAI compiles them with `re`, too, and refuses syntax of JavaScript alone, e.g. `\p{L}`.
* `re` cannot be interrupted: repeats after one another may try polynomially many ways, and one within another
  exponentially many. Only texts that are short enough are searched; longer ones count as matching.
"""

import functools
import re
import warnings
from collections.abc import Callable
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MOST_CHARACTERS = 1000
"""The longest pattern that texts are generated from."""

_MOST_BRACKETS = 40
_LONGEST_FOR_SLOW = 16
_LONGEST_TEXTS = (10_000, 10_000, 1000, 200, 64, 64, 32)
"""Longest text to search, by the number of repeats of a pattern that are not nested."""

_MANY = 8
_REPEATS = frozenset({parser.MAX_REPEAT, parser.MIN_REPEAT})


@functools.lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """Compile `pattern`; None if it is not a regular expression."""
    with warnings.catch_warnings():
        # Warnings about a client's pattern, such as possible nested sets, are of no use here.
        warnings.simplefilter("ignore")
        try:
            return re.compile(pattern)
        except (re.error, OverflowError, RecursionError):
            return None


@functools.lru_cache(maxsize=1024)
def parse_pattern(pattern: str) -> Any:
    """Return the syntax tree of `pattern`; None if it is too long or too deep to be walked."""
    if (
        len(pattern) > MOST_CHARACTERS
        or pattern.count("(") > _MOST_BRACKETS
        or compile_pattern(pattern) is None
    ):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parser.parse(pattern)


@functools.lru_cache(maxsize=1024)
def longest_text(pattern: str) -> int:
    """Return the length up to which a text is searched: the more ways a pattern can try, the shorter."""
    tree = parse_pattern(pattern)
    if tree is None:
        return _LONGEST_FOR_SLOW
    repeats = _repeats(tree, is_within=False)
    return _LONGEST_FOR_SLOW if repeats is None else _LONGEST_TEXTS[min(repeats, len(_LONGEST_TEXTS) - 1)]


def matches(pattern: str, text: str) -> bool:
    """Return whether `pattern` is found in `text`; a text that is too long to be searched counts as matching."""
    expression = compile_pattern(pattern)
    if expression is None or len(text) > longest_text(pattern):
        return True
    return expression.search(text) is not None


def _repeats(tree: Any, *, is_within: bool) -> int | None:
    """Count the repeats of `tree`; None if one of them repeats what may be matched in several ways.

    Args:
        tree: A part of a pattern.
        is_within: Whether it is nested in a repeat.
    """
    count = 0
    for operator, argument in tree:
        if operator in _REPEATS:
            is_many = argument[1] > _MANY
            inner = [argument[2]]
            if is_within and is_many:
                return None
            count += is_many
            is_inner = is_within or is_many
        elif operator in _BODIES:
            inner, is_inner = _BODIES[operator](argument), is_within
            if operator is parser.BRANCH and is_within:
                return None
        elif operator in (parser.GROUPREF, parser.GROUPREF_EXISTS):
            return None
        else:
            continue
        for body in inner:
            found = _repeats(body, is_within=is_inner)
            if found is None:
                return None
            count += found
    return count


_BODIES: dict[Any, Callable[[Any], list[Any]]] = {
    parser.BRANCH: lambda argument: list(argument[1]),
    parser.SUBPATTERN: lambda argument: [argument[3]],
    parser.ASSERT: lambda argument: [argument[1]],
    parser.ASSERT_NOT: lambda argument: [argument[1]],
    parser.ATOMIC_GROUP: lambda argument: [argument],
    parser.POSSESSIVE_REPEAT: lambda argument: [argument[2]],
}
