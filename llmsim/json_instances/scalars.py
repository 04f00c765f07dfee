"""Generated texts and numbers.

Decisions:
* A value comes from the message, from the schema's own examples, or is made of everyday words, whichever conforms first; if
  none does, it is generated from the bounds.
* A text has at most 10 000 characters, and a number is finite and has at most 64 bits, whatever the schema requires.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from random import Random

from llmsim.budgets import WorkBudget
from llmsim.json_instances import formats, patterns
from llmsim.json_instances.common_words import COMMON_WORDS
from llmsim.json_instances.member_names import kind_of
from llmsim.json_instances.message_values import MessageValues
from llmsim.json_instances.shape import Shape
from llmsim.json_schema.validation import is_multiple

_MOST_CHARACTERS = 10_000
_TRIES = 40
_WIDEST = 2**31 - 1
"""A bound as far as this one is that of a type, as zod writes it for each integer, and says nothing of the value."""

_FAR = 10**6
_FARTHEST = 10**15
_TOO_FAR = 1 << 63
_NEAR = 100

_RANGES: dict[str, tuple[float, float]] = {
    "age": (18, 80),
    "confidence": (0.5, 0.99),
    "count": (1, 10),
    "day": (1, 28),
    "hour": (8, 20),
    "latitude": (-60, 60),
    "lat": (-60, 60),
    "limit": (1, 20),
    "longitude": (-180, 180),
    "lng": (-180, 180),
    "lon": (-180, 180),
    "minute": (0, 59),
    "month": (1, 12),
    "page": (1, 3),
    "percent": (1, 100),
    "probability": (0.05, 0.95),
    "quantity": (1, 10),
    "rating": (1, 5),
    "score": (0.5, 0.99),
    "temperature": (5, 30),
    "year": (2020, 2026),
}
"""Ranges of numbers by name."""


def text(
    shape: Shape,
    name: str,
    values: MessageValues | None,
    rng: Random,
    budget: WorkBudget,
    candidates: Iterable[str] = (),
) -> str:
    """Generate a text.

    Args:
        shape: Its requirements.
        name: Name of the member.
        values: Values of the message; None to use the schema alone.
        rng: Draws the rest.
        budget: Bounds the work.
        candidates: Texts that are preferred to any other.
    """
    for candidate in itertools.chain(candidates, _candidates(shape, name, values, rng)):
        if _fits(shape, candidate, budget):
            return candidate
    for pattern in shape.patterns:
        made = patterns.text(
            pattern,
            rng,
            lambda one: _fits(shape, one, budget, is_made=True),
            budget,
            shape.shortest,
            shape.longest,
        )
        if made is not None:
            return made
    if shape.patterns:
        # A match of one pattern is nearer than none.
        return patterns.text(shape.patterns[0], rng, lambda _: True, budget) or ""
    return _sized(shape, rng)


def _candidates(shape: Shape, name: str, values: MessageValues | None, rng: Random) -> Iterator[str]:
    if values is not None:
        yield from values.texts(kind_of(name, shape.format))
        suggested = [one for one in shape.suggestions if isinstance(one, str) and one]
        if suggested:
            yield rng.choice(suggested)
    if shape.format and (made := formats.text(shape.format, rng)) is not None:
        yield made
        if shape.patterns and shape.format == "email":
            # Zod sends a pattern beside the format, which not every address matches.
            yield from ("ann@example.com", "bob@example.com")
    elif not shape.patterns:
        yield phrase(rng, 2, 4)
        yield phrase(rng, 1, 1)


def phrase(rng: Random, least: int, most: int) -> str:
    """Generate some everyday words."""
    return " ".join(rng.choices(COMMON_WORDS, k=rng.randint(least, most)))


def _fits(shape: Shape, made: str, budget: WorkBudget, *, is_made: bool = False) -> bool:
    """Return whether a text conforms; `is_made` if it was generated from a pattern, and so is likely to match."""
    if not shape.shortest <= len(made) <= shape.longest:
        return False
    if not shape.patterns:
        return True
    budget.spend(len(shape.patterns))
    found = {budget.patterns.search(pattern, made) for pattern in shape.patterns}
    # What is not known in time is more likely of a text that was generated from a pattern.
    return found <= {True, None} if is_made else found == {True}


def _sized(shape: Shape, rng: Random) -> str:
    """Generate words of a length between the bounds."""
    words, wanted = "", min(shape.shortest, shape.longest, _MOST_CHARACTERS)
    while len(words) < wanted or not words:
        words += (" " if words else "") + rng.choice(COMMON_WORDS)
    words = words[: int(min(shape.longest, _MOST_CHARACTERS))]
    return words[:-1] + "s" if words.endswith(" ") else words


def number(
    shape: Shape,
    name: str,
    values: MessageValues | None,
    rng: Random,
    *,
    is_integer: bool,
    candidates: Iterable[float] = (),
) -> float:
    """Generate a number.

    Args:
        shape: Its requirements.
        name: Name of the member.
        values: Values of the message; None to use the schema alone.
        rng: Draws the rest.
        is_integer: Whether it must be an integer.
        candidates: Numbers that are preferred to any other.
    """
    for candidate in itertools.chain(candidates, () if values is None else values.numbers(name)):
        if _is_usable(shape, candidate, is_integer=is_integer):
            return int(candidate) if is_integer else candidate
    if values is not None:
        suggested = [
            one for one in shape.suggestions if isinstance(one, int | float) and not isinstance(one, bool)
        ]
        if suggested and _is_usable(shape, one := rng.choice(suggested), is_integer=is_integer):
            return int(one) if is_integer else one
    try:
        made = _generated(shape, name, rng, is_integer=is_integer)
    except (ArithmeticError, ValueError):
        # Bounds and multiples may be 1e308 and 5e-324.
        return 0
    return made if -_TOO_FAR <= made < _TOO_FAR or (isinstance(made, float) and math.isfinite(made)) else 0


def _is_usable(shape: Shape, value: float, *, is_integer: bool) -> bool:
    return (
        math.isfinite(value)
        and abs(value) < _TOO_FAR
        and _is_within(shape, value)
        and (not is_integer or value == int(value))
    )


def _generated(shape: Shape, name: str, rng: Random, *, is_integer: bool) -> float:
    low, high = _range(shape, name)
    if is_integer or (shape.multiples and all(isinstance(of, int) for of in shape.multiples)):
        return _integer(shape, low, high, rng)
    return _float(shape, low, high, rng)


def _range(shape: Shape, name: str) -> tuple[float, float]:
    """Return a narrow range inside the bounds of the schema."""
    low, high = (bound[0] if bound else None for bound in (shape.least, shape.most))
    if low is not None and low <= -_WIDEST and (high is None or high > -_WIDEST):
        low = None
    if high is not None and high >= _WIDEST and (low is None or low < _WIDEST):
        high = None
    words = name.lower().replace("-", "_").split("_")
    usual = next((_RANGES[word] for word in words if word in _RANGES), (1, _NEAR))
    if low is None and high is None:
        return usual
    if low is None:
        assert high is not None
        return (usual[0], min(high, usual[1])) if high >= usual[0] else (high - _NEAR, high)
    if high is None:
        return (max(low, usual[0]), usual[1]) if low <= usual[1] else (low, low + _NEAR)
    if max(low, usual[0]) < min(high, usual[1]) and usual != (1, _NEAR):
        return max(low, usual[0]), min(high, usual[1])
    if high > _FAR and low < _FAR:
        high = max(_FAR, low + 1)
    if low < -_FAR and high > -_FAR:
        low = min(-_FAR, high - 1)
    return low, high


def counted(shape: Shape, count: int) -> list[float]:
    """Return `count` consecutive numbers from a bound of the schema, not validated."""
    step = _step(shape) if all(of == int(of) for of in shape.multiples) else shape.multiples[0]
    falls = shape.least is None and shape.most is not None
    bound = shape.most if falls else shape.least
    near = max(-_FARTHEST, min(_FARTHEST, bound[0] / step)) if bound else 0
    first = math.floor(near) if falls else math.ceil(near)
    return [_short((first - more if falls else first + more) * step) for more in range(count)]


def _step(shape: Shape) -> int:
    step = 1
    for of in shape.multiples:
        whole = int(of) if of == int(of) else 1
        step = math.lcm(step, whole) if whole else step
    return step


def _integer(shape: Shape, low: float, high: float, rng: Random) -> int:
    step = _step(shape)
    first, last = -(-math.ceil(low) // step), math.floor(high) // step
    if first > last:
        # No multiple is inside the range; the nearest outside may be allowed.
        return _first_fitting(shape, [first * step, last * step])
    for _ in range(_TRIES):
        made = rng.randint(first, last) * step
        if _is_within(shape, made):
            return made
    return _first_fitting(shape, [first * step, (first + 1) * step, last * step, (last - 1) * step])


def _first_fitting(shape: Shape, candidates: list[int]) -> int:
    return next((one for one in candidates if _is_within(shape, one)), candidates[0])


def _float(shape: Shape, low: float, high: float, rng: Random) -> float:
    if shape.multiples:
        step = max(shape.multiples)
        first, last = (int(max(-1e15, min(1e15, bound / step))) for bound in (low, high))
        for _ in range(_TRIES):
            made = _short(rng.randint(min(first, last) - 1, max(first, last) + 1) * step)
            if _is_within(shape, made):
                return made
        return 0 if _is_within(shape, 0) else _short(first * step)
    span = high - low
    for digits in (1, 2, 4, 8):
        made = round(low + rng.random() * span, digits)
        if _is_within(shape, made):
            return made
    made = low + rng.random() * span
    if _is_within(shape, made):
        return made
    edges = (low, high, math.nextafter(low, math.inf), math.nextafter(high, -math.inf), low / 2 + high / 2)
    return next((one for one in edges if _is_within(shape, one)), low)


def _short(value: float) -> float:
    """Return `value` without the rounding error of a multiplication."""
    rounded = round(value, 10)
    return int(rounded) if rounded == int(rounded) else rounded


def _is_within(shape: Shape, value: float) -> bool:
    if shape.least is not None and (value < shape.least[0] or (value == shape.least[0] and shape.least[1])):
        return False
    if shape.most is not None and (value > shape.most[0] or (value == shape.most[0] and shape.most[1])):
        return False
    return all(is_multiple(value, of) for of in shape.multiples)
