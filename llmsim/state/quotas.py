"""The limits of accounts over all workers, in a mapped file.

Decisions:
* A mutex around a look and a write, see `shared_mutex.py`: a process that is killed at any instant releases it. What it holds of the
  requests at a time is given back when they are needed, see `quota_holders.py`.
* A record has two copies of its values and a byte that says which counts. A change writes the other copy and then that byte, so a
  process that is killed between any two instructions leaves the values before the change, or after it.
* The file is mapped, and all of it allocated when it is made: a full disk fails then, not in a write to memory. A file that was
  removed or truncated is found within a tenth of a second, and made anew. PERF: 2.5 us a request, of which the mutex takes 0.5.
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
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from llmsim.domain.quota import Amounts, ExceededLimit, Limits, QuotaStatus
from llmsim.state.damage import unusable
from llmsim.state.directory import open_private
from llmsim.state.quota_buckets import book, decline, find_exceeded, prepare_admit
from llmsim.state.quota_holders import Holders
from llmsim.state.quota_port import AdmitAtOnce
from llmsim.state.shared_mutex import SharedMutex, make_mutex, remove_mutex

_MAGIC = b"llmsim r"
_HEADER = struct.Struct("=8sQQ40x")
_RECORDS_AT = _HEADER.size
"""The header comes first, then the records."""

_VALUES = struct.Struct("=qq5q")
"""Time of the last change, time at which nothing is used any more, and what is used; times in microseconds."""

_KEY_SIZE, _COPY_AT, _COPIES_AT = 16, 16, 24
"""Size of a key; where the number of the copy that counts is, and the copies, from the beginning of a record."""

_RECORD_SIZE = _COPIES_AT + 2 * _VALUES.size

# PERF: looked up once.
_unpack, _pack = _VALUES.unpack_from, _VALUES.pack_into
_PLACES = (_COPIES_AT, _COPIES_AT + _VALUES.size)

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


_stores: "weakref.WeakSet[FileQuotaStore]" = weakref.WeakSet()


def _start_process() -> None:
    """Make all stores check their files and the process that they are in, after a fork."""
    for store in _stores:
        store.check_soon()


os.register_at_fork(after_in_child=_start_process)


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
        self._mutex: SharedMutex | None = None
        self._opening = threading.Lock()
        make_mutex(path)
        self.check_soon()
        _stores.add(self)

    def check_soon(self) -> None:
        """Check the file before it is used again."""
        self._check_at = float("-inf")

    def open(self) -> None:
        """Open the file, or make it anew.

        Raises:
            StoreError: It cannot be opened.
        """
        try:
            self._open()
        except OSError as error:
            raise unusable(self._path, error.strerror) from error

    def _open(self) -> SharedMutex:
        """Return the mutex in the mapped file, which is opened or made anew if need be."""
        with self._opening:
            mutex, now, pid = self._mutex, time.monotonic(), os.getpid()
            if mutex is not None and self._owner == pid:
                if now < self._check_at:
                    return mutex
                with contextlib.suppress(FileNotFoundError):
                    status = self._path.stat()
                    if status.st_ino == self._inode and status.st_size >= len(mutex.table):
                        self._check_at = now + _CHECK_SECONDS
                        return mutex
                os.close(self._file)
            # What was opened before a fork belongs to the parent, too.
            self._mutex, self._owner = None, pid
            self._holders.start_process()
            file = open_private(self._path)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                table = self._map_file(file)
                self._inode = os.fstat(file).st_ino
                fcntl.flock(file, fcntl.LOCK_UN)
            except BaseException:
                os.close(file)
                raise
            self._file = file
            self._mutex = mutex = SharedMutex(table, self._path, file)
            self._check_at = now + _CHECK_SECONDS
            return mutex

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
        table = mmap.mmap(file, self._size)
        os.pwrite(file, _HEADER.pack(_MAGIC, self._sets, self._holders.places), 0)
        return table

    def _lay_out(self, sets: int, holders: int) -> int:
        """Adopt a layout; return the size of its file."""
        self._sets, self._holders = sets, Holders(holders)
        self._holders.start_process()
        self._place_size = _RECORD_SIZE + self._holders.size
        self._set_size = self._place_size * _WAYS
        self._places: dict[bytes, int] = {}
        self._size = _RECORDS_AT + sets * self._set_size
        return self._size

    async def admit(self, key: bytes, limits: Limits, amounts: Amounts, output: int = 0) -> QuotaStatus:
        """See `QuotaStore`."""
        return self.prepare_admit(key, limits)(amounts, output)

    def prepare_admit(self, key: bytes, limits: Limits) -> AdmitAtOnce:
        """See `QuotaStore`."""
        admit, concurrency, clock, monotonic, at = (
            prepare_admit(limits),
            limits.concurrency,
            self._clock,
            time.monotonic,
            0,
        )

        def admit_at_once(amounts: Amounts, output: int) -> QuotaStatus:
            nonlocal at
            exceeded, elapsed, free = None, 0, -1
            try:
                # PERF: written out for what most requests find; as calls it takes twice as long.
                mutex = self._mutex
                if mutex is None or monotonic() >= self._check_at:
                    mutex = self._open()
                if status := mutex.acquire():
                    mutex.wait(status)
                try:
                    table, now = mutex.table, int(clock() * 1e6)
                    if at <= 0 or table[at : at + _KEY_SIZE] != key:
                        at = self._find(table, key)
                    if at < 0:
                        copy, used = 0, [0, 0, 0, 0, 0]
                    else:
                        copy = table[at + _COPY_AT]
                        updated, end, a, b, c, d, e = _unpack(table, at + _PLACES[copy])
                        used = [a, b, c, d, e]
                        if updated <= now:
                            elapsed = now - updated
                        else:
                            now = self._set_back(table, at, now, updated, end, used)
                            copy = table[at + _COPY_AT]
                        if concurrency:
                            exceeded = self._find_held(table, at, concurrency)
                    if exceeded is None:
                        free, used, total = admit(used, amounts, elapsed, output)
                    if free >= 0:
                        if at < 0:
                            at = self._make_room(table, key)
                        copy ^= 1
                        a, b, c, d, e = total
                        _pack(table, at + _PLACES[copy], now, now + free, a, b, c, d, e)
                        table[at + _COPY_AT] = copy
                        if concurrency:
                            self._holders.add(table, at + _RECORD_SIZE)
                finally:
                    mutex.release()
            except OSError as error:
                raise unusable(self._path, error.strerror) from error
            if free < 0:
                decline(used, limits, elapsed)
                exceeded = exceeded or find_exceeded(used, limits, amounts)
            return QuotaStatus(now, limits, used, exceeded)

        return admit_at_once

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
        try:
            mutex = self._open()
            if status := mutex.acquire():
                mutex.wait(status)
            try:
                yield mutex.table
            finally:
                mutex.release()
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
        begin = _RECORDS_AT + int.from_bytes(key[:8], "little") % self._sets * self._set_size
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
        begin = _RECORDS_AT + int.from_bytes(key[:8], "little") % self._sets * self._set_size
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
        remove_mutex(self._path)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
