"""Values of the user's message that fit the name of a member.

Decisions:
* A value of the message is used once; a second member of the same kind gets the next one, so `a` and `b`
  of "add 2 and 3" are 2 and 3. The message as a whole may be used any number of times.
"""

import datetime
from collections.abc import Callable, Iterator
from typing import TypeVar

from llmsim.json_instances import phrasing
from llmsim.json_instances.kinds import BEHIND, CODES, SPLIT, coded
from llmsim.json_instances.message_facts import MessageFacts, Name

_Value = TypeVar("_Value")

_MOST_TEXT = 1000

_FOR_FORMATS = {
    "email": "emails",
    "idn-email": "emails",
    "uri": "links",
    "url": "links",
    "iri": "links",
    "date": "iso_dates",
}


class ArgumentHints:
    """The values of one message for one instance, each used once."""

    def __init__(self, facts: MessageFacts) -> None:
        self.facts = facts
        self.used: set[tuple[str, int]] = set()

    def texts(self, kind: str, form: str, name: str = "") -> Iterator[str]:
        """Yield the texts that fit a member about `kind`, the best first. The last one yielded counts as used.

        Args:
            kind: As returned by `kind_of`.
            form: The format of its schema; empty for none.
            name: Its name.
        """
        if not self.facts.text:
            return
        if form:
            if found := _FOR_FORMATS.get(form):
                yield from self._unused(found, getattr(self.facts, found))
                if form == "date" and self.facts.iso_dates:
                    yield _later(f"{self.facts.iso_dates[-1]}T00:00:00Z", days=7)[:10]
            elif form == "date-time" and self.facts.moments:
                yield from self._unused("moments", self.facts.moments)
                yield _later(self.facts.moments[-1], hours=1)
            return
        if kind.rpartition(" ")[2] in CODES:
            yield from self._listed(kind)
            return
        if kind in _LABELLED:
            yield from self._labelled(kind, name)
        for source in _SOURCES.get(kind, ()):
            yield from source(self)

    def numbers(self) -> Iterator[float]:
        """Yield the numbers of the message."""
        if self.facts.text:
            yield from self._unused("numbers", self.facts.numbers)

    def count(self, kind: str, *, is_number: bool) -> int:
        """Return how many values the message has left for items about `kind`."""
        if not self.facts.text:
            return 0
        if is_number:
            return sum(("numbers", place) not in self.used for place in range(len(self.facts.numbers)))
        if kind in ("email", "recipient") and self.facts.emails:
            return sum(("emails", place) not in self.used for place in range(len(self.facts.emails)))
        if kind == "file":
            return sum(("files", place) not in self.used for place in range(len(self.facts.files)))
        if kind in ("person", "place", "name"):
            return sum(("names", place) not in self.used for place in range(len(self.facts.names)))
        return 0

    def _unused(self, kind: str, found: list[_Value]) -> Iterator[_Value]:
        for place, value in enumerate(found):
            if (kind, place) not in self.used:
                self.used.add((kind, place))
                yield value
                # The caller continues, so this value did not fit.
                self.used.discard((kind, place))

    def _field(self, kind: str) -> Iterator[str]:
        return self._unused(kind, getattr(self.facts, kind))

    def _listed(self, kind: str) -> Iterator[str]:
        """Yield listed words or their codes, those with the matching preposition first, and none with the opposite one."""
        way, _, base = kind.removeprefix("coded ").rpartition(" ")
        other = BEHIND["to" if way == "from" else "from"] if way else ()
        found = self.facts.listed(base)
        ranks = [
            (behind not in BEHIND.get(way, ()), place)
            for place, (behind, _) in enumerate(found)
            if behind not in other
        ]
        for _, place in sorted(ranks):
            if (base, place) in self.used:
                continue
            self.used.add((base, place))
            word = found[place][1]
            yield from (coded(base, word), word) if kind.startswith("coded ") else (word, coded(base, word))
            self.used.discard((base, place))

    def _names(self, rank: Callable[[Name], int | None]) -> Iterator[str]:
        """Yield names of the message, those of the lowest rank first, and none without a rank."""
        ranks = [(place, rank(name)) for place, name in enumerate(self.facts.names)]
        for _, place in sorted((found, place) for place, found in ranks if found is not None):
            if ("names", place) not in self.used:
                self.used.add(("names", place))
                yield self.facts.names[place].text
                self.used.discard(("names", place))

    def _near(self, *words: str) -> Iterator[str]:
        """Yield names, those behind `words` first, and those that only open a sentence last."""
        yield from self._names(
            lambda name: int(name.before not in words) if name.is_firm and not self._is_title(name) else None
        )
        small = [place.text for place in self.facts.places if place.before in words]
        yield from self._unused(f"places {words[0]}", small)
        yield from self._names(lambda name: None if self._is_title(name) else 0)

    def _is_title(self, name: Name) -> bool:
        """Return whether a name is that of a thing: in quotes, or given to it."""
        return name.text in self.facts.called or any(
            name.text in quote and name.text != quote for quote in self.facts.quotes
        )

    def _labelled(self, kind: str, name: str) -> Iterator[str]:
        """Yield the word behind the name of a member; that of an id has a figure."""
        words = [word for word in SPLIT.findall(name) if word.lower() not in ("id", "ids", "code", "number")]
        found = phrasing.labelled(self.facts.read, words[-1]) if words else ""
        if found and (kind != "code" or any(letter.isdigit() for letter in found)):
            yield found

    def _extract(self, extract: Callable[[str], str]) -> Iterator[str]:
        if found := extract(self.facts.read):
            yield found

    def _people(self) -> Iterator[str]:
        return self._names(
            lambda name: 1 if name.before in ("to", "for") else 2 * (name.before in (*_BEFORE_PLACES, "on"))
        )

    def _given(self) -> Iterator[str]:
        # The name remains unused for the member with the rest of it.
        names = (
            name.text for place, name in enumerate(self.facts.names) if ("names", place) not in self.used
        )
        return (name.split(" ")[0] for name in names)

    def _family(self) -> Iterator[str]:
        return (name.split(" ")[-1] for name in self._people() if " " in name)

    def _selectors(self) -> Iterator[str]:
        return self._unused("selectors", phrasing.selectors(self.facts.read))

    def _whole(self) -> Iterator[str]:
        yield self.facts.text[:_MOST_TEXT]

    def _mentioned_codes(self) -> Iterator[str]:
        yield from self._field("codes")
        yield from (
            str(number) for number in self._unused("numbers", self.facts.numbers) if number == int(number)
        )


