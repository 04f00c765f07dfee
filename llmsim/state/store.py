"""The records of all workers, in a file that they share.

Decisions:
* What was put first goes first, by count, size and age, whatever its creation time says: what took long to
  come about is kept as long as anything else.
* Room is made for several records at a time: to evict one for each put would cost 1.6 times as much.
* PERF: 3 KB records in a full store of the default size, on one core of an AMD EPYC, tmpfs, in us: a put 31 (52 on average,
  with evictions and checkpoints; 0.5 ms for one in a hundred), a get 9, an edit 36, a page of twenty 40, one
  that finds nothing by its labels 1,200. On a disk a put takes 3 more. SQLite's commit of one changed page is 12
  of it, and each of six other pages 2.5. Four processes that do nothing else, on two cores: a put 43, 14,000 a second.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmsim.config import StoreSettings
from llmsim.errors import StoreError
from llmsim.state.database import Database, transaction
from llmsim.state.record import Record, Store

__all__ = ["RECORD_BYTES", "Record", "SqliteStore", "Store", "StoreError"]

RECORD_BYTES = 256
"""What a record counts besides its texts and data, for its places in the indices."""

_BATCH = 16
_BATCH_BYTES = 65_536
_SWEEP = 60.0
"""Seconds between two looks for what has expired; nobody sees it meanwhile."""

# Texts are BLOBs, so that any str is one. `seq` is the order of eviction, and that of lists among equal times; `kept` is
# the time of the put. `totals` is one row, exact whatever is done to records. An `arrival` is a record with the bounds
# that it must fit in: else its insertion fails and changes nothing.
_SCHEMA = """
CREATE TABLE record (
    seq INTEGER PRIMARY KEY, id BLOB NOT NULL, kind BLOB NOT NULL, created REAL NOT NULL, model BLOB NOT NULL,
    metadata BLOB NOT NULL, kept REAL NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL)

CREATE UNIQUE INDEX by_id ON record (id)

CREATE INDEX by_creation ON record (kind, created, seq, kept, model, metadata)

CREATE TABLE totals (records INTEGER NOT NULL, bytes INTEGER NOT NULL)

INSERT INTO totals VALUES (0, 0)

CREATE TRIGGER record_comes AFTER INSERT ON record BEGIN
    UPDATE totals SET records = records + 1, bytes = bytes + new.size;
END

CREATE TRIGGER record_goes AFTER DELETE ON record BEGIN
    UPDATE totals SET records = records - 1, bytes = bytes - old.size;
END

CREATE TRIGGER record_grows AFTER UPDATE OF size ON record BEGIN
    UPDATE totals SET bytes = bytes + new.size - old.size;
END

CREATE VIEW arrival AS
    SELECT id, kind, created, model, metadata, kept, size, data, 0 AS max_records, 0 AS max_bytes FROM record

CREATE TRIGGER record_arrives INSTEAD OF INSERT ON arrival BEGIN
    DELETE FROM record WHERE id = new.id;
    INSERT INTO record (id, kind, created, model, metadata, kept, size, data)
        VALUES (new.id, new.kind, new.created, new.model, new.metadata, new.kept, new.size, new.data);
    SELECT RAISE(ABORT, 'full') FROM totals WHERE records > new.max_records OR bytes > new.max_bytes;
