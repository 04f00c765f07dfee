"""The arithmetic of token buckets: against a model that keeps a list of all that was admitted, without a clock."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.domain.quota import PERIODS, Amounts, Limits, QuotaStatus, limits_of
from llmsim.state.quota_buckets import MOST_USED, admit, book, decline, find_exceeded

limits = st.tuples(*[st.just(0) | st.integers(1, 60) for _ in PERIODS])
requests = st.lists(
    st.tuples(st.integers(0, 90_000_000), st.tuples(*[st.integers(0, 40) for _ in PERIODS])), max_size=60
)


class Bucket:
    """Buckets as they are described: fractions, one request after the other."""

    def __init__(self, amounts: Amounts) -> None:
        self.rates = [Fraction(amount, period) for amount, period in zip(amounts, PERIODS, strict=True)]
        self.amounts = amounts
        self.used = [Fraction(0)] * len(PERIODS)

    def wait(self, elapsed: int) -> None:
        """Let time pass."""
        self.used = [
            max(Fraction(0), used - rate * elapsed) for used, rate in zip(self.used, self.rates, strict=True)
        ]

    def admits(self, request: Amounts) -> bool:
        """Book a request if all limits allow it; return whether they do."""
        wanted = zip(self.used, request, self.amounts, strict=True)
        if any(limit and used + (amount or 1) > limit for used, amount, limit in wanted):
            return False
        self.used = [used + amount for used, amount in zip(self.used, request, strict=True)]
        return True


def ask(used: list[int], limit: Limits, request: Amounts, elapsed: int) -> bool:
    """Let time pass and ask in one step; the single steps come to the same."""
    steps = used.copy()
    decline(steps, limit, elapsed)
    exceeded = find_exceeded(steps, limit, request)
    later = admit(used, limit, request, elapsed, 5)
    booked = admit(used, limit, request, elapsed)
    assert (booked is None) == (exceeded is not None)
    if booked is None:
        decline(used, limit, elapsed)
    else:
        book(steps, limit, request)
        used[:] = booked[0]
        apart = used.copy()
        book(apart, limit, (0, 5, 0, 5, 0))
        assert later == (used, apart)
    assert used == steps
    return exceeded is None


@given(limits, requests)
def test_buckets_admit_what_the_model_admits(amounts: Amounts, asked: list[tuple[int, Amounts]]) -> None:
    """LIM-2.1: A request is admitted if and only if all limits allow it, to the microsecond; else it takes nothing."""
    limit, model, used = limits_of(amounts), Bucket(amounts), [0] * 5

    for elapsed, request in asked:
        model.wait(elapsed)
        assert ask(used, limit, request, elapsed) == model.admits(request)
        for index, most in enumerate(amounts):
            assert not most or Fraction(used[index], PERIODS[index]) == model.used[index]


@given(limits, requests)
def test_no_window_sees_more_than_the_limit_and_one_burst(
    amounts: Amounts, asked: list[tuple[int, Amounts]]
) -> None:
    """LIM-2.2: In any window of a minute, and of a day for `rpd`, at most twice the limit is admitted."""
    limit, used, now = limits_of(amounts), [0] * 5, 0
    admitted: list[tuple[int, Amounts]] = []

    for elapsed, request in asked:
        now += elapsed
        if ask(used, limit, request, elapsed):
            admitted.append((now, request))

    for index, most in enumerate(amounts):
        for begin, _ in admitted:
            window = [request[index] for at, request in admitted if begin <= at < begin + PERIODS[index]]
            assert not most or sum(window) <= 2 * most


@given(limits, requests, st.tuples(*[st.integers(0, 60) for _ in PERIODS]))
def test_waiting_as_long_as_asked_is_enough_and_no_less(
    amounts: Amounts, asked: list[tuple[int, Amounts]], request: Amounts
) -> None:
    """LIM-2.3: After the time to wait a request is admitted; a microsecond earlier it is not."""
    limit, used = limits_of(amounts), [0] * 5
    for elapsed, earlier in asked:
        ask(used, limit, earlier, elapsed)

    exceeded = find_exceeded(used, limit, request)

    if exceeded is None:
        return
    if exceeded.wait is None:
        assert exceeded.requested > exceeded.limit
        return
    early = used.copy()
    decline(early, limit, exceeded.wait - 1)
    decline(used, limit, exceeded.wait)
    assert find_exceeded(early, limit, request) is not None
    assert find_exceeded(used, limit, request) is None


@given(limits, requests)
def test_remaining_is_never_negative(amounts: Amounts, charged: list[tuple[int, Amounts]]) -> None:
    """LIM-3.3: Not even where more was used than is allowed; and it is all of the limit after the reset."""
    limit, used = limits_of(amounts), [0] * 5
    for elapsed, request in charged:
        decline(used, limit, elapsed)
        book(used, limit, request)
        rates = QuotaStatus(0, limit, limit.select(used)).rates()
        assert all(0 <= rate[1] <= rate[0] for rate in rates.values())

    rates = QuotaStatus(0, limit, limit.select(used)).rates()
    decline(used, limit, max((rate[2] for rate in rates.values()), default=0))

    assert all(rate[1] == rate[0] for rate in QuotaStatus(0, limit, limit.select(used)).rates().values())


def test_request_larger_than_the_limit_has_no_time_to_wait() -> None:
    """LIM-3.5: No waiting would admit it; it is named before a limit that is free again some time."""
    limit, used = limits_of((1, 10, 0, 0, 0)), [0] * 5
    book(used, limit, (1, 1, 0, 0, 0))

    exceeded = find_exceeded(used, limit, (1, 11, 0, 0, 1))

    assert exceeded is not None
    assert (exceeded.kind, exceeded.limit, exceeded.requested, exceeded.wait_ms) == ("tpm", 10, 11, None)


def test_what_is_used_fits_its_place() -> None:
    """LIM-2.7: However much is charged, it can be stored."""
    limit, used = limits_of((0, 0, 0, 0, 1)), [0] * 5

    book(used, limit, (0, 0, 0, 0, 2**62))

    assert used[4] == MOST_USED


@pytest.mark.parametrize(("wait", "milliseconds"), [(1, 1), (1000, 1), (1001, 2), (19_900_001, 19_901)])
def test_milliseconds_are_rounded_up(wait: int, milliseconds: int) -> None:
    """LIM-3.4: A client that waits for whole milliseconds waits long enough."""
    limit, used = limits_of((60, 0, 0, 0, 0)), [60 * PERIODS[0] - PERIODS[0] + wait * 60, 0, 0, 0, 0]

    exceeded = find_exceeded(used, limit, (1, 0, 0, 0, 0))

    assert exceeded is not None
    assert exceeded.wait_ms == milliseconds
