"""Traces as JSON lines or CSV: one request a row.

{"arrival_ms": 386.9, "prompt_tokens": 1034, "completion_tokens": 769, "ttft_ms": 302.5, "e2e_ms": 25232.3}
"""

from collections.abc import Iterable

from loadtest.recordings.fields import Row, check_order
from loadtest.recordings.recording import Recording, TimedRequest, build_trace

KEY = "arrival_ms"
"""The field that no other format has."""


def parse_trace(name: str, rows: Iterable[Row]) -> Recording:
    """Parse a trace; a row without times is load that is not judged."""
    found = [_parse_request(row) for row in rows]
    return Recording(traces=(build_trace(name, found),)) if found else Recording()


def _parse_request(row: Row) -> TimedRequest:
    ttft = row.optional_seconds("ttft_ms", per_second=1000)
    e2e = row.optional_seconds("e2e_ms", per_second=1000)
    check_order(row, ttft, e2e, ("ttft_ms", "e2e_ms"))
    return TimedRequest(
        arrival=row.seconds("arrival_ms", per_second=1000),
        prompt_tokens=row.tokens("prompt_tokens"),
        completion_tokens=row.tokens("completion_tokens"),
        ttft=ttft,
        e2e=e2e,
    )
