"""Observed latencies as they were read: of one slot, or the sum of several.

Decisions:
* Only the buckets between the extremes are kept: those outside are empty, and most buckets are outside.
"""

import operator
from collections.abc import Sequence

import msgspec

from llmsim.stats import histogram


class HistogramTotals(msgspec.Struct, frozen=True, gc=False):
    """Observed latencies in microseconds.

    Attributes:
        first: The bucket of the first count; `histogram.bounds` has its bounds.
        counts: Counts by bucket; those before and behind are zero.
        sum: Sum of all values.
        minimum: The lowest; of no meaning while nothing is counted.
        maximum: The highest; 0 while nothing is counted.
    """

    first: int
    counts: list[int]
    sum: int
    minimum: int
    maximum: int

    @property
    def count(self) -> int:
        """Observations."""
        return sum(self.counts)

    @property
    def buckets(self) -> list[int]:
        """Counts of all buckets."""
        behind = histogram.BUCKETS - self.first - len(self.counts)
        return [*[0] * self.first, *self.counts, *[0] * behind]

    @classmethod
    def merge(cls, rows: Sequence["HistogramTotals"]) -> "HistogramTotals":
        """Return the sum of histograms; an empty one of none."""
        rows = [row for row in rows if row.counts]
        if not rows:
            return cls(0, [], 0, histogram.EMPTY_MIN, 0)
        row = rows[0]
        first, counts, total, minimum, maximum = row.first, row.counts, row.sum, row.minimum, row.maximum
        for row in rows[1:]:
            first, counts = _add(first, counts, row.first, row.counts)
            total += row.sum
            minimum = min(minimum, row.minimum)
            maximum = max(maximum, row.maximum)
        return cls(first, counts, total, minimum, maximum)


def _add(first: int, counts: list[int], other: int, others: list[int]) -> tuple[int, list[int]]:
    """Return the first bucket and the counts of a sum.

    PERF: only what both have counted is added, in half the time of sums of all buckets.
    """
    if other < first:
        first, counts, other, others = other, others, first, counts
    start = other - first
    shared = counts[start:]
    before = counts[:start] + [0] * (start - len(counts))
    behind = shared[len(others) :] or others[len(shared) :]
    return first, before + list(map(operator.add, shared, others)) + behind
