"""Judging the retries of a request; see REPORT in the specs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.domain.client_report import Finding, Misbehaviour
from llmsim.state.client_calls import HUNG_UP, CallRecord, backs_off

START = 1000.0
TOOK = 0.01


def played(
    pauses: list[float], *, status: int = 500, wait: float = 0.0, counts: list[int] | None = None
) -> CallRecord:
    """Return the record of a request that fails, and is sent again after pauses."""
    record, now = CallRecord(b"client", "completions"), START
    for number, pause in enumerate([0.0, *pauses]):
        now += pause
        count = -1 if counts is None else counts[number]
        record.begin(now, count)
        record.end(now, now + TOOK, status, wait, count)
        now += TOOK
    return record


def kinds(record: CallRecord) -> dict[Misbehaviour, Finding]:
    return {finding.kind: finding for finding in record.findings}


def test_early_retry_is_found_with_its_seconds() -> None:
    """REPORT-2.1: The earliest retry counts, and retries that wait are right."""
    record = played([2.0, 0.5, 1.5, 2.5], status=429, wait=2.0)

    found = kinds(record)
    assert set(found) == {Misbehaviour.RETRY_AFTER}
    assert found[Misbehaviour.RETRY_AFTER].count == 2
    assert found[Misbehaviour.RETRY_AFTER].worst == pytest.approx(1.5)
    assert "0.50 s after a 429 with a retry-after of 2 s" in found[Misbehaviour.RETRY_AFTER].example


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 422])
def test_final_error_is_not_to_be_retried(status: int) -> None:
    """REPORT-2.2: One repetition is enough."""
    assert kinds(played([5.0], status=status))[Misbehaviour.NOT_RETRYABLE].count == 1


@pytest.mark.parametrize("status", [0, 408, 409, 425, 429, HUNG_UP, 500, 503, 529])
def test_other_errors_may_be_retried(status: int) -> None:
    """REPORT-2.2: Nothing is found of a client that backs off."""
    assert not kinds(played([0.5, 1.0, 2.0, 4.0, 8.0, 7.0], status=status))


def test_storm() -> None:
    """REPORT-2.3: Ten retries within ten seconds are one; nine are none, and ten in more time are none."""
    storm = kinds(played([0.01] * 14))[Misbehaviour.RETRY_STORM]

    assert storm.worst == 14
    assert storm.count == 1
    assert Misbehaviour.RETRY_STORM not in kinds(played([0.5] * 9))
    assert Misbehaviour.RETRY_STORM not in kinds(played([1.5] * 10))


@pytest.mark.parametrize(
    ("pauses", "is_backoff"),
    [
        ([0.01, 0.02], False),
        ([1.0, 1.0], True),
        ([1.0, 1.0, 1.02], False),
        ([0.2, 0.23, 0.21, 0.2], False),
        ([0.9, 0.6, 0.3], False),
        ([0.4, 0.9, 2.0], True),
        ([0.3, 0.1, 1.4], True),
        ([8.0, 8.0, 8.0], True),
        ([0.0], True),
        ([0.01, 0.02, 0.3, 0.01, 0.2, 0.02, 0.03, 0.01], False),
    ],
)
def test_backoff(pauses: list[float], is_backoff: bool) -> None:
    """REPORT-2.4: Level and shrinking pauses are none."""
    assert backs_off(pauses) is is_backoff
    assert (Misbehaviour.NO_BACKOFF in kinds(played(pauses))) is not is_backoff


def test_waits_that_the_server_asked_for_are_no_evidence() -> None:
    """REPORT-2.4: Level pauses are right where they were asked for."""
    assert not kinds(played([1.0] * 5, status=429, wait=1.0))


@given(jitter=st.lists(st.floats(0.75, 1.0), min_size=1, max_size=8), wait=st.floats(0, 0.05))
def test_sdk_backoff_is_never_found(jitter: list[float], wait: float) -> None:
    """REPORT-2.8: The waits of the SDKs, with what a slow client adds to them, are a backoff."""
    pauses = [min(0.5 * 2**number, 8.0) * factor + wait for number, factor in enumerate(jitter)]

    assert not kinds(played(pauses))


def test_overlapping_requests_are_not_judged() -> None:
    """REPORT-1.4: What was found before is dropped: it may have been another user's request."""
    record = played([0.0, 0.0, 0.0], status=429, wait=5.0)
    assert record.findings
    record.begin(START + 10, -1)
    record.begin(START + 10.5, -1)

    assert record.is_shared
    assert not record.findings


def test_request_that_was_under_way_before_the_failure_overlaps() -> None:
    """REPORT-1.4: One that arrived earlier and ends later was no retry, and shows that the next may be none."""
    record = played([0.0], status=429, wait=5.0)
    record.end(START - 1, START + 1, None, 0.0, -1)

    assert record.is_shared


def test_new_call_of_an_sdk_is_no_retry() -> None:
    """REPORT-1.5: After its retries the SDK gave up, and the application calls again."""
    assert not kinds(played([0.5, 0.9, 0.0, 0.5], status=429, wait=0.5, counts=[0, 1, 2, 0, 1]))
    assert kinds(played([0.5, 0.9, 0.0, 0.5], status=429, wait=0.5))


def test_success_ends_a_chain() -> None:
    """REPORT-1.3: What is sent after an answer is a new request; what was found stays."""
    record = played([0.01, 0.01])
    now = START + 0.05
    record.begin(now, -1)
    record.end(now, now + TOOK, None, 0.0, -1)
    before = record.retries
    record.begin(now + 1, -1)
    record.end(now + 1, now + 1.01, 400, 0.0, -1)

    assert record.retries == before
    assert set(kinds(record)) == {Misbehaviour.NO_BACKOFF}


def test_late_repetition_is_no_retry() -> None:
    """REPORT-1.3: After a minute it is a new request."""
    assert not kinds(played([61.0], status=400))
    assert kinds(played([59.0], status=400))
