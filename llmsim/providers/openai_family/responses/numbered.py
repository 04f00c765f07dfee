"""The bodies of neighbouring events, which differ in their text and their running number.

Decisions:
* PERF: the text of a passage is escaped and padded once for as long as it lives; the number is put behind it when
  the event leaves. So a stream under way holds no text of its own: 0 bytes an event instead of some 100, 0.1 us
  later instead of sooner.
"""

from collections.abc import Sequence
from operator import add
from typing import overload

_NUMBERS = tuple(b"%d" % number for number in range(4096))


def _numbers(start: int, stop: int) -> Sequence[bytes]:
    if stop <= len(_NUMBERS):
        return _NUMBERS[start:stop]
    return [b"%d" % number for number in range(start, stop)]


class Numbered(Sequence[bytes]):
    """Texts with a running number behind each.

    Args:
        texts: What stands before the numbers.
        first: Number of the first text.
    """

    __slots__ = ("_first", "_texts")

    def __init__(self, texts: Sequence[bytes], first: int) -> None:
        self._texts = texts
        self._first = first

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[bytes]: ...
    def __getitem__(self, place: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self._texts))
            if step != 1:
                raise ValueError("bodies are taken in their order")
            return list(map(add, self._texts[start:stop], _numbers(self._first + start, self._first + stop)))
        number = self._first + (place if place >= 0 else place + len(self._texts))
        return self._texts[place] + (_NUMBERS[number] if number < len(_NUMBERS) else b"%d" % number)
