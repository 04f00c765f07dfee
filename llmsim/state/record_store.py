"""Stored responses and documents of all workers, in one SQLite file.

Decisions:
* What was put first is evicted first, by count, size and age, whatever its creation time says: a response that took long to
  generate is kept as long as any other.
* PERF: 3 KB records in a full store of the default size, on one core of an AMD EPYC, tmpfs, in us: a put 31 (52 on average,
  with evictions and checkpoints; 0.5 ms for one in a hundred), a get 9, a replace 36, a page of twenty 40, one
  that finds nothing by its labels 1,200. On a disk a put takes 3 more. SQLite's commit of one changed page is 12
  of it, and each of six other pages 2.5. Four processes that do nothing else, on two cores: a put 43, 14,000 a second.
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmsim.config import StoreSettings
from llmsim.state.database import Database, transaction
from llmsim.state.ports import Record
from llmsim.state.record_format import (
    EVICTED_BYTES,
    EVICTED_RECORDS,
    decode_record,
    encode_label,
    encode_metadata,
    encode_text,
    record_size,
)

_SWEEP = 60.0
"""Seconds between two sweeps of expired records, which are not found in the meantime."""

# Texts are BLOBs, so that any str can be stored. `seq` is the order of eviction, and that of lists among equal times; `kept`
# is the time of the put. `totals` is one row, exact whatever is done to records; its `writes` number the versions. A row is
# inserted into `arrival` with the bounds that it must fit in: otherwise the insertion fails and changes nothing.
_SCHEMA = """
CREATE TABLE record (
    seq INTEGER PRIMARY KEY, id BLOB NOT NULL, kind BLOB NOT NULL, owner BLOB NOT NULL, created REAL NOT NULL, model BLOB NOT NULL,
    metadata BLOB NOT NULL, kept REAL NOT NULL, size INTEGER NOT NULL, version INTEGER NOT NULL, data BLOB NOT NULL)

CREATE UNIQUE INDEX by_id ON record (id)

CREATE INDEX by_creation ON record (kind, owner, created, seq, kept, model, metadata)

CREATE TABLE totals (records INTEGER NOT NULL, bytes INTEGER NOT NULL, writes INTEGER NOT NULL)

INSERT INTO totals VALUES (0, 0, 0)

CREATE TRIGGER record_inserted AFTER INSERT ON record BEGIN
    UPDATE totals SET records = records + 1, bytes = bytes + new.size, writes = writes + 1;
END

CREATE TRIGGER record_deleted AFTER DELETE ON record BEGIN
    UPDATE totals SET records = records - 1, bytes = bytes - old.size;
END

CREATE TRIGGER record_replaced AFTER UPDATE OF size ON record BEGIN
    UPDATE totals SET bytes = bytes + new.size - old.size, writes = writes + 1;
END

CREATE VIEW arrival AS
    SELECT id, kind, owner, created, model, metadata, kept, size, data, 0 AS max_records, 0 AS max_bytes FROM record

CREATE TRIGGER record_put INSTEAD OF INSERT ON arrival BEGIN
    DELETE FROM record WHERE id = new.id;
    INSERT INTO record (id, kind, owner, created, model, metadata, kept, size, version, data)
        SELECT new.id, new.kind, new.owner, new.created, new.model, new.metadata, new.kept, new.size, writes, new.data FROM totals;
    SELECT RAISE(ABORT, 'full') FROM totals WHERE records > new.max_records OR bytes > new.max_bytes;
