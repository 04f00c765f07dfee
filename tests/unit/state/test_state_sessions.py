"""Sessions: one cursor for all workers, whatever happens to them."""

import asyncio
import contextlib
import multiprocessing
import multiprocessing.process
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from support.fakes import FakeClock
from support.redis_server import ClientMaker, RedisServer

from llmsim.errors import StoreError
from llmsim.state.owners import is_alive, owner_of, parse_start_time
from llmsim.state.ports import Failure, OutdatedError, SessionStore, TurnLease
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.owners import HostOwners
from llmsim.state.redis.sessions import RedisSessionStore
from llmsim.state.session_store import LEASE_SECONDS, SqliteSessionStore

FORK = multiprocessing.get_context("fork")

StoreMaker = Callable[..., SessionStore]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["sqlite", "redis"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> StoreMaker:
    """Makes stores of each backend: several are so many processes."""
    if request.param == "sqlite":
        return lambda most=100: SqliteSessionStore(tmp_path / "sessions", most, clock)
    server: RedisServer = request.getfixturevalue("redis_server")
    new_client: ClientMaker = request.getfixturevalue("new_client")
    settings = server.settings()
    return lambda most=100, host="a": RedisSessionStore(new_client(settings, clock), most, HostOwners(host))


@pytest.fixture
def sessions(new_store: StoreMaker) -> SessionStore:
    return new_store()


async def lease(sessions: SessionStore, session: str = "a", script: str = "s", version: int = 1) -> TurnLease:
    """Lease the next turn."""
    while True:
        cursor = await sessions.next_turn(session, script, version)
        leased = await sessions.lease_turn(session, script, version, cursor, met=None)
        if leased is not None:
            return leased


async def turns(sessions: SessionStore, count: int, session: str = "a", script: str = "s") -> list[int]:
    """Lease and commit turns; return their cursors."""
    cursors = []
    for _ in range(count):
        leased = await lease(sessions, session, script)
        await sessions.commit(leased)
        cursors.append(leased.cursor)
    return cursors


class TestCursors:
    """Which request gets which turn."""

    async def test_turns_are_leased_in_order(self, sessions: SessionStore) -> None:
        """SESS-1.1: Each request of a session gets the next turn."""
        assert await turns(sessions, 4) == [0, 1, 2, 3]

    async def test_sessions_and_scripts_are_independent(self, sessions: SessionStore) -> None:
        """SESS-1.2: A session has a cursor for each script, and does not disturb another."""
        await turns(sessions, 3)

        assert await turns(sessions, 2, session="b") == [0, 1]
        assert await turns(sessions, 2, script="t") == [0, 1]
        assert await turns(sessions, 1) == [3]

    async def test_a_mismatch_takes_no_turn(self, sessions: SessionStore) -> None:
        """SESS-1.6: The turn waits for a request that fits; what was not met is kept."""
        assert await sessions.record_mismatch("a", "s", 1, 0, ["wanted x"])
        assert await sessions.lease_turn("a", "s", 1, 0, met=True) is not None

        (progress,) = await sessions.list_progress("a")
        assert (progress.cursor, progress.met, progress.failed) == (1, 1, 1)
        assert progress.failures == (Failure(1000.0, 0, ("wanted x",)),)

    async def test_the_last_failures_are_kept(self, sessions: SessionStore) -> None:
        """SESS-1.6: However many there are, memory is bounded; the count is exact."""
        for number in range(50):
            await sessions.record_mismatch("a", "s", 1, 0, [str(number)])
        (progress,) = await sessions.list_progress()

        assert progress.failed == 50
        assert [failure.unmet for failure in progress.failures] == [(str(n),) for n in range(30, 50)]

    async def test_only_the_next_turn_is_leased(self, sessions: SessionStore) -> None:
        """SESS-1.1: A request that checked a turn which another has leased meanwhile gets none, and counts nothing."""
        await turns(sessions, 2)
        for cursor in (0, 1, 3):
            assert await sessions.lease_turn("a", "s", 1, cursor, met=True) is None
            assert not await sessions.record_mismatch("a", "s", 1, cursor, ["wanted x"])

        assert await turns(sessions, 1) == [2]
        (progress,) = await sessions.list_progress()
        assert (progress.cursor, progress.met, progress.failed, progress.failures) == (3, 0, 0, ())

    async def test_an_exhausted_request_uses_its_session(
        self, sessions: SessionStore, clock: FakeClock
    ) -> None:
        """SESS-1.5: A session whose script is exhausted is still in use; one that was never begun does not begin."""
        await turns(sessions, 1)
        clock.now += 7
        await sessions.touch("a", "s")
        await sessions.touch("b", "s")

        assert [(one.session, one.cursor, one.used) for one in await sessions.list_progress()] == [
            ("a", 1, 1007.0)
        ]


class TestLeases:
    """Turns that were leased and not played."""

    async def test_a_leased_turn_is_not_leased_again(self, sessions: SessionStore) -> None:
        """SESS-1.1: Two requests at once get two turns."""
        first, second = [await lease(sessions) for _ in range(2)]

        assert (first.cursor, second.cursor) == (0, 1)
        assert first.number != second.number
        assert first.owner == second.owner
        assert first.owner.endswith(owner_of(os.getpid()))

    async def test_a_released_turn_goes_to_the_next(self, sessions: SessionStore) -> None:
        """SESS-1.3: What a worker could not play is played for the next request, and counts once."""
        await sessions.release(await lease(sessions))

        assert await turns(sessions, 2) == [0, 1]
        (progress,) = await sessions.list_progress()
        assert (progress.cursor, progress.played) == (2, 2)

    async def test_the_turn_of_a_killed_process_goes_to_the_next(self, sessions: SessionStore) -> None:
        """SESS-1.3: The turn of a worker that is killed is not skipped, and is free at once."""
        await turns(sessions, 1)
        with leasing_process(sessions) as process:
            assert await turns(sessions, 1) == [2]
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()

            assert await turns(sessions, 2) == [1, 3]

    async def test_a_lease_that_is_not_renewed_expires(
        self, sessions: SessionStore, clock: FakeClock
    ) -> None:
        """SESS-1.3: A process that lives and does not renew its leases, because it hangs, loses them after 5 seconds."""
        with leasing_process(sessions):
            clock.now += LEASE_SECONDS - 0.1
            assert await turns(sessions, 1) == [1]
            clock.now += 0.1

            assert await turns(sessions, 2) == [0, 2]

    async def test_a_renewed_lease_stays(self, sessions: SessionStore, clock: FakeClock) -> None:
        """SESS-1.3: As long as its process renews it, a turn is not leased again, however long it plays."""
        here, there = FORK.Pipe()

        async def renew(_: TurnLease) -> None:
            for clock.now in iter(there.recv, None):
                await sessions.renew()
                there.send(None)

        with leasing_process(sessions, renew):
            for _ in range(4):
                clock.now += LEASE_SECONDS - 1
                here.send(clock.now)
                here.recv()
            assert await turns(sessions, 1) == [1]
            here.send(None)

    async def test_own_leases_are_valid(self, sessions: SessionStore, clock: FakeClock) -> None:
        """SESS-1.3: A process that leases turns itself does not take its own for lost."""
        await lease(sessions)
        clock.now += 100

        assert await turns(sessions, 1) == [1]

    async def test_renewing_nothing_writes_nothing(self, tmp_path: Path, clock: FakeClock) -> None:
        """SESS-1.3: A worker that holds no lease does not touch the file when it renews."""
        sessions = SqliteSessionStore(tmp_path / "sessions", 100, clock)
        await sessions.commit(await lease(sessions))
        await sessions.release(await lease(sessions))
        sessions.database.close()
        await sessions.renew()

        assert sessions.database._connection is None

    async def test_committing_a_lost_lease_counts_nothing(
        self, sessions: SessionStore, clock: FakeClock
    ) -> None:
        """SESS-1.3: A turn that has expired and was leased to another request is counted for that one."""
        go, there = FORK.Pipe()

        async def commit(leased: TurnLease) -> None:
            there.send(leased)
            there.recv()
            await sessions.commit(leased)
            await sessions.release(leased)
            there.send(None)

        with leasing_process(sessions, commit):
            late = go.recv()
            clock.now += LEASE_SECONDS
            now = await lease(sessions)
            assert (now.cursor, late.cursor) == (0, 0)
            go.send(None)
            go.recv()

        assert (await sessions.list_progress())[0].played == 0
        await sessions.commit(now)
        assert (await sessions.list_progress())[0].played == 1

    async def test_committing_what_is_forgotten_counts_nothing(self, sessions: SessionStore) -> None:
        """SESS-1.4: A turn that was in flight when its session was reset does not count."""
        leased = await lease(sessions)
        await sessions.forget("a")
        await turns(sessions, 1)
        await sessions.commit(leased)

        assert (await sessions.list_progress())[0].played == 1

    @pytest.mark.parametrize("played", [False, True])
    async def test_a_late_end_touches_no_lease_after_a_reset(
        self, sessions: SessionStore, played: bool
    ) -> None:
        """SESS-1.4: A turn of the former session is not taken for the same turn of the new one."""
        late = await lease(sessions)
        await sessions.forget("a")
        now = await lease(sessions)
        assert late.cursor == now.cursor == 0
        await (sessions.commit(late) if played else sessions.release(late))

        assert (await sessions.list_progress())[0].played == 0
        assert await turns(sessions, 1) == [1]
        await sessions.commit(now)
        assert (await sessions.list_progress())[0].played == 2

    async def test_the_next_turn_may_be_a_released_one(self, sessions: SessionStore) -> None:
        """SESS-1.3: The first turn that was released is the next."""
        assert await sessions.next_turn("a", "s", 1) == 0
        leases = [await lease(sessions) for _ in range(3)]
        assert await sessions.next_turn("a", "s", 1) == 3
        for leased in leases[1:]:
            await sessions.release(leased)

        assert await sessions.next_turn("a", "s", 1) == 1
        assert await turns(sessions, 3) == [1, 2, 3]


async def hang(_: TurnLease) -> None:
    """Do nothing with a lease."""


@contextlib.contextmanager
def leasing_process(
    sessions: SessionStore, work: Callable[[TurnLease], Awaitable[None]] = hang
) -> Iterator[multiprocessing.process.BaseProcess]:
    """Run a process that leases the next turn, then does some work, then hangs; kill it in the end."""
    is_leased = FORK.Event()

    async def run() -> None:
        leased = await lease(sessions)
        is_leased.set()
        await work(leased)
        time.sleep(60)  # noqa: ASYNC251 - it hangs

    process = FORK.Process(target=lambda: asyncio.run(run()))
    process.start()
    try:
        assert is_leased.wait(10)
        yield process
    finally:
        process.kill()
        process.join()


class TestVersions:
    """Scripts that are replaced."""

    async def test_a_newer_version_begins_anew(self, sessions: SessionStore) -> None:
        """SESS-3.2: From its first turn, with nothing of what was played or released of the former."""
        await turns(sessions, 2)
        former = await lease(sessions)
        assert await sessions.next_turn("a", "s", 2) == 0
        first = await lease(sessions, version=2)
        await sessions.release(former)

        assert first.cursor == 0
        assert (await lease(sessions, version=2)).cursor == 1
        assert (await sessions.list_progress())[0].played == 0

    async def test_an_older_version_is_not_played_any_more(self, sessions: SessionStore) -> None:
        """SESS-3.2: A worker with the former script has to read it again, and changes nothing."""
        await lease(sessions, version=2)

        with pytest.raises(OutdatedError):
            await sessions.next_turn("a", "s", 1)
        with pytest.raises(OutdatedError):
            await sessions.lease_turn("a", "s", 1, 1, met=None)
        with pytest.raises(OutdatedError):
            await sessions.record_mismatch("a", "s", 1, 1, ["wanted x"])
        assert await sessions.next_turn("a", "s", 2) == 1


async def hammer(sessions: SessionStore, seed: int, count: int) -> list[int]:
    """Lease turns until `count` are committed; some are released, some requests do not fit, some come with an old cursor."""
    rng = random.Random(seed)
    played: list[int] = []
    while len(played) < count:
        cursor = await sessions.next_turn("a", "s", 1)
        if rng.random() < 0.1:
            await sessions.record_mismatch("a", "s", 1, cursor, ["wanted x"])
            continue
        leased = await sessions.lease_turn("a", "s", 1, cursor, met=None)
        if leased is None:
            continue
        if rng.random() < 0.2:
            await sessions.release(leased)
            continue
        await sessions.commit(leased)
        played.append(leased.cursor)
    return played


@pytest.mark.parametrize("seed", range(2))
async def test_no_turn_is_played_twice_and_none_is_skipped(sessions: SessionStore, seed: int) -> None:
    """SESS-1.1, MACH-11.1: Also when four processes lease, release and commit at once."""
    queue = FORK.SimpleQueue()

    def run(number: int) -> None:
        queue.put(asyncio.run(hammer(sessions, 10 * seed + number, 60)))

    processes = [FORK.Process(target=run, args=(number,)) for number in range(4)]
    for process in processes:
        process.start()
    played = [cursor for _ in processes for cursor in queue.get()]
    for process in processes:
        process.join()

    # What was released at the end by a process that had the last turn is still to be played.
    rest = await turns(sessions, max(played) + 1 - len(played))
    assert sorted(played + rest) == list(range(len(played) + len(rest)))
    (progress,) = await sessions.list_progress()
    assert progress.played == progress.cursor == len(played) + len(rest)


async def test_the_least_used_sessions_make_room(new_store: StoreMaker, clock: FakeClock) -> None:
    """SESS-1.5: The number of sessions is bounded; those used last are kept."""
    sessions = new_store(3)
    for name in "abcad":
        clock.now += 1
        await turns(sessions, 1, session=name)

    assert [progress.session for progress in await sessions.list_progress()] == ["d", "a", "c"]
    assert await turns(sessions, 1, session="a") == [2]


async def test_sessions_are_reset(sessions: SessionStore) -> None:
    """SESS-1.4: One, those of a script, or all."""
    for name in "ab":
        for script in "st":
            await turns(sessions, 2, session=name, script=script)

    assert await sessions.forget("a", script="s") == 1
    assert await turns(sessions, 1, session="a") == [0]
    assert await sessions.forget("a") == 2
    assert await sessions.forget(script="t") == 1
    assert [(one.session, one.script) for one in await sessions.list_progress()] == [("b", "s")]
    assert await sessions.forget() == 1
    assert await sessions.list_progress() == []


async def test_reset_sessions_leave_nothing_behind(
    redis_server: RedisServer, new_client: ClientMaker
) -> None:
    """MACH-11.1: Neither those that were reset nor those that made room."""
    client = new_client(redis_server.settings())
    sessions = RedisSessionStore(client, 2, HostOwners("a"))
    for name in "abc":
        await sessions.record_mismatch(name, "s", 1, 0, ["wanted x"])
        await lease(sessions, name)
    await sessions.forget()

    assert await client.run("KEYS", client.key("session", "") + b"*") == [client.key("session", "owners")]


class TestHosts:
    """Processes of several hosts."""

    @pytest.fixture(params=["redis"])
    def new_store(self, redis_server: RedisServer, new_client: ClientMaker, clock: FakeClock) -> StoreMaker:
        """Makes stores of hosts, by name."""
        settings = redis_server.settings()
        return lambda host: RedisSessionStore(new_client(settings, clock), 100, HostOwners(host))

    @pytest.fixture
    def sessions(self, new_store: StoreMaker) -> SessionStore:
        """The store of a host."""
        return new_store("a")

    async def test_leases_of_another_host_expire(
        self, sessions: SessionStore, new_store: StoreMaker, clock: FakeClock
    ) -> None:
        """MACH-11.2: Whether its processes are alive is known from renewals alone: a lease ends 5 s after it was last renewed."""
        other = new_store("b")
        with leasing_process(sessions) as process:
            process.kill()
            process.join()
        clock.now += LEASE_SECONDS - 0.1
        assert await turns(other, 1) == [1]
        clock.now += 0.1

        assert await turns(other, 2) == [0, 2]

    async def test_dead_processes_are_found_by_their_host(
        self, sessions: SessionStore, new_store: StoreMaker
    ) -> None:
        """MACH-11.2: What it has found is so for all hosts."""
        other = new_store("b")
        with leasing_process(sessions) as process:
            process.kill()
            process.join()
        assert await other.next_turn("a", "s", 1) == 1
        assert await sessions.next_turn("a", "s", 1) == 0

        assert await turns(other, 2) == [0, 1]


def test_hosts_of_one_name_have_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """MACH-11.2: Two containers that were given one name by mistake do not take each other's processes for dead."""
    here = HostOwners("a")
    dead = f"{here.prefix}{os.getpid()}:1".encode()
    assert here.find_dead([here.own().encode(), dead]) == [dead]
    monkeypatch.setattr(Path, "readlink", lambda _: Path("pid:[1]"))

    assert HostOwners("a").find_dead([dead]) == []


class TestFailures:
    """Ends of leases while the server cannot be reached."""

    @pytest.fixture
    async def client(self, own_redis_server: RedisServer) -> AsyncIterator[RedisClient]:
        """A client of a server that may be stopped."""
        client = RedisClient(own_redis_server.settings(timeout_ms=100))
        yield client
        await client.close()

    async def recover(self, server: RedisServer, client: RedisClient) -> None:
        """Have the server go on, and wait until the client has found it."""
        server.resume()
        assert client._probe is not None
        await client._probe

    async def test_a_turn_that_was_played_meanwhile_counts(
        self, own_redis_server: RedisServer, client: RedisClient
    ) -> None:
        """MACH-11.7: Its end is sent again with the renewals, so no other request gets it."""
        sessions = RedisSessionStore(client, 100, HostOwners("a"))
        leased = [await lease(sessions) for _ in range(2)]
        own_redis_server.pause()
        for end, one in zip((sessions.commit, sessions.release), leased, strict=True):
            with pytest.raises(StoreError):
                await end(one)
        await self.recover(own_redis_server, client)
        await sessions.renew()

        assert await turns(sessions, 2) == [1, 2]
        assert (await sessions.list_progress())[0].played == 3

    @pytest.mark.parametrize("is_cancelled", [False, True])
    @pytest.mark.parametrize("is_known", [False, True])
    async def test_a_turn_whose_lease_was_not_confirmed_is_free(
        self, own_redis_server: RedisServer, client: RedisClient, is_known: bool, is_cancelled: bool
    ) -> None:
        """MACH-11.7: The server may have given it after all; it goes to the next request."""
        sessions = RedisSessionStore(client, 100, HostOwners("a"))
        await turns(sessions, 1)
        # As of one that was in time, and whose answer was lost.
        client._offset = None
        own_redis_server.pause()
        leasing = asyncio.ensure_future(
            sessions.lease_turn("a", "s", 1, 1, met=None)
            if is_known
            else sessions.next_turn("a", "s", 1, leasable=9)
        )
        await asyncio.sleep(0)
        if is_cancelled:
            leasing.cancel()
        with pytest.raises(asyncio.CancelledError if is_cancelled else StoreError):
            await leasing
        if is_cancelled:
            own_redis_server.resume()
        else:
            await self.recover(own_redis_server, client)
        assert (await sessions.list_progress())[0].cursor == 2, "the server has not given it"
        await sessions.renew()

        assert await turns(sessions, 2) == [1, 2]
        await sessions.renew()
        await sessions.renew()
        assert not sessions._unconfirmed

    async def test_a_full_server_ends_and_renews_leases(
        self, own_redis_server: RedisServer, client: RedisClient
    ) -> None:
        """MACH-11.8: It gives none, and loses none: what is refused changes nothing."""
        sessions = RedisSessionStore(client, 100, HostOwners("a"))
        leased = [await lease(sessions) for _ in range(3)]
        await sessions.release(leased[2])
        await client.run("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreError, match="it is full"):
            await sessions.lease_turn("a", "s", 1, 2, met=True)
        with pytest.raises(StoreError, match="it is full"):
            await sessions.record_mismatch("a", "s", 1, 2, ["wanted x"])
        await sessions.renew()
        await sessions.commit(leased[0])
        await sessions.release(leased[1])
        await client.run("CONFIG", "SET", "maxmemory", "0")

        assert await turns(sessions, 3) == [1, 2, 3]
        (progress,) = await sessions.list_progress()
        assert msgspec.structs.astuple(progress)[2:6] == (4, 4, 0, 0)


def test_owners_are_identified_by_their_start() -> None:
    """SESS-1.3: A process lives as long as it runs; one with its id that was started later is another."""
    process = FORK.Process(target=time.sleep, args=(60,))
    process.start()
    assert process.pid is not None
    child = owner_of(process.pid)
    assert is_alive(child)
    assert is_alive(owner_of(os.getpid()))
    assert not is_alive(f"{os.getpid()}:1")
    assert not is_alive("")
    os.kill(process.pid, signal.SIGKILL)
    # It is dead, although its parent has not waited for it yet.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert not is_alive(child)
    process.join()


@pytest.mark.parametrize(
    ("state", "flags", "started"),
    [("S", "4194560", "77"), ("R", "4194564", None), ("Z", "4194560", None), ("X", "0", None)],
)
def test_an_exiting_process_is_dead(state: str, flags: str, started: str | None) -> None:
    """SESS-1.3: Connections close before a killed process is gone; a client that retries at once finds its turn free."""
    stat = f"12 (a) b) {state} 1 12 12 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 77 0 0"

    assert parse_start_time(stat) == started
