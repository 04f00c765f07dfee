"""Quantiles of what a client counts."""

import math

import pytest
from benchmarks.histogram import Histogram, lower_bound
from benchmarks.portable_client import Tally, bucket_of
from hypothesis import given
from hypothesis import strategies as st

HOUR_US = 3_600_000_000


def histogram(values: list[int]) -> Histogram:
    """Count values in microseconds as the portable client does."""
    tally = Tally()
    for value in values:
        # Half a microsecond more: what is counted is cut, and a float may lie just below.
        tally.observe((value + 0.5) / 1e6)
    plain = tally.plain()
    return Histogram(**{**plain, "buckets": tuple(plain["buckets"])})


@given(st.integers(0, HOUR_US))
def test_bucket_holds_its_value(value: int) -> None:
    """BENCH-1.6: A value lies between the bound of its bucket and the next, which are at most 1.6 % apart."""
    bucket = bucket_of(value)
    low, high = lower_bound(bucket), lower_bound(bucket + 1)

    assert low <= value < high
    assert high - low <= max(1, low / 64)


@given(st.lists(st.integers(0, HOUR_US), min_size=1), st.sampled_from([0.001, 0.5, 0.9, 0.99, 0.999, 1.0]))
def test_quantile_is_that_of_the_rank(values: list[int], q: float) -> None:
    """BENCH-1.6: A quantile is the value of rank ⌈q·count⌉, right to 1 %."""
    exact = sorted(values)[math.ceil(q * len(values)) - 1] / 1000

    assert histogram(values).quantile_ms(q) == pytest.approx(exact, rel=0.01, abs=0.001)


def test_nothing_has_no_quantiles() -> None:
    """BENCH-1.6: Without values there is no percentile, and no mean, rather than a 0 that looks fast."""
    assert Histogram().quantile_ms(0.5) is None
    assert Histogram().mean_ms() is None


def test_mean_is_exact() -> None:
    """BENCH-1.6: The mean is that of the values, not of the buckets."""
    assert histogram([1000, 2001, 90_002]).mean_ms() == pytest.approx(31.001)
