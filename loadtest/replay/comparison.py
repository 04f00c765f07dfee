"""Compares what was measured with what the recording has.

Decisions:
* The whole trace is replayed, because what ran before determines what waits; the second half is judged on its own too, as
  a profile is often fitted on the first.
* Only requests that have a time in the recording, and succeeded in the replay, are compared.
"""

import statistics
from collections.abc import Sequence

import msgspec

from loadtest.distances import Measure, build_measure, percentile, time_per_token
from loadtest.replay.schedule import Outcome

MEASURES = ("ttft", "tpot", "e2e")


class Part(msgspec.Struct, frozen=True):
    """A part of the trace.

    Attributes:
        name: Which one.
        measures: One for each kind of time that the recording has.
    """

    name: str
    measures: tuple[Measure, ...]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All that a replay found.

    Attributes:
        requests: Requests replayed.
        failed: Requests that failed.
        failures: How often each reason occurred.
        exact_prompts: Requests whose prompt the server counted as recorded.
        exact_completions: Requests whose output was as long as recorded.
        late_ms: Mean, p99 and maximum of how late the client sent; ms.
        lag_p99_ms: p99 of the delay of the client's event loop; ms.
        parts: The whole trace and its second half.
    """

    requests: int
    failed: int
    failures: dict[str, int]
    exact_prompts: int
    exact_completions: int
    late_ms: tuple[float, float, float]
    lag_p99_ms: float
    parts: tuple[Part, ...]


def compare(outcomes: Sequence[Outcome], lags: Sequence[float]) -> Comparison:
    """Compare the outcomes of a replay with their requests."""
    failures: dict[str, int] = {}
    for outcome in outcomes:
        if outcome.error is not None:
            failures[outcome.error] = failures.get(outcome.error, 0) + 1
    judged = [outcome for outcome in outcomes if outcome.request.is_judged]
    parts = [("all", judged), ("second half", judged[len(judged) // 2 :])]
    late = [1000 * outcome.late for outcome in outcomes if outcome.late is not None] or [0.0]
    return Comparison(
        requests=len(outcomes),
        failed=sum(failures.values()),
        failures=failures,
        exact_prompts=sum(outcome.prompt_tokens == outcome.request.prompt_tokens for outcome in outcomes),
        exact_completions=sum(
            outcome.completion_tokens == outcome.request.completion_tokens for outcome in outcomes
        ),
        late_ms=(statistics.fmean(late), percentile(late, 0.99), max(late)),
        lag_p99_ms=1000 * percentile(lags or [0.0], 0.99),
        parts=tuple(Part(name, _measure_all(found)) for name, found in parts if found),
    )


def pairs(outcomes: Sequence[Outcome], measure: str) -> list[tuple[float, float]]:
    """Return recorded and measured time of each request that has both; s."""
    found = []
    for outcome in outcomes:
        request = outcome.request
        recorded = _time(measure, request.ttft, request.e2e, request.completion_tokens)
        measured = _time(measure, outcome.ttft, outcome.e2e, outcome.completion_tokens or 0)
        if recorded is not None and measured is not None:
            found.append((recorded, measured))
    return found


def _time(measure: str, ttft: float | None, e2e: float | None, tokens: int) -> float | None:
    match measure:
        case "ttft":
            return ttft
        case "e2e":
            return e2e
    return time_per_token(ttft, e2e, tokens)


def _measure_all(outcomes: Sequence[Outcome]) -> tuple[Measure, ...]:
    found = []
    for name in MEASURES:
        if times := pairs(outcomes, name):
            recorded, measured = ([pair[side] for pair in times] for side in (0, 1))
            found.append(build_measure(name, recorded, measured))
    return tuple(found)
