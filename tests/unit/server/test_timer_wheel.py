"""The wheel: calls back at instants, never early."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import FakeClock, FakeLoop

from llmsim.server.pacing import TimerWheel

NANOSECOND = 1e-9

# Seconds after the start, to the nanosecond, as the clock of the machine has them.
INSTANTS = st.integers(-(10**7), 3 * 10**9).map(lambda nanos: 1000.0 + nanos / 1e9)


class Turning:
    """A wheel, its clock and its timers, and when each callback was called."""

    def __init__(self, early: float = 0.0) -> None:
        self.clock = FakeClock(1000.0)
        self.loop = FakeLoop(self.clock, early)
        self.wheel = TimerWheel(self.loop, self.clock)  # type: ignore[arg-type]
        self.called: list[tuple[str, float]] = []

    def at(self, instant: float, name: str = "", also: Callable[[], None] | None = None) -> None:
        """Have `name` noted at `instant`, and then `also` called."""

        def call() -> None:
            self.called.append((name, self.clock.now))
            if also is not None:
                also()

        self.wheel.at(instant, call)

    def names(self) -> list[str]:
        """Return the names of those called, in order."""
        return [name for name, _ in self.called]


@pytest.fixture
def turning() -> Turning:
    return Turning()


@given(st.lists(INSTANTS, max_size=30), st.sampled_from([0.0, 0.0004, 0.00099]))
def test_nobody_is_called_early_and_all_are_called(instants: list[float], early: float) -> None:
    """LAT-3.1: Every callback comes once its instant is there, within 2 ms, also where timers fire too soon."""
    turning = Turning(early)
    for index, instant in enumerate(instants):
        turning.at(instant, str(index))
    turning.loop.run_to(1004.0)

    called = {int(name): at for name, at in turning.called}
    assert sorted(called) == list(range(len(instants)))
    for index, instant in enumerate(instants):
        assert instant - NANOSECOND <= called[index] <= max(instant, 1000.0) + 0.0021


@given(st.lists(st.tuples(INSTANTS, st.booleans()), max_size=20))
def test_instants_may_be_asked_for_while_the_wheel_turns(asked: list[tuple[float, bool]]) -> None:
    """LAT-3.2: Callbacks that ask for further instants, later or already past, get them."""
    turning = Turning()
    for index, (instant, again) in enumerate(asked):
        repeat = (lambda: turning.at(turning.clock.now + 0.0307, "again")) if again else None
        turning.at(instant, str(index), repeat)
    turning.loop.run_to(1004.0)

    assert len(turning.called) == len(asked) + sum(again for _, again in asked)
    assert [at for _, at in turning.called] == sorted(at for _, at in turning.called)


def test_instants_come_in_their_order(turning: Turning) -> None:
    """LAT-3.2: Whoever is due first is called first, in whatever order they asked."""
    for name, millis in (("c", 30), ("a", 10), ("b", 20), ("d", 40)):
        turning.at(1000.0 + millis / 1000, name)
    turning.loop.run_to(1000.1)

    assert turning.names() == ["a", "b", "c", "d"]


def test_those_of_one_tick_come_in_the_order_of_asking(turning: Turning) -> None:
    """LAT-3.2: Within a millisecond, first come is first served, and one timer serves them all."""
    for name in "abc":
        turning.at(1000.0104, name)
    assert len(turning.loop.armed()) == 1

    turning.loop.run_to(1000.1)
    assert turning.names() == ["a", "b", "c"]


def test_an_earlier_instant_moves_the_timer(turning: Turning) -> None:
    """LAT-3.4: Who asks for an earlier instant than all others does not wait for theirs."""
    turning.at(1002.0, "late")
    turning.at(1001.0, "early")
    armed = turning.loop.armed()
    turning.loop.run_to(1001.01)

    assert [timer.when for timer in armed] == pytest.approx([1001.0])
    assert turning.names() == ["early"]
    turning.loop.run_to(1003.0)
    assert turning.names() == ["early", "late"]


def test_a_later_instant_leaves_the_timer(turning: Turning) -> None:
    """LAT-3.2: Who asks for a later instant moves nobody's."""
    turning.at(1001.0, "early")
    first = turning.loop.armed()
    turning.at(1002.0, "late")

    assert turning.loop.armed() == first


def test_a_callback_that_raises_stops_nobody_else(turning: Turning, caplog: pytest.LogCaptureFixture) -> None:
    """ARCH-1.5: A bug of one stream is logged, and all others of its tick and later ones go on."""

    def fail() -> None:
        raise RuntimeError("boom")

    turning.at(1000.01, "before")
    turning.at(1000.01, "failing", fail)
    turning.at(1000.01, "behind")
    turning.at(1000.02, "later")
    with caplog.at_level(logging.ERROR):
        turning.loop.run_to(1000.1)

    assert turning.names() == ["before", "failing", "behind", "later"]
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_past_instant_is_not_called_from_within(turning: Turning) -> None:
    """LAT-3.2: What is due already is called from the loop soon, not from under the asker's hands."""
    turning.at(999.0, "past")
    assert turning.called == []

    turning.loop.run_to(1000.002)
    assert turning.names() == ["past"]


