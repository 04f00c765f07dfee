"""Scripts that all workers know, by name: those of the server's files, and those that clients have sent.

Decisions:
* A script is kept as it was written; whoever plays it reads it once for each edition.
* An edition is never given out twice, so what was read of one edition is never taken for another.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec

from llmsim.scripts import Form
from llmsim.state.database import Database, transaction

_SCHEMA = """\
CREATE TABLE scripts (
    name TEXT PRIMARY KEY,
    edition INTEGER NOT NULL,
    form TEXT NOT NULL,
    origin TEXT NOT NULL,
    at REAL NOT NULL,
    data BLOB NOT NULL
)

CREATE TABLE editions (last INTEGER NOT NULL)

INSERT INTO editions VALUES (0)
"""


class Volume(msgspec.Struct, frozen=True):
    """A script as it is kept.

    Attributes:
        name: Its name.
        edition: Higher than that of any script put before.
        form: `json`, `toml` or `yaml`.
        origin: Path of its file, or `uploaded`.
        at: Unix time at which it was put, in seconds.
        data: As it was written.
    """

    name: str
    edition: int
    form: Form
    origin: str
    at: float
    data: bytes


_COLUMNS = "name, edition, form, origin, at, data"


class Library:
    """The scripts of all workers.

    Args:
        path: The file that they share.
        clock: Unix time, in seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._database = Database(path, _SCHEMA)
        self._clock = clock

    def put(self, name: str, form: Form, data: bytes, origin: str = "uploaded") -> bool:
        """Keep a script, in place of the one of that name; tell whether there was one."""

        def work(connection: sqlite3.Connection) -> bool:
            with transaction(connection):
                connection.execute("UPDATE editions SET last = last + 1")
                known = connection.execute("DELETE FROM scripts WHERE name = ?", (name,)).rowcount
                connection.execute(
                    "INSERT INTO scripts VALUES (?, (SELECT last FROM editions), ?, ?, ?, ?)",
                    (name, form, origin, self._clock(), data),
                )
                return bool(known)

        return self._database.run(work)

    def edition(self, name: str) -> int | None:
        """Tell the edition of a script; None if there is none of that name."""
        row = self._database.run(
            lambda connection: connection.execute(
                "SELECT edition FROM scripts WHERE name = ?", (name,)
            ).fetchone()
        )
        return None if row is None else row[0]

    def get(self, name: str) -> Volume | None:
        """Look a script up."""
        row = self._database.run(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM scripts WHERE name = ?",  # noqa: S608
                (name,),
            ).fetchone()
        )
        return None if row is None else Volume(*row)

    def all(self) -> list[Volume]:
        """List all scripts by name."""
        rows = self._database.run(
            lambda connection: connection.execute(f"SELECT {_COLUMNS} FROM scripts ORDER BY name").fetchall()  # noqa: S608
        )
        return [Volume(*row) for row in rows]

    def delete(self, name: str) -> bool:
        """Forget a script; tell whether there was one."""
        return self._database.run(
            lambda connection: bool(
                connection.execute("DELETE FROM scripts WHERE name = ?", (name,)).rowcount
            )
        )

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        self._database.close()

    def restart(self) -> None:
        """Begin with no script; only while no other process has the file open."""
        self._database.restart()

    def remove(self) -> None:
        """Take the file away."""
        self._database.remove()
