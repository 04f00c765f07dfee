"""Uploaded contents in the file of their objects' records.

Decisions:
* Pieces of 256 KiB, each in a transaction of its own: the file is locked for a millisecond at a time, whatever its client uploads.
* A content goes with its record by a trigger, whichever way that goes: deleted, evicted, or expired.
* A full store refuses, and evicts nothing: so do the real APIs, and what a client has uploaded it goes on to use.
"""

import sqlite3
from collections.abc import Callable, Sequence

from llmsim.state.database import Database, transaction

_ORPHAN_SECS = 3600.0

CONTENT_SCHEMA = """

CREATE TABLE content (id BLOB PRIMARY KEY, begun REAL NOT NULL, size INTEGER NOT NULL, pieces INTEGER NOT NULL)

CREATE TABLE piece (content BLOB NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (content, number))

CREATE TRIGGER content_deleted AFTER DELETE ON content BEGIN
    DELETE FROM piece WHERE content = old.id;
END

CREATE TRIGGER object_deleted AFTER DELETE ON record BEGIN
    DELETE FROM content WHERE id = old.id;
END
"""
"""Follows the schema of records in the same file."""

_BEGIN = "INSERT INTO content VALUES (?, ?, 0, 0) ON CONFLICT (id) DO NOTHING"
_ADD = "INSERT INTO piece SELECT id, pieces, ? FROM content WHERE id = ?"
_COUNT = "UPDATE content SET size = size + ?, pieces = pieces + 1 WHERE id = ?"
_SWEEP = (
    "DELETE FROM content WHERE begun < ? AND NOT EXISTS (SELECT 1 FROM record WHERE record.id = content.id)"
)
_MOVE = "UPDATE piece SET content = ?, number = number + (SELECT pieces FROM content WHERE id = ?) WHERE content = ?"
_GROW = (
    "UPDATE content SET (size, pieces) = (SELECT content.size + one.size, content.pieces + one.pieces FROM content AS one "
    "WHERE one.id = ?) WHERE id = ? AND EXISTS (SELECT 1 FROM content AS one WHERE one.id = ?)"
)


class SqliteContentStore:
    """The contents of the processes of one machine; see `ContentStore`.

    Args:
        database: The file of the records; its schema must have `CONTENT_SCHEMA`.
        max_bytes: Most bytes of all contents.
        clock: Returns the Unix time, in seconds.
    """

    def __init__(self, database: Database, max_bytes: int, clock: Callable[[], float]) -> None:
        self._database = database
        self._max_bytes = max_bytes
        self._clock = clock

    async def append(self, content: str, data: bytes) -> bool:
        """See `ContentStore`."""
        key, now = _key(content), self._clock()

        def work(connection: sqlite3.Connection) -> bool:
            with transaction(connection):
                if connection.execute(_BEGIN, (key, now)).rowcount:
                    connection.execute(_SWEEP, (now - _ORPHAN_SECS,))
                (held,) = connection.execute("SELECT COALESCE(SUM(size), 0) FROM content").fetchone()
                if held + len(data) > self._max_bytes:
                    return False
                connection.execute(_ADD, (data, key))
                connection.execute(_COUNT, (len(data), key))
            return True

        return self._database.run(work)

    async def piece(self, content: str, number: int) -> bytes | None:
        """See `ContentStore`."""
        query = "SELECT data FROM piece WHERE content = ? AND number = ?"
        row = self._database.run(
            lambda connection: connection.execute(query, (_key(content), number)).fetchone()
        )
        return None if row is None else row[0]

    async def join(self, content: str, parts: Sequence[str]) -> None:
        """See `ContentStore`."""
        key, now = _key(content), self._clock()

        def work(connection: sqlite3.Connection) -> None:
            with transaction(connection):
                connection.execute(_BEGIN, (key, now))
                for part in map(_key, parts):
                    connection.execute(_MOVE, (key, key, part))
                    connection.execute(_GROW, (part, key, part))
                    connection.execute("DELETE FROM content WHERE id = ?", (part,))

        self._database.run(work)

    async def delete(self, content: str) -> None:
        """See `ContentStore`."""
        self._database.run(
            lambda connection: connection.execute("DELETE FROM content WHERE id = ?", (_key(content),))
        )


def _key(content: str) -> bytes:
    return content.encode("utf-8", "surrogatepass")