def test_nothing_is_armed_when_nobody_waits(turning: Turning) -> None:
    """ARCH-4.3: An idle wheel holds no timer and remembers no instant."""
    for millis in range(50):
        turning.at(1000.0 + millis / 1000, "x")
    turning.loop.run_to(1001.0)

    assert turning.loop.armed() == []
    assert not turning.wheel._due
    assert not turning.wheel._ticks


def test_a_late_loop_calls_all_that_fell_due(turning: Turning) -> None:
    """LAT-3.3: After a stall everything due is called at once, in order."""
    for millis in (5, 10, 15):
        turning.at(1000.0 + millis / 1000, str(millis))
    turning.clock.now = 1000.5
    turning.loop.run_to(1000.5)

    assert turning.called == [("5", 1000.5), ("10", 1000.5), ("15", 1000.5)]


class Transport:
    """A connection that notes what is written to it, beside what is called."""

    def __init__(self, turning: Turning, *, fails: bool = False) -> None:
        self._turning = turning
        self._fails = fails
        self.aborted = False

    def write(self, data: bytes) -> None:
        """Note a write."""
        if self._fails:
            raise RuntimeError("closed")
        self._turning.called.append((data.decode(), self._turning.clock.now))

    def abort(self) -> None:
        """Note that it was given up."""
        self.aborted = True

    def is_closing(self) -> bool:
        """Return whether it was given up."""
        return self.aborted


def test_what_is_due_is_written_once_all_of_it_is_known(turning: Turning) -> None:
    """LAT-3.9: Writes of one tick leave in their order, behind its last callback and before the next tick's first."""
    transport = Transport(turning)

    def write(data: bytes) -> Callable[[], None]:
        return lambda: turning.wheel.write(transport, data)  # type: ignore[arg-type] # a fake one

    turning.at(1000.010, "a", write(b"A"))
    turning.at(1000.010, "b", write(b"B"))
    turning.at(1000.011, "c", write(b"C"))
    turning.clock.now = 1000.5
    turning.loop.run_to(1000.5)

    assert turning.names() == ["a", "b", "A", "B", "c", "C"]


def test_many_are_written_in_groups(turning: Turning) -> None:
    """LAT-3.9: The observed instant of a token is close to that of its write, however many fall due together."""
    transport = Transport(turning)
    for number in range(70):
        data = b"%d" % number
        turning.at(1000.01, "", lambda data=data: turning.wheel.write(transport, data))  # type: ignore[misc]
    turning.loop.run_to(1000.1)

    names = turning.names()
    assert [name for name in names if name] == [str(number) for number in range(70)]
    assert [names.index(str(number)) for number in (0, 32, 64)] == [32, 96, 134]


def test_a_turn_that_is_ended_is_not_the_last(turning: Turning) -> None:
    """ARCH-1.5: What no callback may raise, such as a cancellation, leaves the wheel able to turn."""

    def cancel() -> None:
        raise asyncio.CancelledError

    turning.at(1000.01, "cancelled", cancel)
    turning.at(1000.02, "later")
    with pytest.raises(asyncio.CancelledError):
        turning.loop.run_to(1000.1)
    turning.at(1000.15, "again")
    turning.loop.run_to(1000.2)

    assert turning.names() == ["cancelled", "later", "again"]


def test_a_wheel_that_starts_again_turns(turning: Turning) -> None:
    """ARCH-1.5: Another event loop has what was asked for in it, and nothing of the one before."""
    turning.at(1000.01, "before")
    clock = FakeClock(1000.0)
    loop = FakeLoop(clock)
    turning.wheel.start(loop)  # type: ignore[arg-type] # a fake loop
    turning.at(1000.02, "behind")
    turning.clock.now = 1000.5
    loop.run_to(1000.5)

    assert turning.names() == ["behind"]


def test_what_is_written_between_two_ticks_leaves_at_once(turning: Turning) -> None:
    """LAT-3.9: Where no callback is under way, nothing waits."""
    turning.wheel.write(Transport(turning), b"now")  # type: ignore[arg-type] # a fake one

    assert turning.names() == ["now"]


def test_a_write_that_fails_ends_its_connection_only(
    turning: Turning, caplog: pytest.LogCaptureFixture
) -> None:
    """ARCH-1.5: It is logged, its connection is given up, and all others are written to."""
    broken, whole = Transport(turning, fails=True), Transport(turning)
    for transport in (broken, whole):
        turning.at(1000.01, "", lambda transport=transport: turning.wheel.write(transport, b"data"))  # type: ignore[misc]
    with caplog.at_level(logging.ERROR):
        turning.loop.run_to(1000.1)

    assert turning.names() == ["", "", "data"]
    assert (broken.aborted, whole.aborted) == (True, False)
    assert [record.exc_info is not None for record in caplog.records] == [True]
