"""The limits of accounts over all workers, in a mapped file.

Decisions:
* `flock` around a look and a write, each process with a descriptor of its own: a process that is killed at any instant releases it.
  What it holds of the requests at a time is given back when they are needed, see `quota_holders.py`.
* A record has two copies of its values and a byte that says which counts. A change writes the other copy and then that byte, so a
  process that is killed between any two instructions leaves the values before the change, or after it.
* The file is mapped, and all of it allocated when it is made: a full disk fails then, not in a write to memory. A file that was
  removed or truncated is found within a tenth of a second, and made anew. PERF: 4 us a request, of which the lock takes 1.
* The file is a table with sets of eight places: memory is bounded however many keys come. A new key takes the place of one of
  which nothing is in use, else of the one that is soonest so: that one then has its whole limit at once.
* The first process that opens the file decides how large it is, the others follow: workers before and after a reload share it.
"""

import contextlib
import fcntl
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from llmsim.domain.quota import Amounts, ExceededLimit, Limits, QuotaStatus
from llmsim.state.damage import unusable
from llmsim.state.directory import open_private
from llmsim.state.quota_buckets import admit, book, book_output, decline, find_exceeded
from llmsim.state.quota_holders import Holders

_MAGIC = b"llmsim q"
_HEADER = struct.Struct("=8sQQ40x")

_VALUES = struct.Struct("=qq5q")
"""Time of the last change, time at which nothing is used any more, and what is used; times in microseconds."""

_KEY_SIZE, _COPY_AT, _COPIES_AT = 16, 16, 24
"""Size of a key; where the number of the copy that counts is, and the copies, from the beginning of a record."""

_RECORD_SIZE = _COPIES_AT + 2 * _VALUES.size

_WAYS = 8
"""Places of a set."""

_MOST_PLACES = 4096
"""Keys whose places a process remembers."""

_BLOCK = 2**20
"""Bytes that are written at a time when the file is made."""

_CHECK_SECONDS = 0.1
"""How often the file is looked after."""

_BACKWARDS = 1_000_000
"""Microseconds that the clock may go back, as between processes, without being set."""


def _read(table: mmap.mmap, at: int) -> tuple[int, ...]:
    """Return the values of a record."""
    return _VALUES.unpack_from(table, at + _COPIES_AT + _VALUES.size * table[at + _COPY_AT])


def _write(table: mmap.mmap, at: int, now: int, end: int, used: Sequence[int]) -> None:
    """Change the values of a record: all of them, or none if this process is killed."""
    copy = table[at + _COPY_AT] ^ 1
    _VALUES.pack_into(table, at + _COPIES_AT + _VALUES.size * copy, now, end, *used)
    table[at + _COPY_AT] = copy


_flock, _LOCK, _UNLOCK = fcntl.flock, fcntl.LOCK_EX, fcntl.LOCK_UN

_forks = [0]
"""How many forks led to this process. PERF: 0.15 us less than to ask for its id each time."""


def _count_fork() -> None:
    _forks[0] += 1


os.register_at_fork(after_in_child=_count_fork)


