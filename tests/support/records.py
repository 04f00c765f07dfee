"""The record store as synchronous tests call it."""

import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec

from llmsim.config import StateSettings, StoreSettings
from llmsim.state.ports import Record
from llmsim.state.record_store import SqliteRecordStore
from llmsim.state.redis.records import RedisRecordStore
from support.driving import Driven, drive
from support.redis_server import BlockingClient


class RecordStore(Driven):
    """A record store without coroutines, whose records have no versions, so that they compare by content.

    Args:
        arguments: Those of `SqliteRecordStore`.
    """

    port: SqliteRecordStore

    def __init__(self, *arguments: Any) -> None:
        super().__init__(SqliteRecordStore(*arguments))

    def totals(self) -> tuple[int, int]:
        """Return how many records and bytes there are, expired ones included, and check that the store knows."""

        def read(connection: sqlite3.Connection) -> tuple[tuple[int, int], tuple[int, int]]:
            known = connection.execute("SELECT records, bytes FROM totals").fetchone()
            return known, connection.execute("SELECT count(*), coalesce(sum(size), 0) FROM record").fetchone()

        known, counted = self.port.database.run(read)
        assert known == counted
        return known

    def close(self) -> None:
        """Close it."""
        self.port.database.close()

    def get(self, kind: str, name: str) -> Record | None:
        """Return a record."""
        found = drive(self.port.get(kind, name))
        return found and _unversioned(found)

    def page(self, *arguments: Any, **options: Any) -> tuple[list[Record], bool]:
        """List records."""
        records, more = drive(self.port.page(*arguments, **options))
        return [_unversioned(record) for record in records], more

    def edit(self, kind: str, name: str, change: Callable[[Record], Record]) -> int | None:
        """Change a record as callers do: read it, replace it, and retry if it has changed; None if there is no such record."""
        while (record := drive(self.port.get(kind, name))) is not None:
            evicted = drive(self.port.replace(change(record), version=record.version))
            if evicted is not None:
                return evicted
        return None


class RedisRecords(RecordStore):
    """The same on a Redis server, each store with a client of its own.

    Args:
        settings: Address and prefix.
        limits: The bounds.
        clock: The time.
    """

    def __init__(
        self, settings: StateSettings, limits: StoreSettings, clock: Callable[[], float] | None = None
    ) -> None:
        self.blocking = BlockingClient(settings, clock)
        Driven.__init__(self, self.blocking.port(RedisRecordStore(self.blocking.client, "records", limits)))

    def totals(self) -> tuple[int, int]:
        """Count the records, and compare every index with them."""
        client = self.blocking.client
        root = client.key("records")

        async def read() -> tuple[int, int]:
            keys = [key for key in await client.run("KEYS", b"*") if key.startswith(root + b":")]
            records = [key for key in keys if key.startswith(root + b":r:")]
            sizes = [int(await client.run("HGET", key, "size")) for key in records]
            known = [
                int(one or 0) for one in await client.run("HMGET", root + b":totals", "records", "bytes")
            ]
            listed = [await client.run("ZCARD", key) for key in keys if key.startswith(root + b":list:")]
            assert known == [len(sizes), sum(sizes)]
            assert sum(listed) == await client.run("ZCARD", root + b":age") == len(sizes)
            return len(sizes), sum(sizes)

        return self.blocking.run(read())

    def close(self) -> None:
        """Close its connections."""
        self.blocking.close()


def _unversioned(record: Record) -> Record:
    return msgspec.structs.replace(record, version=0)
