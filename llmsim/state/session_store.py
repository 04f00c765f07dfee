"""How far each session has come in each script: one cursor for all workers.

Decisions:
* A turn is leased to a request, and the lease is committed when the turn was played. A lease that was released, or whose
  process died, goes to the next request of the session: no turn is leased twice at a time, and none is skipped.
* Expectations are checked before a turn is leased, outside of any transaction: the lease is given on condition that the
  next turn is still the one that was checked.
* Progress belongs to one version of a script: a request with a newer one begins the session anew, and one with an older
  one has to read the script again. So a script that is replaced plays from its first turn, whatever is in flight.
* Leases have numbers: what is committed late cannot touch a lease of the same turn after a reset.
* Expiry is kept for each process, not for each lease: renewing is one row, however many leases a worker holds. A process
  takes its own leases for valid: it knows best.
* The sessions used last are kept, up to a number.
"""

import itertools
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from llmsim.state.database import Database, transaction
from llmsim.state.owners import is_alive, owner_of
from llmsim.state.ports import Failure, OutdatedError, ScriptRegistry, SessionProgress, TurnLease

LEASE_SECONDS = 5.0
"""Seconds after its last renewal at which a process loses its leases."""

_RENEWAL_SECONDS = 1.0
"""Seconds between two renewals."""

_SCHEMA = """\
CREATE TABLE sessions (
    session TEXT NOT NULL,
    script TEXT NOT NULL,
    version INTEGER NOT NULL,
    cursor INTEGER NOT NULL DEFAULT 0,
    played INTEGER NOT NULL DEFAULT 0,
    met INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    failures BLOB NOT NULL DEFAULT x'',
    begun REAL NOT NULL,
    used REAL NOT NULL,
    PRIMARY KEY (session, script)
)

CREATE INDEX by_use ON sessions (used)

CREATE TABLE leases (
    session TEXT NOT NULL,
    script TEXT NOT NULL,
    owner TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (session, script, owner, cursor)
) WITHOUT ROWID

CREATE TABLE owners (owner TEXT PRIMARY KEY, expires REAL NOT NULL) WITHOUT ROWID
"""

_RELEASED = "-"
"""Owner of a lease that was released."""

MAX_FAILURES = 20
"""Failed expectations that are kept for a session and script, the last ones."""

_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.Decoder(tuple[Failure, ...]).decode

_COLUMNS = "session, script, cursor, played, met, failed, failures, begun, used"
# PERF: one statement where no turn is leased, which is what most requests find.
_POSITION = (
    "SELECT version, cursor, EXISTS (SELECT 1 FROM leases WHERE leases.session = sessions.session "
    "AND leases.script = sessions.script) FROM sessions WHERE session = ? AND script = ?"
)
_LEASE = "session = ? AND script = ? AND owner = ? AND cursor = ? AND number = ?"
_RENEW = "INSERT INTO owners VALUES (?, ?) ON CONFLICT DO UPDATE SET expires = excluded.expires"


class _Position(msgspec.Struct, frozen=True):
    """Where a session is.

    Attributes:
        version: Version of the script that it plays; None if it has not begun.
        cursor: The turn that its next request gets.
        lost_owner: Who held the lease of that turn and lost it; None if the turn was not leased before.
    """

    version: int | None
    cursor: int
    lost_owner: str | None = None


