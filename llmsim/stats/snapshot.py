"""What the counters say at one moment: the values behind `GET /llmsim/stats` and `llmsim stats`.

Decisions:
* The fields are named as in the JSON, which keeps every name of llmsim 0.4.0 (Rust); so a
  snapshot read over HTTP decodes into the same struct as one read from memory.
* `uptime_secs` is whole, `avg_latency_ms` is 0 and the extremes are null while nothing has
  finished, as in the original. Our own `latency` says null for all it does not know.
"""

import math
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.stats import histogram, layout
from llmsim.stats.block import Block
from llmsim.stats.figures import (
    EndpointStats,
    Lag,
    Latencies,
    Latency,
    ModelStats,
    Recent,
    Verdict,
    WorkerStats,
)
from llmsim.stats.outcome import Outcome
from llmsim.stats.reading import SlotReading, is_alive, read
from llmsim.stats.verdict import available_cores, judge
from llmsim.stats.vitals import Vitals, vitals

RECENT_SECONDS = 60
RATE_SECONDS = 10


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All counters at one moment, over all workers.

    Attributes:
        uptime_secs: Whole seconds since the server started.
        started_at: Unix time of the start, in seconds.
        taken_at: Unix time of the snapshot, in seconds.
        total_requests: Requests to generation endpoints that began.
        active_requests: Those of them in flight.
        streaming_requests: Accepted requests to be streamed.
        non_streaming_requests: Accepted requests to be answered at once.
        finished_requests: Ended with the whole answer sent.
        refused_requests: Ended with an error because the request was wrong.
        abandoned_requests: Ended by the client's hanging up.
        aborted_requests: Ended because the server gave up: a worker died, or the drain ran out.
        failed_requests: Ended by a bug of the simulator.
        prompt_tokens: Tokens of accepted prompts.
        completion_tokens: Completion tokens that were sent.
        total_tokens: Both together.
        total_errors: Simulated failures and bugs.
        rate_limit_errors: Simulated 429s.
        server_errors: Simulated 500s and 503s.
        overloaded_errors: The part of `server_errors` that says overloaded.
        timeout_errors: Simulated 504s.
        invalid_request_errors: Simulated 400s.
        authentication_errors: Simulated 401s.
        requests_per_second: Mean over the last ten complete seconds, or over the uptime until there are ten.
        tokens_per_second: The same for completion tokens.
        avg_latency_ms: Mean end-to-end latency of finished requests.
        min_latency_ms: The shortest; None while nothing has finished.
        max_latency_ms: The longest; None while nothing has finished.
        websocket_connections: WebSocket connections open.
        websocket_connections_total: WebSocket connections that were taken.
        evicted_records: Records that left the shared store to make room.
        verdict: Whether the simulator kept its own time lately.
        loop_lag_ms: The worst of all living workers; None while there is none.
        model_requests: Accepted requests by model.
        endpoints: By stats label.
        models: By model id, most requests first.
        workers: By slot; those that are taken, or have counted anything.
        latency: Observed distributions.
        last_60_seconds: Second by second.
    """

    uptime_secs: int
    started_at: float
    taken_at: float
    total_requests: int
    active_requests: int
    streaming_requests: int
    non_streaming_requests: int
    finished_requests: int
    refused_requests: int
    abandoned_requests: int
    aborted_requests: int
    failed_requests: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    total_errors: int
    rate_limit_errors: int
    server_errors: int
    overloaded_errors: int
    timeout_errors: int
    invalid_request_errors: int
    authentication_errors: int
    requests_per_second: float
    tokens_per_second: float
    avg_latency_ms: float
    min_latency_ms: float | None
    max_latency_ms: float | None
    websocket_connections: int
    websocket_connections_total: int
    evicted_records: int
    verdict: Verdict
    loop_lag_ms: Lag | None
    model_requests: dict[str, int]
    endpoints: dict[str, EndpointStats]
    models: dict[str, ModelStats]
    workers: tuple[WorkerStats, ...]
    latency: Latencies
    last_60_seconds: Recent

    def as_dict(self) -> dict[str, Any]:
        """Give the JSON object of `GET /llmsim/stats`: the fields, and `<label>_requests` for each endpoint.

        Returns:
            Builtins only; `responses_requests` is there also without such an endpoint.
        """
        by_label = {f"{label}_requests": counts.requests for label, counts in self.endpoints.items()}
        report: dict[str, Any] = {}
        for name, value in msgspec.to_builtins(self).items():
            report[name] = value
            if name == "non_streaming_requests":
                report |= by_label | {"responses_requests": by_label.get("responses_requests", 0)}
        return report


def snapshot(block: Block, now: float, *, wall: float | None = None) -> Snapshot:
    """Read the counters.

    Args:
        block: An instance's block, one's own or another process's.
        now: `time.monotonic()`, in seconds.
        wall: Unix time, in seconds; None to ask the clock.
    """
    slots = read(block)
    endpoints = {
        label: _endpoint([slot.endpoints[number] for slot in slots])
        for number, label in enumerate(block.endpoints)
    }
    models = _models(slots)
    model_words = [sum(column) for column in zip(*(slot.model_sums for slot in slots), strict=True)] or [
        0
    ] * 4
    ended = {
        outcome: sum(getattr(counts, outcome.value) for counts in endpoints.values()) for outcome in Outcome
    }
    requests = sum(counts.requests for counts in endpoints.values())
    prompt_tokens = model_words[layout.MODEL_PROMPT]
    completion_tokens = model_words[layout.MODEL_COMPLETION]
    latency = Latencies(
        ttft_ms=_latency(slots, layout.TTFT),
        inter_token_ms=_latency(slots, layout.ITL),
        end_to_end_ms=_latency(slots, layout.E2E),
        lateness_ms=_latency(slots, layout.LATENESS),
    )
    recent = _recent(slots, int(now))
    living = {slot.slot: vitals(slot, now) for slot in slots if slot.pid is not None and is_alive(slot.pid)}
    return Snapshot(
        uptime_secs=int(max(0.0, now - block.started)),
        started_at=round(block.started_at, 3),
        taken_at=round(time.time() if wall is None else wall, 3),
        total_requests=requests,
        active_requests=requests - sum(ended.values()),
        streaming_requests=model_words[layout.MODEL_STREAMING],
        non_streaming_requests=model_words[layout.MODEL_NON_STREAMING],
        finished_requests=ended[Outcome.FINISHED],
        refused_requests=ended[Outcome.REFUSED],
        abandoned_requests=ended[Outcome.ABANDONED],
        aborted_requests=ended[Outcome.ABORTED],
        failed_requests=ended[Outcome.FAILED],
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=prompt_tokens + completion_tokens,
        total_errors=sum(count for outcome, count in ended.items() if outcome.is_error),
        rate_limit_errors=ended[Outcome.RATE_LIMIT],
        server_errors=ended[Outcome.SERVER_ERROR] + ended[Outcome.OVERLOADED],
        overloaded_errors=ended[Outcome.OVERLOADED],
        timeout_errors=ended[Outcome.TIMEOUT],
        invalid_request_errors=ended[Outcome.INVALID_REQUEST],
        authentication_errors=ended[Outcome.AUTHENTICATION],
        requests_per_second=_rate(recent.requests, requests, block.started, now),
        tokens_per_second=_rate(recent.tokens, completion_tokens, block.started, now),
        avg_latency_ms=latency.end_to_end_ms.mean or 0.0,
        min_latency_ms=latency.end_to_end_ms.min,
        max_latency_ms=latency.end_to_end_ms.max,
        websocket_connections=block.open_websockets(),
        websocket_connections_total=sum(slot.words[layout.WEBSOCKETS_OPENED] for slot in slots),
        evicted_records=sum(slot.words[layout.EVICTED] for slot in slots),
        verdict=judge(tuple(living.values()), cores=available_cores()),
        loop_lag_ms=_worst([worker.lag for worker in living.values() if worker.lag is not None]),
        model_requests={name: model.requests for name, model in models.items()},
        endpoints=endpoints,
        models=models,
        workers=tuple(_worker(slot, living.get(slot.slot)) for slot in slots),
        latency=latency,
        last_60_seconds=recent,
    )


def _endpoint(rows: Sequence[list[int]]) -> EndpointStats:
    sums = [sum(row[column] for row in rows) for column in range(layout.ENDPOINT_WORDS)]
    requests = sums[layout.ENDPOINT_REQUESTS]
    return EndpointStats(
        requests=requests,
        active=requests - sum(sums[: layout.ENDPOINT_REQUESTS]),
        **{outcome.value: sums[outcome.column] for outcome in Outcome},
    )


def _models(slots: Sequence[SlotReading]) -> dict[str, ModelStats]:
    merged: dict[str, ModelStats] = {}
    for slot in slots:
        for name, row in slot.models:
            known = merged.get(name, ModelStats(0, 0, 0))
            merged[name] = ModelStats(
                requests=known.requests + row[layout.MODEL_STREAMING] + row[layout.MODEL_NON_STREAMING],
                prompt_tokens=known.prompt_tokens + row[layout.MODEL_PROMPT],
                completion_tokens=known.completion_tokens + row[layout.MODEL_COMPLETION],
            )
    return dict(sorted(merged.items(), key=lambda item: (-item[1].requests, item[0])))


def _worker(slot: SlotReading, life: Vitals | None) -> WorkerStats:
    requests = sum(row[layout.ENDPOINT_REQUESTS] for row in slot.endpoints)
    ended = sum(sum(row[: layout.ENDPOINT_REQUESTS]) for row in slot.endpoints)
    return WorkerStats(
        slot=slot.slot,
        pid=slot.pid,
        alive=life is not None,
        requests=requests,
        active=requests - ended,
        tokens=slot.model_sums[layout.MODEL_COMPLETION],
        open_streams=None if life is None else life.open_streams,
        cpu_percent=None if life is None else life.cpu_percent,
        cpu_wait_percent=None if life is None else life.wait_percent,
        loop_lag_ms=None if life is None else life.lag,
    )


def _worst(lags: Sequence[Lag]) -> Lag | None:
    if not lags:
        return None
    return Lag(mean=max(lag.mean for lag in lags), max=max(lag.max for lag in lags))


def _latency(slots: Sequence[SlotReading], first: int) -> Latency:
    tallies = [slot.words[first : first + histogram.WORDS] for slot in slots]
    buckets = [sum(column) for column in zip(*(tally[: histogram.BUCKETS] for tally in tallies), strict=True)]
    count = sum(buckets)
    if not count:
        return Latency(0, None, None, None, None, None, None, None)
    least = min(tally[histogram.LEAST] for tally in tallies)
    most = max(tally[histogram.MOST] for tally in tallies)
    mean = sum(tally[histogram.SUM] for tally in tallies) / count
    p50, p90, p99, p99_9 = (
        _ms(histogram.quantile(buckets, fraction, least=least, most=most))
        for fraction in (0.5, 0.9, 0.99, 0.999)
    )
    # A torn read may have a sum without its count, or the other way round.
    return Latency(count, _ms(min(max(mean, least), most)), _ms(least), _ms(most), p50, p90, p99, p99_9)


def _ms(micros: float) -> float:
    return round(micros / 1000, 3)


def _recent(slots: Sequence[SlotReading], second: int) -> Recent:
    requests, tokens, errors = ([0] * RECENT_SECONDS for _ in range(3))
    for slot in slots:
        for entry in range(layout.RING, layout.MODELS, layout.RING_WORDS):
            place = slot.words[entry + layout.RING_SECOND] - (second - RECENT_SECONDS)
            if 0 <= place < RECENT_SECONDS:
                requests[place] += slot.words[entry + layout.RING_REQUESTS]
                tokens[place] += slot.words[entry + layout.RING_TOKENS]
                errors[place] += slot.words[entry + layout.RING_ERRORS]
    return Recent(tuple(requests), tuple(tokens), tuple(errors))


def _rate(seconds: Sequence[int], total: int, started: float, now: float) -> float:
    if int(now) - math.ceil(started) >= RATE_SECONDS:
        return sum(seconds[-RATE_SECONDS:]) / RATE_SECONDS
    uptime = now - started
    return round(total / uptime, 3) if uptime > 0.0 else 0.0
