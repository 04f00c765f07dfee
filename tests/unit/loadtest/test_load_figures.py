"""Times, histograms and arrivals."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.suites import generate_arrivals
from loadtest.timing import Timing, compute_quantile, merge_histograms, round_value

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)


def test_times_are_between_arrivals() -> None:
    """LOAD-2.2, LOAD-2.3: Times go from the origin to the first content, and from one content to the next."""
    timing = Timing(10.0)
    for now in (10.5, 10.75, 11.0):
        timing.add_content(now, 1)

    assert timing.ttft == 500
    assert timing.gaps == [250, 250]
    assert timing.deltas == 3
    assert timing.elapsed(12.0) == 2000


def test_what_was_read_together_has_gaps_of_zero() -> None:
    """LOAD-2.3: Three events read at once, then two, have gaps of zero between them."""
    timing = Timing(0.0)
    timing.add_content(1.0, 3)
    timing.add_content(1.5, 2)

    assert timing.ttft == 1000
    assert timing.gaps == [0, 0, 500, 0]
    assert timing.deltas == 5


def test_no_content_has_no_times() -> None:
    """LOAD-2.2: A response without content has no times."""
    timing = Timing(0.0)

    assert (timing.ttft, timing.gaps, timing.deltas) == (None, [], 0)


@given(st.floats(0, 1e7))
def test_rounding_keeps_three_digits(value: float) -> None:
    """LOAD-2.6: Rounding changes a value by half a percent at most, or 0.005."""
    assert abs(round_value(value) - value) <= max(0.0051, value * 0.0051)


def test_rounding_gives_few_values() -> None:
    """LOAD-2.6: There are some thousand different values up to a quarter of an hour, so rows stay small."""
    rng = random.Random(7)

    assert len({round_value(10 ** rng.uniform(-3, 6)) for _ in range(100_000)}) < 6000


@given(VALUES, st.floats(0, 1))
def test_a_quantile_is_the_smallest_such_value(values: list[float], share: float) -> None:
    """LOAD-2.6: At least that share of the values is at or below the quantile, and less is below it."""
    found = compute_quantile(Counter(values), share)

    assert found is not None
    assert sum(value <= found for value in values) >= share * len(values)
    assert found == min(values) or sum(value < found for value in values) < share * len(values)


@given(VALUES, VALUES)
def test_histograms_add_up(one: list[float], other: list[float]) -> None:
    """LOAD-2.6: Two processes together have the histogram that one would have."""
    assert merge_histograms([Counter(one), Counter(other)]) == Counter(one + other)


def test_an_empty_histogram_has_no_quantile() -> None:
    """LOAD-2.6: The quantile of an empty histogram is None, not zero."""
    assert compute_quantile({}, 0.5) is None


@pytest.mark.parametrize("poisson", [True, False])
def test_arrivals_follow_the_rate(poisson: bool) -> None:
    """LOAD-4.1: There are as many arrivals as rate and length imply, in rising order."""

    def rate(elapsed: float) -> float | None:
        return 200.0 if elapsed < 50 else None

    found = list(generate_arrivals(rate, poisson=poisson, rng=random.Random(7)))

    assert found == sorted(found)
    assert found[-1] < 50
    # Poisson arrivals have a standard deviation of 100 here.
    assert abs(len(found) - 10_000) <= (500 if poisson else 1)


def test_constant_arrivals_are_even() -> None:
    """LOAD-4.1: At a constant rate all gaps are equal, after a random phase."""

    def rate(elapsed: float) -> float | None:
        return 5.0 if elapsed < 10 else None

    found = list(generate_arrivals(rate, poisson=False, rng=random.Random(7)))

    assert [b - a for a, b in itertools.pairwise(found)] == pytest.approx([0.2] * (len(found) - 1))


def test_poisson_gaps_are_exponential() -> None:
    """LOAD-4.1: Mean and standard deviation of Poisson gaps are equal."""

    def rate(elapsed: float) -> float | None:
        return 100.0 if elapsed < 100 else None

    found = list(generate_arrivals(rate, poisson=True, rng=random.Random(7)))
    gaps = [b - a for a, b in itertools.pairwise(found)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5

    assert mean == pytest.approx(0.01, rel=0.05)
    assert deviation == pytest.approx(0.01, rel=0.05)


def test_arrivals_follow_a_rate_that_changes() -> None:
    """LOAD-4.1: There are no arrivals while the rate is zero, and more as it rises."""

    def rate(elapsed: float) -> float | None:
        if elapsed >= 30:
            return None
        return 0.0 if elapsed < 10 else (elapsed - 10) * 10

    found = list(generate_arrivals(rate, poisson=False, rng=random.Random(7)))
    early = sum(instant < 20 for instant in found)

    assert found[0] >= 10
    assert early == pytest.approx(500, rel=0.05)
    assert len(found) - early == pytest.approx(1500, rel=0.05)
