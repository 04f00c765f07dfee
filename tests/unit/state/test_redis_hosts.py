"""What hosts publish about themselves on the Redis server."""

import asyncio
from collections.abc import Callable

import pytest
from support.redis_server import ClientMaker, RedisServer

from llmsim.config import StateSettings
from llmsim.errors import StoreError
from llmsim.state.host_port import HostEntry
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.hosts import RedisHostStore
from llmsim.state.redis.pushes import Pushes

StoreMaker = Callable[[str], RedisHostStore]


@pytest.fixture
def settings(redis_server: RedisServer) -> StateSettings:
    """Settings of all hosts of a test."""
    return redis_server.settings()


@pytest.fixture
def now() -> list[float]:
    """The time in seconds, in a list so that a test may set it."""
    return [1000.0]


@pytest.fixture
def new_store(new_client: ClientMaker, settings: StateSettings, now: list[float]) -> StoreMaker:
    """Makes the store of a host."""

    def make(host: str) -> RedisHostStore:
        client = new_client(settings, lambda: now[0])
        return RedisHostStore(client, Pushes(client), host)

    return make


def _brief(entries: list[HostEntry]) -> dict[tuple[str, str], tuple[float, bool, bytes]]:
    return {(each.host, each.instance): (each.age, each.is_final, each.data) for each in entries}


async def test_the_last_publication_of_each_instance_is_kept(new_store: StoreMaker, now: list[float]) -> None:
    """MACH-5.1, MACH-5.3: Each instance has its last publication; who publishes learns who has published nothing for 5 s."""
    one, other = new_store("a"), new_store("b")
    await one.publish("1", b"old", number=0)
    await other.publish("1", b"other", number=0)
    now[0] += 4.0
    assert await one.publish("1", b"new", number=0) == []
    now[0] += 1.5

    assert await one.publish("1", b"new", number=0) == [("b", "1")]
    assert _brief(await other.read()) == {
        ("a", "1"): (0.0, False, b"new"),
        ("b", "1"): (5.5, False, b"other"),
    }


async def test_an_instance_ends_once(new_store: StoreMaker, now: list[float]) -> None:
    """MACH-5.3: After its end an instance keeps its last totals; what comes late, or of one that never published, is dropped."""
    store = new_store("a")
    await store.publish("1", b"last but one", number=0)
    assert await store.finish("a", "1", b"last")
    await store.publish("1", b"late", number=0)

    assert not await store.finish("a", "1", b"again")
    assert not await store.finish("a", "2", b"unknown")
    assert _brief(await store.read()) == {("a", "1"): (0.0, True, b"last")}


async def test_a_reader_waits_for_publications_after_its_request(new_store: StoreMaker) -> None:
    """MACH-5.2: A publication that was under way when it was asked for is no answer to the request."""
    one, reader = new_store("a"), new_store("b")
    before = await one.requested()
    await one.publish("1", b"before", number=before)
    waiting = asyncio.create_task(reader.refresh())
    for _ in range(1000):
        if await one.requested() != before:
            break
    await one.publish("1", b"under way", number=before)
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done

    await one.publish("1", b"after", number=await one.requested())
    await waiting

    assert [each.data for each in await reader.read()] == [b"after"]


async def test_instances_are_folded_only_if_they_have_not_changed(new_store: StoreMaker) -> None:
    """MACH-5.4: Of several who fold the same instances one succeeds, and an instance that came back is left."""
    store = new_store("a")
    for instance in ("1", "2", "3"):
        await store.publish(instance, instance.encode(), number=0)
    entries = {each.instance: each for each in await store.read()}
    oldest = [entries["1"], entries["2"]]

    assert await store.fold(oldest, None, b"sum")
    assert not await store.fold(oldest, None, b"sum of another")
    former = next(each for each in await store.read() if not each.host)
    await store.publish("3", b"back", number=0)
    assert not await store.fold([entries["3"]], former, b"all")
    assert _brief(await store.read()) == {("", ""): (0.0, True, b"sum"), ("a", "3"): (0.0, False, b"back")}


async def test_hosts_publish_to_a_server_that_is_full(own_redis_server: RedisServer) -> None:
    """MACH-4.3: Publications take the place of those before, so a full server takes them."""
    client = RedisClient(own_redis_server.settings())
    store = RedisHostStore(client, Pushes(client), "a")
    await store.publish("1", b"before", number=0)
    await client.run("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(StoreError, match="it is full"):
        await client.run("SET", client.key("more"), "x")

    await store.publish("1", b"after", number=0)
    await store.refresh()
    assert [each.data for each in await store.read()] == [b"after"]
    assert await store.requested() == 1
    assert await store.finish("a", "1", b"last")
    assert [each.data for each in await store.read()] == [b"last"]
    await client.close()
