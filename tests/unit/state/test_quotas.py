"""The limits that all workers share: admission over processes, also when some are killed, and bounded memory."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.driving import drive
from support.redis_server import ClientMaker, RedisServer

from llmsim.domain.quota import Amounts, Limits, limits_of
from llmsim.errors import StoreError
from llmsim.state.quota_port import QuotaStore
from llmsim.state.quotas import FileQuotaStore
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.owners import HostOwners
from llmsim.state.redis.quotas import RedisQuotaStore

# Python 3.12 warns of a fork beside threads (xdist has some); a worker of gunicorn is such a fork.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

FORK = multiprocessing.get_context("fork")
ONE: Amounts = (1, 10, 10, 0, 1)
KEY = b"k" * 16
OWNERS = HostOwners("here")


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "1.quotas"


@pytest.fixture(params=["file", "redis"])
def store(request: pytest.FixtureRequest, path: Path, clock: Clock) -> QuotaStore:
    """A store of each backend, with room for eight keys."""
    if request.param == "file":
        return FileQuotaStore(path, clock, 8, 4)
    client: RedisClient = request.getfixturevalue("new_client")(clock=clock)
    return RedisQuotaStore(client, 8, OWNERS)


def open_store(path: Path, clock: Callable[[], float], most: int = 64, holders: int = 4) -> FileQuotaStore:
    return FileQuotaStore(path, clock, most, holders)


def admits(store: FileQuotaStore, limits: Limits, key: bytes = KEY) -> bool:
    return drive(store.admit(key, limits, ONE)).exceeded is None


async def asks(store: QuotaStore, limits: Limits, key: bytes = KEY) -> bool:
    return (await store.admit(key, limits, ONE)).exceeded is None


def key(number: int) -> bytes:
    return number.to_bytes(16, "little")


async def test_limit_counts_down_and_comes_back(store: QuotaStore, clock: Clock) -> None:
    """LIM-2.1: Three requests a minute are three at once, and one each 20 seconds."""
    limits = limits_of((3, 0, 0, 0, 0))

    assert [await asks(store, limits) for _ in range(4)] == [True, True, True, False]
    clock.now += 19.9
    assert not await asks(store, limits)
    clock.now += 0.1001
    assert [await asks(store, limits) for _ in range(2)] == [True, False]


async def test_keys_and_models_are_apart(store: QuotaStore) -> None:
    """LIM-2.1: What one key has used is not missing to another."""
    limits = limits_of((1, 0, 0, 0, 0))

    assert [await asks(store, limits, key(number)) for number in (1, 2, 1, 2)] == [True, True, False, False]


async def test_a_client_that_waits_as_asked_is_admitted(store: QuotaStore, clock: Clock) -> None:
    """LIM-2.3: In 300 of 300 trials, with any limit and time of the clock."""
    for trial in range(300):
        limits = limits_of((trial % 7 + 1, 10 * (trial % 11 + 1), 0, 0, 0))
        clock.now += 61 + trial / 977
        while (exceeded := (await store.admit(KEY, limits, ONE)).exceeded) is None:
            clock.now += 0.000_7
        assert exceeded.wait_ms is not None
        clock.now += exceeded.wait_ms / 1000 + 1e-6
        assert await asks(store, limits)


_ASKED = st.tuples(
    st.sampled_from(["admit", "charge", "release", "status"]),
    st.integers(0, 2),
    st.integers(0, 10**10),
    st.integers(0, 400),
    st.one_of(st.floats(-2, 90), st.floats(0, 1e8)),
)
_LIMITS = st.builds(
    limits_of,
    st.tuples(
        st.sampled_from([0, 3, 10**8]),
        st.sampled_from([0, 997, 10**10]),
        st.sampled_from([0, 7]),
        st.sampled_from([0, 100, 10**10]),
        st.sampled_from([0, 5, 9_999_999]),
    ),
    st.sampled_from([0, 2]),
)


@given(_LIMITS, st.lists(_ASKED, max_size=20))
def test_hosts_act_as_one_machine(
    tmp_path_factory: pytest.TempPathFactory,
    redis_server: RedisServer,
    limits: Limits,
    asked: list[tuple[str, int, int, int, float]],
) -> None:
    """MACH-12.1: Whichever host is asked, what is left, times to wait and reasons are those of one machine, to the microsecond."""
    path = tmp_path_factory.mktemp("quotas") / "1.quotas"
    clock = Clock()
    alone = open_store(path, clock)

    async def run() -> None:
        shared = redis_server.settings()
        clients = [RedisClient(shared, clock) for _ in range(3)]
        stores = [RedisQuotaStore(client, 8, OWNERS) for client in clients]
        held: list[int] = []
        for step, index, tokens, output, seconds in asked:
            clock.now += seconds
            amounts = (1, tokens, tokens % 5, 0, 1)
            if step == "release":
                if held:
                    await alone.release(KEY)
                    await stores[held.pop()].release(KEY)
                continue
            if step == "charge":
                await alone.charge(KEY, limits, (0, tokens, 0, output, 0))
                await stores[index].charge(KEY, limits, (0, tokens, 0, output, 0))
                continue
            # Leases of processes are another matter.
            for store in stores:
                await store.renew()
            if step == "status":
                assert await alone.status(KEY, limits) == await stores[index].status(KEY, limits)
                continue
            one = await alone.admit(KEY, limits, amounts, output)
            assert one == await stores[index].admit(KEY, limits, amounts, output)
            if one.exceeded is None and limits.concurrency:
                held.append(index)
        for client in clients:
            await client.close()

    asyncio.run(run())
    alone.remove()


async def test_what_a_host_holds_expires(
    redis_server: RedisServer, new_client: ClientMaker, clock: Clock
) -> None:
    """MACH-12.3: What a process holds counts as long as it renews it; on a machine that knows that it is dead, no longer."""
    shared, limits = redis_server.settings(), limits_of((0, 0, 0, 0, 0), 2)
    one, other, dead = (RedisQuotaStore(new_client(shared, clock), 8, OWNERS) for _ in range(3))
    dead._name = OWNERS.own().replace(f"/{os.getpid()}:", "/4194305:") + " 0"
    assert [await asks(dead, limits), await asks(one, limits)] == [True, True]
    assert [await asks(other, limits) for _ in range(2)] == [True, False]
    clock.now += 4.9
    await one.renew()
    assert not await asks(other, limits)
    clock.now += 1

    assert not await asks(other, limits)
    clock.now += 4.1
    assert [await asks(other, limits) for _ in range(2)] == [True, False]
    # The process whose lease had expired was not gone: it says what it holds.
    await one.renew()
    await other.release(KEY)
    await other.release(KEY)
    assert [await asks(other, limits) for _ in range(2)] == [True, False]


async def test_what_is_held_is_whole_after_an_outage(own_redis_server: RedisServer, clock: Clock) -> None:
    """MACH-12.4: Requests that begin and end while the server is stopped, and what it did without an answer, are counted when it is back."""
    limits = limits_of((0, 0, 0, 0, 0), 3)
    client = RedisClient(own_redis_server.settings(timeout_ms=100, unavailable="ignore"))
    store = RedisQuotaStore(client, 8, OWNERS)
    assert [await asks(store, limits) for _ in range(2)] == [True, True]
    own_redis_server.pause()
    # One is booked without an answer, and another without being sent.
    assert [await asks(store, limits) for _ in range(2)] == [True, True]
    for _ in range(3):
        await store.release(KEY)
    own_redis_server.resume()
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(StoreError):
                await store.renew()
                break
            await asyncio.sleep(0.02)

    assert [await asks(store, limits) for _ in range(3)] == [True, True, False]
    # A server that has lost everything knows what is in progress with the next renewal.
    own_redis_server.kill()
    own_redis_server.start()
    async with asyncio.timeout(30):
        while store._held and await client_knows(client, store) < 1:
            with contextlib.suppress(StoreError):
                await store.renew()
            await asyncio.sleep(0.02)
    assert not await asks(store, limits)
    await client.close()


async def client_knows(client: RedisClient, store: RedisQuotaStore) -> int:
    """Return how many keys the server knows; 0 while it cannot be reached."""
    with contextlib.suppress(StoreError):
        return int(await client.run("ZCARD", store._index))
    return 0


async def test_without_state_a_request_is_refused(own_redis_server: RedisServer) -> None:
    """MACH-12.5: While the server is gone a request with limits is refused, unless it is to be ignored."""
    limits = limits_of((1, 0, 0, 0, 0))
    refusing, ignoring = (
        RedisQuotaStore(RedisClient(own_redis_server.settings(unavailable=one)), 8, OWNERS)
        for one in ("refuse", "ignore")
    )
    own_redis_server.kill()

    with pytest.raises(StoreError, match="the shared state cannot be used"):
        await asks(refusing, limits)
    assert [await asks(ignoring, limits) for _ in range(3)] == [True, True, True]
    assert (await ignoring.status(KEY, limits)).rates()[0][1] == 1
    await ignoring.charge(KEY, limits, ONE)


async def test_a_full_server_goes_on_to_hold_and_release(own_redis_server: RedisServer) -> None:
    """MACH-12.4, MACH-4.3: It books nothing, and takes note of requests that go on, and that end."""
    limits = limits_of((0, 0, 0, 0, 0), 2)
    client = RedisClient(own_redis_server.settings())
    store = RedisQuotaStore(client, 8, OWNERS)
    assert [await asks(store, limits) for _ in range(2)] == [True, True]
    await client.run("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreError, match="it is full"):
        await asks(store, limits)
    await store.renew()
    await store.release(KEY)
    await store.renew()
    await client.run("CONFIG", "SET", "maxmemory", "0")

    assert [await asks(store, limits) for _ in range(2)] == [True, False]
    await client.close()


async def test_keys_on_the_server_are_bounded(
    redis_server: RedisServer, new_client: ClientMaker, clock: Clock
) -> None:
    """MACH-12.2: However many keys come, the server has as many as are kept, and those that are used up stay."""
    client = new_client(redis_server.settings(), clock)
    store, limits, busy = (
        RedisQuotaStore(client, 8, OWNERS),
        limits_of((1, 0, 0, 0, 0)),
        limits_of((0, 0, 0, 0, 1)),
    )
    await asks(store, busy)
    for number in range(100):
        await asks(store, limits, key(number))
    keys = await client.run("KEYS", "*" + client._root.strip("{}:") + "*quota:*")

    assert len(keys) == 8
    assert not await asks(store, busy)


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.floats(0, 30)), max_size=40))
def test_stores_of_one_file_act_as_one(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, bool, float]]
) -> None:
    """LIM-2.2: Whichever worker is asked, the answers are those of one store."""
    directory = tmp_path_factory.mktemp("quotas")
    clock, limits = Clock(), limits_of((5, 70, 0, 0, 9), 2)
    alone = open_store(directory / "1.quotas", clock)
    together = [open_store(directory / "2.quotas", clock) for _ in range(3)]
    for index, releases, seconds in asked:
        if releases:
            drive(alone.release(KEY))
            drive(together[index].release(KEY))
        clock.now += seconds
        one, other = drive(alone.admit(KEY, limits, ONE)), drive(together[index].admit(KEY, limits, ONE))
        assert one == other
    for store in (alone, *together):
        store.remove()


@given(
    st.sampled_from(
        [(3, 997), (10**8, 0, 10**10), (7, 0, 0, 400), (50,), (9, 0, 700, 700, 0), (0, 99, 0, 0, 9)]
    ),
    st.lists(_ASKED, max_size=20),
)
def test_the_short_way_books_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    amounts: tuple[int, ...],
    asked: list[tuple[str, int, int, int, float]],
) -> None:
    """LIM-2.1: What is prepared books what any admission does, to the microsecond, whatever the clock and others do."""
    directory = tmp_path_factory.mktemp("quotas")
    tpm, read, written, rpd = (*amounts[1:], 0, 0, 0, 0)[:4]
    clock, limits = Clock(), limits_of((amounts[0], tpm, read, written, rpd))
    alone, other, together = (open_store(directory / f"{name}.quotas", clock) for name in "122")
    admit = together.prepare_admit(KEY, limits)
    for step, index, tokens, output, seconds in asked:
        clock.now += seconds
        used = (1, tokens % 500 * index, tokens % 500 * index, output * index, 1)
        if step == "charge":
            drive(alone.charge(KEY, limits, used))
            drive(other.charge(KEY, limits, used))
        elif step == "release":
            # A key in the same set may take the place of the record.
            for store in (alone, other):
                drive(store.admit(key(64 * tokens), limits, used))
        else:
            assert admit(used, output % 50) == drive(alone.admit(KEY, limits, used, output % 50))
    assert drive(together.status(KEY, limits)) == drive(alone.status(KEY, limits))
    for store in (alone, together):
        store.remove()


def test_the_short_way_notices_that_its_record_is_gone(path: Path, clock: Clock) -> None:
    """LIM-2.7: A key whose place was given to others has its whole limit, and takes nothing of theirs."""
    store, limits = open_store(path, clock, most=8), limits_of((9, 900, 0, 0, 0))
    admit = store.prepare_admit(KEY, limits)
    assert [admit(ONE, 0).rates()[0][1] for _ in range(3)] == [8, 7, 6]
    others = [key(number) for number in range(8)]
    for one in others:
        for _ in range(4):
            drive(store.admit(one, limits, ONE))

    assert [admit(ONE, 0).rates()[0][1] for _ in range(3)] == [8, 7, 6]
    left = [drive(store.status(one, limits)).rates()[0][1] for one in others]
    assert sorted(left) == [5] * 7 + [9]


@pytest.mark.parametrize("amounts", [(9, 0, 0, 0, 0), (9, 900, 0, 0, 0)])
def test_nothing_is_kept_of_what_is_not_limited_any_more(path: Path, clock: Clock, amounts: Amounts) -> None:
    """LIM-2.1: A limit that a reload removes and a later one sets again has all of it left."""
    store, limits = open_store(path, clock), limits_of((9, 900, 900, 900, 9))
    admit = store.prepare_admit(KEY, limits)
    for _ in range(3):
        admit(ONE, 5)
    admit = store.prepare_admit(KEY, limits_of(amounts))
    for _ in range(3):
        admit(ONE, 5)

    left = [rate[1] for rate in drive(store.status(KEY, limits)).rates().values()]
    assert left == [3, 810 if amounts[1] else 900, 900, 900, 9]


async def test_charges_may_exceed_what_is_left(store: QuotaStore) -> None:
    """LIM-2.5: Output that is generated counts in any case; the next request waits for it."""
    limits = limits_of((0, 0, 0, 60, 0))

    (await store.charge(KEY, limits, (0, 90, 0, 90, 0)))
    exceeded = (await store.admit(KEY, limits, ONE)).exceeded

    assert exceeded is not None
    assert (exceeded.kind, exceeded.wait_ms) == ("output_tpm", 31_000)


async def test_status_books_nothing(store: QuotaStore) -> None:
    """LIM-3.1: What is left can be read, also of a key that has not been used."""
    limits = limits_of((3, 0, 0, 0, 0))

    assert (await store.status(KEY, limits)).rates()[0][1] == 3
    await asks(store, limits)
    assert [(await store.status(KEY, limits)).rates()[0][1] for _ in range(2)] == [2, 2]


def test_a_store_is_used_after_it_began_anew(path: Path, clock: Clock) -> None:
    """LIM-2.1: A server that starts empties its store before it is opened: the limit holds from its first request."""
    store, limits = open_store(path, clock), limits_of((1, 0, 0, 0, 0))
    store.restart()

    assert [admits(store, limits) for _ in range(2)] == [True, False]


def test_threads_share_the_limit(path: Path, clock: Clock) -> None:
    """LIM-2.2: Threads of a process do not admit more together than one would."""
    store, limits = open_store(path, clock), limits_of((100, 0, 0, 0, 0))

    with ThreadPoolExecutor(4) as pool:
        admitted = sum(pool.map(lambda _: admits(store, limits), range(200)))

    assert admitted == 100


def run_workers(work: Callable[[int], None], count: int) -> list[int]:
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                work(number)
            finally:
                os._exit(0)
        pids.append(pid)
    return pids


@pytest.mark.parametrize("tokens", [0, 10_000_000])
def test_processes_share_the_limit(path: Path, clock: Clock, tokens: int) -> None:
    """LIM-2.2: Four workers admit exactly the limit, though the store was open before they were forked."""
    store, limits = open_store(path, clock), limits_of((500, tokens, 0, 0, 0))
    store.open()
    admit = store.prepare_admit(KEY, limits)
    admit((1, 1, 1, 0, 1), 0)
    reading, writing = os.pipe()

    def work(_: int) -> None:
        admitted = sum(admit(ONE, 0).exceeded is None for _ in range(200))
        os.write(writing, b"%4d" % admitted)

    for pid in run_workers(work, 4):
        os.waitpid(pid, 0)

    assert sum(int(os.read(reading, 4)) for _ in range(4)) == 499
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("tokens", [0, 10_000_000])
def test_killed_processes_leave_the_limit_as_it_is(path: Path, clock: Clock, tokens: int) -> None:
    """LIM-2.7: Workers that are killed at any instant keep nobody waiting, and nothing that they booked is lost."""
    store, limits = open_store(path, clock), limits_of((1_000_000, tokens, 0, 0, 0))
    admit = store.prepare_admit(KEY, limits)
    reading, writing = os.pipe()

    def work(_: int) -> None:
        while True:
            admit(ONE, 0)
            os.write(writing, b"a")

    booked = 0
    for _ in range(5):
        pids = run_workers(work, 2)
        booked += len(os.read(reading, 50))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.set_blocking(reading, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                booked += len(os.read(reading, 4096))
        os.set_blocking(reading, True)

    used = 1_000_000 - drive(store.status(KEY, limits)).rates()[0][1]
    # A worker may have been killed between its booking and its report.
    assert booked <= used <= booked + 10
    assert admits(store, limits)
    os.close(reading)
    os.close(writing)


async def test_concurrency_is_held_and_released(store: QuotaStore) -> None:
    """LIM-2.6: Two at a time; the third gets in when one has ended, and is not asked to wait for a time."""
    limits = limits_of((0, 0, 0, 0, 0), 2)

    assert [await asks(store, limits) for _ in range(3)] == [True, True, False]
    exceeded = (await store.admit(KEY, limits, ONE)).exceeded
    assert exceeded is not None
    assert (exceeded.kind, exceeded.used, exceeded.wait) == ("concurrency", 2, None)
    (await store.release(KEY))
    assert [await asks(store, limits) for _ in range(2)] == [True, False]


async def test_a_request_beyond_the_concurrency_takes_nothing_of_rates(store: QuotaStore) -> None:
    """LIM-2.1: All limits allow it, or none counts it."""
    limits = limits_of((10, 0, 0, 0, 0), 1)

    assert [await asks(store, limits) for _ in range(5)] == [True, False, False, False, False]
    assert (await store.status(KEY, limits)).rates()[0][1] == 9


def test_requests_of_a_killed_process_are_given_back(path: Path, clock: Clock) -> None:
    """LIM-2.6: What a killed worker held is free; what others hold is not."""
    store, limits = open_store(path, clock), limits_of((0, 0, 0, 0, 0), 3)
    assert admits(store, limits)
    held, parent = FORK.Event(), threading.Event()

    def work(_: int) -> None:
        admits(store, limits)
        admits(store, limits)
        held.set()
        parent.wait()

    (pid,) = run_workers(work, 1)
    held.wait()
    assert not admits(store, limits)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    # What was seen alive counts as alive for a moment.
    store._records.holders._alive.clear()

    assert [admits(store, limits) for _ in range(3)] == [True, True, False]


def test_a_million_keys_take_no_more_memory(path: Path, clock: Clock) -> None:
    """LIM-2.7: The file is as large after many keys as after one, and those in use are kept."""
    store, limits = open_store(path, clock, most=4096), limits_of((1, 0, 0, 0, 0))
    busy = limits_of((0, 0, 0, 0, 1))
    admits(store, busy)
    size = path.stat().st_size

    for number in range(20_000):
        drive(store.admit(key(number * 7919), limits, ONE))
        clock.now += 0.05

    assert path.stat().st_size == size
    assert not admits(store, busy)


async def test_held_requests_are_not_forgotten(store: QuotaStore) -> None:
    """LIM-2.6: A key whose requests are in progress is kept before one that has used its rates."""
    limits = limits_of((0, 0, 0, 0, 0), 1)
    await asks(store, limits)

    for number in range(50):
        await asks(store, limits_of((1, 0, 0, 0, 0)), key(number))

    assert not await asks(store, limits)


def test_workers_after_a_reload_follow_the_file(path: Path, clock: Clock) -> None:
    """LIM-2.7: Workers with other settings share what the first has made."""
    limits = limits_of((1, 0, 0, 0, 0))
    old, new = open_store(path, clock, most=64), open_store(path, clock, most=1024, holders=9)
    old.open()
    new.open()

    assert [admits(old, limits), admits(new, limits)] == [True, False]


@pytest.mark.parametrize(
    "harm", [os.unlink, lambda path: os.truncate(path, 100), lambda path: os.truncate(path, 0)]
)
def test_a_damaged_file_is_made_anew(path: Path, clock: Clock, harm: Callable[[Path], None]) -> None:
    """LIM-2.7: A file that was removed or truncated costs what was used, not the worker."""
    store, limits = open_store(path, clock), limits_of((1, 0, 0, 0, 0))
    admits(store, limits)
    harm(path)
    store._check_at = 0.0

    assert [admits(store, limits) for _ in range(2)] == [True, False]


async def test_clock_that_is_set_back_does_not_stop_the_refill(store: QuotaStore, clock: Clock) -> None:
    """LIM-2.3: After the clock was set back an hour the limit comes back in its time."""
    limits = limits_of((1, 0, 0, 0, 0))
    await asks(store, limits)
    clock.now -= 3600

    assert not await asks(store, limits)
    clock.now += 60.001
    assert await asks(store, limits)


def test_unusable_file_is_named(tmp_path: Path, clock: Clock) -> None:
    """LIM-2.1: Where limits cannot be kept, requests get the error of a store that cannot be used."""
    (tmp_path / "1.quotas").mkdir()

    with pytest.raises(StoreError, match=r"1\.quotas"):
        admits(open_store(tmp_path / "1.quotas", clock), limits_of((1, 0, 0, 0, 0)))


def test_lock_is_not_shared_with_a_fork(path: Path, clock: Clock) -> None:
    """LIM-2.2: A process that was forked waits for its parent's lock."""
    store, limits = open_store(path, clock), limits_of((5, 0, 0, 0, 0))
    store.open()
    mutex = store._open()
    assert mutex.acquire() == 0
    reading, writing = os.pipe()

    def work(_: int) -> None:
        admits(store, limits)
        os.write(writing, b"a")

    (pid,) = run_workers(work, 1)
    os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    mutex.release()
    os.waitpid(pid, 0)

    assert os.read(reading, 1) == b"a"
    os.close(reading)
    os.close(writing)
