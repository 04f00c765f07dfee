"""Histograms of latencies, in buckets that widen with the value.

Decisions:
* Log-linear: eight buckets for each power of two of microseconds. Up to 16 us a bucket is
  1 us wide; above, its width is at most 1/8 (12.5 %) of its lower bound. `bit_length` finds
  it, so no logarithm is taken and bounds are exact integers.
* The count is not stored: it is the sum of the buckets, so count and quantiles agree even
  in a torn read.
* A histogram's words are the buckets, then sum, minimum, maximum. It is written from the end
  and read from the start, so a reader that sees a count sees its extremes too.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

SUB_BITS = 3
RANGE_BITS = 36  # 2**36 us are 19 hours; anything longer is counted in the last bucket
BUCKETS = (RANGE_BITS - SUB_BITS + 1) << SUB_BITS

SUM = BUCKETS
MIN = BUCKETS + 1
MAX = BUCKETS + 2
WORDS = BUCKETS + 3

EMPTY_MIN = (1 << 63) - 1  # the minimum while nothing is counted

_LINEAR = 2 << SUB_BITS  # below this a bucket holds one value
_LAST = BUCKETS - 1


def bucket(micros: int) -> int:
    """Return the index of the bucket that counts a value.

    Args:
        micros: Microseconds; >= 0.

    Returns:
        Index from 0 to `BUCKETS - 1`.
    """
    if micros < _LINEAR:
        return micros
    shift = micros.bit_length() - SUB_BITS - 1
    index = (shift << SUB_BITS) + (micros >> shift)
    return min(_LAST, index)  # PERF: min() is a call


def bounds(index: int) -> tuple[int, int]:
    """Return the range of values that a bucket counts.

    Args:
        index: From 0 to `BUCKETS - 1`.

    Returns:
        The lowest value and the first value above, in microseconds. The last bucket also counts everything longer.
    """
    if index < _LINEAR:
        return index, index + 1
    shift = (index >> SUB_BITS) - 1
    lower = (index - (shift << SUB_BITS)) << shift
    return lower, lower + (1 << shift)


def quantile(buckets: Sequence[int], fraction: float, *, minimum: int, maximum: int) -> float:
    """Estimate the value that a fraction of all values does not exceed.

    This is the value of rank `ceil(fraction * count)`. Values are assumed to be spread evenly within their bucket, so
    the error is less than its width. The first and the last rank are the observed extremes.

    Args:
        buckets: Counts by bucket, not all zero.
        fraction: Above 0, at most 1.
        minimum: Observed, in microseconds.
        maximum: Observed, in microseconds.

    Returns:
        Microseconds, from `minimum` to `maximum`.
    """
    count = sum(buckets)
    rank = max(1, math.ceil(fraction * count))
    if rank == 1:
        return float(minimum)
    if rank >= count:
        return float(maximum)
    # PERF: 5 us; 15 in a loop over the buckets.
    up_to = list(accumulate(buckets))
    index = bisect_left(up_to, rank)
    lower, upper = bounds(index)
    below = up_to[index] - buckets[index]
    value = lower + (upper - 1 - lower) * (rank - below - 0.5) / buckets[index]
    return min(max(value, float(minimum)), float(maximum))


class HistogramWriter:
    """The only writer of a histogram.

    Args:
        words: The block's words.
        first: Index of the histogram's first word.
    """

    __slots__ = ("_first", "_max", "_min", "_sum", "_words")

    def __init__(self, words: "memoryview[int]", first: int) -> None:
        self._words = words
        self._first = first
        self._sum = first + SUM
        # PERF: the extremes are mirrored here; reading a word back costs 30 ns, and they rarely change.
        self._min = words[first + MIN]
        self._max = words[first + MAX]

    def add(self, seconds: float, count: int) -> None:
        """Count a latency.

        Args:
            seconds: The latency; a negative one is counted as zero.
            count: How many times it was observed; >= 1.
        """
        micros = int(seconds * 1e6 + 0.5)
        if not self._min <= micros <= self._max:
            micros = self._extend_range(micros)
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

    def _extend_range(self, micros: int) -> int:
        micros = max(0, micros)
        if micros > self._max:
            self._max = self._words[self._first + MAX] = micros
        if micros < self._min:
            self._min = self._words[self._first + MIN] = micros
        return micros


class PairedHistogramWriter:
    """Writes each latency into two histograms, both of which others of this process write too.

    PERF: 0.15 us more than one histogram; the bucket is found once.

    Args:
        words: The block's words.
        first: Index of the first word of one histogram.
        other: That of the other.
    """

    __slots__ = ("_first", "_max", "_min", "_other", "_other_sum", "_sum", "_words")

    def __init__(self, words: "memoryview[int]", first: int, other: int) -> None:
        self._words = words
        self._first = first
        self._other = other
        self._sum = first + SUM
        self._other_sum = other + SUM
        # The range of what was written here: it lies within that of both histograms.
        self._min, self._max = EMPTY_MIN, -1

    def add(self, seconds: float, count: int) -> None:
        """Count a latency, as `HistogramWriter.add` does."""
        micros = int(seconds * 1e6 + 0.5)
        if not self._min <= micros <= self._max:
            micros = self._extend_ranges(micros)
        words = self._words
        total = micros * count
        words[self._sum] += total
        words[self._other_sum] += total
        index = micros
        if micros >= _LINEAR:
            shift = micros.bit_length() - SUB_BITS - 1
            index = (shift << SUB_BITS) + (micros >> shift)
            if index > _LAST:
                index = _LAST
        words[self._first + index] += count
        words[self._other + index] += count

    def _extend_ranges(self, micros: int) -> int:
        micros = max(0, micros)
        self._max = max(self._max, micros)
        self._min = min(self._min, micros)
        words = self._words
        for first in (self._first, self._other):
            if micros > words[first + MAX]:
                words[first + MAX] = micros
            if micros < words[first + MIN]:
                words[first + MIN] = micros
        return micros
