"""What requests asked and got, for those who want to check it: the last ones, of all workers.

Decisions:
* An entry is written when its request was decided and completed when it has ended: what a killed worker was busy with is
  there, without an end.
* The journal is bounded by a number of entries; whoever writes one keeps it small. A page is bounded in bytes, too.
"""

import sqlite3
from pathlib import Path

import msgspec

from llmsim.state.database import Database, transaction

_SCHEMA = """\
CREATE TABLE entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    session TEXT NOT NULL,
    at REAL NOT NULL,
    outcome TEXT,
    seconds REAL,
    data BLOB NOT NULL
)

CREATE INDEX by_session ON entries (session, number)
"""


class Entry(msgspec.Struct, frozen=True):
    """One request.

    Attributes:
        number: Counts the entries of all workers, from 1.
        session: The session's name.
        at: Unix time of its arrival, in seconds.
        outcome: How it ended; None as long as it is under way, and for ever if its worker was killed.
        seconds: How long it took; None until it has ended.
        data: What it asked and got, as JSON.
    """

    number: int
    session: str
    at: float
    outcome: str | None
    seconds: float | None
    data: bytes


_LARGEST_PAGE = 8 << 20
"""Bytes of entries behind which a page ends."""

_COLUMNS = "number, session, at, outcome, seconds, data"


class Journal:
    """The journal of all workers.

    Args:
        path: The file that they share.
        most: Entries that are kept.
    """

    def __init__(self, path: Path, most: int) -> None:
        self._database = Database(path, _SCHEMA)
        self._most = most

    def write(self, session: str, at: float, data: bytes) -> int:
        """Add an entry; give its number."""

        def work(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                number = connection.execute(
                    "INSERT INTO entries (session, at, data) VALUES (?, ?, ?)", (session, at, data)
                ).lastrowid
                assert number is not None
                connection.execute("DELETE FROM entries WHERE number <= ?", (number - self._most,))
                return number

        return self._database.run(work)

    def end(self, number: int, outcome: str, seconds: float) -> None:
        """Complete an entry, if it is still there."""
        self._database.run(
            lambda connection: connection.execute(
                "UPDATE entries SET outcome = ?, seconds = ? WHERE number = ?", (outcome, seconds, number)
            )
        )

    def read(
        self, session: str | None = None, *, after: int = 0, limit: int = 100, last: bool = False
    ) -> tuple[list[Entry], bool]:
        """Read entries, the oldest first; tell whether more follow.

        Args:
            session: Only those of one session; None for all.
            after: Number of the entry behind which to begin.
            limit: Most entries to read; fewer are read if they are large.
            last: Whether the last entries are read, and not the first.
        """
        where, values = ("", ()) if session is None else (" AND session = ?", (session,))

        order = "DESC" if last else "ASC"

        def work(connection: sqlite3.Connection) -> tuple[list[Entry], bool]:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM entries WHERE number > ?{where} ORDER BY number {order} LIMIT ?",  # noqa: S608
                (after, *values, limit + 1),
            )
            entries: list[Entry] = []
            left = _LARGEST_PAGE
            for row in rows:
                if len(entries) == limit or left < 0:
                    rows.close()
                    return _ordered(entries, last=last), True
                entries.append(Entry(*row))
                left -= len(entries[-1].data)
            return _ordered(entries, last=last), False

        return self._database.run(work)

    def clear(self, session: str | None = None) -> int:
        """Forget the entries of one session, or all; tell how many there were."""
        where, values = ("1", ()) if session is None else ("session = ?", (session,))
        return self._database.run(
            lambda connection: connection.execute(f"DELETE FROM entries WHERE {where}", values).rowcount  # noqa: S608
        )

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        self._database.close()

    def restart(self) -> None:
        """Begin with an empty journal; only while no other process has the file open."""
        self._database.restart()

    def remove(self) -> None:
        """Take the file away."""
        self._database.remove()


def _ordered(entries: list[Entry], *, last: bool) -> list[Entry]:
    return entries[::-1] if last else entries
