"""Texts that match a regular expression.

Decisions:
* A text is generated from its syntax tree. Look-arounds and word boundaries are ignored, so the text may not
  match: the caller checks it.
* Of the characters a class allows, common ones are used: lower-case letters and digits first.
"""

import math
import string
import sys
from collections.abc import Callable
from random import Random

from llmsim.budgets import WorkBudget, remembered
from llmsim.json_schema.regex_parser import Node, Sequence
from llmsim.json_schema.regexes import parse_pattern

_CASUAL_TRIES = 3
_CASUAL_REPEATS = 3
_TRIES = 24
_ROOM = 20
_MOST_CHARACTERS = 10_000
_MOST_WRITTEN = 5000
_NODES_A_STEP = 4
"""Nodes of a tree that are written in a step of the budget."""

_FILLED_A_STEP = 16
"""Random characters that are drawn in a step of the budget."""

_PREFERRED = string.ascii_lowercase + string.digits + string.ascii_uppercase
_PRINTABLE = _PREFERRED + " " + string.punctuation
_BEYOND = "\n\t\réßñжλ漢あ한"
_SURROGATES = range(0xD800, 0xE000)

_CATEGORIES: dict[str, Callable[[str], bool]] = {
    "d": str.isdecimal,
    "D": lambda one: not one.isdecimal(),
    "s": str.isspace,
    "S": lambda one: not one.isspace(),
    "w": lambda one: one.isalnum() or one == "_",
    "W": lambda one: not (one.isalnum() or one == "_"),
}


def text(
    pattern: str,
    rng: Random,
    accept: Callable[[str], bool],
    budget: WorkBudget,
    shortest: int = 0,
    longest: float = math.inf,
) -> str | None:
    """Generate a text that `pattern` matches.

    Args:
        pattern: A regular expression.
        rng: Draws what the pattern leaves open.
        accept: Returns whether a text is acceptable.
        budget: Bounds the work.
        shortest: Least number of characters.
        longest: Largest number of characters.

    Returns:
        The text; None if none was found within a bounded number of tries, or the budget.
    """
    tree = parse_pattern(pattern)
    if tree is None:
        return None
    for _ in range(_CASUAL_TRIES):
        if accept(made := _Writer(rng, budget).written(tree)):
            return made
    farthest = int(min(longest, max(shortest, 1) + _ROOM, _MOST_CHARACTERS))
    written = 0
    for _ in range(_TRIES):
        if written > _MOST_WRITTEN or budget.is_spent:
            break
        brief = _Writer(rng, budget, wanted=0)
        made = brief.written(tree)
        wanted = rng.randint(min(shortest, farthest), farthest) - len(made)
        if wanted > 0:
            made = _Writer(rng, budget, wanted=wanted, repeats=brief.repeats).written(tree)
        # If repeats do not make it long enough, a pattern without anchors allows more at either end.
        lacking = max(0, min(shortest, farthest) - len(made))
        filling = "".join(rng.choices(string.ascii_lowercase, k=lacking))
        written += len(made) + lacking
        budget.spend(lacking // _FILLED_A_STEP)
        for whole in (made, made + filling, filling + made) if filling else (made,):
            if accept(whole):
                return whole
    return None


class _Writer:
    """Writes one text.

    Args:
        rng: Draws what the pattern leaves open.
        budget: Bounds the work.
        wanted: Characters that repeats add to their minimum; None for a few random repeats.
        repeats: Number of repeats that share them.

    Attributes:
        repeats: Number of repeats written so far.
    """

    def __init__(
        self, rng: Random, budget: WorkBudget, *, wanted: int | None = None, repeats: int = 0
    ) -> None:
        self.repeats = 0
        self._nodes = 0
        self._size = 0
        self._written: list[str] = []
        self._rng = rng
        self._budget = budget
        self._wanted = wanted
        self._last = repeats
        self._groups: dict[int, str] = {}

    def written(self, tree: Sequence) -> str:
        self.write(tree)
        return "".join(self._written)[:_MOST_CHARACTERS]

    def write(self, tree: Sequence) -> None:
        self._spend(1 + len(tree))
        for operator, *arguments in tree:
            if self._is_over:
                return
            write = _WRITES.get(operator)
            if write is not None:
                write(self, *arguments)

    @property
    def _is_over(self) -> bool:
        return self._size > _MOST_CHARACTERS or self._budget.is_spent

    def _spend(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes >= _NODES_A_STEP:
            self._budget.spend(self._nodes // _NODES_A_STEP)
            self._nodes %= _NODES_A_STEP

    def _add(self, text: str) -> None:
        self._written.append(text)
        self._size += len(text)

    def literal(self, character: str) -> None:
        self._add(character)

    def any(self) -> None:
        self._add(self._rng.choice(string.ascii_lowercase))

    def one_of(self, is_negated: bool, items: tuple[Node, ...]) -> None:
        self._spend(_NODES_A_STEP * len(items))
        if allowed := _allowed(is_negated, items):
            self._add(self._rng.choice(allowed))

    def branch(self, branches: list[Sequence]) -> None:
        self.write(self._rng.choice(branches))

    def group(self, number: int | None, body: Sequence) -> None:
        start = len(self._written)
        self.write(body)
        if number:
            self._groups[number] = "".join(self._written[start:])

    def repeat(self, least: int, most: int, body: Sequence) -> None:
        self.repeats += 1
        for _ in range(min(least, _MOST_CHARACTERS)):
            if self._is_over:
                return
            self.write(body)
        if self._wanted is None:
            for _ in range(self._rng.randint(0, min(_CASUAL_REPEATS, most - least))):
                self.write(body)
        elif self._wanted > 0:
            share = self._wanted if self.repeats >= self._last else self._rng.randint(0, self._wanted)
            self._wanted -= share
            end = self._size + share
            while least < most and (start := self._size) < end:
                self.write(body)
                least += 1
                if self._size == start:
                    break
            # Unused characters are left to the other repeats.
            self._wanted += end - self._size

    def reference(self, number: int) -> None:
        self._add(self._groups.get(number, ""))

    def conditional(self, number: int, yes: Sequence, no: Sequence) -> None:
        self.write(yes if number in self._groups else no)


_WRITES: dict[str, Callable[..., None]] = {
    "literal": _Writer.literal,
    "any": _Writer.any,
    "set": _Writer.one_of,
    "branch": _Writer.branch,
    "group": _Writer.group,
    "repeat": _Writer.repeat,
    "reference": _Writer.reference,
    "conditional": _Writer.conditional,
}


@remembered(maxsize=512, max_chars=100)
def _allowed(is_negated: bool, items: tuple[Node, ...]) -> str:
    """Return some characters that a set allows."""
    # Of all characters but one, only letters are used.
    is_any = is_negated and len(items) == 1 and items[0][0] == "literal"
    for characters in (string.ascii_lowercase if is_any else _PREFERRED, _PRINTABLE, _BEYOND):
        if found := _inside(is_negated, items, characters):
            return found
    starts = (ord(item[1]) for item in items if item[0] != "category")
    near = (code for start in starts for code in (start, start + 1))
    beyond = (chr(code) for code in near if code <= sys.maxunicode and code not in _SURROGATES)
    return _inside(is_negated, items, "".join(beyond))


def _inside(is_negated: bool, items: tuple[Node, ...], characters: str) -> str:
    held: set[str] = set()
    for item in items:
        match item:
            case ("range", first, last):
                held.update([one for one in characters if first <= one <= last])
            case ("category", letter):
                held.update(filter(_CATEGORIES[letter], characters))
            case _:
                held.add(item[1])
    return "".join([one for one in characters if (one in held) is not is_negated])
