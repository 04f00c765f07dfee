"""The metrics of `GET /metrics`, in the text format of Prometheus, rendered from the totals.

Decisions:
* Counters and outcomes follow from the table, so a counter that it gains is a metric without a line here.
* Bounds of buckets are bounds of our own histograms, powers of two of a microsecond and their halves, so each count is exact.
  vLLM's bounds are not: within the bucket of ours that such a bound divides, values are assumed to be spread evenly.
* The labels of models are the models that a worker counts apart, and `other`: a series never moves from one to the other, which
  Prometheus would take for a restart.

Source of the format: https://prometheus.io/docs/instrumenting/exposition_formats/
Source of vLLM's names and bounds: vllm, v1/metrics/loggers.py.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

from llmsim.stats import counters, layout
from llmsim.stats.counters import COUNTERS, Counter, Outcome, Per
from llmsim.stats.histogram_totals import HistogramTotals
from llmsim.stats.host_stats import HostStats
from llmsim.stats.metrics_page import Bounds, Labels, Page
from llmsim.stats.totals import EndpointTotals, Totals, WorkerTotals
from llmsim.stats.verdict import available_cores, judge

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

OTHER = "other"
"""Label of the models that are not counted apart."""

_NAMES = {
    "ttft": "time_to_first_token_seconds",
    "inter_token": "inter_token_latency_seconds",
    "end_to_end": "e2e_request_latency_seconds",
    "lateness": "lateness_seconds",
}
_RENAMED = {"requests": "requests_started_total"}
"""Names of counters whose own name is another metric's."""

# By the name of the latency: exponents of the first and the last power of two of a microsecond.
_RANGES = {"ttft": (12, 27), "inter_token": (9, 23), "end_to_end": (14, 30), "lateness": (7, 23)}

_VLLM = {
    "ttft": (
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
        *(20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
    ),
    "inter_token": (
        *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
        *(20.0, 40.0, 80.0),
    ),
    "end_to_end": (
        *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0),
        *(480.0, 960.0, 1920.0, 7680.0),
    ),
}

_MOST_LABELS = 2048
"""Labels whose text is remembered."""


def _doubling(first: int, last: int) -> Bounds:
    """Return powers of two, and the bound in the middle between each two."""
    halves = [bound for power in range(first, last) for bound in (1 << power, 3 << (power - 1))]
    return Bounds([*halves, 1 << last])


_BOUNDS = {name: _doubling(*limits) for name, limits in _RANGES.items()}
_VLLM_BOUNDS = {name: Bounds([bound * 1e6 for bound in bounds]) for name, bounds in _VLLM.items()}


def render_metrics(
    totals: Totals,
    *,
    version: str,
    is_draining: bool,
    vllm_names: bool,
    state: str | None = None,
    hosts: Sequence[HostStats] | None = None,
) -> bytes:
    """Render totals in the text format.

    Args:
        totals: All counters.
        version: The version of llmsim.
        is_draining: Whether the server is about to stop.
        vllm_names: Whether to add what vLLM has under its own names.
        state: State of the verdict; None to judge the workers.
        hosts: Those whose sums the totals are; None if they are those of one.
    """
    page = Page()
    _add_state(page, totals, version, state, is_draining=is_draining)
    if hosts is not None:
        _add_hosts(page, hosts)
    _add_requests(page, totals)
    _add_resources(page, totals)
    models = _models(totals)
    for counter in COUNTERS:
        _add_counter(page, counter, totals, models)
    by_model = _model_histograms(totals)
    for name, text in counters.HISTOGRAMS.items():
        page.histogram(f"llmsim_{_NAMES[name]}", text, _BOUNDS[name], [("", totals.histograms[name])])
    for name, text in counters.REQUEST_HISTOGRAMS.items():
        for unit, rows in (("endpoint", totals.endpoint_histograms), ("model", by_model)):
            page.histogram(
                f"llmsim_{unit}_{_NAMES[name]}",
                f"{text} By {unit}.",
                _BOUNDS[name],
                _labelled(unit, name, rows),
            )
    if vllm_names:
        _add_vllm(page, totals, models, by_model)
    return page.render()


