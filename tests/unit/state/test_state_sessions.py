"""Sessions: one cursor for all workers, whatever happens to them."""

import contextlib
import multiprocessing
import multiprocessing.process
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.driving import drive
from support.fakes import FakeClock

from llmsim.state.owners import is_alive, owner_of, parse_start_time
from llmsim.state.ports import Failure, OutdatedError, TurnLease
from llmsim.state.session_store import LEASE_SECONDS, SqliteSessionStore

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sessions(tmp_path: Path, clock: FakeClock) -> SqliteSessionStore:
    return SqliteSessionStore(tmp_path / "sessions", 100, clock)


async def lease(
    sessions: SqliteSessionStore, session: str = "a", script: str = "s", version: int = 1
) -> TurnLease:
    """Lease the next turn."""
    while True:
        cursor = await sessions.next_cursor(session, script, version)
        leased = await sessions.lease_turn(session, script, version, cursor, met=None)
        if leased is not None:
            return leased


async def turns(sessions: SqliteSessionStore, count: int, session: str = "a", script: str = "s") -> list[int]:
    """Lease and commit turns; return their cursors."""
    cursors = []
    for _ in range(count):
        leased = await lease(sessions, session, script)
        await sessions.commit(leased)
        cursors.append(leased.cursor)
    return cursors


