"""Values that the name of a member asks for: from the user's message, or believable ones.

Decisions:
* What a member is about is told by the words of its name, and by those of its description where the name is silent.
* A value of the message is given once; a second member that asks for the same kind gets the next one, so `a` and `b`
  of "add 2 and 3" are 2 and 3. What the message is as a whole may be given as often as it is asked for.
"""

import functools
import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from llmsim.planning import formats
from llmsim.planning.dice import Dice
from llmsim.planning.generators import COMMON_WORDS
from llmsim.planning.said import Name, Said

_Value = TypeVar("_Value")

_MOST_TEXT = 1000

_KINDS: dict[str, str] = {
    "email": "email emails mail",
    "link": "url uri link href website webpage site domain endpoint",
    "file": "file filename filepath path directory folder",
    "given": "firstname forename",
    "family": "lastname surname",
    "origin": "origin source departure",
    "goal": "destination arrival",
    "place": "city cities location locations place town country capital region state address venue airport where street",
    "date": "date day deadline birthday dob when",
    "time": "time hour",
    "language": "language lang locale",
    "currency": "currency",
    "unit": "unit units",
    "color": "color colour",
    "phone": "phone telephone mobile",
    "formula": "expression formula equation calculation",
    "ticker": "symbol ticker",
    "text": "query queries question text input prompt message content q keyword keywords search body sentence task request "
    "instruction instructions statement term terms thought utterance problem",
    "person": "person people author user username customer recipient attendee attendees participant participants contact "
    "guest patient employee owner assignee sender artist",
    "code": "id identifier uuid key code number reference sku order ticket",
    "title": "title subject topic headline event product item project label tag category company",
    "name": "name",
    "phrase": "summary reason description explanation answer output note notes comment result response details reasoning "
    "step conclusion analysis",
    "start": "from",
    "end": "to",
}
_KIND_OF = {word: kind for kind, words in reversed(_KINDS.items()) for word in words.split()}
_ORDER = {kind: rank for rank, kind in enumerate(_KINDS)}

_SPLIT = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_EXAMPLE = re.compile(
    r"(?:e\.g\.|for example|such as|like),?:? [\"'`]?([A-Z\d][^.;:()\"'`\n]{0,60}[^.,;:()\"'`\s])"
)

_CONSTANTS: dict[str, tuple[str, ...]] = {
    "email": ("user@example.com", "alice@example.com"),
    "link": ("https://example.com", "https://example.com/docs"),
    "file": ("notes.txt", "report.md", "data.csv"),
    "place": ("Paris", "London", "Tokyo", "New York", "Berlin"),
    "language": ("English", "French", "Spanish"),
    "currency": ("USD", "EUR"),
    "unit": ("metric",),
    "color": ("blue", "green", "red"),
    "formula": ("2 + 2",),
    "ticker": ("ACME", "EXMP"),
    "person": ("Alice Martin", "Ben Carter", "Chloe Novak", "David Kim"),
    "name": ("Alice Martin", "Ben Carter", "Sample", "Example"),
}
_CONSTANTS |= dict.fromkeys(("origin", "goal", "start", "end"), _CONSTANTS["place"])
_CONSTANTS |= {"given": ("Alice", "Ben", "Chloe", "David"), "family": ("Martin", "Carter", "Novak", "Kim")}

_MADE: dict[str, Callable[[Dice], str]] = {
    "date": formats.date,
    "time": formats.time,
    "phone": lambda dice: f"+1-555-01{dice.randint(0, 99):02}",
    "code": lambda dice: f"{dice.getrandbits(32):08x}",
    "title": lambda dice: phrase(dice, 2, 3).title(),
    "phrase": lambda dice: phrase(dice, 5, 9).capitalize() + ".",
}

_FOR_FORMATS = {
    "email": "emails",
    "idn-email": "emails",
    "uri": "links",
    "url": "links",
    "iri": "links",
    "date": "iso_dates",
}


@functools.lru_cache(maxsize=4096)
def kind_of(name: str, description: str) -> str:
    """Tell what a member is about; empty if nothing tells.

    Args:
        name: Its name.
        description: The beginning of its description.
    """
    words = [word.lower() for word in _SPLIT.findall(name)]
    words.append("".join(words))
    found = [kind for word in words if (kind := _KIND_OF.get(word))]
    if not found and len(name) != 1:
        found = [kind for word in _SPLIT.findall(description)[:12] if (kind := _KIND_OF.get(word.lower()))][
            :1
        ]
    return min(found, key=_ORDER.__getitem__, default="")


@functools.lru_cache(maxsize=4096)
def exemplified(description: str) -> str:
    """Give the example that a description names; empty if it names none."""
    match = _EXAMPLE.search(description)
    return match[1] if match else ""


def phrase(dice: Dice, least: int, most: int) -> str:
    """Give some everyday words."""
    return " ".join(dice.choice(COMMON_WORDS) for _ in range(dice.randint(least, most)))


def believable(kind: str, dice: Dice) -> str:
    """Give a value for a member about `kind` that no message speaks of."""
    if constants := _CONSTANTS.get(kind):
        return dice.choice(constants)
    make = _MADE.get(kind)
    return make(dice) if make else phrase(dice, 2, 4)


