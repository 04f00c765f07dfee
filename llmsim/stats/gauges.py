"""How a worker fares: its event loop's lag, its CPU time, and what was late lately.

Decisions:
* The way of a token pays nothing for "lately": every ten seconds the buckets of lateness are
  copied to a mark, and a reader takes the mark from the histogram. What is left are the tokens of
  the last 30 to 40 s, with quantiles as good as the histogram's.
* CPU and waiting time are written as totals, so a reader may take any two pulses and misses none.
"""

from llmsim.stats import histogram, layout
from llmsim.stats.block import Block

MARK_SECONDS = 10.0
"""Seconds between two marks."""


class Gauges:
    """Writes the pulses and marks of one slot, whose only writer it is.

    Args:
        block: The instance's counters, writable.
        slot: The worker's slot, by `Block.claim`.
        now: `time.monotonic()`, in seconds: what was late before is a predecessor's.
    """

    def __init__(self, block: Block, slot: int, now: float) -> None:
        self._words = block.words
        first = block.layout.slot(slot)
        self._buckets = first + layout.LATENESS
        self._pulses = first + layout.PULSES
        self._marks = first + layout.MARKS
        self._pulse = 0
        self._mark = 0
        for entry in range(layout.PULSE_ENTRIES):
            # The instants suffice: without them nobody looks at the rest.
            start = self._pulses + entry * layout.PULSE_WORDS
            self._words[start + layout.PULSE_AT_AGAIN] = self._words[start + layout.PULSE_AT] = 0
        for _ in range(layout.MARK_ENTRIES):
            self._set_mark(now)

    def beat(
        self,
        now: float,
        *,
        cpu: float,
        wait: float | None,
        lag_most: float = 0.0,
        lag_sum: float = 0.0,
        samples: int = 0,
    ) -> None:
        """Write a pulse; about once a second.

        Args:
            now: `time.monotonic()`, in seconds.
            cpu: CPU time of the process so far, in seconds.
            wait: Time for which it was ready to run and had no core so far, in seconds; None where nobody can tell.
            lag_most: Greatest lag of the event loop since the pulse before, in seconds.
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
        words[start + layout.PULSE_LAG_MOST] = int(lag_most * 1e6)
        words[start + layout.PULSE_AT] = at
        if now - self._marked >= MARK_SECONDS:
            self._set_mark(now)

    def _set_mark(self, now: float) -> None:
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
