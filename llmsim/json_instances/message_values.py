"""The values of one message for one instance, by the kind of a member.

Decisions:
* A value is used once: a second member of the same kind gets the next one, so `a` and `b` of "add 2 and 3" are 2 and 3.
* A number beside a word of the member's name is preferred, as in "3 days" for `days`.
"""

from collections.abc import Iterator

from llmsim.json_instances.member_names import words_of
from llmsim.json_instances.message_facts import MessageFacts, Number

_SHORTEST_STEM = 4


class MessageValues:
    """The values of a message, each used once."""

    def __init__(self, facts: MessageFacts) -> None:
        self.facts = facts
        self.used: set[tuple[str, int]] = set()

    def texts(self, kind: str) -> Iterator[str]:
        """Yield the texts for a member of a kind, the best first. The last one yielded counts as used.

        Args:
            kind: As returned by `kind_of`.
        """
        if not self.facts.text:
            return
        match kind:
            case "path" | "directory":
                yield from self._unused("paths", self.facts.paths)
            case "url":
                yield from self._unused("urls", self.facts.urls)
            case "date":
                yield from self._unused("dates", self.facts.dates)
            case "date-time":
                yield from self._unused("dates", self.facts.moments)
            case "format":
                return
            case "noun" | "query":
                yield from self._unused("quotes", self.facts.quotes)
                yield from self._unused("noun", [self.facts.noun] if self.facts.noun else [])
            case _:
                yield from self._unused("quotes", self.facts.quotes)

    def safe_names(self) -> Iterator[str]:
        """Yield the plain relative names of files that are not negated."""
        yield from self._unused("safe_names", self.facts.safe_names)

    def numbers(self, name: str) -> Iterator[float]:
        """Yield the numbers, those beside a word of `name` first."""
        if not self.facts.text:
            return
        numbers = list(enumerate(self.facts.numbers))
        numbers.sort(key=lambda one: not is_beside(one[1], name))
        for place, number in numbers:
            if ("numbers", place) not in self.used:
                self.used.add(("numbers", place))
                yield number.value
                self.used.discard(("numbers", place))

    def beside(self, name: str) -> bool:
        """Return whether an unused number stands beside a word of `name`."""
        return any(
            ("numbers", place) not in self.used and is_beside(number, name)
            for place, number in enumerate(self.facts.numbers)
        )

    def count(self, kind: str, *, is_number: bool, is_safe: bool = False) -> int:
        """Return how many values are left for items of a kind; of paths only the safe ones if `is_safe`."""
        if not self.facts.text:
            return 0
        source = (
            "numbers"
            if is_number
            else {
                "path": "safe_names" if is_safe else "paths",
                "directory": "safe_names" if is_safe else "paths",
                "url": "urls",
                "date": "dates",
                "date-time": "dates",
                "format": "",
            }.get(kind, "quotes")
        )
        found = getattr(self.facts, source) if source else ()
        return sum((source, place) not in self.used for place in range(len(found)))

    def names(self, name: str) -> bool:
        """Return whether the message contains a word of `name`."""
        return any(
            len(word) >= _SHORTEST_STEM and f" {word}" in self.facts.lowered for word in words_of(name)
        )

    def _unused(self, kind: str, found: list[str]) -> Iterator[str]:
        for place, value in enumerate(found):
            if (kind, place) not in self.used:
                self.used.add((kind, place))
                yield value
                # The caller continues, so this value did not fit.
                self.used.discard((kind, place))


def is_beside(number: Number, name: str) -> bool:
    """Return whether a number stands beside a word of `name`, in singular or plural."""
    return any(
        word.rstrip("s") == other.rstrip("s") and len(word) > 1
        for word in words_of(name)
        for other in number.words
    )
