"""Schedules: when token k exists."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.turns import deviates

from llmsim.domain import Schedule

SECONDS = st.floats(0, 10, allow_nan=False)
SPREADS = st.floats(0.001, 10, allow_nan=False)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    size = 2 ** draw(st.integers(0, 5))
    return Schedule(
        ttft=draw(SECONDS),
        itl=draw(SECONDS),
        spread=draw(st.just(0.0) | SPREADS),
        table=deviates(*draw(st.lists(st.floats(-4, 4), min_size=size, max_size=size))),
        start=draw(st.integers(0, size - 1)),
        stride=draw(st.integers(0, 40)) * 2 + 1,
        stall_after=draw(st.integers(0, 90)),
        stall=draw(st.just(0.0) | SECONDS),
    )


@given(schedules(), st.integers(0, 80))
def test_tokens_exist_one_after_the_other(schedule: Schedule, tokens: int) -> None:
    """LAT-2.1: A later token never exists before an earlier one."""
    assert schedule.due(tokens) <= schedule.due(tokens + 1)


@given(schedules(), st.integers(1, 80))
def test_due_is_the_first_token_and_the_gaps_before(schedule: Schedule, tokens: int) -> None:
    """LAT-2.1: Token k exists at the time to first token and the first k - 1 gaps."""
    gaps = [schedule.gap(token) for token in range(1, tokens)]

    assert schedule.due(tokens) == pytest.approx(schedule.ttft + math.fsum(gaps), rel=1e-12, abs=1e-12)


@given(schedules(), st.integers(1, 80))
def test_gaps_read_one_by_one_add_up_to_the_same_instant(schedule: Schedule, tokens: int) -> None:
    """LAT-2.2: Gaps added one by one lead to the same instant as the schedule as a whole."""
    instant = schedule.ttft
    for token in range(1, tokens):
        instant += schedule.gap(token)

    assert schedule.due(tokens) == pytest.approx(instant, rel=1e-12)
    if schedule.spread:
        assert schedule.due(tokens) == instant


@given(schedules(), st.integers(1, 80))
def test_a_gap_does_not_depend_on_earlier_calls(schedule: Schedule, token: int) -> None:
    """LAT-2.2: A schedule is a value: its gaps are the same in any order."""
    backwards = [schedule.gap(other) for other in range(token, 0, -1)]

    assert backwards[::-1] == [schedule.gap(other) for other in range(1, token + 1)]


@given(schedules(), st.integers(1, 80))
def test_no_gap_is_negative(schedule: Schedule, token: int) -> None:
    """LAT-1.4: A sampled latency below zero is cut to zero."""
    assert schedule.gap(token) >= 0.0


def test_deviates_are_scaled_and_cut_at_zero() -> None:
    """LAT-1.4: A gap is its mean plus a deviate times the deviation, and zero where that is negative."""
    schedule = Schedule(ttft=1.0, itl=0.04, spread=0.02, table=deviates(0.5, -3.0), start=0, stride=1)

    assert schedule.gap(1) == 0.0
    assert schedule.gap(2) == pytest.approx(0.05)
    assert schedule.due(3) == pytest.approx(1.05)


def test_nothing_is_due_at_once() -> None:
    """LAT-2.1: Zero tokens exist when the request arrives."""
    assert Schedule(ttft=0.6, itl=0.04).due(0) == 0.0


@given(SECONDS, SECONDS, st.integers(1, 5000))
def test_without_deviation_the_instants_are_even(ttft: float, itl: float, tokens: int) -> None:
    """LAT-2.1: Without deviation token k exists at ttft + (k - 1) * itl."""
    schedule = Schedule(ttft=ttft, itl=itl)

    assert schedule.due(tokens) == pytest.approx(ttft + math.fsum([itl] * (tokens - 1)), rel=1e-9)


@pytest.mark.parametrize("stride", [1, 3, 7, 2**14 - 1, 12345])
def test_every_deviate_is_met_before_one_recurs(stride: int) -> None:
    """LAT-1.4: An odd stride visits the whole table, so a long turn sees the whole distribution."""
    size = 2**8
    table = tuple(float(index) for index in range(size))
    schedule = Schedule(ttft=0.0, itl=0.0, spread=1.0, table=deviates(*table), start=77, stride=stride)

    assert sorted(schedule.gap(token) for token in range(1, size + 1)) == list(table)


def test_a_table_that_is_gone_leaves_the_mean() -> None:
    """LAT-4.6: A schedule that was stored under other settings still has its instants, to the mean."""
    schedule = Schedule(ttft=1.0, itl=0.04, spread=0.02, table="of other settings", start=5, stride=7)

    assert [schedule.gap(token) for token in (1, 2, 900)] == [0.04] * 3
    assert schedule.due(3) == pytest.approx(1.08)
