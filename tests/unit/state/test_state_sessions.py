"""Sessions: one cursor for all workers, whatever happens to them."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from llmsim.state.holders import holder, lives, own_holder, started_of
from llmsim.state.sessions import Failure, Judgement, OutdatedError, Sessions, TurnLease

FORK = multiprocessing.get_context("fork")
YES = Judgement()


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    return Sessions(tmp_path / "sessions", 100, lambda: 1000.0)


def turns(sessions: Sessions, count: int, session: str = "a", script: str = "s") -> list[int]:
    """Give out turns and have them played."""
    cursors = []
    for _ in range(count):
        claim = sessions.play(session, script, 1, lambda _: YES)
        assert claim is not None
        sessions.settle(claim, played=True)
        cursors.append(claim.cursor)
    return cursors


class TestCursors:
    """Who gets which turn."""

    def test_turns_are_given_out_in_order(self, sessions: Sessions) -> None:
        """SESS-1.1: Each request of a session gets the next turn."""
        assert turns(sessions, 4) == [0, 1, 2, 3]

    def test_sessions_and_scripts_are_independent(self, sessions: Sessions) -> None:
        """SESS-1.2: A session has a cursor for each script, and disturbs no other."""
        turns(sessions, 3)

        assert turns(sessions, 2, session="b") == [0, 1]
        assert turns(sessions, 2, script="t") == [0, 1]
        assert turns(sessions, 1) == [3]

    def test_a_request_that_does_not_fit_moves_nothing(self, sessions: Sessions) -> None:
        """SESS-1.6: The turn waits for a request that fits; what was not met is remembered."""
        unfit = Judgement(plays=False, met=False, unmet=("wanted x",))

        assert sessions.play("a", "s", 1, lambda _: unfit) is None
        assert turns(sessions, 1) == [0]
        (standing,) = sessions.standings("a")
        assert (standing.cursor, standing.met, standing.failed) == (1, 0, 1)
        assert standing.failures == (Failure(1000.0, 0, ("wanted x",)),)

    def test_the_last_failures_are_remembered(self, sessions: Sessions) -> None:
        """SESS-1.6: However many there are, memory is bounded; the count is exact."""
        for number in range(50):
            sessions.play("a", "s", 1, lambda _, n=number: Judgement(plays=False, met=False, unmet=(str(n),)))
        (standing,) = sessions.standings()

        assert standing.failed == 50
        assert [failure.unmet for failure in standing.failures] == [(str(n),) for n in range(30, 50)]

    def test_a_judge_that_raises_moves_nothing(self, sessions: Sessions) -> None:
        """SESS-1.3: A bug in between leaves the session where it was."""
        turns(sessions, 1)

        def judge(_: int) -> Judgement:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            sessions.play("a", "s", 1, judge)
        assert turns(sessions, 1) == [1]


class TestClaims:
    """Turns that were given out and not played."""

    def test_a_turn_that_is_being_played_is_not_given_out_again(self, sessions: Sessions) -> None:
        """SESS-1.1: Two requests at once get two turns."""
        first, second = (sessions.play("a", "s", 1, lambda _: YES) for _ in range(2))

        assert (first, second) == (TurnLease("a", "s", 0, 1), TurnLease("a", "s", 1, 2))

    def test_a_turn_that_is_handed_back_goes_to_the_next(self, sessions: Sessions) -> None:
        """SESS-1.3: What a worker could not play is played for the next request, and counts once."""
        claim = sessions.play("a", "s", 1, lambda _: YES)
        assert claim is not None
        sessions.settle(claim, played=False)

        assert turns(sessions, 2) == [0, 1]
        (standing,) = sessions.standings()
        assert (standing.cursor, standing.played) == (2, 2)

    def test_the_turn_of_a_killed_process_goes_to_the_next(self, sessions: Sessions) -> None:
        """SESS-1.3: A worker that is killed with a turn in its hands has skipped none."""
        turns(sessions, 1)
        claimed = FORK.Event()

        def worker() -> None:
            sessions.play("a", "s", 1, lambda _: YES)
            claimed.set()
            time.sleep(60)

        process = FORK.Process(target=worker)
        process.start()
        assert claimed.wait(10)
        assert turns(sessions, 1) == [2]
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()

        assert turns(sessions, 2) == [1, 3]

    def test_settling_what_is_forgotten_counts_nothing(self, sessions: Sessions) -> None:
        """SESS-1.4: A turn that was under way when its session was reset belongs to nobody."""
        claim = sessions.play("a", "s", 1, lambda _: YES)
        assert claim is not None
        sessions.forget("a")
        turns(sessions, 1)
        sessions.settle(claim, played=True)

        assert sessions.standings()[0].played == 1

    @pytest.mark.parametrize("played", [False, True])
    def test_settling_late_touches_no_claim_after_a_reset(self, sessions: Sessions, played: bool) -> None:
        """SESS-1.4: A turn of the former session is not taken for the same turn of the new one."""
        late = sessions.play("a", "s", 1, lambda _: YES)
        sessions.forget("a")
        now = sessions.play("a", "s", 1, lambda _: YES)
        assert late is not None
        assert now is not None
        assert late.cursor == now.cursor == 0
        sessions.settle(late, played=played)

        assert sessions.standings()[0].played == 0
        assert turns(sessions, 1) == [1]
        sessions.settle(now, played=True)
        assert sessions.standings()[0].played == 2

    def test_the_next_turn_is_told(self, sessions: Sessions) -> None:
        """SESS-1.3: Where a session stands counts what was handed back."""
        assert sessions.place("a", "s") == 0
        claims = [sessions.play("a", "s", 1, lambda _: YES) for _ in range(3)]
        assert sessions.place("a", "s") == 3
        for claim in claims[1:]:
            assert claim is not None
            sessions.settle(claim, played=False)

        assert sessions.place("a", "s") == 1
        assert turns(sessions, 3) == [1, 2, 3]


class TestEditions:
    """Scripts that are replaced."""

    def test_a_newer_edition_begins_anew(self, sessions: Sessions) -> None:
        """SESS-3.2: From its first turn, with nothing of what was played or handed back of the former."""
        turns(sessions, 2)
        claim = sessions.play("a", "s", 1, lambda _: YES)
        assert claim is not None
        first = sessions.play("a", "s", 2, lambda _: YES)
        sessions.settle(claim, played=False)

        assert first is not None
        assert first.cursor == 0
        second = sessions.play("a", "s", 2, lambda _: YES)
        assert second is not None
        assert second.cursor == 1
        assert sessions.standings()[0].played == 0

    def test_an_older_edition_is_not_played_any_more(self, sessions: Sessions) -> None:
        """SESS-3.2: A worker that has the former script in hand has to read again, and moves nothing."""
        sessions.play("a", "s", 2, lambda _: YES)

        with pytest.raises(OutdatedError):
            sessions.play("a", "s", 1, lambda _: YES)
        assert sessions.place("a", "s") == 1


def hammer(sessions: Sessions, count: int, say: Callable[[list[int]], None]) -> None:
    say(turns(sessions, count))


def test_no_turn_is_given_twice_and_none_is_skipped(sessions: Sessions) -> None:
    """SESS-1.1: Also when four processes ask at once."""
    queue = FORK.SimpleQueue()
    processes = [FORK.Process(target=hammer, args=(sessions, 100, queue.put)) for _ in range(4)]
    for process in processes:
        process.start()
    given = [cursor for _ in processes for cursor in queue.get()]
    for process in processes:
        process.join()

    assert sorted(given) == list(range(400))


def test_the_least_used_sessions_make_room(tmp_path: Path) -> None:
    """SESS-1.5: The number of sessions is bounded; those that were used last are kept."""
    now = iter(range(1000))
    sessions = Sessions(tmp_path / "sessions", 3, lambda: float(next(now)))
    for name in "abcad":
        turns(sessions, 1, session=name)

    assert [standing.session for standing in sessions.standings()] == ["d", "a", "c"]
    assert turns(sessions, 1, session="a") == [2]


def test_sessions_are_reset(sessions: Sessions) -> None:
    """SESS-1.4: One, those of a script, or all."""
    for name in "ab":
        for script in "st":
            turns(sessions, 2, session=name, script=script)

    assert sessions.forget("a", script="s") == 1
    assert turns(sessions, 1, session="a") == [0]
    assert sessions.forget("a") == 2
    assert sessions.forget(script="t") == 1
    assert [(one.session, one.script) for one in sessions.standings()] == [("b", "s")]
    assert sessions.forget() == 1
    assert sessions.standings() == []


def test_holders_are_known_by_their_start() -> None:
    """SESS-1.3: A process lives as long as it runs; one with its id that was started later is another."""
    process = FORK.Process(target=time.sleep, args=(60,))
    process.start()
    assert process.pid is not None
    child = holder(process.pid)
    assert lives(child)
    assert lives(own_holder())
    assert not lives(f"{os.getpid()}:1")
    assert not lives("")
    os.kill(process.pid, signal.SIGKILL)
    # Dead, though nobody has taken note of it yet.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert not lives(child)
    process.join()


@pytest.mark.parametrize(
    ("state", "flags", "started"),
    [("S", "4194560", "77"), ("R", "4194564", None), ("Z", "4194560", None), ("X", "0", None)],
)
def test_who_is_being_ended_is_dead(state: str, flags: str, started: str | None) -> None:
    """SESS-1.3: Connections close before a killed process is gone; who asks again at once finds its turn free."""
    stat = f"12 (a) b) {state} 1 12 12 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 77 0 0"

    assert started_of(stat) == started