class FileQuotaStore:
    """The limits for the processes of one machine; see `QuotaStore`.

    Args:
        path: The file that they share.
        clock: Returns the Unix time, in seconds.
        most_buckets: Keys and models that are kept.
        holders: Processes that may hold requests of one key and model.
    """

    def __init__(self, path: Path, clock: Callable[[], float], most_buckets: int, holders: int) -> None:
        self._path = path
        self._clock = clock
        self._lay_out(-(-most_buckets // _WAYS), holders)
        self._file = -1
        self._owner = -1
        self._inode = 0
        self._map: mmap.mmap | None = None
        self._check_at = float("-inf")
        self._threads = threading.Lock()

    def open(self) -> None:
        """Open the file, or make it anew.

        Raises:
            StoreError: It cannot be opened.
        """
        with self._threads:
            try:
                self._open()
            except OSError as error:
                raise unusable(self._path, error.strerror) from error

    def _open(self) -> mmap.mmap:
        """Return the mapped file, which is opened or made anew if need be."""
        table, now = self._map, time.monotonic()
        if table is not None and now < self._check_at and self._owner == _forks[0]:
            return table
        self._check_at = now + _CHECK_SECONDS
        if self._owner != _forks[0]:
            # What was opened before a fork belongs to the parent, too.
            self._file, table, self._owner = -1, None, _forks[0]
            self._holders.start_process()
        if table is not None:
            with contextlib.suppress(FileNotFoundError):
                status = self._path.stat()
                if status.st_ino == self._inode and status.st_size >= len(table):
                    return table
        if self._file >= 0:
            os.close(self._file)
            self._file, self._map = -1, None
        file = open_private(self._path)
        try:
            _flock(file, _LOCK)
            self._map = self._map_file(file)
            self._inode = os.fstat(file).st_ino
            _flock(file, _UNLOCK)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return self._map

    def _map_file(self, file: int) -> mmap.mmap:
        """Map a file, after it was made if it is not whole; it is locked."""
        header = os.pread(file, _HEADER.size, 0)
        if len(header) == _HEADER.size:
            magic, sets, holders = _HEADER.unpack(header)
            if magic == _MAGIC and os.fstat(file).st_size == self._lay_out(sets, holders):
                return mmap.mmap(file, self._size)
        os.ftruncate(file, 0)
        for begin in range(0, self._size, _BLOCK):
            os.pwrite(file, bytes(min(_BLOCK, self._size - begin)), begin)
        os.pwrite(file, _HEADER.pack(_MAGIC, self._sets, self._holders.places), 0)
        return mmap.mmap(file, self._size)

    def _lay_out(self, sets: int, holders: int) -> int:
        """Adopt a layout; return the size of its file."""
        self._sets, self._holders = sets, Holders(holders)
        self._holders.start_process()
        self._place_size = _RECORD_SIZE + self._holders.size
        self._set_size = self._place_size * _WAYS
        self._places: dict[bytes, int] = {}
        self._size = _HEADER.size + sets * self._set_size
        return self._size

    async def admit(self, key: bytes, limits: Limits, amounts: Amounts, output: int = 0) -> QuotaStatus:
        """See `QuotaStore`."""
        exceeded, used = None, [0, 0, 0, 0, 0]
        with self._threads:
            try:
                # PERF: written out for what most requests find; as calls it takes twice as long.
                table = self._map
                if table is None or time.monotonic() >= self._check_at or self._owner != _forks[0]:
                    table = self._open()
                _flock(self._file, _LOCK)
                try:
                    now, elapsed = int(self._clock() * 1e6), 0
                    at = self._places.get(key, 0)
                    if not at or table[at : at + _KEY_SIZE] != key:
                        at = self._find(table, key)
                    if at >= 0:
                        updated, end, *used = _VALUES.unpack_from(
                            table, at + _COPIES_AT + _VALUES.size * table[at + _COPY_AT]
                        )
                        if updated <= now:
                            elapsed = now - updated
                        else:
                            now = self._set_back(table, at, now, updated, end, used)
                        if limits.concurrency:
                            exceeded = self._find_held(table, at, limits.concurrency)
                    free = -1
                    if exceeded is None:
                        free, used = admit(used, limits, amounts, elapsed)
                    if free >= 0:
                        if at < 0:
                            at = self._make_room(table, key)
                        total = used
                        if output:
                            free, total = book_output(used, limits, output, free)
                        _write(table, at, now, now + free, total)
                        if limits.concurrency:
                            self._holders.add(table, at + _RECORD_SIZE)
                finally:
                    _flock(self._file, _UNLOCK)
            except OSError as error:
                raise unusable(self._path, error.strerror) from error
        if free < 0:
            decline(used, limits, elapsed)
            exceeded = exceeded or find_exceeded(used, limits, amounts)
        return QuotaStatus(now, limits, used, exceeded)

    async def charge(self, key: bytes, limits: Limits, amounts: Amounts) -> None:
        """See `QuotaStore`."""
        with self._locked() as table:
            now, at, used = self._read(table, key, limits)
            if at < 0:
                at = self._make_room(table, key)
            end = now + book(used, limits, amounts)
            _write(table, at, now, end, used)

    async def status(self, key: bytes, limits: Limits) -> QuotaStatus:
        """See `QuotaStore`."""
        with self._locked() as table:
            now, _, used = self._read(table, key, limits)
        return QuotaStatus(now, limits, used)

    async def release(self, key: bytes) -> None:
        """See `QuotaStore`."""
        with self._locked() as table:
            at = self._find(table, key)
            if at >= 0:
                self._holders.release(table, at + _RECORD_SIZE)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[mmap.mmap]:
        """Hold the lock of the file; return it as it is mapped.

        Raises:
            StoreError: It cannot be used.
        """
        with self._threads:
            try:
                table = self._open()
                _flock(self._file, _LOCK)
                try:
                    yield table
                finally:
                    _flock(self._file, _UNLOCK)
            except OSError as error:
                raise unusable(self._path, error.strerror) from error

    def _read(self, table: mmap.mmap, key: bytes, limits: Limits) -> tuple[int, int, list[int]]:
        """Return the time, where the record of a key begins, -1 if there is none, and what is used of its limits."""
        now, at, used = int(self._clock() * 1e6), self._find(table, key), [0, 0, 0, 0, 0]
        if at >= 0:
            updated, end, *used = _read(table, at)
            if updated <= now:
                decline(used, limits, now - updated)
            else:
                now = self._set_back(table, at, now, updated, end, used)
        return now, at, used

    def _set_back(
        self, table: mmap.mmap, at: int, now: int, updated: int, end: int, used: Sequence[int]
    ) -> int:
        """Return the time to book at where the clock shows less than at the last change: as then, unless the clock was set."""
        if updated < now + _BACKWARDS:
            return updated
        _write(table, at, now, end, used)
        return now

    def _find_held(self, table: mmap.mmap, at: int, limit: int) -> ExceededLimit | None:
        """Return that no further request may be held; None if one may."""
        held = self._holders.count(table, at + _RECORD_SIZE, limit)
        return ExceededLimit("concurrency", limit, held, 1, None) if held >= limit else None

    def _find(self, table: mmap.mmap, key: bytes) -> int:
        """Return where the record of a key begins; -1 if there is none."""
        at = self._places.get(key, 0)
        if at and table[at : at + _KEY_SIZE] == key:
            return at
        begin = _HEADER.size + int.from_bytes(key[:8], "little") % self._sets * self._set_size
        at = table.find(key, begin, begin + self._set_size)
        while at >= 0 and (at - begin) % self._place_size:
            at = table.find(key, at + 1, begin + self._set_size)
        if at >= 0:
            if len(self._places) >= _MOST_PLACES:
                self._places.clear()
            self._places[key] = at
        return at

    def _make_room(self, table: mmap.mmap, key: bytes) -> int:
        """Return where the record of a new key goes; the one that was there is forgotten."""
        begin = _HEADER.size + int.from_bytes(key[:8], "little") % self._sets * self._set_size
        places = range(begin, begin + self._set_size, self._place_size)
        at = min(places, key=lambda place: self._worth(table, place))
        # The key comes last: a record is never found by a key whose values are another's.
        table[at : at + _KEY_SIZE] = bytes(_KEY_SIZE)
        table[at + _KEY_SIZE : at + self._place_size] = bytes(self._place_size - _KEY_SIZE)
        table[at : at + _KEY_SIZE] = key
        return at

    def _worth(self, table: mmap.mmap, at: int) -> tuple[bool, int]:
        """Return how much is lost if a record is forgotten: whether requests are held, and when nothing is used any more."""
        return self._holders.are_alive(table, at + _RECORD_SIZE), _read(table, at)[1]

    def restart(self) -> None:
        """Begin with nothing used; only while no other process has the file open."""
        self.remove()

    def remove(self) -> None:
        """Remove the file, if that is possible."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
