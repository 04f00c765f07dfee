"""The file of the limits: its layout, and where the record of a key is.

Decisions:
* The file is a table with sets of eight places: memory is bounded however many keys come. A new key takes the place of one of
  which nothing is in use, else of the one that is soonest so: that one then has its whole limit at once.
* A record has two copies of its values and a tag that says which counts. A change writes the other copy and then the tag, so a
  process that is killed between any two instructions leaves the values before the change, or after it.
* All of the file is allocated when it is made: a full disk fails then, not in a write to memory.
* The first process that opens the file decides how large it is, the others follow: workers before and after a reload share it.
"""

import mmap
import os
import struct
import sys
from collections.abc import Collection, Sequence

from llmsim.domain.quota import RATES, Limits
from llmsim.state.quota_holders import Holders

_MAGIC = b"llmsim s"
_HEADER = struct.Struct("=8sQQ40x")
_RECORDS_AT = _HEADER.size
"""The header comes first, then the records."""

_LIMITS = struct.Struct("=5q")
"""The limit of each rate, 0 for none; only to know when nothing is used any more."""

_VALUES = struct.Struct("=q5q")
"""Time of the last change, in microseconds, and what is used of each rate."""

_KEY_SIZE, TAG_AT, _LIMITS_AT, _COPIES_AT = 16, 16, 24, 64
"""From the beginning of a record: its key; its tag, see `tag_of`; the limits; the copies of its values."""

_LOW_AT = TAG_AT if sys.byteorder == "little" else TAG_AT + 7
"""Where the lowest byte of the tag is."""

RECORD_SIZE = _COPIES_AT + 2 * _VALUES.size
"""Its bytes, without the holders behind it."""

WORD = 8
"""Bytes of a word."""

_PLACES = (_COPIES_AT, _COPIES_AT + _VALUES.size)
"""Where the copies begin in a record."""

_WAYS = 8
"""Places of a set."""

_MOST_PLACES = 4096
"""Keys whose places a process remembers."""

_BLOCK = 2**20
"""Bytes that are written at a time when the file is made."""


def tag_of(key: bytes, copy: int) -> int:
    """Return the tag of a record: which copy of its values counts, and of which key they are but for a bit."""
    return int.from_bytes(key[WORD:], "little", signed=True) & ~1 | copy


RecordCopies = dict[int, tuple[memoryview, memoryview, int]]
"""By the tag of a record: the values that count, the other ones, and the tag that makes those count."""


