"""Uploaded contents: bounded, in pieces, and gone with their records."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.driving import drive
from support.fakes import FakeClock
from support.redis_server import BlockingClient

from llmsim.config import StateSettings, StoreSettings
from llmsim.errors import StoreError
from llmsim.state.content_store import CONTENT_SCHEMA, SqliteContentStore
from llmsim.state.ports import Record
from llmsim.state.record_store import SqliteRecordStore
from llmsim.state.redis.contents import RedisContentStore
from llmsim.state.redis.records import RedisRecordStore


class Stores:
    """Records, and the contents in their file."""

    def __init__(self, path: Path, clock: FakeClock, **limits: int) -> None:
        self.records = SqliteRecordStore(path, StoreSettings(**limits), clock, schema=CONTENT_SCHEMA)
        self.contents = SqliteContentStore(self.records.database, 1000, clock)

    def put(self, name: str) -> None:
        """Store a record."""
        drive(self.records.put(Record(id=name, kind="k", created=0.0, model="", metadata={}, data=b"")))

    def append(self, name: str, data: bytes) -> bool:
        """Append a piece."""
        return drive(self.contents.append(name, data))

    def read(self, name: str) -> list[bytes]:
        """Return all pieces."""
        pieces: list[bytes] = []
        while (piece := drive(self.contents.piece(name, len(pieces)))) is not None:
            pieces.append(piece)
        return pieces

    def rows(self) -> tuple[int, int]:
        """Return how many contents and pieces there are."""
        query = "SELECT (SELECT count(*) FROM content), (SELECT count(*) FROM piece)"
        found: tuple[int, int] = self.records.database.run(
            lambda connection: connection.execute(query).fetchone()
        )
        return found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class RedisStores(Stores):
    """The same on a Redis server."""

    def __init__(self, settings: StateSettings, clock: FakeClock, **limits: int) -> None:
        self.blocking = BlockingClient(settings, clock)
        client = self.blocking.client
        self.records = self.blocking.port(RedisRecordStore(client, "objects", StoreSettings(**limits)))
        self.contents = self.blocking.port(RedisContentStore(client, "objects", 1000))

    def rows(self) -> tuple[int, int]:
        """Return how many contents and pieces there are, and check their total."""
        client = self.blocking.client
        root = client.key("objects")

        async def read() -> tuple[int, int]:
            keys: list[bytes] = await client.run("KEYS", "*")
            contents = [key for key in keys if key.startswith(root + b":c:")]
            sizes = [int(await client.run("HGET", key, "size")) for key in contents]
            assert int(await client.run("HGET", root + b":totals", "contents")) == sum(sizes)
            return len(contents), sum(key.startswith(root + b":p:") for key in keys)

        return self.blocking.run(read())


@pytest.fixture(params=["file", "redis"])
def every_stores(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Stores]:
    """Those of each backend."""
    limits = {"max_records": 2, "max_age_secs": 100_000}
    if request.param == "file":
        stores = Stores(tmp_path / "1.objects", clock, **limits)
        yield stores
        stores.records.database.close()
    else:
        on_redis = RedisStores(request.getfixturevalue("redis_server").settings(), clock, **limits)
        yield on_redis
        on_redis.blocking.close()


@pytest.fixture
def stores(tmp_path: Path, clock: FakeClock) -> Iterator[Stores]:
    opened = Stores(tmp_path / "1.objects", clock, max_records=2, max_age_secs=100_000)
    yield opened
    opened.records.database.close()


def test_another_process_reads_the_pieces(stores: Stores, tmp_path: Path, clock: FakeClock) -> None:
    """FILE-2.1: In their order."""
    other = Stores(tmp_path / "1.objects", clock)
    for piece in (b"a", b"bb", b""):
        assert stores.append("x", piece)
    stores.put("x")

    assert other.read("x") == [b"a", b"bb", b""]
    assert other.read("y") == []
    other.records.database.close()


def test_a_full_store_takes_nothing_more(every_stores: Stores) -> None:
    """FILE-2.2: The bound is that of all contents; what was deleted makes room."""
    stores = every_stores
    assert stores.append("x", bytes(600))
    stores.put("x")

    assert not stores.append("y", bytes(401))
    assert stores.append("y", bytes(400))
    assert not stores.append("y", b"z")
    drive(stores.contents.delete("y"))
    assert stores.read("y") == []
    assert stores.append("z", bytes(400))


def test_a_content_goes_with_its_record(every_stores: Stores) -> None:
    """FILE-2.3: Deleted, or evicted."""
    stores = every_stores
    for name in ("x", "y"):
        stores.append(name, name.encode())
        stores.put(name)
    drive(stores.records.delete("k", "x"))
    assert (stores.read("x"), stores.read("y")) == ([], [b"y"])
    stores.put("z")
    stores.put("w")

    assert stores.read("y") == []
    assert stores.rows() == (0, 0)


def test_a_content_without_a_record_goes_after_an_hour(every_stores: Stores, clock: FakeClock) -> None:
    """FILE-2.3: Its request was killed before it stored one."""
    stores = every_stores
    stores.append("x", b"x")
    clock.now += 3599
    stores.append("y", b"y")
    assert stores.read("x") == [b"x"]
    clock.now += 2
    stores.append("z", b"z")

    assert (stores.read("x"), stores.read("y"), stores.read("z")) == ([], [b"y"], [b"z"])


def test_parts_are_joined(every_stores: Stores) -> None:
    """FILE-5.1: In the order in which they are named; the parts are empty then."""
    stores = every_stores
    for name, pieces in (("b", (b"3", b"4")), ("a", (b"1", b"2")), ("empty", ())):
        for piece in pieces:
            stores.append(name, piece)
    drive(stores.contents.join("whole", ["a", "empty", "b"]))
    stores.put("whole")

    assert stores.read("whole") == [b"1", b"2", b"3", b"4"]
    assert stores.rows() == (1, 4)
    assert not stores.append("more", bytes(997))
    assert stores.append("more", bytes(996))


def test_a_full_disk_is_reported_for_contents(stores: Stores) -> None:
    """FILE-1.4: Nothing is written, and the reason is given."""
    stores.append("x", b"x")
    stores.records.database.run(
        lambda connection: connection.execute("PRAGMA max_page_count = 20").fetchone()
    )
    large = SqliteContentStore(stores.records.database, 10**9, FakeClock())

    with pytest.raises(StoreError, match="full"):
        drive(large.append("y", bytes(10**6)))
    assert (stores.read("x"), stores.read("y")) == ([b"x"], [])
