"""Tables of a script, taken apart key by key, with every mistake told.

Decisions:
* A value that cannot be taken is told and stands in for by its default, so that reading goes on and all mistakes come
  at once. Nothing is made of a script that has one.
* A key that nobody has asked for when a table is closed is a mistake: so what is asked for is what there is.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from llmsim.errors import ScriptError
from llmsim.scripts.sources import KeyPath, Source
from llmsim.words import literal, nearest, printable

_SHOWN = 60
_MOST_PROBLEMS = 50


class Findings:
    """What is wrong with a script.

    Args:
        name: What the script is called in messages.
        source: The script as it is written.
    """

    def __init__(self, name: str, source: Source) -> None:
        self._name = name
        self._lines = source.lines
        self._found: list[tuple[int, str]] = []
        for place, words in source.problems:
            self.add(place, words)

    def add(self, place: KeyPath, words: str) -> None:
        """Note what is wrong at a place."""
        parents = (place[:end] for end in range(len(place), -1, -1))
        line = next((self._lines[parent] for parent in parents if parent in self._lines), 0)
        where = f"{self._name}:{line}" if line else self._name
        path = written(place)
        self._found.append((line, f"{where}: {path}: {words}" if path else f"{where}: {words}"))

    def close(self) -> None:
        """Raise what was found.

        Raises:
            ScriptError: There is something.
        """
        told = [words for _, words in sorted(self._found, key=lambda found: found[0])]
        if len(told) > _MOST_PROBLEMS:
            told[_MOST_PROBLEMS:] = [f"{self._name}: {len(told) - _MOST_PROBLEMS} problems more"]
        if told:
            raise ScriptError(tuple(told))


def written(place: KeyPath) -> str:
    """Write a place as one reads it: `turns[3].calls[0].name`; empty for the whole script."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{shown(step)}" if text else shown(step)
    return text


def shown(text: str) -> str:
    """Give a text of the script for a message: what does not print is replaced, and most of what is long left out."""
    plain = printable(text[: _SHOWN + 1])
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…"


def found_words(value: Any) -> str:
    """Say what was found."""
    match value:
        case None:
            return "null"
        case list():
            return f"a list of {len(value)}" if value else "an empty list"
        case str():
            return shown(literal(value))
        case int() if not isinstance(value, bool):
            return str(value)
        case _:
            return shown(literal(value))


class Table:
    """A table of the script; its keys are asked for one by one.

    Args:
        values: Keys and values.
        place: Where it stands.
        findings: What is wrong.
    """

    def __init__(self, values: Mapping[str, Any], place: KeyPath, findings: Findings) -> None:
        self._values = values
        self.place = place
        self._findings = findings
        self._asked: dict[str, None] = {}

    def __contains__(self, key: str) -> bool:
        """Tell whether a key is given, null aside."""
        return self._values.get(key) is not None

    def problem(self, key: str | None, words: str) -> None:
        """Note what is wrong with the value of a key; None for the table itself."""
        self._findings.add(self.place if key is None else (*self.place, key), words)

    def get(self, key: str, *, wanted: str | None = None) -> Any:
        """Give a value; null and nothing are the same.

        Args:
            key: Its key.
            wanted: What it should be, if it must be there.
        """
        self._asked[key] = None
        value = self._values.get(key)
        if value is None and wanted is not None:
            self.problem(
                key if key in self._values else None,
                f"wanted {wanted}" if key in self._values else f'"{key}" is missing: wanted {wanted}',
            )
        return value

    def misfit(self, key: str, wanted: str) -> None:
        """Note that a value is not what was wanted."""
        self.problem(key, f"wanted {wanted}, found {found_words(self._values.get(key))}")

    def text(self, key: str, *, required: bool = False, empty: bool = True) -> str | None:
        """Take a text."""
        wanted = "a text" if empty else "a text that is not empty"
        value = self.get(key, wanted=wanted if required else None)
        if value is None:
            return None
        if not isinstance(value, str) or not (value or empty):
            self.misfit(key, wanted)
            return None
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Take a text, or a list of texts; none of them empty."""
        value = self.get(key)
        if value is None:
            return ()
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
            self.misfit(key, "a text or a list of texts, none of them empty")
            return ()
        return tuple(texts)

    def flag(self, key: str) -> bool | None:
        """Take true or false."""
        value = self.get(key)
        if value is None or isinstance(value, bool):
            return value
        self.misfit(key, "true or false")
        return None

    def whole(self, key: str, least: int, most: int, *, required: bool = False) -> int | None:
        """Take a whole number; 3.0 is one."""
        wanted = f"a whole number from {least:,} to {most:,}"
        value = self.get(key, wanted=wanted if required else None)
        if value is None:
            return None
        number = _number(value)
        if number is None or not number.is_integer() or not least <= number <= most:
            self.misfit(key, wanted)
            return None
        return int(value)

    def number(self, key: str, most: float, *, required: bool = False) -> float | None:
        """Take a number from 0."""
        wanted = f"a number from 0 to {most:,.0f}"
        value = self.get(key, wanted=wanted if required else None)
        if value is None:
            return None
        number = _number(value)
        if number is None or not 0 <= number <= most:
            self.misfit(key, wanted)
            return None
        return number

    def choice(self, key: str, words: Collection[str], *, required: bool = False) -> str | None:
        """Take one of some words."""
        value = self.get(key, wanted=f"one of {', '.join(words)}" if required else None)
        if value is None or (isinstance(value, str) and value in words):
            return value
        self.problem(key, f"unknown word {found_words(value)}{_hint(value, words)}")
        return None

    def table(self, key: str, *, wanted: str = "a table") -> "Table | None":
        """Take a table."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.misfit(key, wanted)
            return None
        return Table(value, (*self.place, key), self._findings)

    def tables(
        self, key: str, what: str, most: int, *, required: bool = False, lone: bool = False
    ) -> list["Table"]:
        """Take a list of tables.

        Args:
            key: Its key.
            what: What each of them is, for messages.
            most: How many there may be.
            required: Whether there must be one.
            lone: Whether one may stand without a list around it.
        """
        wanted = f"a list of {what}"
        value = self.get(key, wanted=wanted if required else None)
        if value is None:
            return []
        place = (*self.place, key)
        if lone and isinstance(value, dict):
            return [Table(value, place, self._findings)]
        if not isinstance(value, list):
            self.misfit(key, wanted)
            return []
        if required and not value:
            self.problem(key, f"wanted {wanted}, at least one, found none")
        if len(value) > most:
            self.problem(key, f"wanted at most {most:,} {what}, found {len(value):,}")
        tables = []
        for index, item in enumerate(value[:most]):
            if isinstance(item, dict):
                tables.append(Table(item, (*place, index), self._findings))
            else:
                self._findings.add((*place, index), f"wanted a table, found {found_words(item)}")
        return tables

    def close(self, elsewhere: Mapping[str, str] | None = None) -> None:
        """Note every key that was not asked for.

        Args:
            elsewhere: Keys that are known, but not here, and where they belong.
        """
        for key in self._values:
            if key in self._asked:
                continue
            if elsewhere and key in elsewhere:
                self.problem(key, elsewhere[key])
            else:
                self.problem(key, f"unknown key{_hint(key, self._asked)}")


def _number(value: Any) -> float | None:
    """Give a number as such; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _hint(word: Any, words: Iterable[str]) -> str:
    names = list(words)
    meant = nearest(word, names) if isinstance(word, str) and len(word) <= _SHOWN else None
    return f'; did you mean "{meant}"?' if meant else f". One of: {', '.join(names)}"
