"""Requests to resources, which generate nothing: how they are counted, and fail when asked to."""

import asyncio
import time
from typing import Any

import pytest
from support.asgi import Simulator, simulator

from llmsim.stats import Outcome, read_totals, render_metrics
from llmsim.stats.sums import Part, add_totals, close_totals

CONVERSATIONS = "/openai/v1/conversations"


def _counts(worker: Simulator, label: str) -> dict[str, int]:
    return {name: count for name, count in worker.stats().resources.get(label, {}).items() if count}


def _others(worker: Simulator) -> dict[str, Any]:
    """Return the figures that resources must not change."""
    found = worker.stats().as_dict()
    moving = ("resources", "taken_at", "uptime_secs", "workers", "verdict", "loop_lag_ms")
    return {name: value for name, value in found.items() if name not in moving and "per_second" not in name}


async def test_requests_count_by_resource_and_outcome() -> None:
    """STATS-10.1, STATS-10.2: What is answered, and what is refused, each once; no other figure changes."""
    worker = simulator()
    before = _others(worker)
    created = await worker.post(CONVERSATIONS, {})
    await worker.ask("GET", f"{CONVERSATIONS}/{created.json['id']}")
    for path in ("conv_none", "conv_none/items"):
        assert (await worker.ask("GET", f"{CONVERSATIONS}/{path}")).status == 404
    await worker.ask("POST", CONVERSATIONS, b"{broken")
    await worker.ask("GET", "/openai/v1/models")
    await worker.ask("GET", "/gemini/v1beta/models")
    await worker.ask("GET", "/openai/v1/nothing")
    await worker.ask("PUT", CONVERSATIONS)

    assert _counts(worker, "conversations") == {"requests": 5, "finished": 2, "refused": 3}
    assert worker.stats().resources.keys() == {"models", "conversations", "gemini_models"}
    assert _others(worker) == before


async def test_a_missing_key_counts() -> None:
    """STATS-10.1: A request that is not let in counts as refused where it would have been answered."""
    worker = simulator(auth={"keys": ("secret",)})
    denied = await worker.ask("GET", "/openai/v1/files", headers={"authorization": ""})

    assert denied.status == 401
    assert _counts(worker, "files") == {"requests": 1, "refused": 1}


async def test_a_client_that_is_gone_is_abandoned() -> None:
    """STATS-10.1: A body that never ends is in flight until its client has gone."""
    worker = simulator()
    call, exchange = worker.begin(
        "POST", CONVERSATIONS, [b"{"], headers={"content-length": "9"}, complete=False
    )
    await asyncio.sleep(0)
    assert _counts(worker, "conversations") == {"requests": 1, "active": 1}
    exchange.hung_up.set()
    await call

    assert _counts(worker, "conversations") == {"requests": 1, "abandoned": 1}


async def test_a_dead_workers_requests_are_aborted() -> None:
    """STATS-10.1: What a worker had begun counts as aborted when it is dead, and in the sums of a host that is gone."""
    worker = simulator()
    call, exchange = worker.begin(
        "POST", CONVERSATIONS, [b"{"], headers={"content-length": "9"}, complete=False
    )
    await asyncio.sleep(0)
    left = add_totals([Part(close_totals(read_totals(worker.block, time.monotonic())))], 0.0)
    worker.block.release(0)
    stats = worker.stats()
    exchange.hung_up.set()
    await call

    assert stats.resources["conversations"]["aborted"] == 1
    assert (stats.resources["conversations"]["active"], stats.aborted_requests) == (0, 0)
    assert left.resources["conversations"].outcomes[Outcome.ABORTED] == 1


async def test_metrics_have_the_same_figures() -> None:
    """STATS-10.4, METRICS-1.3: A series for each resource that was asked for, beside those of what generates."""
    worker = simulator()
    await worker.ask("GET", "/openai/v1/files")
    totals = read_totals(worker.block, time.monotonic())
    page = render_metrics(totals, version="1", is_draining=False, vllm_names=False).decode()

    assert 'llmsim_resource_requests_total{resource="files",outcome="finished"} 1' in page
    assert "llmsim_resource_requests_in_flight 0" in page
    assert 'resource="uploads"' not in page


class TestRequestedErrors:
    """Errors that a request asks for by its header."""

    async def test_an_error_comes_before_anything_changes(self) -> None:
        """CTRL-1.13: The API's own error, counted by its kind; nothing is created or deleted."""
        worker = simulator()
        conversation = (await worker.post(CONVERSATIONS, {})).json["id"]
        one = f"{CONVERSATIONS}/{conversation}"
        failed = await worker.ask("DELETE", one, headers={"x-llmsim-fault": "rate_limit"})

        assert (failed.status, failed.json["error"]["code"]) == (429, "rate_limit_exceeded")
        assert "retry-after" in failed.headers
        assert (await worker.ask("GET", one)).status == 200
        assert (await worker.ask("GET", one, headers={"x-llmsim-fault": "503"})).status == 503
        assert _counts(worker, "conversations")["rate_limit"] == 1
        assert worker.stats().total_errors == 0

    @pytest.mark.parametrize("fault", ["reset", "nonsense"])
    async def test_what_cannot_be_is_refused(self, fault: str) -> None:
        """CTRL-1.13, CTRL-1.9: A fault on the wire, and a kind that does not exist, are 400 with the header's name."""
        refused = await simulator().ask("GET", "/openai/v1/files", headers={"x-llmsim-fault": fault})

        assert (refused.status, refused.json["error"]["param"]) == (400, "x-llmsim-fault")

    async def test_rates_are_for_what_generates(self) -> None:
        """CTRL-1.13: With a rate of 1 every chat fails, and no resource does."""
        worker = simulator(errors={"server_error_rate": 1.0})

        assert (await worker.ask("GET", "/openai/v1/models")).status == 200
        assert (await worker.post(CONVERSATIONS, {})).status == 200
