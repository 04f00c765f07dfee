"""Texts that match a regular expression.

Decisions:
* A text is generated from the syntax tree of `re`. Look-arounds and word boundaries are ignored, so the text may not
  match: the caller checks it.
* Of the characters a class allows, common ones are used: lower-case letters and digits first.
"""

import functools
import math
import string
import sys
from collections.abc import Callable
from random import Random
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from llmsim.json_schema import regexes

_CASUAL_TRIES = 3
_CASUAL_REPEATS = 3
_TRIES = 24
_ROOM = 20
_MOST_CHARACTERS = 10_000
_MOST_WRITTEN = 5000
_PREFERRED = string.ascii_lowercase + string.digits + string.ascii_uppercase
_PRINTABLE = _PREFERRED + " " + string.punctuation
_BEYOND = "\n\t\réßñжλ漢あ한"
_SURROGATES = range(0xD800, 0xE000)

_CATEGORIES: dict[Any, Callable[[str], bool]] = {
    parser.CATEGORY_DIGIT: str.isdecimal,
    parser.CATEGORY_NOT_DIGIT: lambda one: not one.isdecimal(),
    parser.CATEGORY_SPACE: str.isspace,
    parser.CATEGORY_NOT_SPACE: lambda one: not one.isspace(),
    parser.CATEGORY_WORD: lambda one: one.isalnum() or one == "_",
    parser.CATEGORY_NOT_WORD: lambda one: not (one.isalnum() or one == "_"),
}


def text(
    pattern: str, rng: Random, accept: Callable[[str], bool], shortest: int = 0, longest: float = math.inf
) -> str | None:
    """Generate a text that `pattern` matches.

    Args:
        pattern: A regular expression.
        rng: Draws what the pattern leaves open.
        accept: Returns whether a text is acceptable.
        shortest: Least number of characters.
        longest: Largest number of characters.

    Returns:
        The text; None if none was found within a bounded number of tries.
    """
    tree = regexes.parse_pattern(pattern)
    if tree is None:
        return None
    for _ in range(_CASUAL_TRIES):
        if accept(made := _Writer(rng).written(tree)):
            return made
    farthest = int(min(longest, max(shortest, 1) + _ROOM, _MOST_CHARACTERS))
    written = 0
    for _ in range(_TRIES):
        if written > _MOST_WRITTEN:
            break
        brief = _Writer(rng, wanted=0)
        made = brief.written(tree)
        wanted = rng.randint(min(shortest, farthest), farthest) - len(made)
        if wanted > 0:
            made = _Writer(rng, wanted=wanted, repeats=brief.repeats).written(tree)
        written += len(made)
        # If repeats do not make it long enough, a pattern without anchors allows more at either end.
        filling = "".join(
            rng.choice(string.ascii_lowercase) for _ in range(min(shortest, farthest) - len(made))
        )
        for whole in (made, made + filling, filling + made) if filling else (made,):
            if accept(whole):
                return whole
    return None


class _Writer:
    """Writes one text.

    Args:
        rng: Draws what the pattern leaves open.
        wanted: Characters that repeats add to their minimum; None for a few random repeats.
        repeats: Number of repeats that share them.

    Attributes:
        repeats: Number of repeats written so far.
    """

    def __init__(self, rng: Random, *, wanted: int | None = None, repeats: int = 0) -> None:
        self.repeats = 0
        self._characters: list[str] = []
        self._rng = rng
        self._wanted = wanted
        self._last = repeats
        self._groups: dict[int, str] = {}

    def written(self, tree: Any) -> str:
        self.write(tree)
        return "".join(self._characters)

    def write(self, tree: Any) -> None:
        for operator, argument in tree:
            if len(self._characters) > _MOST_CHARACTERS:
                return
            write = _WRITES.get(operator)
            if write is not None:
                write(self, argument)

    def literal(self, code: int) -> None:
        self._characters.append(chr(code))

    def not_literal(self, code: int) -> None:
        self._characters.append(self._rng.choice([one for one in string.ascii_lowercase if ord(one) != code]))

    def any(self, _: None) -> None:
        self._characters.append(self._rng.choice(string.ascii_lowercase))

    def one_of(self, items: list[Any]) -> None:
        allowed = _allowed(tuple(items))
        if allowed:
            self._characters.append(self._rng.choice(allowed))

    def branch(self, argument: Any) -> None:
        self.write(self._rng.choice(argument[1]))

    def group(self, argument: Any) -> None:
        number, _, _, body = argument
        start = len(self._characters)
        self.write(body)
        if number is not None:
            self._groups[number] = "".join(self._characters[start:])

    def atomic(self, body: Any) -> None:
        self.write(body)

    def repeat(self, argument: Any) -> None:
        least, most, body = argument
        self.repeats += 1
        for _ in range(min(least, _MOST_CHARACTERS)):
            if len(self._characters) > _MOST_CHARACTERS:
                return
            self.write(body)
        if self._wanted is None:
            for _ in range(self._rng.randint(0, min(_CASUAL_REPEATS, most - least))):
                self.write(body)
        elif self._wanted > 0:
            share = self._wanted if self.repeats >= self._last else self._rng.randint(0, self._wanted)
            self._wanted -= share
            end = len(self._characters) + share
            while least < most and (start := len(self._characters)) < end:
                self.write(body)
                least += 1
                if len(self._characters) == start:
                    break
            # Unused characters are left to the other repeats.
            self._wanted += end - len(self._characters)

    def reference(self, number: int) -> None:
        self._characters.append(self._groups.get(number, ""))

    def conditional(self, argument: Any) -> None:
        number, yes, no = argument
        self.write(yes if number in self._groups else no or [])


_WRITES: dict[Any, Callable[[_Writer, Any], None]] = {
    parser.LITERAL: _Writer.literal,
    parser.NOT_LITERAL: _Writer.not_literal,
    parser.ANY: _Writer.any,
    parser.IN: _Writer.one_of,
    parser.BRANCH: _Writer.branch,
    parser.SUBPATTERN: _Writer.group,
    parser.ATOMIC_GROUP: _Writer.atomic,
    parser.MAX_REPEAT: _Writer.repeat,
    parser.MIN_REPEAT: _Writer.repeat,
    parser.POSSESSIVE_REPEAT: _Writer.repeat,
    parser.GROUPREF: _Writer.reference,
    parser.GROUPREF_EXISTS: _Writer.conditional,
}


@functools.lru_cache(maxsize=512)
def _allowed(items: tuple[Any, ...]) -> str:
    """Return some characters that a class allows."""
    is_negated = bool(items) and items[0][0] is parser.NEGATE
    tests = [_test(operator, argument) for operator, argument in items if operator is not parser.NEGATE]

    def is_in(one: str) -> bool:
        return any(test(one) for test in tests) is not is_negated

    for characters in (_PREFERRED, _PRINTABLE, _BEYOND):
        if found := "".join(filter(is_in, characters)):
            return found
    starts = [argument[0] if operator is parser.RANGE else argument for operator, argument in items]
    near = (code for start in starts if isinstance(start, int) for code in (start, start + 1))
    return "".join(
        chr(code) for code in near if code <= sys.maxunicode and code not in _SURROGATES and is_in(chr(code))
    )


def _test(operator: Any, argument: Any) -> Callable[[str], bool]:
    if operator is parser.RANGE:
        low, high = argument
        return lambda one: low <= ord(one) <= high
    if operator is parser.CATEGORY:
        return _CATEGORIES.get(argument, lambda _: False)
    return lambda one: ord(one) == argument
