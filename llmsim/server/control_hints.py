"""The value that a wrong control header most likely means, as the end of a message.

Decisions:
* A hint is a value that would be accepted as it stands: of `0.2s` where milliseconds are wanted it is 200, of `1e3` it is 1000.
* Where a value is no guess at anything, an example stands in for the nearest.
"""

import re
from collections.abc import Collection, Mapping

from llmsim.text import literal, nearest

_MOST_SHOWN = 100

_FIGURE = re.compile(
    r"(?P<hex>0[xX][0-9a-fA-F]{1,15})|"
    r"(?P<digits>-?[0-9]{1,30}(?:\.[0-9]{1,12})?)(?:[eE]\+?(?P<zeros>[0-9]{1,2}))?[ ]?(?P<unit>ms|s|k|m|%)?(?![a-z])",
    re.IGNORECASE,
)
"""What may be meant by a number that is not valid."""

_FACTORS = {"k": 1_000, "m": 1_000_000}
_SECONDS = {"s": 1_000}
_SHARES = {"%": 0.01}

_PLACES = re.compile(r"(ttft|itl)[ ]*[=:][ ]*([^\s,;]{1,30})", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s,:]+")

EXAMPLES: Mapping[str, str] = {
    "x-llmsim-latency": "ttft=200,itl=20",
    "x-llmsim-fault": "429",
    "x-llmsim-seed": "7",
    "x-llmsim-tokens": "100",
    "x-llmsim-generator": "echo",
    "ttft": "200",
    "itl": "20",
    "for_ms": "1000",
    "at": "3",
    "share": "0.5",
    "seed": "7",
    "speed": "2",
}
"""A right value of each header, and of each key."""

MILLISECONDS = ("ttft", "itl", "for_ms")
"""Keys whose values are in milliseconds."""


def _read_figure(text: str, factors: Mapping[str, float]) -> float | None:
    """Return the first number of a text; None if it has none."""
    found = _FIGURE.search(text.replace("_", "").replace(",", "")[:_MOST_SHOWN])
    if found is None:
        return None
    if found["hex"]:
        return int(found["hex"], 16)
    digits = found["digits"]
    value: float = int(digits) if "." not in digits else float(digits)
    value *= 10 ** min(int(found["zeros"] or 0), 30)
    value *= factors.get((found["unit"] or "").lower(), 1)
    rounded = round(value, 6)
    return int(rounded) if rounded == int(rounded) else rounded


def meant_number(key: str, text: str, least: int, most: int, *, is_whole: bool = False) -> str:
    """Return a hint at the nearest right number; an example if the text has none, and empty if there is none either."""
    factors = _SECONDS if key in MILLISECONDS else _SHARES if most == 1 else _FACTORS
    value = _read_figure(text, factors)
    if value is None:
        return f"; for example {EXAMPLES[key]}" if key in EXAMPLES else ""
    return f"; did you mean {min(max(round(value) if is_whole else value, least), most)}?"


def meant_latency(value: str, most: int) -> str | None:
    """Return the latency that a value with wrong signs, or without keys, means; None if it has no numbers."""
    pairs = [(key.lower(), text) for key, text in _PLACES.findall(value[:_MOST_SHOWN])]
    if not pairs:
        figures = [part for part in re.split(r"[\s,;/]+", value[:_MOST_SHOWN]) if _FIGURE.fullmatch(part)]
        pairs = list(zip(("ttft", "itl"), figures, strict=False))
    read = {key: _read_figure(text, _SECONDS) for key, text in pairs}
    return ",".join(f"{key}={min(max(one, 0), most)}" for key, one in read.items() if one is not None) or None


def meant_fault(word: str, kinds: Collection[str]) -> str:
    """Return a hint at the fault that an unknown kind means."""
    if re.fullmatch(r"-?[0-9]{1,20}", word):
        return meant_number("", word, 400, 599, is_whole=True)
    first, *rest = _SEPARATORS.split(word[:_MOST_SHOWN], maxsplit=1)
    if rest and (first in kinds or re.fullmatch("[45][0-9][0-9]", first)):
        return f"; did you mean {literal(f'{first};{rest[0]}')}?"
    meant = nearest(word[:_MOST_SHOWN], kinds)
    return f"; did you mean {literal(meant)}?" if meant else "."


def meant_generator(value: str) -> str:
    """Return a hint at the generator that an unknown one means."""
    word, _, text = re.sub(r"^(fixed)[=\s]", r"\1:", value[:_MOST_SHOWN], flags=re.IGNORECASE).partition(":")
    if word.lower() == "fixed" and text.strip():
        return f"; did you mean {literal(f'fixed:{text.strip()}')}?"
    meant = nearest(word, ("lorem", "random", "echo", "fixed:TEXT"))
    return f"; did you mean {literal(meant)}?" if meant else "."
