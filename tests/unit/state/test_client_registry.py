"""The report on clients in shared memory; see REPORT in the specs."""

import asyncio
import multiprocessing
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest
from support.redis_server import ClientMaker, RedisServer

from llmsim.domain.client_report import Finding, Misbehaviour
from llmsim.state.client_port import Attempt, ClientId, ClientRegistry, Truncation
from llmsim.state.client_registry import FileClientRegistry
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.clients import RedisClientRegistry
from llmsim.state.redis.pushes import Pushes

T = TypeVar("T")


def now(value: Awaitable[T]) -> T:
    """Return what an operation returns: those of files do not suspend."""
    try:
        value.__await__().send(None)  # type: ignore[attr-defined]
    except StopIteration as result:
        return result.value  # type: ignore[no-any-return]
    raise AssertionError("it suspended")


def client(number: int = 1) -> ClientId:
    return ClientId(number.to_bytes(4, "little") * 4, f"key {number}", "key")


def attempt(number: int = 1, *, call: int = 1) -> Attempt:
    digest = (call * 7919 + number).to_bytes(4, "little") * 4
    return Attempt(client(number), digest, "completions", time.monotonic())


@pytest.fixture(params=["memory", "redis"])
def clients(request: pytest.FixtureRequest, tmp_path: Path) -> ClientRegistry:
    """The report of each backend; that of several hosts keeps fewer."""
    if request.param == "memory":
        return FileClientRegistry(tmp_path / "clients", time.time)
    client: RedisClient = request.getfixturevalue("new_client")()
    return RedisClientRegistry(client, Pushes(client), most_clients=64, most_calls=128)


@pytest.fixture
def registry(tmp_path: Path) -> FileClientRegistry:
    registry = FileClientRegistry(tmp_path / "clients", time.time)
    registry.open()
    return registry


def fail(registry: FileClientRegistry, number: int = 1, *, call: int = 1, status: int = 400) -> None:
    one = attempt(number, call=call)
    if registry.is_watching and registry.knows(one.client.digest):
        now(registry.begin(one))
    now(registry.end(one, status=status))


async def fails(registry: ClientRegistry, number: int = 1, *, call: int = 1, status: int = 400) -> None:
    one = attempt(number, call=call)
    if registry.is_watching and registry.knows(one.client.digest):
        await registry.begin(one)
    await registry.end(one, status=status)


async def test_nothing_is_watched_until_a_request_fails(clients: ClientRegistry) -> None:
    """REPORT-1.3: Only then a client is known, and only that one."""
    assert not clients.is_watching
    await clients.end(attempt(), status=None)
    assert not clients.is_watching
    await fails(clients)

    assert clients.is_watching
    assert clients.knows(client(1).digest)
    assert not clients.knows(client(2).digest)


def _fail_twice(registry: FileClientRegistry) -> None:
    fail(registry)
    fail(registry)


def test_workers_share_what_they_know(registry: FileClientRegistry) -> None:
    """REPORT-1.3: A retry is one whichever process gets it."""
    fail(registry)
    process = multiprocessing.get_context("fork").Process(target=_fail_twice, args=(registry,))
    process.start()
    process.join()

    (report,) = now(registry.report())
    assert (report.failures, report.retries) == (3, 2)
    assert report.findings[0].count == 2


def test_memory_is_bounded(registry: FileClientRegistry) -> None:
    """REPORT-1.6: Of many clients the last ones are kept, and of many bodies what was found."""
    for number in range(1, 3001):
        fail(registry, number)
    for call in range(100, 4100):
        fail(registry, 5, call=call)
        fail(registry, 5, call=call)

    reports = now(registry.report())
    assert len(reports) <= 1024
    assert reports[0].client == "key 5"
    assert reports[0].findings[0].count == 4000


async def test_long_names_and_many_findings_fit(clients: ClientRegistry) -> None:
    """REPORT-1.6: A record has room for one finding of each kind, whatever the session is called."""
    long = ClientId(b"x" * 16, "\N{CJK UNIFIED IDEOGRAPH-4E00}" * 200, "session")
    for kind in Misbehaviour:
        finding = Finding(kind=kind, endpoint="openresponses", status=500, seconds=[1.0] * 4, what="the text")
        await clients.find(long, finding)

    (report,) = await clients.report()
    assert len(report.findings) == len(Misbehaviour)


