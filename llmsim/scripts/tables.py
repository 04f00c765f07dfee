"""Tables of a script, read key by key, with all mistakes collected.

Decisions:
* An invalid value is reported and replaced by its default, so that parsing continues and all mistakes are reported
  at once. A script with a mistake is refused.
* A key that was not read when its table is closed is a mistake: the parser itself defines the known keys.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

from llmsim.errors import ScriptError
from llmsim.scripts.sources import Source
from llmsim.text import literal, nearest, printable
from llmsim.toml_source import KeyPath

_SHOWN = 60
_MOST_PROBLEMS = 50
"""Mistakes that are shown."""

_MOST_FOUND = 1_000
"""Mistakes among which those are the first by their lines; further ones are counted."""


class Problems:
    """The mistakes of a script.

    Args:
        name: The script's name in messages.
        source: The decoded script.
    """

    def __init__(self, name: str, source: Source) -> None:
        self._name = name
        self._find_lines = source.find_lines
        self._found = list(source.problems[:_MOST_FOUND])
        self._more = len(source.problems) - len(self._found)

    def add(self, place: KeyPath, message: str) -> None:
        """Add a mistake."""
        if len(self._found) < _MOST_FOUND:
            self._found.append((place, message))
        else:
            self._more += 1

    @property
    def is_full(self) -> bool:
        """Whether further mistakes are counted only."""
        return len(self._found) >= _MOST_FOUND

    def close(self) -> None:
        """Raise the mistakes, by their lines.

        Raises:
            ScriptError: There is one.
        """
        if not self._found:
            return
        lines = self._find_lines({place[:end] for place, _ in self._found for end in range(len(place) + 1)})
        located = sorted(
            [(_line_of(place, lines), place, message) for place, message in self._found], key=itemgetter(0)
        )
        messages = [self._format(*found) for found in located[:_MOST_PROBLEMS]]
        if more := self._more + len(located) - len(messages):
            messages.append(f"{self._name}: {more:,} problems more")
        raise ScriptError(tuple(messages))

    def _format(self, line: int, place: KeyPath, message: str) -> str:
        where = f"{self._name}:{line}" if line else self._name
        path = format_path(place)
        return f"{where}: {path}: {message}" if path else f"{where}: {message}"


def _line_of(place: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    """Return the line of a place, or of what it is in; 0 if none is known."""
    parents = (place[:end] for end in range(len(place), -1, -1))
    return next((lines[parent] for parent in parents if parent in lines), 0)


def format_path(place: KeyPath) -> str:
    """Format a path as `turns[3].calls[0].name`; empty for the whole script."""
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{shown(step)}" if text else shown(step)
    return text


def shown(text: str) -> str:
    """Return a text of the script for a message: printable, and truncated if it is long."""
    plain = printable(text[: _SHOWN + 1])
    return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]}…"


def describe(value: Any) -> str:
    """Describe a value for a message."""
    match value:
        case None:
            return "null"
        case list():
            return f"a list of {len(value)}" if value else "an empty list"
        case str():
            return shown(literal(value))
        case int() if not isinstance(value, bool):
            # A number of more than 4300 digits has no text.
            return str(value) if abs(value) < 1 << 64 else "a whole number of more than 64 bits"
        case _:
            return shown(literal(value))


class Table:
    """A table of the script; its keys are read one by one.

    Args:
        values: Keys and values.
        place: Its path.
        problems: Collects mistakes.
    """

    def __init__(self, values: Mapping[str, Any], place: KeyPath, problems: Problems) -> None:
        self._values = values
        self.place = place
        self._problems = problems
        self._read_keys: dict[str, None] = {}

    def __contains__(self, key: str) -> bool:
        """Return whether a key has a value other than null."""
        return self._values.get(key) is not None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._values)

    def problem(self, key: str | None, message: str) -> None:
        """Add a mistake in the value of a key; None for the table itself."""
        self._problems.add(self.place if key is None else (*self.place, key), message)

    def get(self, key: str, *, wanted: str | None = None) -> Any:
        """Return a value; None if it is null or missing.

        Args:
            key: Its key.
            wanted: What it should be, if it is required.
        """
        self._read_keys[key] = None
        value = self._values.get(key)
        if value is None and wanted is not None:
            self.problem(
                key if key in self._values else None,
                f"wanted {wanted}" if key in self._values else f'"{key}" is missing: wanted {wanted}',
            )
        return value

    def misfit(self, key: str, wanted: str) -> None:
        """Add the mistake that a value is not what was wanted."""
        self.problem(key, f"wanted {wanted}, found {describe(self._values.get(key))}")

    def text(self, key: str, *, required: bool = False, empty: bool = True) -> str | None:
        """Read a text."""
        wanted = "a text" if empty else "a text that is not empty"
        value = self.get(key, wanted=wanted if required else None)
        if value is None:
            return None
        if not isinstance(value, str) or not (value or empty):
            self.misfit(key, wanted)
            return None
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a text, or a list of texts; none of them empty."""
        value = self.get(key)
        if value is None:
            return ()
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
            self.misfit(key, "a text or a list of texts, none of them empty")
            return ()
        return tuple(texts)

    def flag(self, key: str) -> bool | None:
        """Read true or false."""
        value = self.get(key)
        if value is None or isinstance(value, bool):
            return value
        self.misfit(key, "true or false")
        return None

    def whole(self, key: str, least: int, most: int, *, required: bool = False) -> int | None:
        """Read a whole number; 3.0 is one."""
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
        """Read a number from 0."""
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
        """Read one of some words."""
        value = self.get(key, wanted=f"one of {', '.join(words)}" if required else None)
        if value is None or (isinstance(value, str) and value in words):
            return value
        self.problem(key, f"unknown word {describe(value)}{_hint(value, words)}")
        return None

    def table(self, key: str, *, wanted: str = "a table") -> "Table | None":
        """Read a table."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.misfit(key, wanted)
            return None
        return Table(value, (*self.place, key), self._problems)

    def tables(
        self, key: str, what: str, most: int, *, required: bool = False, lone: bool = False
    ) -> Iterable["Table"]:
        """Read a list of tables, each when it is asked for.

        Args:
            key: Its key.
            what: Plural of their name, for messages.
            most: Largest number of tables.
            required: Whether there must be one.
            lone: Whether a single table may stand without a list.
        """
        wanted = f"a list of {what}"
        value = self.get(key, wanted=wanted if required else None)
        if value is None:
            return []
        place = (*self.place, key)
        if lone and isinstance(value, dict):
            return [Table(value, place, self._problems)]
        if not isinstance(value, list):
            self.misfit(key, wanted)
            return []
        if required and not value:
            self.problem(key, f"wanted {wanted}, at least one, found none")
        if len(value) > most:
            self.problem(key, f"wanted at most {most:,} {what}, found {len(value):,}")
            return []
        return self._tables_in(value, place)

    def _tables_in(self, items: list[Any], place: KeyPath) -> Iterator["Table"]:
        for index, item in enumerate(items):
            if isinstance(item, dict):
                yield Table(item, (*place, index), self._problems)
            else:
                self._problems.add((*place, index), f"wanted a table, found {describe(item)}")

    def close(self, elsewhere: Mapping[str, str] | None = None) -> None:
        """Add a mistake for every key that was not read.

        Args:
            elsewhere: Messages for keys that are known, but belong elsewhere.
        """
        for key in self._values:
            if key in self._read_keys:
                continue
            if elsewhere and key in elsewhere:
                self.problem(key, elsewhere[key])
            else:
                # PERF: of 20,000 unknown keys the nearest known ones took 2 s.
                hint = "" if self._problems.is_full else _hint(key, self._read_keys)
                self.problem(key, f"unknown key{hint}")


def _number(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _hint(word: Any, words: Iterable[str]) -> str:
    names = list(words)
    meant = nearest(word, names) if isinstance(word, str) and len(word) <= _SHOWN else None
    return f'; did you mean "{meant}"?' if meant else f". One of: {', '.join(names)}"