def _add_state(page: Page, totals: Totals, version: str, state: str | None, *, is_draining: bool) -> None:
    living = [(worker, worker.health) for worker in totals.workers if worker.health is not None]
    state = state or judge([health for _, health in living], cores=available_cores()).state
    page.family("llmsim_build_info", "gauge", "Version of llmsim.", {_label("version", version): 1})
    page.family(
        "llmsim_start_time_seconds",
        "gauge",
        "Unix time of the start of the server.",
        {"": round(totals.started_at, 3)},
    )
    page.family("llmsim_ready", "gauge", "Whether GET /ready answers 200.", {"": int(not is_draining)})
    step, steps, _ = totals.timeline
    page.family(
        "llmsim_timeline_step",
        "gauge",
        "Step of the timeline, from 1; 0 before the first, and without a timeline.",
        {"": step},
    )
    page.family("llmsim_timeline_steps", "gauge", "Steps of the timeline; 0 without one.", {"": steps})
    page.family("llmsim_workers", "gauge", "Living worker processes.", {"": len(living)})
    page.family(
        "llmsim_verdict",
        "gauge",
        "1 for the state of the verdict over the last 30 to 40 seconds, 0 for the others.",
        {_label("state", each): int(each == state) for each in ("on_time", "late", "idle")},
    )
    page.family(
        "llmsim_event_loop_lag_seconds",
        "gauge",
        "Greatest lag of a worker's event loop over the last ten seconds.",
        {_worker(worker): round(health.lag.max, 6) for worker, health in living if health.lag is not None},
    )
    page.family(
        "llmsim_worker_cpu_ratio",
        "gauge",
        "Share of one core that a worker used over the last ten seconds.",
        {_worker(worker): round(health.cpu, 4) for worker, health in living if health.cpu is not None},
    )


def _worker(worker: WorkerTotals) -> Labels:
    label = _label("worker", str(worker.slot))
    return f"{_label('host', worker.host)},{label}" if worker.host else label


_HOST_FAMILIES: tuple[tuple[str, str, str, Callable[[HostStats], int | float]], ...] = (
    (
        "up",
        "gauge",
        "Whether a host publishes its stats.",
        lambda host: int(host.state in ("up", "draining")),
    ),
    ("workers", "gauge", "Its living worker processes.", lambda host: host.workers),
    ("requests_started_total", "counter", "Requests that began on it.", lambda host: host.requests),
    ("requests_in_flight", "gauge", "Those of them that have not ended.", lambda host: host.active),
    ("aborted_total", "counter", "Those that the server gave up.", lambda host: host.aborted),
    (
        "errors_total",
        "counter",
        "Those that ended in a simulated failure or a bug.",
        lambda host: host.errors,
    ),
    ("completion_tokens_total", "counter", "Completion tokens sent by it.", lambda host: host.tokens),
)


def _add_hosts(page: Page, hosts: Sequence[HostStats]) -> None:
    for name, kind, text, value in _HOST_FAMILIES:
        rows = {_label("host", host.host): value(host) for host in hosts}
        page.family(f"llmsim_host_{name}", kind, text, rows)


def _add_requests(page: Page, totals: Totals) -> None:
    page.family(
        "llmsim_requests_total",
        "counter",
        "Requests that ended, by endpoint and outcome.",
        _outcomes("endpoint", totals.endpoints),
    )
    in_flight = sum(row.in_flight for row in totals.endpoints.values())
    page.family(
        "llmsim_requests_in_flight", "gauge", "Requests that began and have not ended.", {"": in_flight}
    )
    outcomes = totals.outcomes
    page.family(
        "llmsim_faults_total",
        "counter",
        "Simulated failures, by kind; part of llmsim_requests_total.",
        {_label("kind", each.value): outcomes[each] for each in Outcome if each.is_fault},
    )


def _outcomes(unit: str, rows: Mapping[str, EndpointTotals]) -> dict[Labels, int]:
    counts = [count for row in rows.values() for count in row.outcomes.values()]
    return dict(zip(_outcome_labels(unit, tuple(rows)), counts, strict=True))


@functools.lru_cache(8)
def _outcome_labels(unit: str, rows: tuple[str, ...]) -> tuple[Labels, ...]:
    """Return the labels of each outcome of each row, in their order."""
    return tuple(
        [f"{_label(unit, row)},{_label('outcome', outcome.value)}" for row in rows for outcome in Outcome]
    )


def _add_resources(page: Page, totals: Totals) -> None:
    asked = {label: row for label, row in totals.resources.items() if row.counts["requests"]}
    page.family(
        "llmsim_resource_requests_total",
        "counter",
        "Requests to resources, which generate nothing, that ended, by resource and outcome; not part of llmsim_requests_total.",
        _outcomes("resource", asked),
    )
    page.family(
        "llmsim_resource_requests_in_flight",
        "gauge",
        "Requests to resources that began and have not ended.",
        {"": sum(row.in_flight for row in asked.values())},
    )


