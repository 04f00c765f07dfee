"""Stand-ins that a test holds in its own hand: clock, loop, tickets, counters, and the facts of one turn."""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from llmsim.domain import (
    Choice,
    FinishReason,
    ReasoningSegment,
    Schedule,
    Segment,
    TextSegment,
    TokenizedText,
    ToolCallSegment,
    Turn,
    Usage,
)
from llmsim.domain.schedule import DEVIATES
from llmsim.stats import Block, Recorder, Snapshot, snapshot


class FakeClock:
    """A clock that stands still until it is told the time."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class FakeTimer:
    """What `call_later` gives."""

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Take it back."""
        self.cancelled = True


class FakeLoop:
    """An event loop's timers, fired by hand; it sets the clock as it goes.

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
        """Give the timers that are still to fire, the next one first."""
        self.timers = [timer for timer in self.timers if not timer.cancelled]
        return sorted(self.timers, key=lambda timer: timer.when)

    def run_to(self, instant: float) -> None:
        """Fire everything that falls due up to `instant`, each at its own time."""
        while (armed := self.armed()) and armed[0].when <= instant:
            timer = armed[0]
            timer.cancelled = True
            self._clock.now = max(self._clock.now, timer.when)
            timer.callback()
        self._clock.now = max(self._clock.now, instant)


def counting_tickets() -> Callable[[str], int]:
    """Give tickets of one process: each name counts from 0."""
    taken: Counter[str] = Counter()

    def take(name: str) -> int:
        number = taken[name]
        taken[name] += 1
        return number

    return take


class Counted:
    """A private stats block with one recorder, and a clock's view of it."""

    def __init__(self, clock: Callable[[], float], labels: Sequence[str] = ("completions",)) -> None:
        self.block = Block.private(endpoints=labels, slots=2, now=clock(), wall=1.75e9)
        self.recorder = Recorder(self.block, self.block.claim(1))
        self._clock = clock

    def read(self) -> Snapshot:
        """Tell what was counted up to now."""
        return snapshot(self.block, self._clock(), wall=1.75e9)


def passage(*pieces: str, spans: Sequence[int] | None = None) -> TokenizedText:
    """Make a passage of `pieces`, of one token each or of as many as `spans` says."""
    return TokenizedText(pieces, tuple(itertools.accumulate(spans or [1] * len(pieces))))


def choice(text: TokenizedText, *, hidden: int = 0, finish: FinishReason = FinishReason.STOP) -> Choice:
    """Make a choice of `hidden` reasoning tokens and a text."""
    thought = (ReasoningSegment(hidden),) if hidden else ()
    return Choice((*thought, TextSegment(text.tokens, text)), finish)


def turn(*choices: Choice, schedule: Schedule | None = None, **overrides: Any) -> Turn:
    """Make a turn of `choices`, by default of one that says `Hello world`."""
    answers = choices or (choice(passage("Hello", " world")),)
    hidden = sum(
        segment.tokens
        for answer in answers
        for segment in answer.segments
        if isinstance(segment, ReasoningSegment)
    )
    facts: dict[str, Any] = {
        "id": "0123456789abcdef0123456789abc",
        "created": 1_750_000_000,
        "model": "gpt-4o",
        "choices": answers,
        "usage": Usage(prompt=9, completion=sum(answer.tokens for answer in answers), reasoning=hidden),
        "schedule": schedule or Schedule(ttft=0.0, itl=0.0),
    }
    return Turn(**(facts | overrides))


def deviates(*values: float) -> str:
    """Register a table of unit deviates, and return its name for `Schedule.table`."""
    DEVIATES[name := repr(values)] = values
    return name


def shown_text(segment: Segment) -> TokenizedText | None:
    """Return what the client sees of a segment: its text, or the arguments of a call."""
    return segment.arguments if isinstance(segment, ToolCallSegment) else segment.text
