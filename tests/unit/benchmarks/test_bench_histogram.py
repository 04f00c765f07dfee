"""Quantiles of the client's histograms."""

import bisect
import itertools
import math
from collections import Counter

import pytest
from benchmarks.clients import Histogram, lower_bound
from hypothesis import given
from hypothesis import strategies as st

HOUR_US = 3_600_000_000
BOUNDS = [lower_bound(bucket) for bucket in range(64 * 37)]


def histogram(values: list[int]) -> Histogram:
    """Count values in microseconds."""
    buckets = Counter(bisect.bisect_right(BOUNDS, value) - 1 for value in values)
    return Histogram(
        count=len(values),
        sum=sum(values),
        min=min(values),
        max=max(values),
        buckets=tuple(sorted(buckets.items())),
    )


def test_buckets_are_narrow() -> None:
    """BENCH-1.6: The bounds of a bucket are at most 1.6 % apart, and the buckets reach beyond an hour."""
    assert all(low < high <= low + max(1, low / 64) for low, high in itertools.pairwise(BOUNDS))
    assert BOUNDS[0] == 0
    assert BOUNDS[-1] > HOUR_US


@given(st.lists(st.integers(0, HOUR_US), min_size=1), st.sampled_from([0.001, 0.5, 0.9, 0.99, 0.999, 1.0]))
def test_quantile_is_that_of_the_rank(values: list[int], q: float) -> None:
    """BENCH-1.6: A quantile is the value of rank ⌈q·count⌉, accurate to 1 %."""
    exact = sorted(values)[math.ceil(q * len(values)) - 1] / 1000

    assert histogram(values).quantile_ms(q) == pytest.approx(exact, rel=0.01, abs=0.001)


def test_empty_histogram_has_no_quantiles() -> None:
    """BENCH-1.6: Without values, percentile and mean are None, not a 0 that looks fast."""
    assert Histogram().quantile_ms(0.5) is None
    assert Histogram().mean_ms() is None


def test_mean_is_exact() -> None:
    """BENCH-1.6: The mean is computed from the values, not from the buckets."""
    assert histogram([1000, 2001, 90_002]).mean_ms() == pytest.approx(31.001)
