"""An SQLite file that many processes use at once, any of which may be killed at any instant.

Decisions:
* SQLite, because its locks die with their holder, and what a killed process had not committed was never
  there. A write-ahead log keeps readers and the writer out of each other's way. Nothing is synced: only a
  power cut would lose anything, and no file outlives its server.
* Waiting for another process's write is done here, in naps of microseconds: SQLite's own waiting begins with
  a millisecond and goes on with up to a hundred, which an event loop would sleep through.
* A connection must not cross a fork, not even to be closed on the other side, and nobody may fork while
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

_PATIENCE = 5.0
"""Seconds that a call waits for another process; a write takes 0.1 ms, so that only a process that was stopped is
waited for as long."""

_NAP = 50e-6
_LONGEST_NAP = 1e-3

_ENDINGS = ("", "-wal", "-shm", "-journal")

_SETUP = (
    "PRAGMA synchronous = OFF",
    # Three that only a new file heeds: Debian's SQLite would keep a map of all pages for a vacuum nobody asks for.
    "PRAGMA page_size = 4096",
    "PRAGMA auto_vacuum = NONE",
    # Debian's SQLite overwrites what is deleted, unless told otherwise.
    "PRAGMA secure_delete = OFF",
    "PRAGMA temp_store = MEMORY",
    # PERF: a checkpoint is the work of whoever commits. At 250 pages it takes 0.3 ms, at the usual 1,000 it takes 1 ms;
    # the sum is the same.
    "PRAGMA wal_autocheckpoint = 250",
    # What one large record has blown up shrinks again.
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

    It is opened at the first call, so that one object may be handed to forked processes. Any thread may call; one at a
    time is served.

    Args:
        path: The file; SQLite puts others beside it, with `-wal` and `-shm` at their ends.
        schema: Statements that make a new file what it is to be, with an empty line between them.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._connection: sqlite3.Connection | None = None
        # Reentrant, for a thread that forks while it is served.
        self._threads = threading.RLock()
        _databases.add(self)

    def run(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Do something with the connection.

        Args:
            work: What to do: one statement, or one `transaction`. It is called again when it met a lock.

        Returns:
            What `work` gives.

        Raises:
            StoreError: The file is not to be had.
        """
        with self._threads:
            begun = None
            nap = _NAP
            while True:
                try:
                    return work(self._connection or self._open())
                except sqlite3.DatabaseError as error:
                    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                    if code not in _UNUSABLE:
                        raise
                    now = time.monotonic()
                    begun = now if begun is None else begun
                    if code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL) or now > begun + _PATIENCE:
                        raise StoreError(self._complaint(error)) from error
                    time.sleep(nap)
                    nap = min(2 * nap, _LONGEST_NAP)

    def _open(self) -> sqlite3.Connection:
        try:
            # NOTE: never open a file that exists: closing it again would drop SQLite's locks on it in this process.
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise StoreError(self._complaint(error)) from error
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            for statement in _SETUP:
                connection.execute(statement)
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError(self._complaint("its file system lacks shared memory"))
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

    def _complaint(self, reason: object) -> str:
        return (
            f"{self._path}: the shared store cannot be used: {reason}. It needs a writable directory on a local disk or "
            "in memory, with room for `store.max_bytes`; `server.run_dir` names another"
        )

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        with self._threads:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def restart(self) -> None:
        """Make the file anew; only while no other process has it open.

        Raises:
            StoreError: It cannot be made.
        """
        self.remove()
        self.run(_is_new)
        self.close()

    def remove(self) -> None:
        """Take the file away, with those beside it."""
        self.close()
        for ending in _ENDINGS:
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)


def _is_new(connection: sqlite3.Connection) -> bool:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return not version


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do several statements as one: all of them or, if anything is raised, none."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has undone it already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_forking = threading.Lock()
_held: list[Database] = []
"""Those that wait for the fork to be over."""


def _before_fork() -> None:
    _forking.acquire()
    for database in list(_databases):
        database._threads.acquire()
        _held.append(database)
        database.close()


def _after_fork() -> None:
    while _held:
        _held.pop()._threads.release()
    _forking.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
