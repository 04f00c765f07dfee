"""The page of GET /metrics, read by Prometheus's own parser."""

import os
import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from llmsim.stats import (
    COUNTERS,
    Block,
    Outcome,
    Per,
    Recorder,
    histogram,
    layout,
    read_totals,
    render_metrics,
    snapshot,
)
from llmsim.stats.prometheus import _BOUNDS, _VLLM_BOUNDS
from llmsim.stats.snapshot import Latency

NOW = 1000.0
LABELS = ("completions", "responses", "messages")
GIVEN = (
    "llmsim_requests_total llmsim_requests_in_flight llmsim_prompt_tokens_total llmsim_completion_tokens_total "
    "llmsim_time_to_first_token_seconds llmsim_inter_token_latency_seconds llmsim_e2e_request_latency_seconds "
    "llmsim_lateness_seconds"
)


def _block() -> Block:
    return Block.private(endpoints=LABELS, resources=("files", "models"), slots=6, now=900.0, wall=1.75e9)


def _page(block: Block, *, vllm_names: bool = False, is_draining: bool = False) -> str:
    page = render_metrics(
        read_totals(block, NOW), version="1.2.3", is_draining=is_draining, vllm_names=vllm_names
    )
    return page.decode()


def _families(block: Block, *, vllm_names: bool = False, is_draining: bool = False) -> dict[str, Metric]:
    page = _page(block, vllm_names=vllm_names, is_draining=is_draining)
    return {family.name: family for family in text_string_to_metric_families(page)}


def _values(families: dict[str, Metric]) -> dict[str, float]:
    """Return the sum of all series of each name; of a histogram those of its count and sum."""
    sums: dict[str, float] = defaultdict(float)
    for family in families.values():
        for sample in family.samples:
            sums[sample.name] += sample.value
    return sums


def _busy(seed: int = 7, models: int = 5) -> Block:
    """Return a block in which four workers have counted, and two of them died."""
    block, rng = _block(), random.Random(seed)
    for _ in range(4):
        recorder = Recorder(block, block.claim(os.getpid()))
        for _ in range(200):
            endpoint = rng.randrange(len(LABELS))
            recorder.began(endpoint, NOW)
            outcome = rng.choice([None, *Outcome, *[Outcome.FINISHED] * 20])
            row = recorder.accepted(
                endpoint, f"model-{rng.randrange(models)}", streaming=True, prompt_tokens=11
            )
            recorder.first_token(row, rng.lognormvariate(-1, 1))
            recorder.sent(row, 1, NOW)
            recorder.streamed(row, 1, rng.random() / 100, rng.lognormvariate(-4, 1), NOW)
            if outcome is not None:
                recorder.ended(endpoint, outcome, rng.lognormvariate(1, 1), NOW, row)
        recorder.count("waited_writes", 3)
        recorder.resource_began(0)
        recorder.resource_ended(0, Outcome.REFUSED)
    block.release(1)
    block.release(3)
    return block


def test_the_names_are_those_of_the_requirement() -> None:
    """METRICS-1.2: Each metric that the requirement names is there, also while nothing has been counted."""
    families = _families(_block())

    missing = {name.removesuffix("_total") for name in GIVEN.split()} - set(families)
    assert missing == set()
    assert families["llmsim_requests"].type == "counter"
    assert {tuple(sample.labels) for sample in families["llmsim_requests"].samples} == {
        ("endpoint", "outcome")
    }
    assert families["llmsim_lateness_seconds"].type == "histogram"
    assert families["llmsim_requests_in_flight"].samples[0].labels == {}


