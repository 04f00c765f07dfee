"""A table of small records in mapped memory: sets of eight places, so that it is bounded and a key is found at once."""

import mmap
import struct
from collections.abc import Iterator

KEY_BYTES = 16
_WAYS = 8
_HEAD = struct.Struct("=16sdH")
"""Key, the time until which the record is of use, and the bytes of its data."""

_NO_KEY = bytes(KEY_BYTES)


class Slots:
    """A table.

    Args:
        start: Where it begins in the memory.
        places: Records that it holds; a multiple of eight.
        place_size: Bytes of a place.
    """

    def __init__(self, start: int, places: int, place_size: int) -> None:
        self._start = start
        self._sets = places // _WAYS
        self._place_size = place_size
        self.end = start + places * place_size
        self.room = place_size - _HEAD.size

    def find(self, memory: mmap.mmap, key: bytes) -> int:
        """Return where the record of a key is; -1 if there is none."""
        size = self._place_size
        begin = self._start + int.from_bytes(key[:8], "little") % self._sets * size * _WAYS
        for at in range(begin, begin + size * _WAYS, size):
            if memory[at : at + KEY_BYTES] == key:
                return at
        return -1

    def until(self, memory: mmap.mmap, key: bytes) -> float:
        """Return until when the record of a key is of use; 0 if there is none."""
        at = self.find(memory, key)
        until: float = _HEAD.unpack_from(memory, at)[1] if at >= 0 else 0.0
        return until

    def get(self, memory: mmap.mmap, key: bytes) -> bytes | None:
        """Return the data of a key; None if there is none."""
        at = self.find(memory, key)
        return self._data(memory, at) if at >= 0 else None

    def put(self, memory: mmap.mmap, key: bytes, data: bytes, until: float) -> bytes | None:
        """Store data, in place of the record that is of use for the shortest time if there is no room; return what that held."""
        evicted = None
        at = self.find(memory, key)
        if at < 0:
            size = self._place_size
            begin = self._start + int.from_bytes(key[:8], "little") % self._sets * size * _WAYS
            places = range(begin, begin + size * _WAYS, size)
            at = min(places, key=lambda place: _HEAD.unpack_from(memory, place)[1])
            if memory[at : at + KEY_BYTES] != _NO_KEY:
                evicted = self._data(memory, at)
        # The key is written last: a process that is killed in between leaves a place that is free.
        memory[at : at + KEY_BYTES] = _NO_KEY
        memory[at + _HEAD.size : at + _HEAD.size + len(data)] = data
        _HEAD.pack_into(memory, at, _NO_KEY, until, len(data))
        memory[at : at + KEY_BYTES] = key
        return evicted

    def delete(self, memory: mmap.mmap, key: bytes) -> None:
        """Delete a record, if there is one."""
        if (at := self.find(memory, key)) >= 0:
            memory[at : at + KEY_BYTES] = _NO_KEY
            memory[at : at + _HEAD.size] = bytes(_HEAD.size)

    def items(self, memory: mmap.mmap) -> Iterator[tuple[bytes, bytes]]:
        """Yield all keys with their data."""
        for at in range(self._start, self.end, self._place_size):
            key = memory[at : at + KEY_BYTES]
            if key != _NO_KEY:
                yield key, self._data(memory, at)

    def _data(self, memory: mmap.mmap, at: int) -> bytes:
        size = _HEAD.unpack_from(memory, at)[2]
        begin = at + _HEAD.size
        return memory[begin : begin + size]
