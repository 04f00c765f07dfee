"""Histograms: the bounds of buckets, and the error of quantiles."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.stats import histogram
from llmsim.stats.histogram import HistogramWriter

micros = st.integers(0, (1 << histogram.RANGE_BITS) - 1)


def _writer() -> tuple[HistogramWriter, "memoryview[int]"]:
    words = memoryview(bytearray(histogram.WORDS * 8)).cast("q")
    words[histogram.MIN] = histogram.EMPTY_MIN
    return HistogramWriter(words, 0), words


@given(micros)
def test_a_value_lies_within_its_bucket(value: int) -> None:
    """STATS-5.1: A latency up to 19 hours is counted in the bucket whose bounds enclose it."""
    lower, upper = histogram.bounds(histogram.bucket(value))

    assert lower <= value < upper


@given(micros)
def test_a_bucket_is_at_most_an_eighth_wide(value: int) -> None:
    """STATS-5.1: A bucket is 1 us wide, or at most 12.5 % of its lower bound."""
    lower, upper = histogram.bounds(histogram.bucket(value))

    assert upper - lower == 1 or (upper - lower) * 8 <= lower


def test_buckets_follow_each_other_without_gap() -> None:
    """STATS-5.1: Every value has exactly one bucket."""
    bounds = [histogram.bounds(index) for index in range(histogram.BUCKETS)]

    assert bounds[0][0] == 0
    assert all(upper == lower for (_, upper), (lower, _) in pairwise(bounds))
    assert bounds[-1][1] == 1 << histogram.RANGE_BITS


@given(st.integers(min_value=0, max_value=1 << 60))
def test_longer_latencies_fall_into_the_last_bucket(value: int) -> None:
    """STATS-5.1: Any latency can be counted."""
    assert 0 <= histogram.bucket(value) < histogram.BUCKETS


@given(st.lists(st.tuples(micros, st.integers(1, 50)), max_size=50))
def test_the_writer_and_bucket_agree(latencies: list[tuple[int, int]]) -> None:
    """STATS-5.2: Count, sum, minimum and maximum are exact to the microsecond, and each latency is in its bucket."""
    writer, words = _writer()
    for value, count in latencies:
        writer.add(value / 1e6, count)

    expected = [0] * histogram.BUCKETS
    for value, count in latencies:
        expected[histogram.bucket(value)] += count
    assert words[: histogram.BUCKETS].tolist() == expected
    assert words[histogram.SUM] == sum(value * count for value, count in latencies)
    assert words[histogram.MIN] == min((value for value, _ in latencies), default=histogram.EMPTY_MIN)
    assert words[histogram.MAX] == max((value for value, _ in latencies), default=0)


def test_a_very_long_latency_is_counted() -> None:
    """STATS-5.1: A latency beyond the range is counted in the last bucket, its maximum exact."""
    writer, words = _writer()
    writer.add(1e6, 1)

    assert words[histogram.BUCKETS - 1] == 1
    assert words[histogram.MAX] == 10**12


@pytest.mark.parametrize("seconds", [-1e-9, -0.0, -3.0])
def test_below_zero_counts_as_zero(seconds: float) -> None:
    """STATS-5.3: A latency below zero is counted as zero, also after others."""
    writer, words = _writer()
    writer.add(0.5, 1)
    writer.add(seconds, 1)
    writer.add(seconds, 1)

    assert words[0] == 2
    assert words[histogram.MIN] == 0
    assert words[histogram.SUM] == 500_000


@given(st.lists(micros, min_size=1, max_size=300), st.sampled_from([0.001, 0.5, 0.9, 0.99, 0.999, 1.0]))
def test_a_quantile_is_off_by_less_than_its_bucket(values: list[int], fraction: float) -> None:
    """STATS-5.4: A quantile lies in the bucket of the true one, and within the observed extremes."""
    buckets = [0] * histogram.BUCKETS
    for value in values:
        buckets[histogram.bucket(value)] += 1
    true = sorted(values)[max(1, math.ceil(fraction * len(values))) - 1]

    estimate = histogram.quantile(buckets, fraction, minimum=min(values), maximum=max(values))

    lower, upper = histogram.bounds(histogram.bucket(true))
    assert lower <= estimate <= upper - 1
    assert min(values) <= estimate <= max(values)


@given(st.lists(micros, min_size=1, max_size=100))
def test_quantiles_never_fall(values: list[int]) -> None:
    """STATS-5.4: A higher quantile is never below a lower one."""
    buckets = [0] * histogram.BUCKETS
    for value in values:
        buckets[histogram.bucket(value)] += 1

    estimates = [
        histogram.quantile(buckets, fraction, minimum=min(values), maximum=max(values))
        for fraction in (0.01, 0.5, 0.9, 0.99, 0.999, 1.0)
    ]
    assert estimates == sorted(estimates)


def test_a_successor_counts_on() -> None:
    """STATS-2.2: A second writer of a histogram keeps what the first one counted, extremes included."""
    writer, words = _writer()
    writer.add(0.010, 1)
    writer.add(0.030, 1)
    HistogramWriter(words, 0).add(0.020, 1)

    assert words[histogram.SUM] == 60_000
    assert words[histogram.MIN] == 10_000
    assert words[histogram.MAX] == 30_000
