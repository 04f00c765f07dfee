"""The health of each worker: its event loop's lag, its CPU time, and how late its tokens were lately.

Decisions:
* Counting a token pays nothing for "lately": every ten seconds the buckets of lateness are copied
  to a mark, and a reader subtracts the mark from the histogram. What is left are the tokens of the
  last 30 to 40 s, with quantiles as good as the histogram's.
* CPU and waiting time are written as totals, so a reader may take any two pulses and misses none.
* Lag and CPU are shown for the last 10 s, so that a change is visible soon. The verdict uses the last
  30 to 40 s, for lateness and its cause alike: a run of a few seconds can still be judged when it is
  over, and a burst of an hour ago has no effect.
* A blocked loop writes no pulse, so the time since a pulse was due counts as lag while it lasts.
* The cause is read from the one second in which the worker needed a core most: a mean over half a
  minute would hide a short run.
"""

import operator
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from llmsim.stats import histogram, layout
from llmsim.stats.block import Block

SHOWN_SECONDS = 10
JUDGED_SECONDS = 30
PULSE_SECONDS = 1.0
"""Seconds between two pulses."""

SAMPLE_SECONDS = 0.1
"""Seconds between two samples of the loop's lag."""

MARK_SECONDS = 10.0
"""Seconds between two marks."""


class Gauges:
    """Writes the pulses and marks of one slot, whose only writer it is.

    Args:
        block: The instance's counters, writable.
        slot: The worker's slot, by `Block.claim`.
        now: `time.monotonic()`, in seconds: lateness from before belongs to a predecessor.
    """

    def __init__(self, block: Block, slot: int, now: float) -> None:
        self._words = block.words
        first = block.layout.slot(slot)
        self._buckets = first + layout.HISTOGRAM["lateness"]
        self._pulses = first + layout.PULSES
        self._marks = first + layout.MARKS
        self._waited_writes = first + layout.WORKER["waited_writes"]
        self._pulse = 0
        self._mark = 0
        for entry in range(layout.PULSE_ENTRIES):
            # Clearing the instants is enough: readers skip an entry without one.
            start = self._pulses + entry * layout.PULSE_WORDS
            self._words[start + layout.PULSE_AT_AGAIN] = self._words[start + layout.PULSE_AT] = 0
        for _ in range(layout.MARK_ENTRIES):
            self._write_mark(now)

    def record_pulse(
        self,
        now: float,
        *,
        cpu: float,
        wait: float | None,
        lag_max: float = 0.0,
        lag_sum: float = 0.0,
        samples: int = 0,
    ) -> None:
        """Write a pulse; about once a second.

        Args:
            now: `time.monotonic()`, in seconds.
            cpu: CPU time of the process so far, in seconds.
            wait: Time for which it was ready to run and had no core so far, in seconds; None if unknown.
            lag_max: Greatest lag of the event loop since the pulse before, in seconds.
            lag_sum: Sum of all lags since then.
            samples: How many there were.
        """
        words = self._words
        start = self._pulses + self._pulse % layout.PULSE_ENTRIES * layout.PULSE_WORDS
        self._pulse += 1
        at = int(now * 1e9)
        words[start + layout.PULSE_AT_AGAIN] = at
        words[start + layout.PULSE_WAIT] = -1 if wait is None else int(wait * 1e6)
        words[start + layout.PULSE_CPU] = int(cpu * 1e6)
        words[start + layout.PULSE_SAMPLES] = samples
        words[start + layout.PULSE_LAG_SUM] = int(lag_sum * 1e6)
        words[start + layout.PULSE_LAG_MAX] = int(lag_max * 1e6)
        words[start + layout.PULSE_WAITED_WRITES] = words[self._waited_writes]
        words[start + layout.PULSE_AT] = at
        if now - self._marked >= MARK_SECONDS:
            self._write_mark(now)

    def _write_mark(self, now: float) -> None:
        words = self._words
        start = self._marks + self._mark % layout.MARK_ENTRIES * layout.MARK_WORDS
        self._mark += 1
        self._marked = now
        at = int(now * 1e9)
        words[start + layout.MARK_AT_AGAIN] = at
        words[start + layout.MARK_BUCKETS : start + layout.MARK_AT_AGAIN] = words[
            self._buckets : self._buckets + histogram.BUCKETS
        ]
        words[start + layout.MARK_AT] = at


class Pulse(msgspec.Struct, frozen=True, gc=False):
    """The state of a worker at an instant; times in seconds.

    Attributes:
        at: The instant, on `time.monotonic()`.
        lag_max: Greatest lag of the loop since the pulse before.
        lag_sum: Sum of the lags since then.
        samples: How many there were.
        cpu: CPU time of the process so far.
        wait: Time for which it was ready to run and had no core so far; None if unknown.
        waited_writes: Writes that have waited for a slow client so far.
    """

    at: float
    lag_max: float
    lag_sum: float
    samples: int
    cpu: float
    wait: float | None
    waited_writes: int


class Demand(msgspec.Struct, frozen=True, gc=False):
    """How much of a core a worker needed, as shares of one.

    Attributes:
        cpu: The share it got.
        wait: The share for which it waited.
    """

    cpu: float = 0.0
    wait: float = 0.0

    @property
    def total(self) -> float:
        """The share it needed."""
        return self.cpu + self.wait


