"""Which processes hold how many requests of a key and a model at a time, in a few bytes of mapped memory.

Decisions:
* Names and counts are words that are written by themselves, so a process that is killed at any instant leaves each whole.
* A process is known by its id and the last bits of its start time, as ids are used again. What a dead process holds is released when
  its place or its requests are needed, not before.
"""

import mmap
import os
import struct
import sys
import time
from collections.abc import Sequence

from llmsim.state.owners import read_start_time

_WORD = 8
_CHECK_SECONDS = 0.1
"""How long a process counts as alive, or dead, after it was looked for."""


class Holders:
    """The places for holders behind a record.

    Args:
        places: Processes that may hold requests of one record.
    """

    def __init__(self, places: int) -> None:
        self._layout = struct.Struct(f"={places}Q{places}Q")
        self.size = self._layout.size
        self.places = places
        self._own = 0
        self._alive: dict[int, tuple[float, bool]] = {}

    def start_process(self) -> None:
        """Read the id and start time of this process; to be called after a fork."""
        pid = os.getpid()
        self._own = pid << 16 | (_short_start(pid) or 0)

    def count(self, table: mmap.mmap, at: int, limit: int) -> int:
        """Return how many requests are held; what dead processes hold is released if `limit` would be exceeded.

        Args:
            table: The memory.
            at: Where the places begin.
            limit: Most requests at a time; it is returned, too, where there is no place for this process.
        """
        names, counts = self._read(table, at)
        if sum(counts) < limit and self._place(names, counts) >= 0:
            return sum(counts)
        for index, name in enumerate(names):
            if counts[index] and not self._lives(name):
                counts[index] = 0
                self._put(table, at + _WORD * (self.places + index), 0)
        return sum(counts) if self._place(names, counts) >= 0 else max(limit, sum(counts))

    def add(self, table: mmap.mmap, at: int) -> None:
        """Hold one more request of this process, if there is a place for it."""
        names, counts = self._read(table, at)
        place = self._place(names, counts)
        if place < 0:
            return
        self._put(table, at + _WORD * place, self._own)
        self._put(table, at + _WORD * (self.places + place), counts[place] + 1)

    def release(self, table: mmap.mmap, at: int) -> None:
        """Release a request of this process, if it holds any."""
        names, counts = self._read(table, at)
        place = self._place(names, counts)
        if place >= 0 and counts[place]:
            self._put(table, at + _WORD * (self.places + place), counts[place] - 1)

    def are_alive(self, table: mmap.mmap, at: int) -> bool:
        """Return whether a process that is alive holds a request."""
        names, counts = self._read(table, at)
        return any(count and self._lives(name) for name, count in zip(names, counts, strict=True))

    @staticmethod
    def _put(table: mmap.mmap, at: int, number: int) -> None:
        """Write a word: eight bytes in one store."""
        table[at : at + _WORD] = number.to_bytes(_WORD, sys.byteorder)

    def _read(self, table: mmap.mmap, at: int) -> tuple[list[int], list[int]]:
        numbers = self._layout.unpack_from(table, at)
        return list(numbers[: self.places]), list(numbers[self.places :])

    def _place(self, names: Sequence[int], counts: Sequence[int]) -> int:
        """Return the place of this process, else a free one; -1 if there is none."""
        if self._own in names:
            return names.index(self._own)
        return counts.index(0) if 0 in counts else -1

    def _lives(self, name: int) -> bool:
        now = time.monotonic()
        checked, lives = self._alive.get(name, (float("-inf"), False))
        if now >= checked + _CHECK_SECONDS:
            lives = _short_start(name >> 16) == name & 0xFFFF
            if len(self._alive) >= 10_000:
                self._alive.clear()
            self._alive[name] = (now, lives)
        return lives


def _short_start(pid: int) -> int | None:
    """Return the last bits of a process's start time, 0 if unknown; None if there is no such process."""
    start = read_start_time(pid)
    if start is None:
        return None
    return int(start) & 0xFFFF if start else 0
