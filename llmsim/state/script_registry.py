"""Scripts that all workers know, by name: those of the server's files, and those that clients have sent.

Decisions:
* A script is read once, by whoever puts it, and kept as it was written and as it was read: reading a large one takes a
  second, and every worker would do it while its streams wait.
* An edition is never given out twice, so what was taken of one edition is never taken for another.
* Tests send scripts and leave them behind: beyond a number, those that were sent first are forgotten.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from llmsim.scripts import Script, ScriptFormat
from llmsim.state.database import Database, transaction

_SCHEMA = """\
CREATE TABLE scripts (
    name TEXT PRIMARY KEY,
    edition INTEGER NOT NULL,
    form TEXT NOT NULL,
    origin TEXT NOT NULL,
    at REAL NOT NULL,
    description TEXT NOT NULL,
    turns INTEGER NOT NULL,
    length INTEGER NOT NULL,
    on_exhausted TEXT NOT NULL,
    data BLOB NOT NULL,
    script BLOB NOT NULL
)

CREATE TABLE editions (last INTEGER NOT NULL)

INSERT INTO editions VALUES (0)
"""

UPLOADED = "uploaded"
"""Origin of a script that a client has sent."""


class ScriptInfo(msgspec.Struct, frozen=True):
    """What is told of a script.

    Attributes:
        name: Its name.
        edition: Higher than that of any script put before.
        form: `json`, `toml` or `yaml`.
        origin: Path of its file, or `uploaded`.
        at: Unix time at which it was put, in seconds.
        description: What it is for.
        turns: How many it has.
        length: How many requests it answers before it is exhausted.
        on_exhausted: What follows then.
    """

    name: str
    edition: int
    form: ScriptFormat
    origin: str
    at: float
    description: str
    turns: int
    length: int
    on_exhausted: str


_COLUMNS = ", ".join(ScriptInfo.__struct_fields__)
_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.Decoder(Script).decode


class ScriptRegistry:
    """The scripts of all workers.

    Args:
        path: The file that they share.
        most: Scripts of clients that are kept.
        clock: Unix time, in seconds.
    """

    def __init__(self, path: Path, most: int, clock: Callable[[], float]) -> None:
        self._database = Database(path, _SCHEMA)
        self._most = most
        self._clock = clock

    def put(self, name: str, form: ScriptFormat, data: bytes, script: Script, origin: str = UPLOADED) -> bool:
        """Keep a script, in place of the one of that name; tell whether there was one.

        Args:
            name: Its name.
            form: How it is written.
            data: As it is written.
            script: What that says.
            origin: Path of its file, or `uploaded`.
        """
        packed = _pack(script)

        def work(connection: sqlite3.Connection) -> bool:
            with transaction(connection):
                connection.execute("UPDATE editions SET last = last + 1")
                known = connection.execute("DELETE FROM scripts WHERE name = ?", (name,)).rowcount
                connection.execute(
                    "INSERT INTO scripts VALUES (?, (SELECT last FROM editions), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        name,
                        form,
                        origin,
                        self._clock(),
                        script.description,
                        len(script.turns),
                        script.length,
                        script.on_exhausted.value,
                        data,
                        packed,
                    ),
                )
                connection.execute(
                    "DELETE FROM scripts WHERE edition IN (SELECT edition FROM scripts WHERE origin = ? "
                    "ORDER BY edition DESC LIMIT -1 OFFSET ?)",
                    (UPLOADED, self._most),
                )
                return bool(known)

        return self._database.run(work)

    def edition(self, name: str) -> int | None:
        """Tell the edition of a script; None if there is none of that name."""
        row = self._row("SELECT edition FROM scripts WHERE name = ?", name)
        return None if row is None else row[0]

    def script(self, name: str) -> tuple[int, Script] | None:
        """Give a script and its edition."""
        row = self._row("SELECT edition, script FROM scripts WHERE name = ?", name)
        return None if row is None else (row[0], _unpack(row[1]))

    def source(self, name: str) -> bytes | None:
        """Give a script as it was written."""
        row = self._row("SELECT data FROM scripts WHERE name = ?", name)
        return None if row is None else row[0]

    def get(self, name: str) -> ScriptInfo | None:
        """Tell what is told of a script."""
        row = self._row(f"SELECT {_COLUMNS} FROM scripts WHERE name = ?", name)  # noqa: S608
        return None if row is None else ScriptInfo(*row)

    def _row(self, query: str, name: str) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._database.run(
            lambda connection: connection.execute(query, (name,)).fetchone()
        )
        return row

    def all(self) -> list[ScriptInfo]:
        """List all scripts by name."""
        rows = self._database.run(
            lambda connection: connection.execute(f"SELECT {_COLUMNS} FROM scripts ORDER BY name").fetchall()  # noqa: S608
        )
        return [ScriptInfo(*row) for row in rows]

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
