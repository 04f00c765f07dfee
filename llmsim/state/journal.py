"""The journal: the last requests and their responses, of all workers.

Decisions:
* An entry is written when its request was planned and completed when it has ended: what a killed worker had in flight is
  there, without an outcome.
* The journal is bounded by a number of entries; the caller keeps each of them small. A page is bounded in bytes, too.
"""

import sqlite3
from pathlib import Path

from llmsim.state.database import Database, transaction
from llmsim.state.journal_port import JournalEntry

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


MAX_PAGE_BYTES = 8 << 20
"""Bytes of entries after which a page ends."""

_COLUMNS = "number, session, at, outcome, seconds, data"


class SqliteJournal:
    """The journal of the processes of one machine; see `Journal`.

    Args:
        path: The file that they share.
        max_entries: Entries that are kept.
    """

    def __init__(self, path: Path, max_entries: int) -> None:
        self.database = Database(path, _SCHEMA)
        self._max_entries = max_entries

    async def append(self, session: str, at: float, data: bytes) -> int:
        """See `Journal`."""

        def work(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                number = connection.execute(
                    "INSERT INTO entries (session, at, data) VALUES (?, ?, ?)", (session, at, data)
                ).lastrowid
                assert number is not None
                connection.execute("DELETE FROM entries WHERE number <= ?", (number - self._max_entries,))
                return number

        return self.database.run(work)

    async def finish(self, number: int, outcome: str, seconds: float) -> None:
        """See `Journal`."""
        self.database.run(
            lambda connection: connection.execute(
                "UPDATE entries SET outcome = ?, seconds = ? WHERE number = ?", (outcome, seconds, number)
            )
        )

    async def read(
        self, session: str | None = None, *, after: int = 0, limit: int = 100, last: bool = False
    ) -> tuple[list[JournalEntry], bool]:
        """See `Journal`."""
        where, values = ("", ()) if session is None else (" AND session = ?", (session,))
        order = "DESC" if last else "ASC"

        def work(connection: sqlite3.Connection) -> tuple[list[JournalEntry], bool]:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM entries WHERE number > ?{where} ORDER BY number {order} LIMIT ?",  # noqa: S608
                (after, *values, limit + 1),
            )
            entries: list[JournalEntry] = []
            left = MAX_PAGE_BYTES
            for row in rows:
                if len(entries) == limit or left < 0:
                    rows.close()
                    return _ordered(entries, last=last), True
                entries.append(JournalEntry(*row))
                left -= len(entries[-1].data)
            return _ordered(entries, last=last), False

        return self.database.run(work)

    async def clear(self, session: str | None = None) -> int:
        """See `Journal`."""
        where, values = ("1", ()) if session is None else ("session = ?", (session,))
        return self.database.run(
            lambda connection: connection.execute(f"DELETE FROM entries WHERE {where}", values).rowcount  # noqa: S608
        )


def _ordered(entries: list[JournalEntry], *, last: bool) -> list[JournalEntry]:
    return entries[::-1] if last else entries