def _later(moment: str, **by: int) -> str:
    """Return a later moment, or the same at the end of the calendar."""
    try:
        later = datetime.datetime.fromisoformat(moment) + datetime.timedelta(**by)
    except OverflowError:
        return moment
    return later.strftime("%Y-%m-%dT%H:%M:%SZ")


_LABELLED = frozenset(["", "branch", "table", "database", "status", "code"])
"""Kinds whose value may follow their name in the message."""

_BEFORE_PLACES = ("in", "at", "near", "from", "to", "for", "around", "visit", "visiting")

_SOURCES: dict[str, tuple[Callable[[ArgumentHints], Iterator[str]], ...]] = {
    "email": (lambda hints: hints._field("emails"),),
    "link": (lambda hints: hints._field("links"),),
    "file": (lambda hints: hints._field("files"), lambda hints: hints._field("quotes")),
    "origin": (lambda hints: hints._near("from"),),
    "goal": (lambda hints: hints._near("to"),),
    "start": (lambda hints: hints._near("from"),),
    "end": (lambda hints: hints._field("emails"), lambda hints: hints._near("to")),
    "recipient": (
        lambda hints: hints._field("emails"),
        lambda hints: hints._field("called"),
        ArgumentHints._people,
    ),
    "command": (
        lambda hints: hints._extract(phrasing.command),
        lambda hints: hints._field("quotes"),
    ),
    "program": (lambda hints: hints._extract(phrasing.program), lambda hints: hints._field("quotes")),
    "sql": (lambda hints: hints._extract(phrasing.statement),),
    "selector": (lambda hints: hints._selectors(), lambda hints: hints._field("quotes")),
    "text": (
        lambda hints: hints._field("quotes"),
        lambda hints: hints._extract(phrasing.topic),
        ArgumentHints._whole,
    ),
    "prompt": (lambda hints: hints._field("quotes"), ArgumentHints._whole),
    "phrase": (lambda hints: hints._extract(phrasing.topic),),
    "given": (ArgumentHints._given,),
    "family": (ArgumentHints._family,),
    "place": (lambda hints: hints._near(*_BEFORE_PLACES),),
    "date": (lambda hints: hints._field("dates"),),
    "time": (lambda hints: hints._field("times"),),
    "color": (lambda hints: hints._listed("color"),),
    "formula": (
        lambda hints: hints._field("formulas"),
        lambda hints: hints._extract(phrasing.sum_in_words),
        ArgumentHints._whole,
    ),
    "ticker": (lambda hints: hints._field("tickers"),),
    "person": (lambda hints: hints._field("called"), ArgumentHints._people),
    "name": (
        lambda hints: hints._field("quotes"),
        lambda hints: hints._field("called"),
        ArgumentHints._people,
    ),
    "title": (
        lambda hints: hints._field("quotes"),
        lambda hints: hints._field("called"),
        lambda hints: hints._extract(phrasing.headline),
    ),
    "code": (ArgumentHints._mentioned_codes, lambda hints: hints._extract(phrasing.program)),
    "": (lambda hints: hints._field("quotes"),),
}
