"""The size of a compiled pattern.

Decisions:
* Module `regex` writes a repeated part out as often as it must occur, nested repeats multiplied: 12 bytes of a pattern are 25 GB,
  before any time runs. So the size is known before a pattern is compiled.
* It is an upper bound. Where sets and comments are not what they seem, all repeats are multiplied, nested or not.
"""

import math
import re

_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\s*([0-9]+)[^}]*\}|.", re.DOTALL)
_REPEAT = re.compile(r"\{\s*([0-9]+)")
_IRREGULAR = re.compile(r"\(\?#|\[:|\(\?[a-zA-Z0-9]*[xV]")
"""Comments, named sets, and flags by which sets nest and comments begin with `#`."""


def compiled_size(pattern: str) -> int:
    """Return how many parts a pattern has at most, once its repeats are written out."""
    all_repeats = math.prod(max(1, int(count)) for count in _REPEAT.findall(pattern))
    if all_repeats == 1 or _IRREGULAR.search(pattern):
        return len(pattern) * all_repeats
    outer: list[int] = []
    size = last = 0
    for found in _PART.finditer(pattern):
        part = found[0]
        if part == "(":
            outer.append(size + last)
            size = last = 0
        elif part == ")" and outer:
            last += size + 1
            size = outer.pop()
        elif found[1]:
            last *= max(1, int(found[1]))
        else:
            size += last
            last = 1
    return sum(outer) + size + last
