"""What is changed at run time, in memory that processes share."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest
from support.driving import drive
from support.redis_server import ClientMaker, RedisServer

from llmsim.errors import StoreError
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.pushes import Pushes
from llmsim.state.redis.settings import RedisSettings
from llmsim.state.runtime_settings import MOST_BYTES, SharedSettings
from llmsim.state.settings_port import NO_CHANGES, RuntimeSettings, StoredChanges


@pytest.fixture(params=["memory", "redis"])
def changes(request: pytest.FixtureRequest, tmp_path: Path) -> RuntimeSettings:
    """Changes of each backend."""
    if request.param == "memory":
        return SharedSettings(tmp_path / "1.settings")
    client: RedisClient = request.getfixturevalue("new_client")()
    return RedisSettings(client, Pushes(client), "settings")


@pytest.fixture
def shared(tmp_path: Path) -> SharedSettings:
    return SharedSettings(tmp_path / "1.settings")


async def test_changes_are_read_as_written(changes: RuntimeSettings) -> None:
    """CTRL-2.1: What was written last is read, whatever its size, by another number than before."""
    assert await changes.read() == NO_CHANGES
    for data in (b"a" * 5000, b"b", b"", b"c" * MOST_BYTES):
        before = changes.epoch
        assert await changes.replace(data, epoch=before)
        assert changes.epoch > before
        assert await changes.read() == StoredChanges(changes.epoch, data)


async def test_an_outdated_change_writes_nothing(changes: RuntimeSettings) -> None:
    """CTRL-2.5: Who has not read the last change cannot overwrite it."""
    await changes.replace(b"a", epoch=0)

    assert not await changes.replace(b"b", epoch=0)
    assert await changes.read() == StoredChanges(changes.epoch, b"a")


async def test_too_large_changes(changes: RuntimeSettings) -> None:
    """CTRL-2.4: What has no room changes nothing."""
    with pytest.raises(ValueError, match="bytes"):
        await changes.replace(b"a" * (MOST_BYTES + 1), epoch=0)

    assert changes.epoch == 0


async def test_hosts_learn_of_changes(redis_server: RedisServer, new_client: ClientMaker) -> None:
    """MACH-12.6, MACH-12.8: A change is pushed to all who follow; who missed it finds it when it looks, or writes; so is that there is none."""
    state = redis_server.settings()
    clients = [new_client(state) for _ in range(3)]
    pushes = [Pushes(client) for client in clients]
    one, other, apart = (RedisSettings(*each, "settings") for each in zip(clients, pushes, strict=True))
    following = asyncio.create_task(pushes[1].follow())

    async def reaches(data: bytes) -> None:
        async with asyncio.timeout(30):
            while True:
                if (await other.read()).data == data:
                    return
                await asyncio.sleep(0.001)

    assert await one.replace(b"first", epoch=0)
    await reaches(b"first")
    assert await one.replace(b"second", epoch=one.epoch)
    await reaches(b"second")
    assert other.epoch == one.epoch
    assert apart.epoch == 0
    assert not await apart.replace(b"lost", epoch=0)
    assert await apart.read() == await one.read()
    assert await apart.replace(b"third", epoch=apart.epoch)
    await one.renew()
    assert (await one.read()).data == b"third"
    await clients[0].run("DEL", one._key)
    await one.announce()
    await reaches(b"")
    assert other.epoch == 0
    before = apart.epoch
    assert await other.replace(b"anew", epoch=0)
    assert other.epoch > before
    following.cancel()
    await asyncio.wait([following])


async def test_the_last_changes_hold_while_the_server_is_gone(own_redis_server: RedisServer) -> None:
    """MACH-12.7: What was read last stays in force, a change is refused, and a server that lost it has the changes undone."""
    client = RedisClient(own_redis_server.settings(timeout_ms=300))
    changes = RedisSettings(client, Pushes(client), "settings")
    await changes.replace(b"a", epoch=0)
    known = await changes.read()
    own_redis_server.kill()

    with pytest.raises(StoreError):
        await changes.renew()
    assert await changes.read() == known
    with pytest.raises(StoreError):
        await changes.replace(b"b", epoch=known.epoch)
    own_redis_server.start()
    async with asyncio.timeout(30):
        while changes.epoch:
            with contextlib.suppress(StoreError):
                await changes.renew()
            await asyncio.sleep(0.02)
    assert await changes.read() == NO_CHANGES
    await client.close()


def test_a_process_sees_what_another_has_changed(shared: SharedSettings) -> None:
    """CTRL-2.1: Forked processes share the changes, whichever makes them."""
    child = os.fork()
    if child == 0:
        drive(shared.replace(b"child", epoch=0))
        os._exit(0)
    os.waitpid(child, 0)

    assert drive(shared.read()) == StoredChanges(1, b"child")
    assert drive(shared.replace(b"parent", epoch=1))


def test_a_half_written_change_is_not_read(shared: SharedSettings) -> None:
    """CTRL-2.2: A writer that is killed before it has finished has changed nothing."""
    drive(shared.replace(b"whole", epoch=0))
    shared._memory[-100:] = b"x" * 100
    shared._words[1] = 77

    assert drive(shared.read()) == StoredChanges(1, b"whole")
