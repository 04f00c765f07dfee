"""The limits of accounts over all workers, in a mapped file.

Decisions:
* A mutex around a look and a write, see `shared_mutex.py`: a process that is killed at any instant releases it. What it holds of the
  requests at a time is given back when they are needed, see `quota_holders.py`.
* A file that was removed or truncated is found within a tenth of a second, and made anew.
* PERF: a limit of requests and one of tokens a minute are booked by code that is prepared for both, 1.3 us, of which the mutex takes
  0.25; other rates take 1.6 to 2.1. Among all else that a request runs through it is nearly twice as much.
"""

import contextlib
import fcntl
import functools
import mmap
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from llmsim.domain.quota import (
    INPUT_TPM,
    OUTPUT_TPM,
    RPM,
    TPM,
    Amounts,
    ExceededLimit,
    Limits,
    QuotaStatus,
)
from llmsim.state.damage import unusable
from llmsim.state.directory import open_private
from llmsim.state.quota_buckets import MOST_USED, OF_OUTPUT, admit, book, decline, find_exceeded
from llmsim.state.quota_port import AdmitAtOnce
from llmsim.state.quota_table import (
    PLACES,
    RECORD_SIZE,
    TAG_AT,
    WORD,
    QuotaTable,
    read_record,
    record_layout,
    tag_of,
    write_record,
)
from llmsim.state.shared_mutex import SharedMutex, make_mutex, remove_mutex

_TOKEN_RATES = (TPM, INPUT_TPM, OUTPUT_TPM)

_CHECK_SECONDS = 0.1
"""How often the file is looked after."""