async def test_forgetting(clients: ClientRegistry) -> None:
    """REPORT-3.2: One client, or all."""
    await fails(clients, 1)
    await fails(clients, 2)
    await clients.forget(client(1).digest)

    assert [report.client for report in await clients.report()] == ["key 2"]
    assert await clients.forget() == 1
    assert await clients.report() == []
    assert not clients.is_watching


def test_removed_file_is_made_anew(registry: FileClientRegistry, tmp_path: Path) -> None:
    """REPORT-1.6: What was lost is lost, and the server goes on."""
    fail(registry)
    (tmp_path / "clients").unlink()
    time.sleep(0.11)
    fail(registry)

    assert len(now(registry.report())) == 1
    assert registry.is_watching


async def test_hosts_share_what_they_know(redis_server: RedisServer, new_client: ClientMaker) -> None:
    """MACH-12.9: A retry is one whichever host gets it; a host learns by a message that a client has failed."""
    state = redis_server.settings()
    pushes = [Pushes(new_client(state)) for _ in range(2)]
    one, other = (RedisClientRegistry(each._client, each) for each in pushes)
    following = asyncio.create_task(pushes[1].follow())
    truncation = Truncation("completions", b"q", b"b", 1, 9, b"r")
    first = attempt()
    await one.end(first, status=429, wait=5.0)
    async with asyncio.timeout(30):
        while True:
            if other.knows(client().digest):
                break
            await asyncio.sleep(0.001)
    second = attempt()
    await other.begin(second)
    await other.end(second, status=None)
    await one.truncate(client(), truncation)
    assert await other.truncations(client().digest) == (truncation,)
    found = Finding(kind=Misbehaviour.TRUNCATED, endpoint="completions", what="the text")
    await other.find(client(), found, truncation)
    await other.find(client(), found, truncation)

    (report,) = await one.report()
    assert (report.failures, report.retries, report.not_judged) == (1, 1, 0)
    assert {(each.kind, each.count) for each in report.findings} == {
        (Misbehaviour.RETRY_AFTER, 1),
        (Misbehaviour.TRUNCATED, 1),
    }
    assert 4 < report.findings[0].worst <= 5 or 4 < report.findings[1].worst <= 5
    assert await one.forget() == 1
    async with asyncio.timeout(30):
        while True:
            if not other.is_watching:
                break
            await asyncio.sleep(0.001)
    following.cancel()
    await asyncio.wait([following])


async def test_lists_on_the_server_are_bounded(new_client: ClientMaker) -> None:
    """REPORT-1.6: Of many clients and bodies the last ones are kept, with what was found; repetitions do not add up to long lists."""
    server = new_client()
    registry = RedisClientRegistry(server, Pushes(server), most_clients=8, most_calls=16)
    for number in range(1, 101):
        await fails(registry, number)
    for call in range(100, 160):
        await fails(registry, 100, call=call)
        await fails(registry, 100, call=call)
    for _ in range(200):
        await fails(registry, 100, call=7)
    for _ in range(100):
        await registry.find(client(100), Finding(kind=Misbehaviour.ABANDONED, seconds=[1.0]))

    reports = await registry.report()
    keys = await server.run("KEYS", registry._root.replace(b"{", b"*").replace(b"}", b"*") + b"*")
    lengths = [await server.run("LLEN", key) for key in keys if key[len(registry._root) :][:1] in b"rf"]
    assert len(reports) == 8
    assert reports[0].client == "key 100"
    assert (reports[0].failures, reports[0].retries) == (321, 259)
    counts = {each.kind: each.count for each in reports[0].findings}
    assert counts[Misbehaviour.NOT_RETRYABLE] == 259
    assert counts[Misbehaviour.ABANDONED] == 100
    assert max(lengths) <= 33
    assert len(keys) <= 8 * 3 + 16
