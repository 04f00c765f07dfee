"""Quantiles of what a client has counted.

Decisions:
* The clients count, this computes: so the compiled and the portable one cannot disagree about a percentile.
"""

import math

import msgspec

_EXACT = 128
"""Values below have a bucket each; then there are half as many for every doubling."""


def lower_bound(bucket: int) -> int:
    """Give the least value of a bucket, in microseconds."""
    if bucket < _EXACT:
        return bucket
    shift = bucket // (_EXACT // 2) - 1
    return (bucket - shift * (_EXACT // 2)) << shift


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution in microseconds.

    Attributes:
        count: How many values were seen.
        sum: Their sum.
        min: The least; 0 without any.
        max: The greatest; 0 without any.
        buckets: Number and count of each bucket that is not empty, in order.
    """

    count: int = 0
    sum: int = 0
    min: int = 0
    max: int = 0
    buckets: tuple[tuple[int, int], ...] = ()

    def quantile_ms(self, q: float) -> float | None:
        """Give the value of rank ⌈q·count⌉ in milliseconds, right to 1 %; None without values.

        Args:
            q: Above 0, at most 1.
        """
        rank, passed = math.ceil(q * self.count), 0
        for bucket, count in self.buckets:
            passed += count
            if passed >= rank:
                middle = (lower_bound(bucket) + lower_bound(bucket + 1) - 1) / 2
                return min(max(middle, self.min), self.max) / 1000
        return None

    def mean_ms(self) -> float | None:
        """Give the mean in milliseconds; None without values."""
        return self.sum / self.count / 1000 if self.count else None
