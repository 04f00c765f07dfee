"""How files of the shared state fail: which errors of SQLite mean damage, and how a failure is reported.

Decisions:
* A failure is logged once a minute: on a full disk every request fails, and the log may be on that disk.
"""

import logging
import sqlite3
import time
from pathlib import Path

from llmsim.errors import StoreError

_log = logging.getLogger(__name__)

_LOG_SECONDS = 60.0
_logged_at = float("-inf")

_UNUSABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)

_LOST_WRITES = frozenset({sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_READONLY_DBMOVED})
"""Errors of a file that was truncated, or removed, while it was open."""


def is_damaged(error: sqlite3.Error) -> bool:
    """Return whether an error means that the file must be made anew."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    if code in _LOST_WRITES or code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return True
    # Another program's database, or a part of this one.
    return code == sqlite3.SQLITE_ERROR and str(error).startswith(("no such table", "no such column"))


def is_unusable(error: sqlite3.Error) -> bool:
    """Return whether an error is one of the file's, not of the statement."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNUSABLE or is_damaged(error)


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another process has the file locked."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_PROTOCOL)


def unusable(path: Path, reason: object) -> StoreError:
    """Build the error for a file that cannot be used, and log it."""
    global _logged_at
    error = StoreError(
        f"{path}: the shared store cannot be used: {reason}. It needs a writable directory on a local disk or "
        "in memory, with room for `store.max_bytes`; `server.run_dir` names another"
    )
    now = time.monotonic()
    if now >= _logged_at + _LOG_SECONDS:
        _logged_at = now
        _log.error("%s", error)
    return error
