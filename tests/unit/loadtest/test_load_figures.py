"""Times, histograms and arrivals: what is computed from instants."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.arrivals import instants
from loadtest.figures import merged, quantile, rounded
from loadtest.timing import Timing

VALUES = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)


def test_times_are_between_arrivals() -> None:
    """LOAD-2.2, LOAD-2.3: From the origin to the first content, and from one content to the next."""
    timing = Timing(10.0)
    for now in (10.5, 10.75, 11.0):
        timing.content(now, 1)

    assert timing.ttft == 500
    assert timing.gaps == [250, 250]
    assert timing.deltas == 3
    assert timing.elapsed(12.0) == 2000


def test_what_was_read_together_has_gaps_of_zero() -> None:
    """LOAD-2.3: Three at once, then two at once."""
    timing = Timing(0.0)
    timing.content(1.0, 3)
    timing.content(1.5, 2)

    assert timing.ttft == 1000
    assert timing.gaps == [0, 0, 500, 0]
    assert timing.deltas == 5


def test_no_content_has_no_times() -> None:
    """LOAD-2.2: Nothing is made up."""
    timing = Timing(0.0)

    assert (timing.ttft, timing.gaps, timing.deltas) == (None, [], 0)


@given(st.floats(0, 1e7))
def test_rounding_keeps_three_digits(value: float) -> None:
    """LOAD-2.6: What is lost is half a percent at most, or 0.005."""
    assert abs(rounded(value) - value) <= max(0.0051, value * 0.0051)


def test_rounding_gives_few_values() -> None:
    """LOAD-2.6: Some thousand different ones up to a quarter of an hour, so rows stay small."""
    dice = random.Random(7)

    assert len({rounded(10 ** dice.uniform(-3, 6)) for _ in range(100_000)}) < 6000


@given(VALUES, st.floats(0, 1))
def test_a_quantile_is_the_smallest_value_that_suffices(values: list[float], share: float) -> None:
    """LOAD-2.6: At least that share lies at or below it, and less below it."""
    found = quantile(Counter(values), share)

    assert found is not None
    assert sum(value <= found for value in values) >= share * len(values)
    assert found == min(values) or sum(value < found for value in values) < share * len(values)


@given(VALUES, VALUES)
def test_histograms_add_up(one: list[float], other: list[float]) -> None:
    """LOAD-2.6: Two processes count what one would have."""
    assert merged([Counter(one), Counter(other)]) == Counter(one + other)


def test_nothing_has_no_quantile() -> None:
    """LOAD-2.6: None, and not zero."""
    assert quantile({}, 0.5) is None


@pytest.mark.parametrize("poisson", [True, False])
def test_arrivals_follow_the_rate(poisson: bool) -> None:
    """LOAD-4.1: As many as the rate and the length ask for, rising, whatever becomes of them."""

    def rate(elapsed: float) -> float | None:
        return 200.0 if elapsed < 50 else None

    found = list(instants(rate, poisson=poisson, dice=random.Random(7)))

    assert found == sorted(found)
    assert found[-1] < 50
    # Poisson arrivals have a standard deviation of 100 here.
    assert abs(len(found) - 10_000) <= (500 if poisson else 1)


def test_constant_arrivals_are_even() -> None:
    """LOAD-4.1: The same gap each time, behind a phase of their own."""

    def rate(elapsed: float) -> float | None:
        return 5.0 if elapsed < 10 else None

    found = list(instants(rate, poisson=False, dice=random.Random(7)))

    assert [b - a for a, b in itertools.pairwise(found)] == pytest.approx([0.2] * (len(found) - 1))


def test_poisson_gaps_are_exponential() -> None:
    """LOAD-4.1: Mean and standard deviation are alike."""

    def rate(elapsed: float) -> float | None:
        return 100.0 if elapsed < 100 else None

    found = list(instants(rate, poisson=True, dice=random.Random(7)))
    gaps = [b - a for a, b in itertools.pairwise(found)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5

    assert mean == pytest.approx(0.01, rel=0.05)
    assert deviation == pytest.approx(0.01, rel=0.05)


def test_arrivals_follow_a_rate_that_changes() -> None:
    """LOAD-4.1: None while it is zero, and more as it rises."""

    def rate(elapsed: float) -> float | None:
        if elapsed >= 30:
            return None
        return 0.0 if elapsed < 10 else (elapsed - 10) * 10

    found = list(instants(rate, poisson=False, dice=random.Random(7)))
    early = sum(instant < 20 for instant in found)

    assert found[0] >= 10
    assert early == pytest.approx(500, rel=0.05)
    assert len(found) - early == pytest.approx(1500, rel=0.05)
