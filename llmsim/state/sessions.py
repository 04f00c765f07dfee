"""Where each session stands in each script: one number for all workers.

Decisions:
* A turn is claimed when it is given out and settled when it was played. The claim of a process that died goes to the
  next request of the session: no turn is given out twice at a time, and none is skipped.
* Whether a turn is to be given out is asked while everybody else waits, so that a request that does not fit its turn
  moves nothing.
* A place belongs to one edition of a script: whoever comes with a newer one begins anew, and whoever has an older one in
  hand has to read again. So a script that is replaced plays from its first turn, whatever is under way.
* A claim has a number of its own: what is settled late cannot touch a claim to the same turn after a reset.
* The sessions that were used last are kept, up to a number.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from llmsim.state.database import Database, transaction
from llmsim.state.holders import lives, own_holder

_SCHEMA = """\
CREATE TABLE sessions (
    session TEXT NOT NULL,
    script TEXT NOT NULL,
    edition INTEGER NOT NULL,
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

CREATE TABLE claims (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    session TEXT NOT NULL,
    script TEXT NOT NULL,
    holder TEXT NOT NULL,
    cursor INTEGER NOT NULL
)

CREATE INDEX by_place ON claims (session, script, holder, cursor)
"""

_NOBODY = "-"
"""Holder of a turn that was handed back."""

_MOST_FAILURES = 20
"""Failed expectations that are remembered of a session and script, the last ones."""


class OutdatedError(Exception):
    """The script that a request was about to play has been replaced meanwhile."""


class Judgement(msgspec.Struct, frozen=True):
    """What is to be done about a request.

    Attributes:
        plays: Whether it gets its turn; otherwise the session stays where it is.
        met: Whether it met what the turn expects of it; None if the turn expects nothing.
        unmet: What it did not meet.
    """

    plays: bool = True
    met: bool | None = None
    unmet: tuple[str, ...] = ()


class Failure(msgspec.Struct, frozen=True):
    """An expectation that was not met.

    Attributes:
        at: Unix time, in seconds.
        cursor: Where the session stood.
        unmet: What was expected, and what came.
    """

    at: float
    cursor: int
    unmet: tuple[str, ...]


class SessionProgress(msgspec.Struct, frozen=True):
    """Where a session stands in a script.

    Attributes:
        session: Its name.
        script: The script's name.
        cursor: Turns that were given out.
        played: Those of them that were played to their end.
        met: Requests that met what was expected of them.
        failed: Requests that did not.
        failures: The last of these.
        begun: Unix time of its first request, in seconds.
        used: Unix time of its last one.
    """

    session: str
    script: str
    cursor: int
    played: int
    met: int
    failed: int
    failures: tuple[Failure, ...]
    begun: float
    used: float


class TurnLease(msgspec.Struct, frozen=True):
    """A turn that was given out.

    Attributes:
        session: To which session.
        script: Of which script.
        cursor: Turns of the session that were given out before it.
        number: Of all claims ever made.
    """

    session: str
    script: str
    cursor: int
    number: int


_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.Decoder(tuple[Failure, ...]).decode

_COLUMNS = "session, script, cursor, played, met, failed, failures, begun, used"


class Sessions:
    """The sessions of all workers.

    Args:
        path: The file that they share.
        most: Sessions that are kept.
        clock: Unix time, in seconds.
    """

    def __init__(self, path: Path, most: int, clock: Callable[[], float]) -> None:
        self._database = Database(path, _SCHEMA)
        self._most = most
        self._clock = clock

    def place(self, session: str, script: str) -> int:
        """Tell the turn that the session's next request gets, if no other comes before it."""

        def work(connection: sqlite3.Connection) -> int:
            lost = _lost(connection, session, script)
            if lost is not None:
                return lost
            row = connection.execute(
                "SELECT cursor FROM sessions WHERE session = ? AND script = ?", (session, script)
            ).fetchone()
            return 0 if row is None else int(row[0])

        return self._database.run(work)

    def play(
        self, session: str, script: str, edition: int, judge: Callable[[int], Judgement]
    ) -> TurnLease | None:
        """Give the next turn of a session to a request.

        Args:
            session: The session's name.
            script: The script's name.
            edition: The script's edition.
            judge: Told where the session stands, says whether the request gets that turn. Everybody waits for it, it may
                be asked more than once, and it must not use the store.

        Returns:
            The turn; None if the request does not get it.

        Raises:
            OutdatedError: The session plays a newer edition.
        """
        now = self._clock()

        def work(connection: sqlite3.Connection) -> TurnLease | None:
            with transaction(connection):
                row = connection.execute(
                    "SELECT edition, cursor, failures FROM sessions WHERE session = ? AND script = ?",
                    (session, script),
                ).fetchone()
                if row is not None and row[0] > edition:
                    raise OutdatedError
                if row is not None and row[0] < edition:
                    for table in ("sessions", "claims"):
                        connection.execute(
                            f"DELETE FROM {table} WHERE session = ? AND script = ?",  # noqa: S608
                            (session, script),
                        )
                    row = None
                if row is None:
                    self._begin(connection, session, script, edition, now)
                _, cursor, failures = row or (edition, 0, b"")
                lost = _lost(connection, session, script)
                place = cursor if lost is None else lost
                judgement = judge(place)
                if judgement.unmet:
                    told = (*(_unpack(failures) if failures else ()), Failure(now, place, judgement.unmet))
                    failures = _pack(told[-_MOST_FAILURES:])
                connection.execute(
                    "UPDATE sessions SET used = ?, cursor = cursor + ?, met = met + ?, failed = failed + ?, failures = ? "
                    "WHERE session = ? AND script = ?",
                    (
                        now,
                        judgement.plays and lost is None,
                        judgement.met is True,
                        judgement.met is False,
                        failures,
                        session,
                        script,
                    ),
                )
                if not judgement.plays:
                    return None
                if lost is not None:
                    connection.execute(
                        "DELETE FROM claims WHERE session = ? AND script = ? AND cursor = ?",
                        (session, script, place),
                    )
                number = connection.execute(
                    "INSERT INTO claims (session, script, holder, cursor) VALUES (?, ?, ?, ?)",
                    (session, script, own_holder(), place),
                ).lastrowid
                assert number is not None
                return TurnLease(session, script, place, number)

        return self._database.run(work)

    def _begin(
        self, connection: sqlite3.Connection, session: str, script: str, edition: int, now: float
    ) -> None:
        """Begin a session; those that were not used for longest make room for it."""
        connection.execute(
            "INSERT INTO sessions (session, script, edition, begun, used) VALUES (?, ?, ?, ?, ?)",
            (session, script, edition, now, now),
        )
        (count,) = connection.execute("SELECT count(*) FROM sessions").fetchone()
        if count > self._most:
            gone = connection.execute(
                "SELECT session, script FROM sessions WHERE NOT (session = ? AND script = ?) ORDER BY used LIMIT ?",
                (session, script, count - self._most),
            ).fetchall()
            for table in ("sessions", "claims"):
                connection.executemany(f"DELETE FROM {table} WHERE session = ? AND script = ?", gone)  # noqa: S608

    def settle(self, claim: TurnLease, *, played: bool) -> None:
        """Say that a turn was played, or that it has to go to another request after all."""

        def work(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                if not played:
                    connection.execute(
                        "UPDATE claims SET holder = ? WHERE number = ?", (_NOBODY, claim.number)
                    )
                    return
                gone = connection.execute("DELETE FROM claims WHERE number = ?", (claim.number,)).rowcount
                connection.execute(
                    "UPDATE sessions SET played = played + ? WHERE session = ? AND script = ?",
                    (gone, claim.session, claim.script),
                )

        self._database.run(work)

    def standings(self, session: str | None = None, *, limit: int = 1000) -> list[SessionProgress]:
        """Tell where sessions stand, those that were used last first.

        Args:
            session: One session's name; None for all.
            limit: Most standings to tell.
        """
        where, values = ("", ()) if session is None else ("WHERE session = ?", (session,))
        rows = self._database.run(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM sessions {where} ORDER BY used DESC, rowid DESC LIMIT ?",  # noqa: S608
                (*values, limit),
            ).fetchall()
        )
        return [_standing(row) for row in rows]

    def forget(self, session: str | None = None, *, script: str | None = None) -> int:
        """Let sessions begin anew.

        Args:
            session: One session's name; None for all.
            script: Where they stand in one script only; None for all.

        Returns:
            How many sessions and scripts there were.
        """
        wanted = {"session": session, "script": script}
        named = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join(f"{column} = ?" for column in named) or "1"

        def work(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                values = tuple(named.values())
                connection.execute(f"DELETE FROM claims WHERE {where}", values)  # noqa: S608
                return connection.execute(f"DELETE FROM sessions WHERE {where}", values).rowcount  # noqa: S608

        return self._database.run(work)

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        self._database.close()

    def restart(self) -> None:
        """Begin with no session; only while no other process has the file open."""
        self._database.restart()

    def remove(self) -> None:
        """Take the file away."""
        self._database.remove()


def _standing(row: tuple[Any, ...]) -> SessionProgress:
    session, script, cursor, played, met, failed, failures, begun, used = row
    told = _unpack(failures) if failures else ()
    return SessionProgress(session, script, cursor, played, met, failed, told, begun, used)


def _lost(connection: sqlite3.Connection, session: str, script: str) -> int | None:
    """Find the first turn that was given to a request which can never have played it."""
    # PERF: a look into the index for each holder. Grouping would read all claims, and 1,000 of them take 0.5 ms.
    lost: list[int] = []
    holder = ""
    while row := connection.execute(
        "SELECT holder, cursor FROM claims WHERE session = ? AND script = ? AND holder > ? "
        "ORDER BY holder, cursor LIMIT 1",
        (session, script, holder),
    ).fetchone():
        holder, cursor = row
        if not lives(holder):
            lost.append(cursor)
    return min(lost, default=None)
