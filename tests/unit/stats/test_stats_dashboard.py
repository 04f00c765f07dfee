"""The Grafana dashboard in docs/operate: its expressions name what GET /metrics has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from test_stats_prometheus import _busy, _page

FILE = Path(__file__).parents[3] / "docs" / "operate" / "grafana.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [
    (panel["title"], target["expr"], target["legendFormat"])
    for panel in PANELS
    for target in panel["targets"]
]
EXPRESSIONS += [
    (variable["name"], variable["definition"], "")
    for variable in DASHBOARD["templating"]["list"]
    if variable["type"] == "query"
]
OWN = {"job", "instance", "le"}
"""Labels that Prometheus adds, and that of buckets."""


def _series() -> dict[str, set[str]]:
    """Return the labels of each name on the page, for each series' own name."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(_page(_busy())):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    # Not before a worker has run for some seconds.
    for name in ("llmsim_event_loop_lag_seconds", "llmsim_worker_cpu_ratio"):
        assert f"# TYPE {name} gauge" in _page(_busy())
        found.setdefault(name, {"worker"})
    return found


SERIES = _series()


@pytest.mark.parametrize(("title", "expression", "legend"), EXPRESSIONS, ids=lambda text: text[:40])
def test_each_expression_names_what_is_there(title: str, expression: str, legend: str) -> None:
    """METRICS-1.10: Each metric of an expression is on the page, with each label that is grouped by or shown."""
    names = re.findall(r"\bllmsim_\w+", expression)
    labels = {
        label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")
    }
    labels |= set(re.findall(r"{{(\w+)}}", legend))

    assert names, title
    assert [name for name in names if name not in SERIES] == []
    assert labels - OWN <= set.intersection(*(SERIES[name] for name in names))
    assert expression.count("(") == expression.count(")")
    counters = {name for name in names if name.endswith(("_total", "_bucket"))}
    assert all(f"rate({name}" in expression for name in counters)


def test_each_metric_that_the_requirement_names_is_shown() -> None:
    """METRICS-1.10: The dashboard shows requests, tokens, latencies and lateness; panels have numbers of their own."""
    shown = " ".join(expression for _, expression, _ in EXPRESSIONS)

    for name in (
        *("requests_total", "requests_in_flight", "prompt_tokens_total", "completion_tokens_total"),
        *("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"),
        *("lateness_seconds", "faults_total", "workers", "event_loop_lag_seconds", "verdict"),
        *("engine_running", "engine_waiting", "engine_kv_tokens", "engine_preemptions_total"),
        *("resource_requests_total", "resource_requests_in_flight"),
    ):
        assert f"llmsim_{name}" in shown
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))


def test_panels_lie_side_by_side() -> None:
    """METRICS-1.10: No panel covers another, and none is wider than the page."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
