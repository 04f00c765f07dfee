"""An SQLite file that many processes use at once, any of which may be killed at any instant.

Decisions:
* SQLite, because its locks die with their process, and what a killed process had not committed is rolled
  back. With a write-ahead log readers and the writer do not block each other. Nothing is synced: only a
  power cut would lose anything, and no file outlives its server.
* Waiting for another process's write is done here, in sleeps of microseconds: SQLite's own waiting begins with
  a millisecond and goes on with up to a hundred, which would block an event loop.
* A connection must not cross a fork, not even to be closed on the other side, and there must be no fork while
  another thread uses one: before a fork it is closed, and the next call opens another.
  Source: sqlite.org, "How To Corrupt An SQLite Database File", 2.6.
* A file that is damaged, truncated or gone is made anew, once for each call: what it held is lost, the server goes on. The file
  is removed before the connection is closed: SQLite leaves what is beside a file alone if that has moved, and would else remove
  what belongs to the new one. A lock keeps other processes from opening half of the old and half of the new.
* Every call compares the file's inode and size. PERF: 2 us.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from llmsim.state.damage import is_busy, is_damaged, is_unusable, unusable
from llmsim.state.directory import open_private

_Result = TypeVar("_Result")

_MAX_WAIT = 5.0
"""Seconds that a call waits for another process; a write takes 0.1 ms, so only a stopped process is waited for that long."""

_MIN_SLEEP = 50e-6
_MAX_SLEEP = 1e-3

_SUFFIXES = ("", "-wal", "-shm", "-journal")

_SETUP = (
    "PRAGMA synchronous = OFF",
    # These three take effect in a new file only: Debian's SQLite would keep a map of all pages for a vacuum that never runs.
    "PRAGMA page_size = 4096",
    "PRAGMA auto_vacuum = NONE",
    # Debian's SQLite overwrites what is deleted by default.
    "PRAGMA secure_delete = OFF",
    "PRAGMA temp_store = MEMORY",
    # PERF: a checkpoint is done by a commit. At 250 pages it takes 0.3 ms, at the usual 1,000 it takes 1 ms;
    # the sum is the same.
    "PRAGMA wal_autocheckpoint = 250",
    # The log shrinks again after a large record.
    "PRAGMA journal_size_limit = 8388608",
)

_INDEX_BYTES = 32_768
"""Least size of the index beside a file, which SQLite maps: touching it beyond its end would kill the process."""


class Database:
    """A file, and this process's connection to it.

    It is opened by the first call, so that one object may be passed to forked processes. Any thread may call; calls are
    served one at a time.

    Args:
        path: The file; SQLite puts others beside it, with the suffixes `-wal` and `-shm`.
        schema: Statements that set up a new file, separated by empty lines.
        count: Query for the number of entries that are lost with the file; empty not to count them.
        fill: Called with the connection when the file was made anew, in the transaction that sets it up.
    """

    def __init__(
        self,
        path: Path,
        schema: str,
        *,
        count: str = "",
        fill: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        self._path = path
        self._schema = schema
        self._count = count
        self._fill = fill
        self._index = path.with_name(f"{path.name}-shm")
        self._connection: sqlite3.Connection | None = None
        self._inode = self._size = 0
        self._lost = 0
        self._is_started = False
        # Reentrant, for a thread that forks during a call.
        self._threads = threading.RLock()
        _databases.add(self)

    def run(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Run a function with the connection.

        Args:
            work: Runs one statement, or one `transaction`. It is called again if the file was locked, or was made anew.

        Returns:
            The result of `work`.

        Raises:
            StoreError: The file cannot be used.
        """
        with self._threads:
            waiting_since = None
            sleep = _MIN_SLEEP
            may_remake = True
            while True:
                try:
                    if self._connection is not None and not self._is_intact():
                        self._discard()
                    return work(self._connection or self._open())
                except OSError as error:
                    raise unusable(self._path, error.strerror) from error
                except sqlite3.DatabaseError as error:
                    if not is_unusable(error):
                        raise
                    if is_damaged(error) and may_remake:
                        may_remake = False
                        self._discard()
                        continue
                    now = time.monotonic()
                    waiting_since = now if waiting_since is None else waiting_since
                    if not is_busy(error) or now > waiting_since + _MAX_WAIT:
                        raise unusable(self._path, error) from error
                    time.sleep(sleep)
                    sleep = min(2 * sleep, _MAX_SLEEP)

    def take_lost(self) -> int:
        """Return how many entries were lost with a file that this process has found damaged; each is returned once."""
        lost, self._lost = self._lost, 0
        return lost

    def _is_intact(self) -> bool:
        """Return whether the connection's file is still there, and has not been truncated."""
        try:
            status = os.stat(self._path)  # noqa: PTH116 - PERF: half the time of Path.stat
            if status.st_ino != self._inode or status.st_size < self._size:
                return False
            self._size = status.st_size
            return os.stat(self._index).st_size >= _INDEX_BYTES  # noqa: PTH116
        except FileNotFoundError:
            return False

    def _discard(self) -> None:
        """Give up a damaged file: remove it, unless another process has made it anew already."""
        with self._locked():
            try:
                is_ours = os.stat(self._path).st_ino == self._inode  # noqa: PTH116
            except FileNotFoundError:
                is_ours = True
            if is_ours:
                self._lost += self._count_entries()
                self._unlink()
            self.close()

    def _count_entries(self) -> int:
        """Count what is lost with the file; 1 if that cannot be read."""
        if not self._count:
            return 0
        try:
            if self._connection is None or os.stat(self._index).st_size < _INDEX_BYTES:  # noqa: PTH116
                return 1
        except FileNotFoundError:
            # It was removed, and is still mapped.
            assert self._connection is not None
        try:
            (count,) = self._connection.execute(self._count).fetchone()
        except sqlite3.DatabaseError:
            return 1
        return int(count)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock under which files of this server are opened and removed.

        Raises:
            OSError: It cannot be had.
        """
        descriptor = open_private(self._path.with_suffix(".opening"))
        try:
            deadline = time.monotonic() + _MAX_WAIT
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_MAX_SLEEP)
            yield
        finally:
            os.close(descriptor)

    def open(self) -> None:
        """Open the file, if it is not open.

        Raises:
            StoreError: It cannot be used.
        """
        self.run(_is_new)

    def _open(self) -> sqlite3.Connection:
        with self._locked():
            # NOTE: never open a file that exists: closing it again would drop SQLite's locks on it in this process.
            with contextlib.suppress(FileExistsError):
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                descriptor = os.open(self._path, flags, 0o600)
                os.close(descriptor)
                # What is left beside a file that was removed belongs to that one.
                self._unlink(_SUFFIXES[1:])
            connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self._inode = os.stat(self._path).st_ino  # noqa: PTH116
                self._set_up(connection)
                self._size = os.stat(self._path).st_size  # noqa: PTH116
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        self._is_started = True
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        for statement in _SETUP:
            connection.execute(statement)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise unusable(self._path, "its file system lacks shared memory")
        if _is_new(connection):
            with transaction(connection):
                for statement in self._schema.split("\n\n"):
                    connection.execute(statement)
                if self._fill is not None and self._is_started:
                    self._fill(connection)
                connection.execute("PRAGMA user_version = 1")

    def _unlink(self, suffixes: tuple[str, ...] = _SUFFIXES) -> None:
        for suffix in suffixes:
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        with self._threads:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def restart(self) -> None:
        """Create the file anew; only while no other process has it open.

        Raises:
            StoreError: It cannot be created.
        """
        self.close()
        try:
            self._unlink()
        except OSError as error:
            raise unusable(self._path, error.strerror) from error
        self._is_started = False
        self.open()
        self.close()

    def remove(self) -> None:
        """Remove the file, with those beside it, if that is possible."""
        self.close()
        with contextlib.suppress(OSError):
            self._unlink()
            self._path.with_suffix(".opening").unlink(missing_ok=True)


def _is_new(connection: sqlite3.Connection) -> bool:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return not version


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run several statements as one: all of them or, if an exception is raised, none."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException:
        # On a full disk SQLite has rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_forking = threading.Lock()
_locked: list[Database] = []
"""The databases that are locked until the fork is over."""


def _before_fork() -> None:
    _forking.acquire()
    for database in list(_databases):
        database._threads.acquire()
        _locked.append(database)
        database.close()


def _after_fork() -> None:
    while _locked:
        _locked.pop()._threads.release()
    _forking.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