class TestCursors:
    """Which request gets which turn."""

    async def test_turns_are_leased_in_order(self, sessions: SqliteSessionStore) -> None:
        """SESS-1.1: Each request of a session gets the next turn."""
        assert await turns(sessions, 4) == [0, 1, 2, 3]

    async def test_sessions_and_scripts_are_independent(self, sessions: SqliteSessionStore) -> None:
        """SESS-1.2: A session has a cursor for each script, and does not disturb another."""
        await turns(sessions, 3)

        assert await turns(sessions, 2, session="b") == [0, 1]
        assert await turns(sessions, 2, script="t") == [0, 1]
        assert await turns(sessions, 1) == [3]

    async def test_a_mismatch_takes_no_turn(self, sessions: SqliteSessionStore) -> None:
        """SESS-1.6: The turn waits for a request that fits; what was not met is kept."""
        assert await sessions.record_mismatch("a", "s", 1, 0, ["wanted x"])
        assert await sessions.lease_turn("a", "s", 1, 0, met=True) is not None

        (progress,) = await sessions.list_progress("a")
        assert (progress.cursor, progress.met, progress.failed) == (1, 1, 1)
        assert progress.failures == (Failure(1000.0, 0, ("wanted x",)),)

    async def test_the_last_failures_are_kept(self, sessions: SqliteSessionStore) -> None:
        """SESS-1.6: However many there are, memory is bounded; the count is exact."""
        for number in range(50):
            await sessions.record_mismatch("a", "s", 1, 0, [str(number)])
        (progress,) = await sessions.list_progress()

        assert progress.failed == 50
        assert [failure.unmet for failure in progress.failures] == [(str(n),) for n in range(30, 50)]

    async def test_only_the_next_turn_is_leased(self, sessions: SqliteSessionStore) -> None:
        """SESS-1.1: A request that checked a turn which another has leased meanwhile gets none, and counts nothing."""
        await turns(sessions, 2)
        for cursor in (0, 1, 3):
            assert await sessions.lease_turn("a", "s", 1, cursor, met=True) is None
            assert not await sessions.record_mismatch("a", "s", 1, cursor, ["wanted x"])

        assert await turns(sessions, 1) == [2]
        (progress,) = await sessions.list_progress()
        assert (progress.cursor, progress.met, progress.failed, progress.failures) == (3, 0, 0, ())

    async def test_an_exhausted_request_uses_its_session(
        self, sessions: SqliteSessionStore, clock: FakeClock
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

    async def test_a_leased_turn_is_not_leased_again(self, sessions: SqliteSessionStore) -> None:
        """SESS-1.1: Two requests at once get two turns."""
        first, second = [await lease(sessions) for _ in range(2)]

        assert (first.cursor, second.cursor) == (0, 1)
        assert first.number != second.number
        assert first.owner == second.owner == owner_of(os.getpid())

    async def test_a_released_turn_goes_to_the_next(self, sessions: SqliteSessionStore) -> None:
        """SESS-1.3: What a worker could not play is played for the next request, and counts once."""
        await sessions.release(await lease(sessions))

        assert await turns(sessions, 2) == [0, 1]
        (progress,) = await sessions.list_progress()
        assert (progress.cursor, progress.played) == (2, 2)

    async def test_the_turn_of_a_killed_process_goes_to_the_next(self, sessions: SqliteSessionStore) -> None:
        """SESS-1.3: The turn of a worker that is killed is not skipped, and is free at once."""
        await turns(sessions, 1)
        with leasing_process(sessions) as process:
            assert await turns(sessions, 1) == [2]
            assert process.pid is not None
            os.kill(process.pid, signal.SIGKILL)
            process.join()

            assert await turns(sessions, 2) == [1, 3]

    async def test_a_lease_that_is_not_renewed_expires(
        self, sessions: SqliteSessionStore, clock: FakeClock
    ) -> None:
        """SESS-1.3: A process that lives and does not renew its leases, because it hangs, loses them after 5 seconds."""
        with leasing_process(sessions):
            clock.now += LEASE_SECONDS - 0.1
            assert await turns(sessions, 1) == [1]
            clock.now += 0.1

            assert await turns(sessions, 2) == [0, 2]

    async def test_a_renewed_lease_stays(self, sessions: SqliteSessionStore, clock: FakeClock) -> None:
        """SESS-1.3: As long as its process renews it, a turn is not leased again, however long it plays."""
        here, there = FORK.Pipe()

        def renew() -> None:
            for clock.now in iter(there.recv, None):
                drive(sessions.renew())
                there.send(None)

        with leasing_process(sessions, renew):
            for _ in range(4):
                clock.now += LEASE_SECONDS - 1
                here.send(clock.now)
                here.recv()
            assert await turns(sessions, 1) == [1]
            here.send(None)

    async def test_own_leases_are_valid(self, sessions: SqliteSessionStore, clock: FakeClock) -> None:
        """SESS-1.3: A process that leases turns itself does not take its own for lost."""
        await lease(sessions)
        clock.now += 100

        assert await turns(sessions, 1) == [1]

    async def test_renewing_nothing_writes_nothing(self, sessions: SqliteSessionStore) -> None:
        """SESS-1.3: A worker that holds no lease does not touch the file when it renews."""
        await sessions.commit(await lease(sessions))
        await sessions.release(await lease(sessions))
        sessions.database.close()
        await sessions.renew()

        assert sessions.database._connection is None

    async def test_committing_a_lost_lease_counts_nothing(
        self, sessions: SqliteSessionStore, clock: FakeClock
    ) -> None:
        """SESS-1.3: A turn that has expired and was leased to another request is counted for that one."""
        go, there = FORK.Pipe()

        def commit() -> None:
            leased = there.recv()
            drive(sessions.commit(leased))
            drive(sessions.release(leased))
            there.send(None)

        with leasing_process(sessions, commit, send=there.send):
            late = go.recv()
            clock.now += LEASE_SECONDS
            now = await lease(sessions)
            assert (now.cursor, late.cursor) == (0, 0)
            go.send(late)
            go.recv()

        assert (await sessions.list_progress())[0].played == 0
        await sessions.commit(now)
        assert (await sessions.list_progress())[0].played == 1

    async def test_committing_what_is_forgotten_counts_nothing(self, sessions: SqliteSessionStore) -> None:
        """SESS-1.4: A turn that was in flight when its session was reset does not count."""
        leased = await lease(sessions)
        await sessions.forget("a")
        await turns(sessions, 1)
        await sessions.commit(leased)

        assert (await sessions.list_progress())[0].played == 1

    @pytest.mark.parametrize("played", [False, True])
    async def test_a_late_end_touches_no_lease_after_a_reset(
        self, sessions: SqliteSessionStore, played: bool
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

    async def test_the_next_cursor_counts_released_turns(self, sessions: SqliteSessionStore) -> None:
        """SESS-1.3: The first turn that was released is the next."""
        assert await sessions.next_cursor("a", "s", 1) == 0
        leases = [await lease(sessions) for _ in range(3)]
        assert await sessions.next_cursor("a", "s", 1) == 3
        for leased in leases[1:]:
            await sessions.release(leased)

        assert await sessions.next_cursor("a", "s", 1) == 1
        assert await turns(sessions, 3) == [1, 2, 3]


@contextlib.contextmanager
def leasing_process(
    sessions: SqliteSessionStore,
    work: Callable[[], None] = lambda: None,
    *,
    send: Callable[[TurnLease], None] = lambda _: None,
) -> Iterator[multiprocessing.process.BaseProcess]:
    """Run a process that leases the next turn, then does some work, then hangs; kill it in the end."""
    leased = FORK.Event()

    def run() -> None:
        send(drive(lease(sessions)))
        leased.set()
        work()
        time.sleep(60)

    process = FORK.Process(target=run)
    process.start()
    try:
        assert leased.wait(10)
        yield process
    finally:
        process.kill()
        process.join()


class TestVersions:
    """Scripts that are replaced."""

    async def test_a_newer_version_begins_anew(self, sessions: SqliteSessionStore) -> None:
        """SESS-3.2: From its first turn, with nothing of what was played or released of the former."""
        await turns(sessions, 2)
        former = await lease(sessions)
        assert await sessions.next_cursor("a", "s", 2) == 0
        first = await lease(sessions, version=2)
        await sessions.release(former)

        assert first.cursor == 0
        assert (await lease(sessions, version=2)).cursor == 1
        assert (await sessions.list_progress())[0].played == 0

    async def test_an_older_version_is_not_played_any_more(self, sessions: SqliteSessionStore) -> None:
        """SESS-3.2: A worker with the former script has to read it again, and changes nothing."""
        await lease(sessions, version=2)

        with pytest.raises(OutdatedError):
            await sessions.next_cursor("a", "s", 1)
        with pytest.raises(OutdatedError):
            await sessions.lease_turn("a", "s", 1, 1, met=None)
        with pytest.raises(OutdatedError):
            await sessions.record_mismatch("a", "s", 1, 1, ["wanted x"])
        assert await sessions.next_cursor("a", "s", 2) == 1


def hammer(sessions: SqliteSessionStore, seed: int, count: int, send: Callable[[list[int]], None]) -> None:
    """Lease turns until `count` are committed; some are released, some requests do not fit, some come with an old cursor."""
    rng = random.Random(seed)
    played: list[int] = []
    while len(played) < count:
        cursor = drive(sessions.next_cursor("a", "s", 1))
        if rng.random() < 0.1:
            drive(sessions.record_mismatch("a", "s", 1, cursor, ["wanted x"]))
            continue
        leased = drive(sessions.lease_turn("a", "s", 1, cursor, met=None))
        if leased is None:
            continue
        if rng.random() < 0.2:
            drive(sessions.release(leased))
            continue
        drive(sessions.commit(leased))
        played.append(leased.cursor)
    send(played)


@pytest.mark.parametrize("seed", range(2))
async def test_no_turn_is_played_twice_and_none_is_skipped(sessions: SqliteSessionStore, seed: int) -> None:
    """SESS-1.1: Also when four processes lease, release and commit at once."""
    queue = FORK.SimpleQueue()
    processes = [
        FORK.Process(target=hammer, args=(sessions, 10 * seed + number, 60, queue.put)) for number in range(4)
    ]
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


async def test_the_least_used_sessions_make_room(tmp_path: Path) -> None:
    """SESS-1.5: The number of sessions is bounded; those used last are kept."""
    now = iter(range(1000))
    sessions = SqliteSessionStore(tmp_path / "sessions", 3, lambda: float(next(now)))
    for name in "abcad":
        await turns(sessions, 1, session=name)

    assert [progress.session for progress in await sessions.list_progress()] == ["d", "a", "c"]
    assert await turns(sessions, 1, session="a") == [2]


async def test_sessions_are_reset(sessions: SqliteSessionStore) -> None:
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
