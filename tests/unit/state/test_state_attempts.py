"""Attempts of the steps of scenarios, over all workers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.fakes import FakeClock
from support.redis_server import ClientMaker, RedisServer

from llmsim.config import StateSettings
from llmsim.errors import StoreError
from llmsim.state.attempt_port import AttemptStore
from llmsim.state.attempts import LIFETIME, SqliteAttemptStore
from llmsim.state.redis.attempts import RedisAttemptStore
from llmsim.state.redis.client import RedisClient

StoreMaker = Callable[..., AttemptStore]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["sqlite", "redis"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> StoreMaker:
    """Makes stores of each backend: several are so many processes."""
    if request.param == "sqlite":
        return lambda **bounds: SqliteAttemptStore(tmp_path / "attempts", clock, **bounds)
    server: RedisServer = request.getfixturevalue("redis_server")
    new_client: ClientMaker = request.getfixturevalue("new_client")
    settings = server.settings()
    return lambda **bounds: RedisAttemptStore(new_client(settings, clock), **bounds)


@pytest.fixture
def attempts(new_store: StoreMaker) -> AttemptStore:
    return new_store()


async def test_attempts_are_counted_over_processes(attempts: AttemptStore, new_store: StoreMaker) -> None:
    """SCEN-6.2: Each step for itself, and with one count for all who share the file."""
    other = new_store()

    assert [await store.begin("a") for store in (attempts, other, attempts)] == [0, 1, 2]
    assert await other.begin("b") == 0


async def test_a_step_is_forgotten_after_its_last_attempt(attempts: AttemptStore, clock: FakeClock) -> None:
    """SCEN-6.2: Ten minutes after it; each attempt begins them anew."""
    await attempts.begin("a")
    clock.now += LIFETIME - 1
    assert await attempts.begin("a") == 1
    clock.now += LIFETIME - 1
    assert await attempts.begin("a") == 2
    clock.now += LIFETIME

    assert await attempts.begin("a") == 0


async def test_an_attempt_can_be_taken_back(attempts: AttemptStore) -> None:
    """SCEN-6.3: If it is the last one that began."""
    await attempts.begin("a")
    await attempts.release("a", 0)
    assert await attempts.begin("a") == 0
    await attempts.begin("a")
    await attempts.release("a", 0)
    await attempts.release("unknown", 0)

    assert await attempts.begin("a") == 2


async def test_the_number_of_steps_is_bounded(new_store: StoreMaker, clock: FakeClock) -> None:
    """SCEN-6.4: Those that were tried least recently go; those that expired go first."""
    attempts = new_store(most_steps=10)
    for number in range(60):
        clock.now += 1
        await attempts.begin(f"{number}")

    async def count() -> int:
        if isinstance(attempts, RedisAttemptStore):
            return int(await attempts._client.run("HLEN", attempts._keys[0]))
        assert isinstance(attempts, SqliteAttemptStore)
        found: int = attempts.database.run(
            lambda connection: connection.execute("SELECT count(*) FROM attempts").fetchone()[0]
        )
        return found

    assert await count() <= 19
    assert await attempts.begin("59") == 1
    assert await attempts.begin("0") == 0
    clock.now += LIFETIME
    await attempts.begin("new")
    assert await count() == 1


async def test_without_the_server_each_attempt_is_the_first() -> None:
    """MACH-11.6: Where requests go on without the shared state; else they are refused."""
    address = "unix:///nowhere"
    ignoring = RedisAttemptStore(RedisClient(StateSettings(url=address, unavailable="ignore")))
    assert [await ignoring.begin("a") for _ in range(2)] == [0, 0]

    with pytest.raises(StoreError):
        await RedisAttemptStore(RedisClient(StateSettings(url=address))).begin("a")