class LoopLag(msgspec.Struct, frozen=True):
    """How late an event loop ran what was due, in seconds.

    Attributes:
        mean: Over the samples.
        max: The greatest of them, or for how long the loop has been blocked.
    """

    mean: float
    max: float


class WorkerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How one living worker did lately: over the last ten seconds if shown, over 30 to 40 s if judged.

    Attributes:
        slot: Number of its slot.
        open_streams: Streams under way.
        cpu: Share of one core that it used, shown; None if unknown.
        wait: Share of the time for which it waited for a core, shown; None if unknown.
        lag: Lag of the event loop, shown; None if unknown.
        silence: Seconds by which a pulse is overdue; 0 if it is not.
        lateness: Buckets of lateness, judged.
        lag_max: Greatest lag, judged; in seconds.
        demand: The demand in the second that had most of it, judged.
        waited_writes: Writes that waited for a slow client, judged.
    """

    slot: int
    open_streams: int
    cpu: float | None
    wait: float | None
    lag: LoopLag | None
    silence: float
    lateness: list[int]
    lag_max: float
    demand: Demand
    waited_writes: int


def read_health(slot: int, words: list[int], now: float) -> WorkerHealth:
    """Return the health of a living worker.

    Args:
        slot: Number of its slot.
        words: A copy of the slot.
        now: `time.monotonic()`, in seconds.
    """
    since, lateness = _read_lateness(words, now - JUDGED_SECONDS)
    pulses = _read_pulses(words, min(since, now - SHOWN_SECONDS))
    silence = max(0.0, now - pulses[-1].at - PULSE_SECONDS - SAMPLE_SECONDS) if pulses else 0.0
    shown, judged = _since(pulses, now - SHOWN_SECONDS), _since(pulses, since)
    share = _demand(shown[0], shown[-1]) if len(shown) > 1 else None
    return WorkerHealth(
        slot=slot,
        open_streams=words[layout.WORKER["open_streams"]],
        cpu=None if share is None else share.cpu,
        wait=None if share is None or shown[-1].wait is None else share.wait,
        lag=_lag([pulse for pulse in pulses if pulse.at > now - SHOWN_SECONDS], silence),
        silence=silence,
        lateness=lateness,
        lag_max=max([silence, *(pulse.lag_max for pulse in judged)]),
        demand=max(
            (_demand(*pair) for pair in pairwise(judged)),
            key=lambda demand: demand.total,
            default=Demand(),
        ),
        waited_writes=words[layout.WORKER["waited_writes"]] - judged[0].waited_writes if judged else 0,
    )


def _read_pulses(words: Sequence[int], instant: float) -> list[Pulse]:
    """Return the complete pulses since an instant, and those right before it, the oldest first."""
    end = layout.PULSES + layout.PULSE_ENTRIES * layout.PULSE_WORDS
    entries = zip(*[iter(words[layout.PULSES : end])] * layout.PULSE_WORDS, strict=True)
    complete = sorted(
        [entry for entry in entries if entry[layout.PULSE_AT] == entry[layout.PULSE_AT_AGAIN] != 0]
    )
    earlier = bisect_right(complete, int(instant * 1e9), key=operator.itemgetter(layout.PULSE_AT))
    return [
        Pulse(
            at / 1e9,
            most / 1e6,
            total / 1e6,
            samples,
            cpu / 1e6,
            None if wait < 0 else wait / 1e6,
            waited_writes,
        )
        for at, most, total, samples, cpu, wait, waited_writes, _ in complete[max(0, earlier - 2) :]
    ]


def _since(pulses: list[Pulse], instant: float) -> list[Pulse]:
    """Return the pulses after an instant, and the one before them."""
    after = sum(pulse.at > instant for pulse in pulses)
    return pulses[-after - 1 :]


def _read_lateness(words: list[int], instant: float) -> tuple[float, list[int]]:
    """Return the buckets of lateness since a mark at or before an instant, or since the oldest, with the mark's instant."""
    marks = []
    for start in range(
        layout.MARKS, layout.MARKS + layout.MARK_ENTRIES * layout.MARK_WORDS, layout.MARK_WORDS
    ):
        at = words[start + layout.MARK_AT]
        if at == words[start + layout.MARK_AT_AGAIN]:
            marks.append((at / 1e9, start + layout.MARK_BUCKETS))
    marks.sort()
    before = [mark for mark in marks if mark[0] <= instant]
    since, first = before[-1] if before else marks[0]
    lateness = layout.HISTOGRAM["lateness"]
    counted = words[lateness : lateness + histogram.BUCKETS]
    marked = words[first : first + histogram.BUCKETS]
    return since, list(map(operator.sub, counted, marked))


def _lag(pulses: list[Pulse], silence: float) -> LoopLag | None:
    samples = sum(pulse.samples for pulse in pulses) + (silence > 0.0)
    if not samples:
        return None
    mean = (sum(pulse.lag_sum for pulse in pulses) + silence) / samples
    return LoopLag(mean, max([silence, *(pulse.lag_max for pulse in pulses)]))


def _demand(earlier: Pulse, later: Pulse) -> Demand:
    elapsed = later.at - earlier.at
    waited = 0.0 if earlier.wait is None or later.wait is None else later.wait - earlier.wait
    return Demand((later.cpu - earlier.cpu) / elapsed, waited / elapsed)