@pytest.mark.parametrize("models", [5, 300])
def test_figures_equal_the_stats_to_the_unit(models: int) -> None:
    """METRICS-1.3: Over all workers, living and dead, each figure is that of /llmsim/stats."""
    block = _busy(models=models)
    stats, families = snapshot(block, NOW), _families(block)
    values = _values(families)

    ended = {
        (sample.labels["endpoint"], sample.labels["outcome"]): sample.value
        for sample in families["llmsim_requests"].samples
    }
    assert ended == {
        (label, outcome.value): counts[outcome.value]
        for label, counts in stats.endpoints.items()
        for outcome in Outcome
    }
    assert values["llmsim_requests_in_flight"] == stats.active_requests > 0
    assert sum(ended.values()) + stats.active_requests == stats.total_requests
    assert values["llmsim_requests_started_total"] == stats.total_requests
    assert values["llmsim_faults_total"] == stats.total_errors - stats.failed_requests
    for name in ("prompt_tokens", "completion_tokens"):
        by_model = {sample.labels["model"]: sample.value for sample in families[f"llmsim_{name}"].samples}
        assert by_model == {
            model.replace("__other__", "other"): counts[name] for model, counts in stats.models.items()
        }
    assert values["llmsim_waited_writes_total"] == stats.waited_writes == 12
    for name, latency in (
        ("time_to_first_token", stats.latency.ttft_ms),
        ("inter_token_latency", stats.latency.inter_token_ms),
        ("e2e_request_latency", stats.latency.end_to_end_ms),
        ("lateness", stats.latency.lateness_ms),
    ):
        _compare(values, f"llmsim_{name}_seconds", latency)
        if name != "lateness":
            for unit in ("endpoint", "model"):
                _compare(values, f"llmsim_{unit}_{name}_seconds", latency)


def _compare(values: dict[str, float], name: str, latency: Latency) -> None:
    assert latency.mean is not None
    assert values[f"{name}_count"] == latency.count
    assert values[f"{name}_sum"] / latency.count * 1000 == pytest.approx(latency.mean, abs=0.001)


def test_buckets_are_exact() -> None:
    """METRICS-1.4: A bucket counts the values that are at most its bound, to the microsecond; the last one all of them."""
    block = _block()
    recorder = Recorder(block, block.claim(1))
    row = recorder.accepted(0, "m", streaming=True, prompt_tokens=0)
    rng = random.Random(7)
    micros = [rng.randrange(1 << rng.randrange(1, 32)) for _ in range(3000)]
    for value in micros:
        recorder.first_token(row, value / 1e6)

    [family] = [one for name, one in _families(block).items() if name == "llmsim_time_to_first_token_seconds"]
    buckets = {
        sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")
    }

    assert buckets.pop("+Inf") == len(micros)
    assert len(buckets) > 20
    for bound, count in buckets.items():
        assert count == sum(value < round(float(bound) * 1e6) for value in micros), bound


def test_bounds_are_bounds_of_the_histogram() -> None:
    """METRICS-1.4: No bound of ours divides one of the buckets that are counted."""
    for bounds in _BOUNDS.values():
        assert not bounds._within
        micros = [round(float(text) * 1e6) for text in bounds.texts]
        assert all(histogram.bounds(histogram.bucket(each))[0] == each for each in micros)


names = st.text(min_size=1, max_size=30) | st.sampled_from(
    ["other", "__other__", 'a"b\\c\nd', "\\", "x\r\ny", " "]
)


@settings(max_examples=20)
@given(st.lists(names, max_size=90, unique=True))
def test_any_model_can_be_a_label(models: list[str]) -> None:
    """METRICS-1.5: Whatever models are called, the page can be parsed, no series is there twice, and labels are bounded."""
    block = _block()
    recorder = Recorder(block, block.claim(1))
    for endpoint, model in enumerate(models):
        row = recorder.accepted(endpoint % 3, model, streaming=False, prompt_tokens=1)
        recorder.ended(endpoint % 3, Outcome.FINISHED, 1.0, NOW, row)

    families = _families(block, vllm_names=True)

    for family in families.values():
        series = [(sample.name, *sorted(sample.labels.items())) for sample in family.samples]
        assert len(series) == len(set(series))
    tokens = families["llmsim_prompt_tokens"].samples
    assert len(tokens) <= layout.MODEL_ROWS
    assert sum(sample.value for sample in tokens) == len(models)
    apart = families["llmsim_model_e2e_request_latency_seconds"].samples
    assert len({sample.labels["model"] for sample in apart}) <= layout.LATENCY_MODELS + 1