_BACKWARDS = 1_000_000
"""Microseconds that the clock may go back, as between processes, without being set."""


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
        self._records = QuotaTable(most_buckets, holders)
        self._file = -1
        self._owner = -1
        self._inode = 0
        self._mutex: SharedMutex | None
        self._opening = threading.Lock()
        make_mutex(path)
        self.check_soon()
        _stores.add(self)

    def check_soon(self) -> None:
        """Open the file anew before it is used again."""
        self._check_at, self._mutex = float("-inf"), None

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
            self._records.holders.start_process()
            file = open_private(self._path)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                table = self._records.map_file(file)
                self._inode = os.fstat(file).st_ino
                fcntl.flock(file, fcntl.LOCK_UN)
            except BaseException:
                os.close(file)
                raise
            self._file = file
            self._mutex = mutex = SharedMutex(table, self._path, file)
            self._check_at = now + _CHECK_SECONDS
            return mutex

    async def admit(self, key: bytes, limits: Limits, amounts: Amounts, output: int = 0) -> QuotaStatus:
        """See `QuotaStore`."""
        return self._admit(key, limits, amounts, output)

    def prepare_admit(self, key: bytes, limits: Limits) -> AdmitAtOnce:
        """See `QuotaStore`."""
        # The limits may be other ones than before.
        self._records.places.pop(key, None)
        if limits.concurrency:
            return functools.partial(self._admit, key, limits)
        return self._prepare_rates(key, limits)

    def _prepare_rates(self, key: bytes, limits: Limits) -> AdmitAtOnce:
        """Return what admits requests to rates. PERF: two, as most accounts have, are written out, 0.4 us less."""
        clock, rates = self._clock, limits.rates
        kinds = [rate[0] for rate in rates]
        layout = record_layout(tuple(kinds))
        of_output = [(position, rate[2]) for position, rate in enumerate(rates) if rate[0] in OF_OUTPUT]
        known: SharedMutex | None = None
        words, tag_at, check_at = memoryview(b"").cast("B"), 0, 0
        copies: dict[int, tuple[Callable[[], tuple[int, ...]], Callable[..., None], int]] = {}

        def admit_generally(amounts: Amounts, output: int) -> QuotaStatus:
            """Admit or refuse a request; note where the record is, unless it is new: most keys of a flood come once."""
            nonlocal known, words, tag_at, check_at, copies
            is_new = key not in self._records.places
            status = self._admit(key, limits, amounts, output)
            at = 0 if is_new else self._records.places.get(key, 0)
            known = self._mutex if at else None
            check_at = status.at + int(_CHECK_SECONDS * 1e6)
            copies = {}
            if known is not None:
                words, tag_at = known.words, (at + TAG_AT) // WORD
                tags = tag_of(key, 0), tag_of(key, 1)
                for copy, tag in enumerate(tags):
                    reads, writes = at + PLACES[copy], at + PLACES[1 - copy]
                    copies[tag] = (
                        functools.partial(layout.unpack_from, known.table, reads),
                        functools.partial(layout.pack_into, known.table, writes),
                        tags[1 - copy],
                    )
            return status

        def admit_any(amounts: Amounts, output: int) -> QuotaStatus:
            mutex, now = self._mutex, int(clock() * 1e6)
            if mutex is None or mutex is not known or now >= check_at:
                return admit_generally(amounts, output)
            if status := mutex.acquire():
                self._wait(mutex, status)
            try:
                read, write, tag = copies[words[tag_at]]
                updated, *used = read()
                elapsed, position = now - updated, 0
                for index, limit, period, capacity in rates:
                    amount = amounts[index]
                    total = used[position] - elapsed * limit
                    total = amount * period if total < 0 else total + amount * period
                    if total > capacity or elapsed < 0 or (not amount and total + period > capacity):
                        break
                    used[position] = total
                    position += 1
                else:
                    later = used
                    if output:
                        later = used.copy()
                        for position, period in of_output:
                            later[position] = min(used[position] + output * period, MOST_USED)
                    write(now, *later)
                    # Comes last: a process that is killed before it has changed nothing.
                    words[tag_at] = tag
                    return QuotaStatus(now, limits, tuple(used))
            except KeyError:
                # The record is another key's now.
                pass
            finally:
                mutex.release()
            return admit_generally(amounts, output)

        if len(rates) != 2 or kinds[0] != RPM or kinds[1] not in _TOKEN_RATES:
            return admit_any
        (_, limit, period, capacity), (kind, tokens_limit, tokens_period, tokens_capacity) = rates
        is_of_output = kind in OF_OUTPUT

        def admit_two(amounts: Amounts, output: int) -> QuotaStatus:
            mutex, now = self._mutex, int(clock() * 1e6)
            if mutex is None or mutex is not known or now >= check_at:
                return admit_generally(amounts, output)
            if status := mutex.acquire():
                self._wait(mutex, status)
            try:
                read, write, tag = copies[words[tag_at]]
                updated, used, tokens_used = read()
                elapsed, tokens = now - updated, amounts[kind]
                used -= elapsed * limit
                tokens_used -= elapsed * tokens_limit
                used = period if used < 0 else used + period
                more = tokens * tokens_period
                tokens_used = more if tokens_used < 0 else tokens_used + more
                if used <= capacity and tokens_used <= tokens_capacity and elapsed >= 0 and tokens:
                    total = tokens_used
                    if output and is_of_output:
                        total += output * tokens_period
                        # PERF: 0.3 us less than `min`.
                        if total > MOST_USED:
                            total = MOST_USED
                    write(now, used, total)
                    # Comes last: a process that is killed before it has changed nothing.
                    words[tag_at] = tag
                    return QuotaStatus(now, limits, (used, tokens_used))
            except KeyError:
                # The record is another key's now.
                pass
            finally:
                mutex.release()
            return admit_generally(amounts, output)

        return admit_two

    def _admit(self, key: bytes, limits: Limits, amounts: Amounts, output: int) -> QuotaStatus:
        """Book a request, if all limits allow it."""
        exceeded, booked, elapsed = None, None, 0
        try:
            # PERF: written out for what most requests find; as calls it takes twice as long.
            mutex = self._mutex
            if mutex is None or time.monotonic() >= self._check_at:
                mutex = self._open()
            if status := mutex.acquire():
                mutex.wait(status)
            try:
                table, now = mutex.table, int(self._clock() * 1e6)
                at = self._records.find(table, key, limits)
                if at < 0:
                    used = [0, 0, 0, 0, 0]
                else:
                    updated, *used = read_record(table, at)
                    if updated <= now:
                        elapsed = now - updated
                    else:
                        now = self._set_back(table, at, now, updated, used)
                    if limits.concurrency:
                        exceeded = self._find_held(table, at, limits.concurrency)
                if exceeded is None:
                    booked = admit(used, limits, amounts, elapsed, output)
                    if booked is not None:
                        used, total = booked
                        if at < 0:
                            at = self._records.make_room(table, key, limits)
                        write_record(table, at, now, total)
                        if limits.concurrency:
                            self._records.holders.add(table, at + RECORD_SIZE)
            finally:
                mutex.release()
        except OSError as error:
            raise unusable(self._path, error.strerror) from error
        if booked is None:
            decline(used, limits, elapsed)
            exceeded = exceeded or find_exceeded(used, limits, amounts)
        return QuotaStatus(now, limits, limits.select(used), exceeded)

    async def charge(self, key: bytes, limits: Limits, amounts: Amounts) -> None:
        """See `QuotaStore`."""
        with self._locked() as table:
            now, at, used = self._read(table, key, limits)
            if at < 0:
                at = self._records.make_room(table, key, limits)
            book(used, limits, amounts)
            write_record(table, at, now, used)

    async def status(self, key: bytes, limits: Limits) -> QuotaStatus:
        """See `QuotaStore`."""
        with self._locked() as table:
            now, _, used = self._read(table, key, limits)
        return QuotaStatus(now, limits, limits.select(used))

    async def release(self, key: bytes) -> None:
        """See `QuotaStore`."""
        with self._locked() as table:
            at = self._records.find(table, key)
            if at >= 0:
                self._records.holders.release(table, at + RECORD_SIZE)

    def _wait(self, mutex: SharedMutex, status: int) -> None:
        """Wait for the mutex; see `SharedMutex.wait`.

        Raises:
            StoreError: It cannot be had.
        """
        try:
            mutex.wait(status)
        except OSError as error:
            raise unusable(self._path, error.strerror) from error

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
        now, at, used = int(self._clock() * 1e6), self._records.find(table, key, limits), [0, 0, 0, 0, 0]
        if at >= 0:
            updated, *used = read_record(table, at)
            if updated <= now:
                decline(used, limits, now - updated)
            else:
                now = self._set_back(table, at, now, updated, used)
        return now, at, used

    def _set_back(self, table: mmap.mmap, at: int, now: int, updated: int, used: Sequence[int]) -> int:
        """Return the time to book at where the clock shows less than at the last change: as then, unless the clock was set."""
        if updated < now + _BACKWARDS:
            return updated
        write_record(table, at, now, used)
        return now

    def _find_held(self, table: mmap.mmap, at: int, limit: int) -> ExceededLimit | None:
        """Return that no further request may be held; None if one may."""
        held = self._records.holders.count(table, at + RECORD_SIZE, limit)
        return ExceededLimit("concurrency", limit, held, 1, None) if held >= limit else None

    def restart(self) -> None:
        """Begin with nothing used; only while no other process has the file open."""
        self.remove()
        make_mutex(self._path)

    def remove(self) -> None:
        """Remove the file, if that is possible."""
        remove_mutex(self._path)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
