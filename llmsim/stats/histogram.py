"""Latencies counted in buckets that widen with the value.

Decisions:
* Log-linear: eight buckets for each power of two of microseconds. Up to 16 us a bucket is
  1 us wide; above, its width is at most 1/8 (12.5 %) of its lower bound. `bit_length` finds
  it, so no logarithm is taken and bounds are exact integers.
* The count is not stored: it is the sum of the buckets, so count and quantiles agree even
  in a torn read.
* A histogram's words stand buckets first, then sum, minimum, maximum. It is written from the
  end and read from the start, so whoever sees a bucket filled sees its extremes too.
"""

import math
from collections.abc import Sequence

SUB_BITS = 3
RANGE_BITS = 36  # 2**36 us are 19 hours; what is longer is counted in the last bucket
BUCKETS = (RANGE_BITS - SUB_BITS + 1) << SUB_BITS

SUM = BUCKETS
LEAST = BUCKETS + 1
MOST = BUCKETS + 2
WORDS = BUCKETS + 3

EMPTY_LEAST = (1 << 63) - 1  # the minimum of nothing

_LINEAR = 2 << SUB_BITS  # below this a bucket holds one value
_LAST = BUCKETS - 1


def bucket(micros: int) -> int:
    """Tell which bucket counts a value.

    Args:
        micros: Microseconds; >= 0.

    Returns:
        Index from 0 to `BUCKETS - 1`.
    """
    if micros < _LINEAR:
        return micros
    shift = micros.bit_length() - SUB_BITS - 1
    return min((shift << SUB_BITS) + (micros >> shift), _LAST)


def bounds(index: int) -> tuple[int, int]:
    """Tell which values a bucket counts.

    Args:
        index: From 0 to `BUCKETS - 1`.

    Returns:
        The least value and the first value above, in microseconds. The last bucket also counts all that is longer.
    """
    if index < _LINEAR:
        return index, index + 1
    shift = (index >> SUB_BITS) - 1
    lower = (index - (shift << SUB_BITS)) << shift
    return lower, lower + (1 << shift)


def quantile(buckets: Sequence[int], fraction: float, *, least: int, most: int) -> float:
    """Estimate the value below or at which a fraction of all values lies.

    The value sought is the one of rank `ceil(fraction * count)`. Within its bucket the values are taken to be spread
    evenly, so the error is less than the bucket's width. The first and the last rank are the observed extremes.

    Args:
        buckets: Counts by bucket, not all zero.
        fraction: Above 0, at most 1.
        least: Observed minimum, in microseconds.
        most: Observed maximum, in microseconds.

    Returns:
        Microseconds, from `least` to `most`.
    """
    count = sum(buckets)
    rank = max(1, math.ceil(fraction * count))
    if rank == 1:
        return float(least)
    if rank >= count:
        return float(most)
    below = 0
    for index, held in enumerate(buckets):
        if below + held >= rank:
            lower, upper = bounds(index)
            value = lower + (upper - 1 - lower) * (rank - below - 0.5) / held
            return min(max(value, float(least)), float(most))
        below += held
    raise AssertionError("the rank is at most the count")


class Tally:
    """The one writer of a histogram.

    Args:
        words: The block's words.
        first: Word at which the histogram begins.
    """

    __slots__ = ("_first", "_least", "_most", "_sum", "_words")

    def __init__(self, words: "memoryview[int]", first: int) -> None:
        self._words = words
        self._first = first
        self._sum = first + SUM
        # PERF: the extremes are mirrored here; reading a word back costs 30 ns, and they rarely change.
        self._least = words[first + LEAST]
        self._most = words[first + MOST]

    def add(self, seconds: float, count: int) -> None:
        """Count a latency.

        Args:
            seconds: The latency; below zero it is counted as zero.
            count: How many times it was observed; >= 1.
        """
        micros = int(seconds * 1e6 + 0.5)
        if not self._least <= micros <= self._most:
            micros = self._stretch(micros)
        words = self._words
        words[self._sum] += micros * count
        # PERF: `bucket` written out; the call costs 60 ns of some 200.
        if micros < _LINEAR:
            words[self._first + micros] += count
        else:
            shift = micros.bit_length() - SUB_BITS - 1
            index = (shift << SUB_BITS) + (micros >> shift)
            if index > _LAST:  # PERF: min() is a call
                index = _LAST
            words[self._first + index] += count

    def _stretch(self, micros: int) -> int:
        micros = max(0, micros)
        if micros > self._most:
            self._most = self._words[self._first + MOST] = micros
        if micros < self._least:
            self._least = self._words[self._first + LEAST] = micros
        return micros
