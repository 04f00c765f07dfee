"""Checked access to the fields of one row of a recording."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from loadtest.recordings.recording import RecordingError

MAX_TOKENS = 10_000_000
MAX_SECONDS = 7 * 86_400.0
MAX_CONCURRENCY = 100_000


class Row:
    """One row, and where it stands.

    Attributes:
        place: File and line, or file and path, for messages.
    """

    def __init__(self, place: str, values: Mapping[str, Any]) -> None:
        self.place = place
        self._values = values

    def child(self, name: str) -> "Row":
        """Return the object in a field."""
        value = self._values.get(name)
        if not isinstance(value, Mapping):
            raise self.error(name, "an object", value, is_missing=name not in self._values)
        return Row(self.place, {f"{name}.{key}": item for key, item in value.items()})

    def value(self, name: str) -> Any:
        """Return what a field holds; None if there is no such field."""
        return self._values.get(name)

    def tokens(self, *names: str) -> int:
        """Return a count of tokens; of several names the first that there is."""
        return self.count(*names, maximum=MAX_TOKENS)

    def count(self, *names: str, maximum: int) -> int:
        """Return a whole number from 1."""
        wanted = f"a whole number from 1 to {maximum}"
        name = self._find(names, wanted)
        number = self._number(name)
        if number is None or not number.is_integer() or not 1 <= number <= maximum:
            raise self.error(name, wanted, self._values[name])
        return int(number)

    def seconds(self, *names: str, per_second: float) -> float:
        """Return a duration or an offset, in seconds.

        Args:
            names: Names of the field; of several the first that there is.
            per_second: How many of the field's units a second has.
        """
        wanted = f"a number from 0 to {MAX_SECONDS * per_second:g}"
        name = self._find(names, wanted)
        number = self._number(name)
        if number is None or not 0 <= number <= MAX_SECONDS * per_second:
            raise self.error(name, wanted, self._values[name])
        return number / per_second

    def optional_seconds(self, *names: str, per_second: float) -> float | None:
        """Return a duration in seconds; None if the field is absent, null or empty."""
        if all(self._values.get(name) in (None, "") for name in names):
            return None
        return self.seconds(*names, per_second=per_second)

    def instant(self, *names: str, per_second: float) -> float:
        """Return a point in time, in seconds since any origin."""
        name = self._find(names, "a point in time")
        number = self._number(name)
        if number is None or number < 0:
            raise self.error(name, "a number from 0", self._values[name])
        return number / per_second

    def error(self, name: str, wanted: str, found: Any, *, is_missing: bool = False) -> RecordingError:
        """Build the error about a field."""
        what = "no such field" if is_missing else _show(found)
        return RecordingError(f"{self.place}: {name}: wanted {wanted}, found {what}")

    def _find(self, names: Sequence[str], wanted: str) -> str:
        for name in names:
            if self._values.get(name) not in (None, ""):
                return name
        for name in names:
            if name in self._values:
                raise self.error(name, wanted, self._values[name])
        raise self.error(names[0], wanted, None, is_missing=True)

    def _number(self, name: str) -> float | None:
        value = self._values[name]
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        try:
            # A CSV file has texts only.
            number = float(value)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None


def check_order(row: Row, ttft: float | None, e2e: float | None, names: tuple[str, str]) -> None:
    """Raise an error if a response ended before its first token."""
    if ttft is not None and e2e is not None and e2e < ttft:
        raise RecordingError(
            f"{row.place}: {names[1]}: wanted at least {names[0]} ({ttft * 1000:g} ms), found {e2e * 1000:g} ms"
        )


def _show(value: Any) -> str:
    text = json.dumps(value, default=str)
    text = text if len(text) <= 60 else text[:57] + "..."
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
