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
"""

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from llmsim.errors import StoreError

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

_UNUSABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


class Database:
    """A file, and this process's connection to it.

    It is opened by the first call, so that one object may be passed to forked processes. Any thread may call; calls are
    served one at a time.

    Args:
        path: The file; SQLite puts others beside it, with the suffixes `-wal` and `-shm`.
        schema: Statements that set up a new file, separated by empty lines.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._connection: sqlite3.Connection | None = None
        # Reentrant, for a thread that forks during a call.
        self._threads = threading.RLock()
        _databases.add(self)

    def run(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Run a function with the connection.

        Args:
            work: Runs one statement, or one `transaction`. It is called again if the file was locked.

        Returns:
            The result of `work`.

        Raises:
            StoreError: The file cannot be used.
        """
        with self._threads:
            waiting_since = None
            sleep = _MIN_SLEEP
            while True:
                try:
                    return work(self._connection or self._open())
                except sqlite3.DatabaseError as error:
                    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                    if code not in _UNUSABLE:
                        raise
                    now = time.monotonic()
                    waiting_since = now if waiting_since is None else waiting_since
                    if (
                        code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL)
                        or now > waiting_since + _MAX_WAIT
                    ):
                        raise StoreError(self._describe(error)) from error
                    time.sleep(sleep)
                    sleep = min(2 * sleep, _MAX_SLEEP)

    def _open(self) -> sqlite3.Connection:
        try:
            # NOTE: never open a file that exists: closing it again would drop SQLite's locks on it in this process.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(self._describe(error)) from error
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            for statement in _SETUP:
                connection.execute(statement)
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError(self._describe("its file system lacks shared memory"))
            if _is_new(connection):
                with transaction(connection):
                    # Another process may have been faster.
                    if _is_new(connection):
                        for statement in self._schema.split("\n\n"):
                            connection.execute(statement)
                        connection.execute("PRAGMA user_version = 1")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _describe(self, reason: object) -> str:
        return (
            f"{self._path}: the shared store cannot be used: {reason}. It needs a writable directory on a local disk or "
            "in memory, with room for `store.max_bytes`; `server.run_dir` names another"
        )

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
        self.remove()
        self.run(_is_new)
        self.close()

    def remove(self) -> None:
        """Remove the file, with those beside it."""
        self.close()
        for suffix in _SUFFIXES:
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


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
