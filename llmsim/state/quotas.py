"""The limits of accounts over all workers, in a mapped file.

Decisions:
* A mutex around a look and a write, see `shared_mutex.py`: a process that is killed at any instant releases it. What it holds of the
  requests at a time is given back when they are needed, see `quota_holders.py`.
* A file that was removed or truncated is found within a tenth of a second, and made anew.
* PERF: a limit of requests and one of tokens a minute are booked by code that is prepared for both, 1.2 us, of which the mutex takes
  0.2; other rates take 1.6 to 2.1. Among all else that a request runs through it is nearly three times as much: the processor's caches do not
  hold it. So words are read and written, with fewer instructions than structures need.
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
    RATES,
    RPM,
    TPM,
    Amounts,
    ExceededLimit,
    Limits,
    QuotaStatus,
)
from llmsim.errors import StoreError
from llmsim.state.damage import unusable
from llmsim.state.directory import open_private
from llmsim.state.quota_buckets import MOST_USED, OF_OUTPUT, admit, book, decline, find_exceeded
from llmsim.state.quota_port import AdmitAtOnce
from llmsim.state.quota_table import (
    RECORD_SIZE,
    TAG_AT,
    WORD,
    QuotaTable,
    RecordCopies,
    clear_others,
    read_record,
    record_copies,
    write_record,
)
from llmsim.state.shared_mutex import SharedMutex, make_mutex, remove_mutex

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
        is_pair = kinds == [RPM, TPM]
        of_output = [(index, period) for index, _, period, _ in rates if index in OF_OUTPUT]
        known: SharedMutex | None = None
        words, tag_at, check_at = memoryview(b"").cast("B"), 0, 0
        copies: RecordCopies = {}

        def admit_anew(amounts: Amounts, output: int) -> QuotaStatus:
            """Admit or refuse a request; note where the record is, unless it is new: most keys of a flood come once."""
            nonlocal known, words, tag_at, check_at, copies
            is_new = key not in self._records.places
            status = self._admit(key, limits, amounts, output)
            known, copies = None, {}
            check_at = status.at + int(_CHECK_SECONDS * 1e6)
            if is_new:
                return status
            # What is booked is booked, even if the file cannot be used any more.
            with contextlib.suppress(StoreError), self._locked() as table:
                at = self._records.find(table, key)
                if at >= 0:
                    known = self._mutex
                    assert known is not None, "it is locked"
                    words, tag_at = known.words, (at + TAG_AT) // WORD
                    copies = record_copies(words, at, key, len(kinds) if is_pair else len(RATES))
                    clear_others(table, at, kinds)
            return status

        def admit_any(amounts: Amounts, output: int) -> QuotaStatus:
            mutex, now = self._mutex, int(clock() * 1e6)
            if mutex is None or mutex is not known or now >= check_at:
                return admit_anew(amounts, output)
            if status := mutex.acquire():
                self._wait(mutex, status)
            try:
                values, others, tag = copies[words[tag_at]]
                elapsed, used = now - values[0], []
                for index, limit, period, capacity in rates:
                    amount = amounts[index]
                    total = values[1 + index] - elapsed * limit
                    total = amount * period if total < 0 else total + amount * period
                    if total > capacity or elapsed < 0 or (not amount and total + period > capacity):
                        break
                    used.append(total)
                    others[1 + index] = total
                else:
                    others[0] = now
                    if output:
                        for index, period in of_output:
                            others[1 + index] = min(others[1 + index] + output * period, MOST_USED)
                    # Comes last: a process that is killed before it has changed nothing.
                    words[tag_at] = tag
                    return QuotaStatus(now, limits, tuple(used))
            except KeyError:
                # The record is another key's now.
                tag = 0
            finally:
                mutex.release()
            return self._admit(key, limits, amounts, output) if tag else admit_anew(amounts, output)

        if not is_pair:
            return admit_any
        (_, limit, period, capacity), (_, tokens_limit, tokens_period, tokens_capacity) = rates

        def admit_two(amounts: Amounts, output: int) -> QuotaStatus:
            mutex, now = self._mutex, int(clock() * 1e6)
            if mutex is None or mutex is not known or now >= check_at:
                return admit_anew(amounts, output)
            if status := mutex.acquire():
                self._wait(mutex, status)
            try:
                values, others, tag = copies[words[tag_at]]
                updated, used, tokens_used = values
                elapsed, tokens = now - updated, amounts[TPM]
                used -= elapsed * limit
                tokens_used -= elapsed * tokens_limit
                used = period if used < 0 else used + period
                more = tokens * tokens_period
                tokens_used = more if tokens_used < 0 else tokens_used + more
                if used <= capacity and tokens_used <= tokens_capacity and elapsed >= 0 and tokens:
                    total = tokens_used
                    if output:
                        total += output * tokens_period
                        # PERF: 0.3 us less than `min`.
                        if total > MOST_USED:
                            total = MOST_USED
                    others[0] = now
                    others[1] = used
                    others[2] = total
                    # Comes last: a process that is killed before it has changed nothing.
                    words[tag_at] = tag
                    return QuotaStatus(now, limits, (used, tokens_used))
            except KeyError:
                # The record is another key's now.
                tag = 0
            finally:
                mutex.release()
            return self._admit(key, limits, amounts, output) if tag else admit_anew(amounts, output)

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