def test_a_series_never_falls() -> None:
    """METRICS-1.5: A model that was counted as `other` stays there: no counter ever falls."""
    block = _block()
    recorders = [Recorder(block, block.claim(1)) for _ in range(2)]
    before: dict[tuple[str, ...], float] = {}
    for number in range(150):
        recorder = recorders[number % 2]
        row = recorder.accepted(0, f"model-{number * 7 % 100}", streaming=True, prompt_tokens=1)
        recorder.ended(0, Outcome.FINISHED, 0.1, NOW, row)
        if number % 8:
            continue
        found = {
            (sample.name, *map(str, sorted(sample.labels.items()))): sample.value
            for family in _families(block, vllm_names=True).values()
            if family.type in ("counter", "histogram")
            for sample in family.samples
        }
        assert all(found[series] >= value for series, value in before.items())
        before = found


@pytest.mark.parametrize("counter", COUNTERS, ids=lambda counter: counter.name)
def test_a_counter_of_the_table_is_a_metric(counter: object) -> None:
    """METRICS-1.6: Each line of the table is a counter or a gauge, with its help."""
    [found] = [each for each in COUNTERS if each is counter]
    name = "requests_started" if found.name == "requests" else found.name.removesuffix("_total")
    if found.name.endswith("_connections"):
        name = found.name
    page = _page(_busy())

    kind = "gauge" if found.is_gauge else "counter"
    suffix = "" if found.is_gauge else "_total"
    assert f"# TYPE llmsim_{name}{suffix} {kind}\n" in page
    assert f"# HELP llmsim_{name}{suffix} {found.help}\n" in page
    assert found.per in Per


def test_state_of_the_server() -> None:
    """METRICS-1.7: Version, start, workers, verdict, lag and readiness are gauges."""
    block = _busy()
    values = _values(_families(block, is_draining=True))

    assert 'llmsim_build_info{version="1.2.3"} 1\n' in _page(block)
    assert values["llmsim_start_time_seconds"] == 1.75e9
    assert values["llmsim_workers"] == 2
    assert values["llmsim_ready"] == 0
    assert _values(_families(block))["llmsim_ready"] == 1
    assert values["llmsim_verdict"] == 1


def test_vllm_names_are_added_on_request() -> None:
    """METRICS-2.1: Without the setting no name has a colon; with it vLLM's metrics are there, and ours unchanged."""
    block = _busy()
    plain, both = _page(block), _page(block, vllm_names=True)

    assert ":" not in "".join(
        line.split("{")[0].split(" ")[0] for line in plain.splitlines() if line[0] != "#"
    )
    assert both.startswith(plain)
    families, stats = _families(block, vllm_names=True), snapshot(block, NOW)
    values = _values(families)
    assert values["vllm:num_requests_running"] == stats.active_requests
    assert values["vllm:prompt_tokens_total"] == stats.prompt_tokens
    assert values["vllm:generation_tokens_total"] == stats.completion_tokens
    assert values["vllm:request_success_total"] == stats.finished_requests
    _compare(values, "vllm:time_to_first_token_seconds", stats.latency.ttft_ms)
    _compare(values, "vllm:inter_token_latency_seconds", stats.latency.inter_token_ms)
    _compare(values, "vllm:e2e_request_latency_seconds", stats.latency.end_to_end_ms)


def test_vllm_buckets() -> None:
    """METRICS-2.2: Aliases have vLLM's bounds; a count is exact but for the bucket of ours that the bound divides."""
    block = _block()
    recorder = Recorder(block, block.claim(1))
    row = recorder.accepted(0, "m", streaming=True, prompt_tokens=0)
    values = [random.Random(seed).lognormvariate(-2, 2) for seed in range(2000)]
    for value in values:
        recorder.first_token(row, value)

    family = _families(block, vllm_names=True)["vllm:time_to_first_token_seconds"]
    counts = [sample.value for sample in family.samples if sample.name.endswith("_bucket")]

    bounds = [sample.labels["le"] for sample in family.samples if sample.name.endswith("_bucket")]
    assert bounds[:3] + bounds[-3:] == ["0.001", "0.005", "0.01", "640.0", "2560.0", "+Inf"]
    assert counts == sorted(counts)
    for bound, count in zip(bounds[:-1], counts, strict=False):
        limit = float(bound)
        assert (
            sum(value < limit / 1.125 for value in values)
            <= count
            <= sum(value < limit * 1.125 for value in values)
        )
    assert len(_VLLM_BOUNDS["end_to_end"].texts) == 21
