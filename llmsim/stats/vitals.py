"""How each worker has fared lately, as told from its slot.

Decisions:
* What is shown (lag, CPU) is of the last 10 s, so that whoever watches sees a change soon. What is
  judged is of the last 30 to 40 s, lateness and its cause alike: a run of a few seconds can still
  be judged when it is over, and a burst of an hour ago cannot be seen.
* A loop that stands still writes no pulse, so its silence counts as lag while it lasts.
* The cause is read off the one second in which the worker wanted a core most: a mean over half a
  minute would hide a short run.
"""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from llmsim.stats import histogram, layout
from llmsim.stats.figures import Lag
from llmsim.stats.reading import SlotReading

SHOWN_SECONDS = 10
JUDGED_SECONDS = 30
PULSE_SECONDS = 1.0
"""Seconds between two pulses."""

SAMPLE_SECONDS = 0.1
"""Seconds between two samples of the loop's lag."""


class Pulse(msgspec.Struct, frozen=True):
    """How the worker fared up to an instant; times in seconds.

    Attributes:
        at: The instant, on `time.monotonic()`.
        lag_most: Greatest lag of the loop since the pulse before.
        lag_sum: Sum of the lags since then.
        samples: How many there were.
        cpu: CPU time of the process so far.
        wait: Time for which it was ready to run and had no core so far; None where nobody can tell.
    """

    at: float
    lag_most: float
    lag_sum: float
    samples: int
    cpu: float
    wait: float | None


class Demand(msgspec.Struct, frozen=True):
    """How much of a core a worker wanted, as shares of one.

    Attributes:
        cpu: What it had.
        wait: What it was kept waiting for.
    """

    cpu: float = 0.0
    wait: float = 0.0

    @property
    def total(self) -> float:
        """What it wanted."""
        return self.cpu + self.wait


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """How one living worker has fared lately.

    Attributes:
        slot: Number of its slot.
        open_streams: Streams under way.
        cpu_percent: CPU time in percent of one core, shown; None while it is unknown.
        wait_percent: Time without a core that it could have used, likewise; None also where nobody can tell.
        lag: Lag of the event loop, shown; None while it is unknown.
        silence: Seconds for which a pulse is overdue; 0 if none is.
        lateness: Buckets of lateness, judged.
        lag_most: Greatest lag, judged; in seconds.
        demand: In the second with most of it, judged.
    """

    slot: int
    open_streams: int
    cpu_percent: float | None
    wait_percent: float | None
    lag: Lag | None
    silence: float
    lateness: list[int]
    lag_most: float
    demand: Demand


def vitals(slot: SlotReading, now: float) -> Vitals:
    """Tell how the worker of a slot has fared.

    Args:
        slot: Of a worker that lives.
        now: `time.monotonic()`, in seconds.
    """
    pulses = _pulses(slot.words)
    silence = max(0.0, now - pulses[-1].at - PULSE_SECONDS - SAMPLE_SECONDS) if pulses else 0.0
    since, lateness = _lateness(slot.words, now - JUDGED_SECONDS)
    shown, judged = _from(pulses, now - SHOWN_SECONDS), _from(pulses, since)
    share = _demand(shown[0], shown[-1]) if len(shown) > 1 else None
    return Vitals(
        slot=slot.slot,
        open_streams=slot.words[layout.OPEN_STREAMS],
        cpu_percent=None if share is None else _percent(share.cpu),
        wait_percent=None if share is None or shown[-1].wait is None else _percent(share.wait),
        lag=_lag([pulse for pulse in pulses if pulse.at > now - SHOWN_SECONDS], silence),
        silence=silence,
        lateness=lateness,
        lag_most=max([silence, *(pulse.lag_most for pulse in judged)]),
        demand=max(
            (_demand(*pair) for pair in pairwise(judged)),
            key=lambda demand: demand.total,
            default=Demand(),
        ),
    )


def _pulses(words: Sequence[int]) -> list[Pulse]:
    """Give the pulses that are whole, the oldest first."""
    found = []
    end = layout.PULSES + layout.PULSE_ENTRIES * layout.PULSE_WORDS
    for start in range(layout.PULSES, end, layout.PULSE_WORDS):
        at, most, total, samples, cpu, wait, again = words[start : start + layout.PULSE_WORDS]
        if at and at == again:
            waited = None if wait < 0 else wait / 1e6
            found.append(Pulse(at / 1e9, most / 1e6, total / 1e6, samples, cpu / 1e6, waited))
    return sorted(found, key=lambda pulse: pulse.at)


def _from(pulses: list[Pulse], instant: float) -> list[Pulse]:
    """Give the pulses after an instant, and the one before them."""
    after = sum(pulse.at > instant for pulse in pulses)
    return pulses[-after - 1 :]


def _lateness(words: list[int], instant: float) -> tuple[float, list[int]]:
    """Tell how late tokens were since a mark at or before an instant, or since the oldest mark; and since when."""
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
    counted = words[layout.LATENESS : layout.LATENESS + histogram.BUCKETS]
    marked = words[first : first + histogram.BUCKETS]
    return since, [total - earlier for total, earlier in zip(counted, marked, strict=True)]


def _lag(pulses: list[Pulse], silence: float) -> Lag | None:
    samples = sum(pulse.samples for pulse in pulses) + (silence > 0.0)
    if not samples:
        return None
    mean = (sum(pulse.lag_sum for pulse in pulses) + silence) / samples
    most = max([silence, *(pulse.lag_most for pulse in pulses)])
    return Lag(mean=round(mean * 1000, 3), max=round(most * 1000, 3))


def _percent(share: float) -> float:
    return round(100 * share, 1)


def _demand(earlier: Pulse, later: Pulse) -> Demand:
    elapsed = later.at - earlier.at
    waited = 0.0 if earlier.wait is None or later.wait is None else later.wait - earlier.wait
    return Demand((later.cpu - earlier.cpu) / elapsed, waited / elapsed)