class SqliteSessionStore:
    """The sessions of the processes of one machine; see `SessionStore`.

    Args:
        path: The file that they share.
        max_sessions: Sessions that are kept.
        clock: Returns the Unix time, in seconds.
        scripts: The scripts that are played; None if every version is taken for the current one.
    """

    def __init__(
        self,
        path: Path,
        max_sessions: int,
        clock: Callable[[], float],
        scripts: ScriptRegistry | None = None,
    ) -> None:
        self.database = Database(path, _SCHEMA)
        self._scripts = scripts
        self._max_sessions = max_sessions
        self._clock = clock
        self._numbers = itertools.count()
        self._held: set[int] = set()
        self._renewed = ("", 0.0)

    async def next_turn(
        self, session: str, script: str, version: int, *, leasable: int = 0
    ) -> TurnLease | int:
        """See `SessionStore`."""
        if self._scripts is not None and await self._scripts.version(script) != version:
            raise OutdatedError
        while True:
            position = self.database.run(lambda connection: self._find(connection, session, script, version))
            if position.cursor >= leasable:
                return position.cursor
            lease = await self.lease_turn(session, script, version, position.cursor, met=None)
            if lease is not None:
                return lease

    def _find(self, connection: sqlite3.Connection, session: str, script: str, version: int) -> _Position:
        row = connection.execute(_POSITION, (session, script)).fetchone()
        if row is None:
            return _Position(None, 0)
        found, cursor, has_leases = row
        if found > version:
            raise OutdatedError
        if found < version:
            return _Position(found, 0)
        lost = self._find_lost(connection, session, script) if has_leases else None
        return _Position(found, cursor) if lost is None else _Position(found, *lost)

    def _find_lost(self, connection: sqlite3.Connection, session: str, script: str) -> tuple[int, str] | None:
        """Find the first turn whose lease was lost; return its cursor and the owner."""
        # PERF: a look into the index for each owner. Grouping would read all leases, and 1,000 of them take 0.5 ms.
        lost: list[tuple[int, str]] = []
        owner = ""
        while row := connection.execute(
            "SELECT owner, cursor FROM leases WHERE session = ? AND script = ? AND owner > ? ORDER BY owner, cursor LIMIT 1",
            (session, script, owner),
        ).fetchone():
            owner, cursor = row
            if not self._is_valid(connection, owner):
                lost.append((cursor, owner))
        return min(lost, default=None)

    def _is_valid(self, connection: sqlite3.Connection, owner: str) -> bool:
        """Return whether the leases of an owner are valid."""
        if owner == owner_of(os.getpid()):
            return True
        row = connection.execute("SELECT expires FROM owners WHERE owner = ?", (owner,)).fetchone()
        return row is not None and bool(row[0] > self._clock()) and is_alive(owner)

    async def lease_turn(
        self, session: str, script: str, version: int, cursor: int, *, met: bool | None
    ) -> TurnLease | None:
        """See `SessionStore`."""
        now = self._clock()
        lease = TurnLease(session, script, cursor, owner_of(os.getpid()), next(self._numbers))
        renewed_owner, renewed_at = self._renewed
        renews = renewed_owner != lease.owner or now >= renewed_at + _RENEWAL_SECONDS

        def work(connection: sqlite3.Connection) -> bool:
            with transaction(connection):
                position = self._begin(connection, session, script, version, now)
                if position.cursor != cursor:
                    return False
                lost_owner = position.lost_owner
                connection.execute(
                    "UPDATE sessions SET used = ?, cursor = cursor + ?, met = met + ?, failed = failed + ? "
                    "WHERE session = ? AND script = ?",
                    (now, lost_owner is None, met is True, met is False, session, script),
                )
                if lost_owner is not None:
                    connection.execute(
                        "DELETE FROM leases WHERE session = ? AND script = ? AND owner = ? AND cursor = ?",
                        (session, script, lost_owner, cursor),
                    )
                connection.execute(
                    "INSERT INTO leases VALUES (?, ?, ?, ?, ?)",
                    (session, script, lease.owner, cursor, lease.number),
                )
                if renews:
                    connection.execute("DELETE FROM owners WHERE expires <= ?", (now,))
                    connection.execute(_RENEW, (lease.owner, now + LEASE_SECONDS))
                return True

        if not self.database.run(work):
            return None
        if renews:
            self._renewed = (lease.owner, now)
        self._held.add(lease.number)
        return lease

    def _begin(
        self, connection: sqlite3.Connection, session: str, script: str, version: int, now: float
    ) -> _Position:
        """Begin a session if it has not begun this version; return its position.

        The sessions that were not used for longest make room for it.
        """
        position = self._find(connection, session, script, version)
        if position.version == version:
            return position
        if position.version is not None:
            for table in ("sessions", "leases"):
                connection.execute(f"DELETE FROM {table} WHERE session = ? AND script = ?", (session, script))  # noqa: S608
        connection.execute(
            "INSERT INTO sessions (session, script, version, begun, used) VALUES (?, ?, ?, ?, ?)",
            (session, script, version, now, now),
        )
        (count,) = connection.execute("SELECT count(*) FROM sessions").fetchone()
        if count > self._max_sessions:
            evicted = connection.execute(
                "SELECT session, script FROM sessions WHERE NOT (session = ? AND script = ?) ORDER BY used LIMIT ?",
                (session, script, count - self._max_sessions),
            ).fetchall()
            for table in ("sessions", "leases"):
                connection.executemany(f"DELETE FROM {table} WHERE session = ? AND script = ?", evicted)  # noqa: S608
        return _Position(version, 0)

    async def record_mismatch(
        self, session: str, script: str, version: int, cursor: int, unmet: Sequence[str]
    ) -> bool:
        """See `SessionStore`."""
        now = self._clock()

        def work(connection: sqlite3.Connection) -> bool:
            with transaction(connection):
                if self._begin(connection, session, script, version, now).cursor != cursor:
                    return False
                (failures,) = connection.execute(
                    "SELECT failures FROM sessions WHERE session = ? AND script = ?",
                    (session, script),
                ).fetchone()
                failed = (*(_unpack(failures) if failures else ()), Failure(now, cursor, tuple(unmet)))
                connection.execute(
                    "UPDATE sessions SET used = ?, failed = failed + 1, failures = ? WHERE session = ? AND script = ?",
                    (now, _pack(failed[-MAX_FAILURES:]), session, script),
                )
                return True

        return self.database.run(work)

    async def touch(self, session: str, script: str) -> None:
        """See `SessionStore`."""
        row = (self._clock(), session, script)
        self.database.run(
            lambda connection: connection.execute(
                "UPDATE sessions SET used = ? WHERE session = ? AND script = ?", row
            )
        )

    async def commit(self, lease: TurnLease) -> None:
        """See `SessionStore`."""
        self._held.discard(lease.number)

        def work(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                if connection.execute(f"DELETE FROM leases WHERE {_LEASE}", _row(lease)).rowcount:  # noqa: S608
                    connection.execute(
                        "UPDATE sessions SET played = played + 1 WHERE session = ? AND script = ?",
                        (lease.session, lease.script),
                    )

        self.database.run(work)

    async def release(self, lease: TurnLease) -> None:
        """See `SessionStore`."""
        self._held.discard(lease.number)
        row = (_RELEASED, *_row(lease))
        self.database.run(
            lambda connection: connection.execute(f"UPDATE leases SET owner = ? WHERE {_LEASE}", row)  # noqa: S608
        )

    async def renew(self) -> None:
        """See `SessionStore`."""
        if not self._held:
            return
        now, owner = self._clock(), owner_of(os.getpid())
        self.database.run(lambda connection: connection.execute(_RENEW, (owner, now + LEASE_SECONDS)))
        self._renewed = (owner, now)

    async def list_progress(self, session: str | None = None, *, limit: int = 1000) -> list[SessionProgress]:
        """See `SessionStore`."""
        where, values = ("", ()) if session is None else ("WHERE session = ?", (session,))
        rows = self.database.run(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM sessions {where} ORDER BY used DESC, rowid DESC LIMIT ?",  # noqa: S608
                (*values, limit),
            ).fetchall()
        )
        return [_progress(row) for row in rows]

    async def forget(self, session: str | None = None, *, script: str | None = None) -> int:
        """See `SessionStore`."""
        wanted = {"session": session, "script": script}
        named = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join(f"{column} = ?" for column in named) or "1"

        def work(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                values = tuple(named.values())
                connection.execute(f"DELETE FROM leases WHERE {where}", values)  # noqa: S608
                return connection.execute(f"DELETE FROM sessions WHERE {where}", values).rowcount  # noqa: S608

        return self.database.run(work)


def _row(lease: TurnLease) -> tuple[str, str, str, int, int]:
    return lease.session, lease.script, lease.owner, lease.cursor, lease.number


def _progress(row: tuple[Any, ...]) -> SessionProgress:
    session, script, cursor, played, met, failed, packed, begun, used = row
    failures = _unpack(packed) if packed else ()
    return SessionProgress(session, script, cursor, played, met, failed, failures, begun, used)
