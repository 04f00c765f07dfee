"""The JSON of `GET /llmsim/stats`, rendered from the totals; also what `llmsim stats` shows.

Decisions:
* Names in the JSON are those of llmsim 0.4.0 (Rust), and more; counters come from the table under their own names.
* `uptime_secs` is whole, `avg_latency_ms` is 0 and the extremes are null while nothing has finished, as in the
  original. Our own `latency` is null for all that is unknown.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from llmsim.stats import counters, histogram, layout
from llmsim.stats.block import Block
from llmsim.stats.counters import Outcome, Per
from llmsim.stats.histogram_totals import HistogramTotals
from llmsim.stats.host_stats import HostStats
from llmsim.stats.totals import EndpointTotals, Recent, Totals, WorkerTotals, read_totals
from llmsim.stats.verdict import Verdict, available_cores, judge

RATE_SECONDS = 10

_REQUESTS = ("streaming_requests", "non_streaming_requests")
"""Counters by model of which the JSON has the sum for each model."""

_REQUEST_COUNTS = (
    *("total_requests", "active_requests", "total_tokens", "total_errors"),
    *counters.names(Per.MODEL),
    *(outcome.total for outcome in Outcome),
)
_WORKER_COUNTS = tuple(name for name in counters.names(Per.WORKER) if name != "open_streams")
"""Counters by worker of which the JSON has the sum; open streams are shown for each worker."""


class Lag(msgspec.Struct, frozen=True):
    """How late an event loop ran what was due, in milliseconds.

    Attributes:
        mean: Over the samples of ten seconds.
        max: The greatest of them, or for how long the loop has been blocked.
    """

    mean: float
    max: float


class WorkerStats(msgspec.Struct, frozen=True):
    """What was counted in one slot, by its worker and its predecessors there.

    Attributes:
        slot: Number of the slot.
        pid: Process that writes it; None if it is free.
        alive: Whether that process exists.
        requests: Requests that began.
        active: Requests in flight.
        tokens: Completion tokens sent.
        open_streams: Streams under way; None, like all below, if the process does not exist.
        cpu_percent: CPU time of the process over the last ten seconds, in percent of one core; None if unknown.
        cpu_wait_percent: The same for the time that it was ready to run and had no core; None also where the system
            has no such figure.
        loop_lag_ms: Of its event loop, over the last ten seconds; None if unknown.
        host: Name of its host, in the stats of several; else absent from the JSON.
    """

    slot: int
    pid: int | None
    alive: bool
    requests: int
    active: int
    tokens: int
    open_streams: int | None
    cpu_percent: float | None
    cpu_wait_percent: float | None
    loop_lag_ms: Lag | None
    host: str = ""


class Latency(msgspec.Struct, frozen=True):
    """A distribution of latencies in milliseconds; all but `count` are None while that is 0.

    Attributes:
        count: Observations.
        mean: Exact to the microsecond, like `min` and `max`.
        p50: Estimated, like all quantiles: off by less than 12.5 %, and exact below 16 us.
    """

    count: int
    mean: float | None
    min: float | None
    max: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    p99_9: float | None


_NOTHING = Latency(0, None, None, None, None, None, None, None)


class Latencies(msgspec.Struct, frozen=True):
    """Observed latencies, by the names of the table of histograms."""

    ttft_ms: Latency
    inter_token_ms: Latency
    end_to_end_ms: Latency
    lateness_ms: Latency


class RequestLatencies(msgspec.Struct, frozen=True):
    """The observed latencies of the requests to one endpoint, or for one model."""

    ttft_ms: Latency
    inter_token_ms: Latency
    end_to_end_ms: Latency


class TimelinePosition(msgspec.Struct, frozen=True):
    """Where a timeline is.

    Attributes:
        step: Number of its step, from 1; 0 before the first.
        steps: Number of its steps.
        name: Name of the step; empty for none.
    """

    step: int
    steps: int
    name: str

    def __str__(self) -> str:
        """Return it in a few words."""
        return f"timeline {self.step}/{self.steps}{f' {self.name}' if self.name else ''}"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of an instance at one moment, rounded and in the JSON's units.

    Counters are attributes too, by their names in the JSON: `stats.finished_requests`.

    Attributes:
        uptime_secs: Whole seconds since the server started.
        started_at: Unix time of the start, in seconds.
        taken_at: Unix time of the snapshot, in seconds.
        request_counts: Requests, tokens and errors by name; at the top level of the JSON.
        requests_per_second: Mean over the last ten complete seconds, or over the uptime until there are ten.
        tokens_per_second: The same for completion tokens.
        avg_latency_ms: Mean end-to-end latency of finished requests.
        min_latency_ms: The shortest; None while nothing has finished.
        max_latency_ms: The longest; None while nothing has finished.
        worker_counts: Counters by worker, summed, by name; at the top level of the JSON.
        verdict: Whether the simulator was on time lately.
        loop_lag_ms: The worst of all living workers; None if unknown.
        model_requests: Accepted requests by model.
        endpoints: By stats label: requests, those active, those that ended by outcome.
        models: By model id, most requests first: requests and tokens.
        workers: By slot; those that are taken, or have counted anything.
        latency: Observed distributions.
        last_60_seconds: Second by second.
        latency_by_endpoint: By stats label; endpoints with any observations.
        latency_by_model: By model id, likewise, in the order of `models`; models beyond the first 16 of a worker are part of
            `__other__`, the last one.
        resources: Requests to resources, which generate nothing, like `endpoints`; those with any. No other figure counts them.
        timeline: Where the timeline is; None if there is none.
        host: Name of this host, where several share their state; empty, and absent from the JSON, otherwise.
        hosts: Those whose sums these are; None, and absent from the JSON, where they are those of one.
    """

    uptime_secs: int
    started_at: float
    taken_at: float
    request_counts: dict[str, int]
    requests_per_second: float
    tokens_per_second: float
    avg_latency_ms: float
    min_latency_ms: float | None
    max_latency_ms: float | None
    worker_counts: dict[str, int]
    verdict: Verdict
    loop_lag_ms: Lag | None
    model_requests: dict[str, int]
    endpoints: dict[str, dict[str, int]]
    models: dict[str, dict[str, int]]
    workers: tuple[WorkerStats, ...]
    latency: Latencies
    last_60_seconds: Recent
    latency_by_endpoint: dict[str, RequestLatencies]
    latency_by_model: dict[str, RequestLatencies]
    resources: dict[str, dict[str, int]] = {}
    timeline: TimelinePosition | None = None
    host: str = ""
    hosts: tuple[HostStats, ...] | None = None

    def __getattr__(self, name: str) -> int:
        """Return a counter by its name in the JSON."""
        for counts in (self.request_counts, self.worker_counts):
            if name in counts:
                return counts[name]
        raise AttributeError(f"no figure of the stats is called {name}")

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON object of `GET /llmsim/stats`, of builtins only."""
        report: dict[str, Any] = {}
        for name, value in msgspec.to_builtins(self).items():
            report |= value if name in ("request_counts", "worker_counts") else {name: value}
        for row in report["workers"]:
            if not row["host"]:
                del row["host"]
        if not self.host:
            del report["host"]
        if self.hosts is None:
            del report["hosts"]
        return report

    @classmethod
    def from_json(cls, body: bytes) -> "Snapshot":
        """Parse the JSON object of `GET /llmsim/stats`.

        Raises:
            msgspec.DecodeError: It is not JSON, or not the stats of this llmsim.
        """
        report = msgspec.json.decode(body, type=dict[str, Any])
        fields = {name: value for name, value in report.items() if name in cls.__struct_fields__}
        counts = {
            name: value for name, value in report.items() if name not in fields and isinstance(value, int)
        }
        for name in (*_REQUEST_COUNTS, *_WORKER_COUNTS):
            if name not in counts:
                raise msgspec.ValidationError(f"Object missing required field `{name}`")
        fields["worker_counts"] = {name: counts.pop(name) for name in _WORKER_COUNTS}
        return msgspec.convert(fields | {"request_counts": counts}, cls)


def snapshot(block: Block, now: float, *, wall: float | None = None) -> Snapshot:
    """Read the counters of an instance, and render them.

    Args:
        block: An instance's block, this process's or another's.
        now: `time.monotonic()`, in seconds.
        wall: Unix time, in seconds; None to read the clock.
    """
    return render(read_totals(block, now), wall=time.time() if wall is None else wall)


def render(totals: Totals, *, wall: float) -> Snapshot:
    """Render totals, read at the Unix time `wall`."""
    requests = _request_counts(totals)
    end_to_end = _latency(totals.histograms["end_to_end"])
    health = [worker.health for worker in totals.workers if worker.health is not None]
    workers = tuple(_worker(worker) for worker in totals.workers)
    models = _models(totals)
    return Snapshot(
        uptime_secs=int(max(0.0, totals.read - totals.started)),
        started_at=round(totals.started_at, 3),
        taken_at=round(wall, 3),
        request_counts=requests,
        requests_per_second=_rate(totals, totals.recent.requests, requests["total_requests"]),
        tokens_per_second=_rate(totals, totals.recent.tokens, requests["completion_tokens"]),
        avg_latency_ms=end_to_end.mean or 0.0,
        min_latency_ms=end_to_end.min,
        max_latency_ms=end_to_end.max,
        worker_counts={name: totals.counts[name] for name in _WORKER_COUNTS},
        verdict=judge(health, cores=available_cores()),
        loop_lag_ms=_worst([worker.loop_lag_ms for worker in workers if worker.loop_lag_ms is not None]),
        model_requests={name: counts["requests"] for name, counts in models.items()},
        endpoints={label: _endpoint(row) for label, row in totals.endpoints.items()},
        models=models,
        workers=workers,
        latency=Latencies(**{f"{name}_ms": _latency(row) for name, row in totals.histograms.items()}),
        last_60_seconds=totals.recent,
        latency_by_endpoint={
            label: _request_latencies(found) for label, found in totals.endpoint_histograms.items()
        },
        latency_by_model={
            model: _request_latencies(found)
            for model in _other_last(models)
            if (found := totals.model_histograms.get(model))
        },
        resources={
            label: _endpoint(row) for label, row in totals.resources.items() if row.counts["requests"]
        },
        timeline=TimelinePosition(*totals.timeline) if totals.timeline[1] else None,
    )


def _request_counts(totals: Totals) -> dict[str, int]:
    """Return requests, tokens and errors in the order of the JSON."""
    outcomes = totals.outcomes
    by_model = totals.model_counts
    by_label = {f"{label}_requests": row.counts["requests"] for label, row in totals.endpoints.items()}
    ended = {outcome.total: count for outcome, count in outcomes.items()}
    ended["server_errors"] += outcomes[Outcome.OVERLOADED]
    return {
        "total_requests": sum(by_label.values()),
        "active_requests": sum(row.in_flight for row in totals.endpoints.values()),
        **{name: by_model[name] for name in _REQUESTS},
        **by_label,
        # In the JSON of llmsim 0.4.0 whether or not the instance has the endpoint.
        "responses_requests": by_label.get("responses_requests", 0),
        **{outcome.total: count for outcome, count in outcomes.items() if not outcome.is_fault},
        **{name: count for name, count in by_model.items() if name not in _REQUESTS},
        "total_tokens": by_model["prompt_tokens"] + by_model["completion_tokens"],
        "total_errors": sum(count for outcome, count in outcomes.items() if outcome.is_error),
        **{outcome.total: ended[outcome.total] for outcome in outcomes if outcome.is_fault},
    }


def _endpoint(row: EndpointTotals) -> dict[str, int]:
    return {
        "requests": row.counts["requests"],
        "active": row.in_flight,
        **{outcome.value: count for outcome, count in row.outcomes.items()},
        **{name: count for name, count in row.counts.items() if name != "requests"},
    }


def _models(totals: Totals) -> dict[str, dict[str, int]]:
    rows = {
        name: {
            "requests": sum(counts[each] for each in _REQUESTS),
            **{each: count for each, count in counts.items() if each not in _REQUESTS},
        }
        for name, counts in totals.models.items()
    }
    return dict(sorted(rows.items(), key=lambda item: (-item[1]["requests"], item[0])))


def _other_last(models: Iterable[str]) -> list[str]:
    return [*(model for model in models if model != layout.OTHER), layout.OTHER]


def _request_latencies(found: Mapping[str, HistogramTotals]) -> RequestLatencies:
    return RequestLatencies(
        **{
            f"{name}_ms": _latency(found[name]) if name in found else _NOTHING
            for name in counters.REQUEST_HISTOGRAMS
        }
    )


def _worker(worker: WorkerTotals) -> WorkerStats:
    health = worker.health
    lag = None if health is None else health.lag
    return WorkerStats(
        slot=worker.slot,
        pid=worker.pid,
        alive=health is not None,
        requests=worker.requests,
        active=worker.in_flight,
        tokens=worker.completion_tokens,
        open_streams=None if health is None else health.open_streams,
        cpu_percent=None if health is None else _percent(health.cpu),
        cpu_wait_percent=None if health is None else _percent(health.wait),
        loop_lag_ms=None if lag is None else Lag(round(lag.mean * 1000, 3), round(lag.max * 1000, 3)),
        host=worker.host,
    )


def _worst(lags: Sequence[Lag]) -> Lag | None:
    if not lags:
        return None
    return Lag(mean=max(lag.mean for lag in lags), max=max(lag.max for lag in lags))


def _latency(row: HistogramTotals) -> Latency:
    count = row.count
    if not count:
        return _NOTHING
    buckets = row.buckets
    p50, p90, p99, p99_9 = (
        _ms(histogram.quantile(buckets, fraction, minimum=row.minimum, maximum=row.maximum))
        for fraction in (0.5, 0.9, 0.99, 0.999)
    )
    # A torn read may have a sum without its count, or the other way round.
    mean = min(max(row.sum / count, row.minimum), row.maximum)
    return Latency(count, _ms(mean), _ms(row.minimum), _ms(row.maximum), p50, p90, p99, p99_9)


def _ms(micros: float) -> float:
    return round(micros / 1000, 3)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 1)


def _rate(totals: Totals, seconds: Sequence[int], total: int) -> float:
    if int(totals.read) - math.ceil(totals.started) >= RATE_SECONDS:
        return sum(seconds[-RATE_SECONDS:]) / RATE_SECONDS
    uptime = totals.read - totals.started
    return round(total / uptime, 3) if uptime > 0.0 else 0.0
