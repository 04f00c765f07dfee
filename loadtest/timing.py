"""Times of one response, and histograms of the times of many.

Decisions:
* An instant is when bytes were read, and all content read together has one instant: what a proxy or a
  busy server collected counts as gaps of zero, because that is what the client experienced.
* The origin is when the request was sent or, in the open model, when it was due.
* Values are rounded to three significant digits, so a worker sends its master some hundred numbers for
  each row whatever the load, and histograms of several processes and endpoints are simply added.
* Locust's own two digits and whole milliseconds would hide gaps of a millisecond.
"""

from collections import Counter
from collections.abc import Iterable, Mapping


class Timing:
    """Times of one response, in milliseconds since its origin."""

    __slots__ = ("_last", "_origin", "gaps", "ttft")

    def __init__(self, origin: float) -> None:
        self._origin = origin
        self._last = 0.0
        self.ttft: float | None = None
        self.gaps: list[float] = []

    def add_content(self, now: float, deltas: int) -> None:
        """Record that content was read.

        Args:
            now: When, on the clock of the origin; seconds.
            deltas: Number of events with content that were read at that instant; at least 1.
        """
        if self.ttft is None:
            self.ttft = (now - self._origin) * 1000
        else:
            self.gaps.append((now - self._last) * 1000)
        if deltas > 1:
            self.gaps.extend([0.0] * (deltas - 1))
        self._last = now

    @property
    def deltas(self) -> int:
        """Number of events with content."""
        return 0 if self.ttft is None else len(self.gaps) + 1

    def elapsed(self, now: float) -> float:
        """Return the milliseconds since the origin."""
        return (now - self._origin) * 1000


def round_value(value: float) -> float:
    """Round to three significant digits, and never finer than 0.01."""
    # PERF: half of the time of `round` with digits.
    if value < 10:
        return round(value * 100) / 100
    if value < 100:
        return round(value * 10) / 10
    unit = 1
    while value >= 1000 * unit:
        unit *= 10
    return float(round(value / unit) * unit)


def merge_histograms(histograms: Iterable[Mapping[float, int]]) -> Counter[float]:
    """Return the sum of histograms."""
    total: Counter[float] = Counter()
    for histogram in histograms:
        total.update(histogram)
    return total


def compute_quantile(histogram: Mapping[float, int], share: float) -> float | None:
    """Return the smallest value that at least this share of the observations does not exceed.

    Args:
        histogram: Value and how often it was observed.
        share: 0 to 1.

    Returns:
        The value; None without observations.
    """
    needed = share * sum(histogram.values())
    seen = 0
    value = None
    for value in sorted(histogram):
        seen += histogram[value]
        if seen >= needed:
            break
    return value