class Hints:
    """What one message offers to one value, each thing once."""

    def __init__(self, said: Said) -> None:
        self.said = said
        self.used: set[tuple[str, int]] = set()

    def texts(self, kind: str, form: str) -> Iterator[str]:
        """Give the texts that a member about `kind` may be, the best first. Whoever takes one goes no further.

        Args:
            kind: As `kind_of` tells it.
            form: The format its schema names; empty for none.
        """
        if not self.said.text:
            return
        if form:
            if found := _FOR_FORMATS.get(form):
                yield from self._unused(found, getattr(self.said, found))
            elif form == "date-time":
                yield from (f"{day}T09:00:00Z" for day in self._unused("iso_dates", self.said.iso_dates))
            return
        for source in _SOURCES.get(kind, ()):
            yield from source(self)

    def numbers(self) -> Iterator[float]:
        """Give the numbers of the message."""
        if self.said.text:
            yield from self._unused("numbers", self.said.numbers)

    def count(self, kind: str, *, is_number: bool) -> int:
        """Tell how many values the message has left for items about `kind`."""
        if not self.said.text:
            return 0
        if is_number:
            return sum(("numbers", place) not in self.used for place in range(len(self.said.numbers)))
        if kind in ("person", "place", "name"):
            return sum(("names", place) not in self.used for place in range(len(self.said.names)))
        return 0

    def _unused(self, kind: str, found: list[_Value]) -> Iterator[_Value]:
        for place, value in enumerate(found):
            if (kind, place) not in self.used:
                self.used.add((kind, place))
                yield value
                # Asked for more: this one did not do.
                self.used.discard((kind, place))

    def _field(self, kind: str) -> Iterator[str]:
        return self._unused(kind, getattr(self.said, kind))

    def _listed(self, kind: str) -> Iterator[str]:
        return self._unused(kind, self.said.listed(kind))

    def _names(self, rank: Callable[[Name], int | None]) -> Iterator[str]:
        """Give names of the message, those of the lowest rank first, and none without a rank."""
        ranks = [(place, rank(name)) for place, name in enumerate(self.said.names)]
        for _, place in sorted((found, place) for place, found in ranks if found is not None):
            if ("names", place) not in self.used:
                self.used.add(("names", place))
                yield self.said.names[place].text
                self.used.discard(("names", place))

    def _near(self, *words: str) -> Iterator[str]:
        """Give names, those behind `words` first, and those that only open a sentence last."""
        yield from self._names(lambda name: int(name.before not in words) if name.is_firm else None)
        small = [place.text for place in self.said.places if place.before in words]
        yield from self._unused(f"places {words[0]}", small)
        yield from self._names(lambda _: 0)

    def _people(self) -> Iterator[str]:
        return self._names(lambda name: int(name.before in _BEFORE_PLACES))

    def _given(self) -> Iterator[str]:
        # The name stays there for the member that asks for the rest of it.
        names = (name.text for place, name in enumerate(self.said.names) if ("names", place) not in self.used)
        return (name.split(" ")[0] for name in names)

    def _family(self) -> Iterator[str]:
        return (name.split(" ")[-1] for name in self._people() if " " in name)

    def _whole(self) -> Iterator[str]:
        yield self.said.text[:_MOST_TEXT]

    def _mentioned_codes(self) -> Iterator[str]:
        yield from self._field("codes")
        yield from (
            str(number) for number in self._unused("numbers", self.said.numbers) if number == int(number)
        )


_BEFORE_PLACES = ("in", "at", "near", "from", "to", "for", "around", "visit", "visiting")

_SOURCES: dict[str, tuple[Callable[[Hints], Iterator[str]], ...]] = {
    "email": (lambda hints: hints._field("emails"),),
    "link": (lambda hints: hints._field("links"),),
    "file": (lambda hints: hints._field("files"), lambda hints: hints._field("quotes")),
    "origin": (lambda hints: hints._near("from"),),
    "goal": (lambda hints: hints._near("to"),),
    "start": (lambda hints: hints._near("from"),),
    "end": (lambda hints: hints._near("to"),),
    "given": (Hints._given,),
    "family": (Hints._family,),
    "place": (lambda hints: hints._near(*_BEFORE_PLACES),),
    "date": (lambda hints: hints._field("dates"),),
    "time": (lambda hints: hints._field("times"),),
    "language": (lambda hints: hints._listed("language"),),
    "currency": (lambda hints: hints._listed("currency"),),
    "unit": (lambda hints: hints._listed("unit"),),
    "color": (lambda hints: hints._listed("color"),),
    "formula": (lambda hints: hints._field("formulas"), Hints._whole),
    "ticker": (lambda hints: hints._field("tickers"),),
    "text": (lambda hints: hints._field("quotes"), Hints._whole),
    "person": (lambda hints: hints._field("called"), Hints._people),
    "name": (lambda hints: hints._field("quotes"), lambda hints: hints._field("called"), Hints._people),
    "title": (lambda hints: hints._field("quotes"), lambda hints: hints._field("called")),
    "code": (Hints._mentioned_codes,),
    "": (lambda hints: hints._field("quotes"),),
}
