"""What a recording shows of the limits of an engine: the most sequences that ran at once, and the tokens that they held."""

from collections.abc import Mapping

from llmsim.calibration.judgement import Data
from loadtest.recordings import TimedRequest

LIMITS = ("max_num_seqs", "kv_tokens")
"""The settings that limit what runs at once."""

NO_LIMIT: Mapping[str, int | None] = {"max_num_seqs": 1_024, "kv_tokens": None}
"""Their values where nothing is ever full."""


def observe_limits(data: Data) -> dict[str, int | None]:
    """Return the most sequences that ran at once, and the tokens that they held: lower bounds of the limits."""
    most_running, most_tokens = 0, 0.0
    for recorded, places in data.traces:
        requests = [recorded.requests[place] for place in places]
        running = [
            (request.arrival + request.ttft, request.arrival + request.e2e, request)
            for request in requests
            if request.ttft is not None and request.e2e is not None
        ]
        for instant in sorted(start for start, _, _ in running)[:: max(1, len(running) // 400)]:
            now = [
                (request, (instant - start) / max(1e-9, end - start))
                for start, end, request in running
                if start <= instant < end
            ]
            most_running = max(most_running, len(now))
            held = sum(request.prompt_tokens + share * request.completion_tokens for request, share in now)
            most_tokens = max(most_tokens, held)
    if not most_running:
        return _observe_points(data)
    largest = max(map(_tokens, data.requests))
    # A preempted request seems to run on, so what seems to be held is above what was.
    return {"max_num_seqs": max(1, most_running), "kv_tokens": max(largest, round(0.8 * most_tokens))}


def _observe_points(data: Data) -> dict[str, int | None]:
    """Return limits that the largest points would be just above: where waits are long, one of them was reached."""
    if not data.points:
        return dict(NO_LIMIT)
    largest = max(
        point.concurrency * (point.prompt_tokens + point.completion_tokens // 2) for point in data.points
    )
    return {
        "max_num_seqs": max(1, 3 * max(point.concurrency for point in data.points) // 4),
        "kv_tokens": max(16, 3 * largest // 4),
    }


def _tokens(request: TimedRequest) -> int:
    return request.prompt_tokens + request.completion_tokens
