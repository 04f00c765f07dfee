r"""Regular expressions of schemas, compiled once, and kept from running away.

Decisions:
* Patterns are Python's: OpenAI compiles them by `re`, too, and refuses what only JavaScript knows, e.g. `\p{L}`.
* `re` cannot be interrupted, and a repeat within a repeat may try exponentially many ways. Such a pattern is asked
  about short texts only; longer ones count as matching.
"""

import functools
import re
import warnings
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MOST_CHARACTERS = 1000
"""The longest pattern that is taken apart to make texts from."""

_MOST_BRACKETS = 40
_SLOW_TEXT = 16
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
def is_slow(pattern: str) -> bool:
    """Tell whether searching for `pattern` may take exponentially long."""
    tree = parsed(pattern)
    return tree is None or _is_slow(tree, within=False)


def matches(pattern: str, text: str) -> bool:
    """Tell whether `pattern` is found in `text`; long texts match patterns that may be slow."""
    expression = compiled(pattern)
    if expression is None or (len(text) > _SLOW_TEXT and is_slow(pattern)):
        return True
    return expression.search(text) is not None


def _is_slow(tree: Any, *, within: bool) -> bool:
    """Tell whether a part of `tree` may be matched in several ways by a repeat; `within` if it stands in one."""
    for operator, argument in tree:
        if operator in _REPEATS:
            many = argument[1] > _MANY
            if (within and many) or _is_slow(argument[2], within=within or many):
                return True
        elif operator is parser.BRANCH:
            if within or any(_is_slow(branch, within=within) for branch in argument[1]):
                return True
        elif operator is parser.SUBPATTERN:
            if _is_slow(argument[3], within=within):
                return True
        elif operator in (parser.ASSERT, parser.ASSERT_NOT, parser.ATOMIC_GROUP, parser.POSSESSIVE_REPEAT):
            body = argument if operator is parser.ATOMIC_GROUP else argument[-1]
            if _is_slow(body, within=within):
                return True
        elif operator in (parser.GROUPREF, parser.GROUPREF_EXISTS):
            return True
    return False
