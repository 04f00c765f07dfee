"""Figures from histograms: quantiles of values that were rounded before they were counted.

Decisions:
* Values are rounded to three significant digits, so a worker sends its master some hundred numbers for
  each row whatever the load, and histograms of several processes and endpoints are simply added.
* Locust's own two digits and whole milliseconds would hide gaps of a millisecond.
"""

from collections import Counter
from collections.abc import Iterable, Mapping


def rounded(value: float) -> float:
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


def merged(histograms: Iterable[Mapping[float, int]]) -> Counter[float]:
    """Add histograms up."""
    total: Counter[float] = Counter()
    for histogram in histograms:
        total.update(histogram)
    return total


def quantile(histogram: Mapping[float, int], share: float) -> float | None:
    """Give the smallest value that at least this share of the observations does not exceed.

    Args:
        histogram: Value and how often it was observed.
        share: 0 to 1.

    Returns:
        The value, None if nothing was observed.
    """
    count = sum(histogram.values())
    wanted = share * count
    seen = 0
    value = None
    for value in sorted(histogram):
        seen += histogram[value]
        if seen >= wanted:
            break
    return value