def _add_counter(
    page: Page, counter: Counter, totals: Totals, models: Mapping[str, Mapping[str, int]]
) -> None:
    name, values = counter.name, dict[Labels, int | float]()
    match counter.per:
        case Per.WORKER:
            values = {"": totals.counts[name]}
        case Per.ENDPOINT:
            values = {_label("endpoint", label): row.counts[name] for label, row in totals.endpoints.items()}
        case Per.MODEL:
            values = {_label("model", model): counts[name] for model, counts in models.items()}
    if not counter.is_gauge:
        name = _RENAMED.get(name, name if name.endswith("_total") else f"{name}_total")
    page.family(f"llmsim_{name}", "gauge" if counter.is_gauge else "counter", counter.help, values)


def _add_vllm(
    page: Page,
    totals: Totals,
    models: Mapping[str, Mapping[str, int]],
    by_model: Mapping[str, Mapping[str, HistogramTotals]],
) -> None:
    engine = _label("engine", "0")
    counts = totals.counts
    running = sum(row.in_flight for row in totals.endpoints.values())
    if counts["engines"]:
        running = counts["engine_running"]
    page.family("vllm:num_requests_running", "gauge", "Requests in flight.", {engine: running})
    page.family(
        "vllm:num_requests_waiting", "gauge", "Requests in a queue.", {engine: counts["engine_waiting"]}
    )
    if counts["engines"]:
        usage = round(counts["engine_kv_tokens"] / max(1, counts["engine_kv_capacity"]), 4)
        # The second is the name that vLLM had for it before.
        for name in ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"):
            page.family(name, "gauge", "Share of the KV cache in use; 1 is all of it.", {engine: usage})
        page.family(
            "vllm:num_preemptions_total",
            "counter",
            "Preemptions.",
            {engine: counts["engine_preemptions"]},
        )
    for name, ours in (("prompt", "prompt_tokens"), ("generation", "completion_tokens")):
        page.family(
            f"vllm:{name}_tokens_total",
            "counter",
            f"{name.capitalize()} tokens.",
            {f"{engine},{_label('model_name', model)}": row[ours] for model, row in models.items()},
        )
    page.family(
        "vllm:request_success_total",
        "counter",
        "Finished requests.",
        {
            f"{engine},{_label('model_name', model)}": rows["end_to_end"].count
            for model, rows in by_model.items()
            if "end_to_end" in rows
        },
    )
    for name, bounds in _VLLM_BOUNDS.items():
        rows = [(f"{engine},{labels}", row) for labels, row in _labelled("model_name", name, by_model)]
        text = counters.REQUEST_HISTOGRAMS[name]
        page.histogram(f"vllm:{_NAMES[name]}", text, bounds, rows)
        if name == "inter_token":
            # The name that vLLM had for it before.
            page.histogram("vllm:time_per_output_token_seconds", text, bounds, rows)


def _models(totals: Totals) -> dict[str, dict[str, int]]:
    """Return the counters of each model, `OTHER` last; a model that is called so is part of it."""
    models = {name: row for name, row in totals.models.items() if name not in (OTHER, layout.OTHER)}
    rest = [totals.models[name] for name in (OTHER, layout.OTHER) if name in totals.models]
    if rest:
        models[OTHER] = {name: sum(row[name] for row in rest) for name in counters.names(Per.MODEL)}
    return models


def _model_histograms(totals: Totals) -> dict[str, dict[str, HistogramTotals]]:
    """Return the histograms of each model likewise."""
    found = totals.model_histograms
    models = {name: rows for name, rows in found.items() if name not in (OTHER, layout.OTHER)}
    rest = [found[name] for name in (OTHER, layout.OTHER) if name in found]
    if rest:
        models[OTHER] = {
            name: HistogramTotals.merge([rows[name] for rows in rest if name in rows])
            for name in counters.REQUEST_HISTOGRAMS
            if any(name in rows for rows in rest)
        }
    return models


def _labelled(
    label: str, name: str, rows: Mapping[str, Mapping[str, HistogramTotals]]
) -> list[tuple[Labels, HistogramTotals]]:
    return [(_label(label, value), found[name]) for value, found in rows.items() if name in found]


@functools.lru_cache(_MOST_LABELS)
def _label(name: str, value: str) -> Labels:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'
