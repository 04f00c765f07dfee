"""Additional rows in Locust's statistics: times of tokens, and how the load generator did.

Decisions:
* They are written beside `events.request`, so the aggregate row, the charts and the requests per second count
  requests only. A worker sends all its rows to its master, which adds them up: these too.
* A row's values are milliseconds, except TOK/S, whose values are the tokens per second of one response and whose
  sizes are its tokens, and CPU, whose values are percent.
"""

from typing import Any

from loadtest.summary import CPU, E2E, GENERATOR, ITL, LAG, REQUEST_KINDS, SPEED, TTFT, Row
from loadtest.timing import Timing, round_value


def record_response(
    stats: Any, name: str, timing: Timing, *, e2e: float, tokens: int | None, generates: bool
) -> None:
    """Record the times of one complete response.

    Args:
        stats: Locust's statistics.
        name: Name of the request.
        timing: Its times; without content if it was not streamed.
        e2e: Time until its last byte; ms.
        tokens: Output tokens; None if the server did not report them.
        generates: Whether it consists of tokens.
    """
    entries = stats.entries
    if timing.ttft is not None:
        entries[name, TTFT].log(timing.ttft, 0)
        if timing.gaps:
            _log_all(entries[name, ITL], timing.gaps)
    if generates:
        entries[name, E2E].log(e2e, 0)
        count = timing.deltas if tokens is None else tokens
        if count and e2e > 0:
            entries[name, SPEED].log(count * 1000 / e2e, count)


def _log_all(row: Any, values: list[float]) -> None:
    """Log one or more values at once.

    PERF: a tenth of the time of `row.log`, which reads the clock for each.
    """
    row.log(values[0], 0)
    rest = values[1:]
    if not rest:
        return
    row.num_requests += len(rest)
    row.num_reqs_per_sec[int(row.last_request_timestamp)] += len(rest)
    row.total_response_time += sum(rest)
    row.min_response_time = min(row.min_response_time, *rest)
    row.max_response_time = max(row.max_response_time, *rest)
    counts = row.response_times
    for value in rest:
        counts[round_value(value)] += 1


def record_lag(stats: Any, lag: float) -> None:
    """Record how late the load generator was; ms."""
    stats.entries[GENERATOR, LAG].log(lag, 0)


def record_cpu(stats: Any, percent: float) -> None:
    """Record the share of a core that a process of the load generator used; percent."""
    stats.entries[GENERATOR, CPU].log(percent, 0)


def read_rows(stats: Any) -> list[Row]:
    """Return the rows of the statistics."""
    return [
        Row(
            kind=kind,
            name=name,
            count=entry.num_requests,
            failures=entry.num_failures,
            total=entry.total_response_time,
            most=entry.max_response_time,
            histogram=dict(entry.response_times),
            size=entry.total_content_length,
        )
        for (name, kind), entry in stats.entries.items()
        if kind in (*REQUEST_KINDS, TTFT, ITL, E2E, SPEED, LAG, CPU)
    ]