END
"""

_PUT = "INSERT INTO arrival VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COLUMNS = "id, owner, created, model, metadata, data, version"
_THERE = "FROM record WHERE id = ? AND kind = ? AND owner = ? AND kept > ?"
_REPLACE = (
    "UPDATE record SET created = ?, model = ?, metadata = ?, size = ?, data = ?, version = (SELECT writes FROM totals) "
    "WHERE seq = ?"
)
_BY_AGE = "SELECT seq, kept, size FROM record WHERE seq <> ? ORDER BY seq"


class SqliteRecordStore:
    """The records of the processes of one machine; see `RecordStore`.

    The file is opened by the first call, so that one object may be passed to forked processes. Any thread may call.

    Args:
        path: The file; SQLite puts others beside it, with the suffixes `-wal` and `-shm`.
        limits: The bounds that this process keeps to.
        clock: Returns the Unix time, in seconds; the same for all processes.
        schema: Statements for what else is in the file, separated by empty lines.
    """

    def __init__(
        self, path: Path, limits: StoreSettings, clock: Callable[[], float] = time.time, *, schema: str = ""
    ) -> None:
        self._limits = limits
        self._clock = clock
        self.database = Database(path, _SCHEMA + schema, count="SELECT records FROM totals")
        self._sweep_at = 0.0

    async def put(self, record: Record) -> int:
        """See `RecordStore`."""
        key, kind, model = encode_text(record.id), encode_text(record.kind), encode_text(record.model)
        owner, metadata = encode_text(record.owner), encode_metadata(record.metadata)
        size = record_size(key, kind, owner, model, metadata, record.data)
        row = (key, kind, owner, record.created, model, metadata, self._clock(), size, record.data)
        evicted = self.database.run(lambda connection: self._put(connection, row))
        return evicted + self.database.take_lost()

    def _put(self, connection: sqlite3.Connection, row: tuple[Any, ...]) -> int:
        limits = self._limits
        arrival = (*row, limits.max_records, limits.max_bytes)
        now, size = row[6:8]
        evicted = None
        if now < self._sweep_at:
            # PERF: one statement does where there is room; making some takes 50 us more, and 9 for each that goes.
            with contextlib.suppress(sqlite3.IntegrityError):
                connection.execute(_PUT, arrival)
                evicted = 0
        if evicted is None:
            with transaction(connection):
                connection.execute("DELETE FROM record WHERE id = ?", row[:1])
                if limits.max_records and size <= limits.max_bytes:
                    evicted = self._make_room(connection, now, records=1, size=size)
                    connection.execute(_PUT, arrival)
                else:
                    evicted = self._make_room(connection, now) + 1
        return evicted

    def _make_room(
        self, connection: sqlite3.Connection, now: float, *, records: int = 0, size: int = 0, keep: int = -1
    ) -> int:
        """Evict what is necessary before `size` bytes of `records` are added, and some expired records.

        Args:
            connection: In a transaction.
            now: The time.
            records: Records to be added.
            size: Bytes to be added.
            keep: Number of a record that is not evicted.

        Returns:
            How many records were evicted.
        """
        max_records, max_bytes = self._limits.max_records, self._limits.max_bytes
        held, held_bytes = connection.execute("SELECT records, bytes FROM totals").fetchone()
        held += records
        held_bytes += size
        if held > max_records or held_bytes > max_bytes:
            max_records -= min(EVICTED_RECORDS, max_records // 64)
            max_bytes -= min(EVICTED_BYTES, max_bytes // 64)
        horizon = now - self._limits.max_age_secs
        self._sweep_at = now + _SWEEP
        evicted = last = 0
        with contextlib.closing(connection.execute(_BY_AGE, (keep,))) as rows:
            for seq, kept, freed in rows:
                if held <= max_records and held_bytes <= max_bytes:
                    if kept > horizon:
                        break
                    if evicted >= EVICTED_RECORDS:
                        self._sweep_at = now
                        break
                held -= 1
                held_bytes -= freed
                evicted += 1
                last = seq
        if evicted:
            connection.execute("DELETE FROM record WHERE seq <= ? AND seq <> ?", (last, keep))
        return evicted

    async def get(self, kind: str, id: str, owner: str = "") -> Record | None:  # noqa: A002 - the field's name
        """See `RecordStore`."""
        key = self._key(kind, id, owner)
        row = self.database.run(
            lambda connection: connection.execute(f"SELECT {_COLUMNS} {_THERE}", key).fetchone()
        )
        return None if row is None else decode_record(kind, *row)

    async def replace(self, record: Record, *, version: int) -> int | None:
        """See `RecordStore`."""
        key = self._key(record.kind, record.id, record.owner)
        model, metadata = encode_text(record.model), encode_metadata(record.metadata)
        size = record_size(*key[:3], model, metadata, record.data)

        def work(connection: sqlite3.Connection) -> int | None:
            with transaction(connection):
                row = connection.execute(
                    f"SELECT seq, size {_THERE} AND version = ?",
                    (*key, version),
                ).fetchone()
                if row is None:
                    return None
                seq, old_size = row
                if size > self._limits.max_bytes:
                    connection.execute("DELETE FROM record WHERE seq = ?", (seq,))
                    return 1
                evicted = self._make_room(connection, self._clock(), size=size - old_size, keep=seq)
                connection.execute(_REPLACE, (record.created, model, metadata, size, record.data, seq))
                return evicted

        return self.database.run(work)

    async def delete(self, kind: str, id: str, owner: str = "") -> bool:  # noqa: A002 - the field's name
        """See `RecordStore`."""
        key = self._key(kind, id, owner)
        return self.database.run(lambda connection: connection.execute(f"DELETE {_THERE}", key).rowcount) > 0

    async def page(
        self,
        kind: str,
        *,
        limit: int,
        after: str | None = None,
        before: str | None = None,
        ascending: bool = True,
        model: str | None = None,
        metadata: Mapping[str, str] = {},
        owner: str = "",
    ) -> tuple[list[Record], bool]:
        """See `RecordStore`."""
        backwards = before is not None and after is None
        order = "ASC" if ascending != backwards else "DESC"
        follows, precedes = "><" if ascending else "<>"
        terms = ["kind = ?", "owner = ?", "kept > ?"]
        values: list[Any] = list(self._key(kind, "", owner)[1:])
        if model is not None:
            terms.append("model = ?")
            values.append(encode_text(model))
        for label in metadata.items():
            terms.append("instr(metadata, ?)")
            values.append(b"\n%b\n" % encode_label(*label))

        def rows(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            where, given = list(terms), list(values)
            for end, sign in ((after, follows), (before, precedes)):
                if end is not None:
                    position = connection.execute(
                        f"SELECT created, seq {_THERE}", self._key(kind, end, owner)
                    ).fetchone()
                    if position is None:
                        raise KeyError(end)
                    where.append(f"(created, seq) {sign} (?, ?)")
                    given += position
            # All that is put into the text stands above.
            query = f"SELECT {_COLUMNS} FROM record WHERE {' AND '.join(where)} ORDER BY created {order}, seq {order} LIMIT ?"  # noqa: S608
            return connection.execute(query, (*given, limit + 1)).fetchall()

        found = self.database.run(rows)
        records = [decode_record(kind, *row) for row in found[:limit]]
        return records[::-1] if backwards else records, len(found) > limit

    def _key(self, kind: str, id: str, owner: str) -> tuple[bytes, bytes, bytes, float]:  # noqa: A002 - the field's name
        """Return what finds a record: its id, kind and owner, and the time of put after which it has not expired."""
        return (
            encode_text(id),
            encode_text(kind),
            encode_text(owner),
            self._clock() - self._limits.max_age_secs,
        )
