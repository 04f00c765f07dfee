"""Scripts by name, for all workers: those of the server's files, and those that clients have sent.

Decisions:
* A script is parsed once, by the worker that puts it, and stored both as it was written and as it was parsed: parsing a
  large one takes a second, and every worker would do it while its streams wait.
* A version number is never used again, so what was cached of one version is never taken for another.
* What the server's files hold is put again when the store was made anew, with the versions it had: sessions go on.
* Tests send scripts and leave them behind: beyond a number, those that were sent first are deleted.
"""

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from llmsim.scripts import Script, ScriptFormat
from llmsim.scripts.files import ScriptFile
from llmsim.state.database import Database, transaction
from llmsim.state.ports import UPLOADED, ScriptInfo

_SCHEMA = """\
CREATE TABLE scripts (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    source_format TEXT NOT NULL,
    origin TEXT NOT NULL,
    at REAL NOT NULL,
    description TEXT NOT NULL,
    turns INTEGER NOT NULL,
    length INTEGER NOT NULL,
    on_exhausted TEXT NOT NULL,
    source BLOB NOT NULL,
    script BLOB NOT NULL
)

CREATE TABLE versions (last INTEGER NOT NULL)

INSERT INTO versions VALUES (0)
"""

_COLUMNS = ", ".join(ScriptInfo.__struct_fields__)
_PLACES = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.Decoder(Script).decode


class SqliteScriptRegistry:
    """The scripts of the processes of one machine; see `ScriptRegistry`.

    Args:
        path: The file that they share.
        max_uploaded: Scripts of clients that are kept.
        clock: Returns the Unix time, in seconds.
    """

    def __init__(self, path: Path, max_uploaded: int, clock: Callable[[], float]) -> None:
        self.database = Database(path, _SCHEMA, fill=self._fill)
        self._max_uploaded = max_uploaded
        self._clock = clock
        self._files: list[tuple[Any, ...]] = []

    def _fill(self, connection: sqlite3.Connection) -> None:
        """Put the scripts of the server's files into a store that was made anew."""
        # Higher than any version before, which is not known.
        connection.execute("UPDATE versions SET last = ?", (int(self._clock() * 1000),))
        connection.executemany(f"INSERT INTO scripts VALUES ({_PLACES})", self._files)  # noqa: S608

    async def put(self, name: str, source: bytes, source_format: ScriptFormat, script: Script) -> bool:
        """See `ScriptRegistry`."""
        packed = _pack(script)

        def work(connection: sqlite3.Connection) -> bool:
            with transaction(connection):
                known = self._put(connection, name, source, source_format, script, packed, UPLOADED)
                connection.execute(
                    "DELETE FROM scripts WHERE version IN (SELECT version FROM scripts WHERE origin = ? "
                    "ORDER BY version DESC LIMIT -1 OFFSET ?)",
                    (UPLOADED, self._max_uploaded),
                )
                return known

        return self.database.run(work)

    async def publish(self, files: Mapping[str, ScriptFile]) -> list[str]:
        """See `ScriptRegistry`."""
        packed = {name: _pack(file.script) for name, file in files.items()}

        def work(connection: sqlite3.Connection) -> tuple[list[str], list[tuple[Any, ...]]]:
            with transaction(connection):
                known = {
                    name: (origin, *kept)
                    for name, origin, *kept in connection.execute(
                        "SELECT name, origin, source_format, source FROM scripts"
                    )
                }
                changed = [name for name in known if known[name][0] != UPLOADED and name not in files]
                connection.executemany("DELETE FROM scripts WHERE name = ?", [(name,) for name in changed])
                for name, file in files.items():
                    if name not in known or known[name][1:] != (file.form, file.data):
                        changed.append(name)
                        self._put(
                            connection, name, file.data, file.form, file.script, packed[name], str(file.path)
                        )
                rows = connection.execute("SELECT * FROM scripts").fetchall()
                return changed, [row for row in rows if row[0] in files]

        changed, self._files = self.database.run(work)
        return changed

    def _put(
        self,
        connection: sqlite3.Connection,
        name: str,
        source: bytes,
        source_format: ScriptFormat,
        script: Script,
        packed: bytes,
        origin: str,
    ) -> bool:
        """Put a script within a transaction; return whether there was one of its name."""
        connection.execute("UPDATE versions SET last = last + 1")
        (version,) = connection.execute("SELECT last FROM versions").fetchone()
        known = connection.execute("DELETE FROM scripts WHERE name = ?", (name,)).rowcount
        row = (
            name,
            version,
            source_format,
            origin,
            self._clock(),
            script.description,
            len(script.turns),
            script.length,
            script.on_exhausted.value,
            source,
            packed,
        )
        connection.execute(f"INSERT INTO scripts VALUES ({_PLACES})", row)  # noqa: S608
        return bool(known)

    async def get(self, name: str) -> ScriptInfo | None:
        """See `ScriptRegistry`."""
        row = self._row(_COLUMNS, name)
        return None if row is None else ScriptInfo(*row)

    async def version(self, name: str) -> int | None:
        """See `ScriptRegistry`."""
        row = self._row("version", name)
        return None if row is None else row[0]

    async def script(self, name: str) -> tuple[int, Script] | None:
        """See `ScriptRegistry`."""
        row = self._row("version, script", name)
        return None if row is None else (row[0], _unpack(row[1]))

    async def source(self, name: str) -> bytes | None:
        """See `ScriptRegistry`."""
        row = self._row("source", name)
        return None if row is None else row[0]

    def _row(self, columns: str, name: str) -> tuple[Any, ...] | None:
        query = f"SELECT {columns} FROM scripts WHERE name = ?"  # noqa: S608
        row: tuple[Any, ...] | None = self.database.run(
            lambda connection: connection.execute(query, (name,)).fetchone()
        )
        return row

    async def list_scripts(self) -> list[ScriptInfo]:
        """See `ScriptRegistry`."""
        rows = self.database.run(
            lambda connection: connection.execute(f"SELECT {_COLUMNS} FROM scripts ORDER BY name").fetchall()  # noqa: S608
        )
        return [ScriptInfo(*row) for row in rows]

    async def delete(self, name: str) -> bool:
        """See `ScriptRegistry`."""
        return self.database.run(
            lambda connection: bool(
                connection.execute("DELETE FROM scripts WHERE name = ?", (name,)).rowcount
            )
        )