END
"""

_PUT = "INSERT INTO arrival VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_COLUMNS = "id, created, model, metadata, data, seq, size"
_THERE = "FROM record WHERE id = ? AND kind = ? AND kept > ?"
_EDIT = "UPDATE record SET created = ?, model = ?, metadata = ?, size = ?, data = ? WHERE seq = ?"
_LINE = "SELECT seq, kept, size FROM record WHERE seq <> ? ORDER BY seq"


class SqliteStore:
    """A store in a file, for the processes of one machine.

    The file is opened at the first call, so that one object may be handed to forked processes. Any thread may call.

    Args:
        path: The file; SQLite puts others beside it, with `-wal` and `-shm` at their ends.
        limits: The bounds that this process keeps to.
        clock: Tells Unix seconds, to all processes alike.
    """

    def __init__(self, path: Path, limits: StoreSettings, clock: Callable[[], float] = time.time) -> None:
        self._limits = limits
        self._clock = clock
        self._database = Database(path, _SCHEMA)
        self._sweep_at = 0.0
        self._untold = 0

    def put(self, record: Record) -> int:
        """See `Store`."""
        key, kind, model = _utf8(record.id), _utf8(record.kind), _utf8(record.model)
        metadata = _packed(record.metadata)
        size = _size(key, kind, model, metadata, record.data)
        row = (key, kind, record.created, model, metadata, self._clock(), size, record.data)
        return self._database.run(lambda connection: self._put(connection, row))

    def _put(self, connection: sqlite3.Connection, row: tuple[Any, ...]) -> int:
        limits = self._limits
        arrival = (*row, limits.max_records, limits.max_bytes)
        now, size = row[5:7]
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
        evicted += self._untold
        self._untold = 0
        return evicted

    def _make_room(
        self, connection: sqlite3.Connection, now: float, *, records: int = 0, size: int = 0, keep: int = -1
    ) -> int:
        """Evict what must go before `size` bytes of `records` are added, and some of what has expired.

        Args:
            connection: In a transaction.
            now: The time.
            records: Records to be added.
            size: Bytes to be added.
            keep: Number of a record that does not go.

        Returns:
            How many went.
        """
        most, most_bytes = self._limits.max_records, self._limits.max_bytes
        held, held_bytes = connection.execute("SELECT records, bytes FROM totals").fetchone()
        held += records
        held_bytes += size
        if held > most or held_bytes > most_bytes:
            most -= min(_BATCH, most // 64)
            most_bytes -= min(_BATCH_BYTES, most_bytes // 64)
        horizon = now - self._limits.max_age_secs
        self._sweep_at = now + _SWEEP
        evicted = last = 0
        with contextlib.closing(connection.execute(_LINE, (keep,))) as line:
            for seq, kept, freed in line:
                if held <= most and held_bytes <= most_bytes:
                    if kept > horizon:
                        break
                    if evicted >= _BATCH:
                        self._sweep_at = now
                        break
                held -= 1
                held_bytes -= freed
                evicted += 1
                last = seq
        if evicted:
            connection.execute("DELETE FROM record WHERE seq <= ? AND seq <> ?", (last, keep))
        return evicted

    def get(self, kind: str, id: str) -> Record | None:  # noqa: A002 - the field's name
        """See `Store`."""
        key = self._key(kind, id)
        row = self._database.run(
            lambda connection: connection.execute(f"SELECT {_COLUMNS} {_THERE}", key).fetchone()
        )
        return None if row is None else _record(kind, row)

    def edit(
        self,
        kind: str,
        id: str,  # noqa: A002 - the field's name
        change: Callable[[Record], Record],
    ) -> Record | None:
        """See `Store`."""
        key = self._key(kind, id)

        def edited(connection: sqlite3.Connection) -> Record | None:
            with transaction(connection):
                row = connection.execute(f"SELECT {_COLUMNS} {_THERE}", key).fetchone()
                if row is None:
                    return None
                record = _record(kind, row)
                changed = change(record)
                if (changed.id, changed.kind) != (record.id, kind):
                    raise ValueError(f"{kind} {record.id!r} cannot become {changed.kind} {changed.id!r}")
                evicted = self._replace(connection, key, row, changed) if changed != record else 0
            self._untold += evicted
            return changed

        return self._database.run(edited)

    def _replace(
        self,
        connection: sqlite3.Connection,
        key: tuple[bytes, bytes, float],
        row: tuple[Any, ...],
        changed: Record,
    ) -> int:
        *_, seq, old_size = row
        model, metadata = _utf8(changed.model), _packed(changed.metadata)
        size = _size(*key[:2], model, metadata, changed.data)
        if size > self._limits.max_bytes:
            connection.execute("DELETE FROM record WHERE seq = ?", (seq,))
            return 1
        evicted = self._make_room(connection, self._clock(), size=size - old_size, keep=seq)
        connection.execute(_EDIT, (changed.created, model, metadata, size, changed.data, seq))
        return evicted

    def delete(self, kind: str, id: str) -> bool:  # noqa: A002 - the field's name
        """See `Store`."""
        key = self._key(kind, id)
        return self._database.run(lambda connection: connection.execute(f"DELETE {_THERE}", key).rowcount) > 0

    def page(
        self,
        kind: str,
        *,
        limit: int,
        after: str | None = None,
        before: str | None = None,
        ascending: bool = True,
        model: str | None = None,
        metadata: Mapping[str, str] = {},
    ) -> tuple[list[Record], bool]:
        """See `Store`."""
        backwards = before is not None and after is None
        order = "ASC" if ascending != backwards else "DESC"
        follows, precedes = "><" if ascending else "<>"
        terms = ["kind = ?", "kept > ?"]
        values: list[Any] = list(self._key(kind, "")[1:])
        if model is not None:
            terms.append("model = ?")
            values.append(_utf8(model))
        for label in metadata.items():
            terms.append("instr(metadata, ?)")
            values.append(b"\n%b\n" % _line(*label))

        def rows(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            where, given = list(terms), list(values)
            for end, sign in ((after, follows), (before, precedes)):
                if end is not None:
                    place = connection.execute(
                        f"SELECT created, seq {_THERE}", self._key(kind, end)
                    ).fetchone()
                    if place is None:
                        raise KeyError(end)
                    where.append(f"(created, seq) {sign} (?, ?)")
                    given += place
            # All that is put into the text stands above.
            query = f"SELECT {_COLUMNS} FROM record WHERE {' AND '.join(where)} ORDER BY created {order}, seq {order} LIMIT ?"  # noqa: S608
            return connection.execute(query, (*given, limit + 1)).fetchall()

        found = self._database.run(rows)
        records = [_record(kind, row) for row in found[:limit]]
        return records[::-1] if backwards else records, len(found) > limit

    def _key(self, kind: str, id: str) -> tuple[bytes, bytes, float]:  # noqa: A002 - the field's name
        """Give what finds a record: its id, its kind, and when it must have been put not to have expired."""
        return _utf8(id), _utf8(kind), self._clock() - self._limits.max_age_secs

    def close(self) -> None:
        """See `Store`."""
        self._database.close()

    def restart(self) -> None:
        """Begin with no records; only while no other process has the file open.

        Raises:
            StoreError: The file cannot be made.
        """
        self._database.restart()

    def remove(self) -> None:
        """Take the file away, with those beside it."""
        self._database.remove()


def _utf8(text: str) -> bytes:
    # Half a surrogate pair comes through as well: an id may be anything that a client puts into a path.
    return text.encode("utf-8", "surrogatepass")


def _size(*parts: bytes) -> int:
    return RECORD_BYTES + sum(map(len, parts))


def _packed(metadata: Mapping[str, str]) -> bytes:
    """Write metadata as JSON with each pair on a line of its own, where a filter finds it: JSON has no line breaks."""
    if not metadata:
        return b"{}"
    return b"{\n%b\n}" % b"\n,\n".join(_line(*label) for label in metadata.items())


def _line(name: str, value: str) -> bytes:
    return f"{json.dumps(name)}:{json.dumps(value)}".encode()


def _record(kind: str, row: tuple[Any, ...]) -> Record:
    key, created, model, metadata, data, *_ = row
    return Record(
        id=key.decode("utf-8", "surrogatepass"),
        kind=kind,
        created=created,
        model=model.decode("utf-8", "surrogatepass"),
        metadata={} if metadata == b"{}" else json.loads(metadata),
        data=data,
    )