def record_copies(words: memoryview, at: int, key: bytes, rates: int) -> RecordCopies:
    """Return how the values of a record are read and changed: the time, and what is used of each of the first rates.

    PERF: words, 0.5 us less for a request than packed structures.
    """
    places = [(at + place) // WORD for place in _PLACES]
    one, other = [words[place : place + 1 + rates] for place in places]
    tags = tag_of(key, 0), tag_of(key, 1)
    return {tags[0]: (one, other, tags[1]), tags[1]: (other, one, tags[0])}


def read_record(table: mmap.mmap, at: int) -> tuple[int, ...]:
    """Return the values of a record."""
    return _VALUES.unpack_from(table, at + _PLACES[table[at + _LOW_AT] & 1])


def write_record(table: mmap.mmap, at: int, now: int, used: Sequence[int]) -> None:
    """Change the values of a record: all of them, or none if this process is killed."""
    _VALUES.pack_into(table, at + _PLACES[~table[at + _LOW_AT] & 1], now, *used)
    # One byte, so it changes at once.
    table[at + _LOW_AT] ^= 1


def clear_others(table: mmap.mmap, at: int, kinds: Collection[int]) -> None:
    """Forget what was used of the rates of a record that are not limited, which are not written from then on."""
    for kind in range(len(RATES)):
        if kind not in kinds:
            for place in _PLACES:
                begin = at + place + WORD * (1 + kind)
                table[begin : begin + WORD] = bytes(WORD)


def _find_end(table: mmap.mmap, at: int) -> int:
    """Return when nothing of a record is used any more; what has no limit any more does not count."""
    updated, *used = read_record(table, at)
    longest = 0
    for amount, limit in zip(used, _LIMITS.unpack_from(table, at + _LIMITS_AT), strict=True):
        if limit and amount > longest * limit:
            longest = -(-amount // limit)
    return updated + longest


class QuotaTable:
    """The layout of the file, and where the record of a key is in it.

    Args:
        most_buckets: Keys and models that are kept.
        holders: Processes that may hold requests of one key and model.

    Attributes:
        holders: The places for holders behind each record.
        places: Where the records of keys were found that are in use.
    """

    def __init__(self, most_buckets: int, holders: int) -> None:
        self.holders: Holders
        self.places: dict[bytes, int]
        self._lay_out(-(-most_buckets // _WAYS), holders)

    def map_file(self, file: int) -> mmap.mmap:
        """Map a file, after it was made if it is not whole; it is locked."""
        header = os.pread(file, _HEADER.size, 0)
        if len(header) == _HEADER.size:
            magic, sets, holders = _HEADER.unpack(header)
            if magic == _MAGIC and os.fstat(file).st_size == self._lay_out(sets, holders):
                return mmap.mmap(file, self._size)
        os.ftruncate(file, 0)
        for begin in range(0, self._size, _BLOCK):
            os.pwrite(file, bytes(min(_BLOCK, self._size - begin)), begin)
        table = mmap.mmap(file, self._size)
        os.pwrite(file, _HEADER.pack(_MAGIC, self._sets, self.holders.places), 0)
        return table

    def _lay_out(self, sets: int, holders: int) -> int:
        """Adopt a layout; return the size of its file."""
        self._sets, self.holders = sets, Holders(holders)
        self.holders.start_process()
        self._place_size = RECORD_SIZE + self.holders.size
        self._set_size = self._place_size * _WAYS
        self.places = {}
        self._size = _RECORDS_AT + sets * self._set_size
        return self._size

    def find(self, table: mmap.mmap, key: bytes, limits: Limits | None = None) -> int:
        """Return where the record of a key begins, which has these limits now; -1 if there is none."""
        at = self.places.get(key, 0)
        if at and table[at : at + _KEY_SIZE] == key:
            return at
        begin = self._begin(key)
        at = table.find(key, begin, begin + self._set_size)
        while at >= 0 and (at - begin) % self._place_size:
            at = table.find(key, at + 1, begin + self._set_size)
        if at >= 0:
            self._remember(table, at, key, limits)
        return at

    def _begin(self, key: bytes) -> int:
        """Return where the set of a key begins."""
        return _RECORDS_AT + int.from_bytes(key[:WORD], "little") % self._sets * self._set_size

    def _remember(self, table: mmap.mmap, at: int, key: bytes, limits: Limits | None) -> None:
        """Remember where the record of a key begins, and note in it the limits that it has now."""
        if len(self.places) >= _MOST_PLACES:
            self.places.clear()
        self.places[key] = at
        if limits is not None:
            amounts = [0] * len(RATES)
            for index, limit, _, _ in limits.rates:
                amounts[index] = limit
            _LIMITS.pack_into(table, at + _LIMITS_AT, *amounts)

    def make_room(self, table: mmap.mmap, key: bytes, limits: Limits) -> int:
        """Return where the record of a new key goes; the one that was there is forgotten."""
        begin = self._begin(key)
        places = range(begin, begin + self._set_size, self._place_size)
        at = min(places, key=lambda place: self._worth(table, place))
        # The key comes last: a record is never found by a key whose values are another's.
        table[at : at + _KEY_SIZE] = bytes(_KEY_SIZE)
        table[at + _KEY_SIZE : at + self._place_size] = bytes(self._place_size - _KEY_SIZE)
        self._remember(table, at, key, limits)
        table[at : at + _KEY_SIZE] = key
        table[at + TAG_AT : at + TAG_AT + WORD] = tag_of(key, 0).to_bytes(WORD, sys.byteorder, signed=True)
        return at

    def _worth(self, table: mmap.mmap, at: int) -> tuple[bool, int]:
        """Return how much is lost if a record is forgotten: whether requests are held, and when nothing is used any more."""
        return self.holders.are_alive(table, at + RECORD_SIZE), _find_end(table, at)
