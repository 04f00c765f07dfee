"""The record store as synchronous tests call it."""

from collections.abc import Callable
from typing import Any

import msgspec

from llmsim.state.ports import Record
from llmsim.state.record_store import SqliteRecordStore
from support.driving import Driven, drive


class RecordStore(Driven):
    """A record store without coroutines, whose records have no versions, so that they compare by content.

    Args:
        arguments: Those of `SqliteRecordStore`.
    """

    port: SqliteRecordStore

    def __init__(self, *arguments: Any) -> None:
        super().__init__(SqliteRecordStore(*arguments))

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


def _unversioned(record: Record) -> Record:
    return msgspec.structs.replace(record, version=0)
