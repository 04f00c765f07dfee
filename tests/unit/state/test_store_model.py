"""The shared store beside a plain one that does the same the slow way."""

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from support.fakes import FakeClock
from support.records import RecordStore, RedisRecords
from support.redis_server import RedisServer

from llmsim.config import StoreSettings
from llmsim.state.ports import Record
from llmsim.state.record_format import RECORD_BYTES

KINDS = ("response", "chat.completion")


class Kept(msgspec.Struct):
    """A record in the plain model."""

    record: Record
    at: float
    size: int


class PlainStore:
    """The store as a list in the order of the puts: what it is to do, at any price.

    Args:
        limits: The bounds.
        clock: The time.
    """

    def __init__(self, limits: StoreSettings, clock: FakeClock) -> None:
        self.limits = limits
        self.clock = clock
        self.line: list[Kept] = []
        self.sweep_at: dict[int, float] = {}

    def find(self, kind: str, name: str) -> Kept | None:
        """Find what is there."""
        return next((one for one in self.there(kind) if one.record.id == name), None)

    def there(self, kind: str) -> list[Kept]:
        """List what is there, in order of creation."""
        fresh = [
            one
            for one in self.line
            if one.record.kind == kind and one.at > self.clock.now - self.limits.max_age_secs
        ]
        return sorted(fresh, key=lambda one: one.record.created)

    def put(self, process: int, record: Record, size: int) -> int:
        """Store a record; return how many were evicted."""
        self.remove(record.id)
        if not self.limits.max_records or size > self.limits.max_bytes:
            return self.make_room(process, 0, 0) + 1
        evicted = self.make_room(process, 1, size)
        self.line.append(Kept(record, self.clock.now, size))
        return evicted

    def remove(self, name: str) -> None:
        """Remove what has an id."""
        self.line = [one for one in self.line if one.record.id != name]

    def replace(self, kept: Kept) -> None:
        """Add a record, in place of the one of its id."""
        self.remove(kept.record.id)
        self.line.append(kept)

    def make_room(self, process: int, records: int, size: int, keep: Kept | None = None) -> int:
        """Evict the first ones until there is room; or, where there is, some that have expired."""
        most, most_bytes = self.limits.max_records, self.limits.max_bytes
        self.sweep_at[process] = self.clock.now + 60

        def crowded() -> bool:
            held = sum(one.size for one in self.line)
            return len(self.line) + records > most or held + size > most_bytes

        if crowded():
            most -= min(16, most // 64)
            most_bytes -= min(65_536, most_bytes // 64)
        evicted = 0
        for one in [one for one in self.line if one is not keep]:
            if not crowded():
                if one.at > self.clock.now - self.limits.max_age_secs:
                    break
                if evicted >= 16:
                    self.sweep_at[process] = self.clock.now
                    break
            self.line.remove(one)
            evicted += 1
        return evicted


NAMES = st.sampled_from([f"id{number}" for number in range(8)])
KIND = st.sampled_from(KINDS)
MODEL = st.sampled_from(["m1", "m2"])
LABELS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2)
CREATED = st.integers(0, 4).map(float)
SIZE = st.one_of(st.integers(0, 60), st.integers(0, 2500))
PROCESS = st.integers(0, 1)


class StoreMachine(RuleBasedStateMachine):
    """Two processes' stores on one file, beside the plain one.

    Attributes:
        waits: Whether a process looks for expired records once a minute; otherwise with each put.
    """

    waits = True

    @initialize(
        max_records=st.sampled_from([0, 1, 3, 7, 70, 130]),
        max_bytes=st.sampled_from([700, 3000, 30_000, 10**6]),
    )
    def begin(self, max_records: int, max_bytes: int) -> None:
        """Make the stores."""
        self.clock = FakeClock()
        self.directory = tempfile.TemporaryDirectory(prefix="llmsim-store-")
        limits = StoreSettings(max_records=max_records, max_bytes=max_bytes, max_age_secs=300)
        self.stores = self.open(limits)
        self.plain = PlainStore(limits, self.clock)
        self.came = self.left = 0

    def open(self, limits: StoreSettings) -> list[RecordStore]:
        """Open a store for each process."""
        path = Path(self.directory.name) / "1.store"
        return [RecordStore(path, limits, self.clock) for _ in range(2)]

    @rule(process=PROCESS, name=NAMES, kind=KIND, created=CREATED, model=MODEL, metadata=LABELS, size=SIZE)
    def put(
        self,
        process: int,
        name: str,
        kind: str,
        created: float,
        model: str,
        metadata: dict[str, str],
        size: int,
    ) -> None:
        """Store one record with both."""
        one = Record(id=name, kind=kind, created=created, model=model, metadata=metadata, data=b"d" * size)
        self.left += any(kept.record.id == name for kept in self.plain.line)
        reported = self.stores[process].put(one)
        self.came += 1
        self.left += reported
        counted = self._size(one)
        if self.waits and self.clock.now < self.plain.sweep_at.get(process, 0) and self._fits(one, counted):
            self.plain.replace(Kept(one, self.clock.now, counted))
            evicted = 0
        else:
            evicted = self.plain.put(process, one, counted)

        assert reported == evicted

    @rule(process=PROCESS, count=st.integers(1, 50), size=SIZE)
    def put_many(self, process: int, count: int, size: int) -> None:
        """Store records that were not there before, so that bounds are met."""
        for _ in range(count):
            self.put(process, f"many{self.came}", KINDS[0], 2.0, "m1", {}, size)

    def _fits(self, one: Record, size: int) -> bool:
        """Return whether a record fits without an eviction."""
        others = [kept.size for kept in self.plain.line if kept.record.id != one.id]
        limits = self.plain.limits
        return len(others) < limits.max_records and sum(others) + size <= limits.max_bytes

    @staticmethod
    def _size(one: Record) -> int:
        labels = [f'"{label}":"{value}"' for label, value in one.metadata.items()]
        written = "{\n" + "\n,\n".join(labels) + "\n}" if labels else "{}"
        return RECORD_BYTES + len(one.id + one.kind + one.model + written) + len(one.data)

    @rule(process=PROCESS, name=NAMES, kind=KIND)
    def get(self, process: int, name: str, kind: str) -> None:
        """Read a record."""
        kept = self.plain.find(kind, name)

        assert self.stores[process].get(kind, name) == (kept and kept.record)

    @rule(process=PROCESS, name=NAMES, kind=KIND, created=CREATED, metadata=LABELS, size=SIZE)
    def edit(
        self, process: int, name: str, kind: str, created: float, metadata: dict[str, str], size: int
    ) -> None:
        """Change one."""
        kept = self.plain.find(kind, name)

        def change(one: Record) -> Record:
            return msgspec.structs.replace(one, created=created, metadata=metadata, data=b"e" * size)

        evicted = self.stores[process].edit(kind, name, change)

        assert (evicted is None) == (kept is None)
        if kept is None:
            return
        changed = change(kept.record)
        if (size := self._size(changed)) > self.plain.limits.max_bytes:
            self.plain.line.remove(kept)
            expected = 1
        else:
            expected = self.plain.make_room(process, 0, size - kept.size, kept)
            kept.record, kept.size = changed, size
        assert evicted == expected
        self.left += expected

    @rule(process=PROCESS, name=NAMES, kind=KIND)
    def delete(self, process: int, name: str, kind: str) -> None:
        """Delete one."""
        kept = self.plain.find(kind, name)
        deleted = self.stores[process].delete(kind, name)
        self.left += deleted

        assert deleted == (kept is not None)
        if kept is not None:
            self.plain.line.remove(kept)

    @rule(
        process=PROCESS,
        kind=KIND,
        limit=st.integers(1, 6),
        after=st.none() | NAMES,
        before=st.none() | NAMES,
        ascending=st.booleans(),
        model=st.none() | MODEL,
        metadata=LABELS,
    )
    def page(
        self,
        process: int,
        kind: str,
        limit: int,
        after: str | None,
        before: str | None,
        ascending: bool,
        model: str | None,
        metadata: dict[str, str],
    ) -> None:
        """List some."""
        listed = [one.record for one in self.plain.there(kind)][:: 1 if ascending else -1]
        names = [one.id for one in listed]
        terms: dict[str, Any] = {"after": after, "before": before, "ascending": ascending}
        if {after, before} - {None} - set(names):
            with pytest.raises(KeyError):
                self.stores[process].page(kind, limit=limit, **terms)
            return
        start = 0 if after is None else names.index(after) + 1
        stop = len(names) if before is None else names.index(before)
        found = [
            one
            for one in listed[start:stop]
            if model in (None, one.model) and metadata.items() <= one.metadata.items()
        ]
        expected = found[-limit:] if after is None and before is not None else found[:limit]

        assert self.stores[process].page(kind, limit=limit, model=model, metadata=metadata, **terms) == (
            expected,
            len(found) > limit,
        )

    @rule(seconds=st.sampled_from([1.0, 59.0, 61.0, 150.0, 299.0, 300.0]))
    def wait(self, seconds: float) -> None:
        """Advance the clock."""
        self.clock.now += seconds

    @invariant()
    def everything_is_accounted_for(self) -> None:
        """Compare what is held; nothing came or went uncounted."""
        if not hasattr(self, "stores"):
            return
        records, size = known = self.stores[0].totals()

        assert known == (len(self.plain.line), sum(one.size for one in self.plain.line))
        assert records <= self.plain.limits.max_records
        assert size <= self.plain.limits.max_bytes
        assert self.came == records + self.left

    def teardown(self) -> None:
        """Take the files away."""
        for store in getattr(self, "stores", ()):
            store.close()
        if hasattr(self, "directory"):
            self.directory.cleanup()


class TestStoreMachine(StoreMachine.TestCase):
    """STATE-2.7: Whatever two processes do, the store does what the plain one does, and every record is accounted for."""

    settings = settings(max_examples=30, stateful_step_count=40)


class RedisMachine(StoreMachine):
    """Two hosts' stores on one Redis server.

    Attributes:
        server: The server.
    """

    waits = False
    server: RedisServer

    def open(self, limits: StoreSettings) -> list[RecordStore]:
        """Open a store for each host."""
        settings = self.server.settings()
        return [RedisRecords(settings, limits, self.clock) for _ in range(2)]


def test_redis_does_what_the_plain_store_does(redis_server: RedisServer) -> None:
    """MACH-3.2: Whatever two hosts do, the store does what the plain one does, and every record is accounted for."""
    RedisMachine.server = redis_server
    run_state_machine_as_test(RedisMachine, settings=settings(max_examples=15, stateful_step_count=30))
