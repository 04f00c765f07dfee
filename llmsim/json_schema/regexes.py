r"""Regular expressions of schemas, compiled once, and kept from running away.

Decisions:
* Patterns are Python's: OpenAI compiles them by `re`, too, and refuses what only JavaScript knows, e.g. `\p{L}`.
* `re` cannot be interrupted: repeats after one another may try polynomially many ways, and one within another
  exponentially many. A pattern is asked about texts that are short enough for it; longer ones count as matching.
"""

import functools
import re
import warnings
from collections.abc import Callable
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MOST_CHARACTERS = 1000
"""The longest pattern that is taken apart to make texts from."""

_MOST_BRACKETS = 40
_SLOWEST_REACH = 16
_REACHES = (10_000, 10_000, 1000, 200, 64, 64, 32)
"""How long a text may be, by the number of repeats of a pattern that do not stand in each other."""

_MANY = 8
_REPEATS = frozenset({parser.MAX_REPEAT, parser.MIN_REPEAT})


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str] | None:
    """Compile `pattern`; None if it is no regular expression."""
    with warnings.catch_warnings():
        # A set that might be read otherwise some day is the client's own business.
        warnings.simplefilter("ignore")
        try:
            return re.compile(pattern)
        except (re.error, OverflowError, RecursionError):
            return None


@functools.lru_cache(maxsize=1024)
def parsed(pattern: str) -> Any:
    """Give the tree of `pattern` as `re` reads it; None if it is too long or too deep to be walked."""
    if len(pattern) > MOST_CHARACTERS or pattern.count("(") > _MOST_BRACKETS or compiled(pattern) is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parser.parse(pattern)


@functools.lru_cache(maxsize=1024)
def reach(pattern: str) -> int:
    """Tell how long a text may be for `pattern` to be searched in it: the more ways it may be tried in, the shorter."""
    tree = parsed(pattern)
    if tree is None:
        return _SLOWEST_REACH
    repeats = _repeats(tree, is_within=False)
    return _SLOWEST_REACH if repeats is None else _REACHES[min(repeats, len(_REACHES) - 1)]


def matches(pattern: str, text: str) -> bool:
    """Tell whether `pattern` is found in `text`; one that is too long to be searched counts as matching."""
    expression = compiled(pattern)
    if expression is None or len(text) > reach(pattern):
        return True
    return expression.search(text) is not None


def _repeats(tree: Any, *, is_within: bool) -> int | None:
    """Count the repeats of `tree`; None if one of them repeats what may be matched in several ways.

    Args:
        tree: A part of a pattern.
        is_within: Whether it stands in a repeat.
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
