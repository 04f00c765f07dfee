"""Fakes that a test controls: clock, event loop, shared counters and stats."""

from collections.abc import Callable, Sequence

from llmsim.stats import Block, Recorder, Snapshot, snapshot


class FakeClock:
    """A clock that stands still until `now` is set."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


class FakeTimer:
    """A timer handle, as `call_later` returns it."""

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Cancel the callback."""
        self.cancelled = True


class FakeLoop:
    """Timers of an event loop, fired by the test; it advances the clock.

    Args:
        clock: The clock that is moved.
        early: Seconds by which timers fire too soon, as uvloop's, which count whole milliseconds.
    """

    def __init__(self, clock: FakeClock, early: float = 0.0) -> None:
        self._clock = clock
        self._early = early
        self.timers: list[FakeTimer] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> FakeTimer:
        """Arm a timer."""
        timer = FakeTimer(self._clock.now + max(0.0, delay - self._early), callback)
        self.timers.append(timer)
        return timer

    def armed(self) -> list[FakeTimer]:
        """Return the pending timers, the next one first."""
        self.timers = [timer for timer in self.timers if not timer.cancelled]
        return sorted(self.timers, key=lambda timer: timer.when)

    def run_to(self, instant: float) -> None:
        """Fire the timers due up to `instant`, each at its own time."""
        while (armed := self.armed()) and armed[0].when <= instant:
            timer = armed[0]
            timer.cancelled = True
            self._clock.now = max(self._clock.now, timer.when)
            timer.callback()
        self._clock.now = max(self._clock.now, instant)


class Counted:
    """A private stats block with one recorder, read at the time of `clock`."""

    def __init__(self, clock: Callable[[], float], labels: Sequence[str] = ("completions",)) -> None:
        self.block = Block.private(endpoints=labels, slots=2, now=clock(), wall=1.75e9)
        self.recorder = Recorder(self.block, self.block.claim(1))
        self._clock = clock

    def read(self) -> Snapshot:
        """Return the counters."""
        return snapshot(self.block, self._clock(), wall=1.75e9)
