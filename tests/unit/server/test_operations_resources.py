"""What operators ask of one worker."""

import threading

import pytest
from support.asgi import simulator

from llmsim.server import operations

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(("path", "render"), [("/metrics", "render_metrics"), ("/llmsim/stats", "snapshot")])
async def test_counters_are_read_beside_the_loop(
    path: str, render: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """METRICS-1.8: The page is read and rendered in another thread than that of the event loop."""
    threads = []
    whole = getattr(operations, render)

    def note(*arguments: object, **named: object) -> object:
        threads.append(threading.get_ident())
        return whole(*arguments, **named)

    monkeypatch.setattr(operations, render, note)
    answer = await simulator().ask("GET", path)

    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert threads
    assert threading.get_ident() not in threads


async def test_asking_counts_nothing() -> None:
    """METRICS-1.1: The page counts neither itself nor other paths of operators."""
    worker = simulator()
    for path in ("/metrics", "/ready", "/health", "/llmsim/stats"):
        assert (await worker.ask("GET", path)).status == 200
    await worker.post("/openai/v1/chat/completions", CHAT)

    page = (await worker.ask("GET", "/metrics")).body.decode()

    assert 'llmsim_requests_total{endpoint="completions",outcome="finished"} 1\n' in page
    assert worker.stats().total_requests == 1


@pytest.mark.parametrize("path", ["/ready", "/openai/ready", "/anthropic/ready"])
async def test_ready_follows_the_drain(path: str) -> None:
    """METRICS-3.1: `/ready` is 200, and 503 once the master has noted that it stops; `/health` stays 200."""
    worker = simulator()
    before = await worker.ask("GET", path)
    worker.block.start_drain()
    after = await worker.ask("GET", path)

    assert (before.status, before.json["status"]) == (200, "ready")
    assert (after.status, after.json["status"]) == (503, "draining")
    assert (await worker.ask("HEAD", path)).status == 503
    assert (await worker.ask("GET", "/health")).status == 200


async def test_operators_need_no_key() -> None:
    """METRICS-1.1: With API keys configured `/metrics` and `/ready` are open, as `/llmsim/stats` is."""
    worker = simulator(auth={"keys": ("sk-a",)})

    statuses = [
        (await worker.ask("GET", path)).status for path in ("/metrics", "/ready", "/openai/v1/models")
    ]

    assert statuses == [200, 200, 401]


@pytest.mark.parametrize("path", ["/metrics", "/llmsim/stats"])
@pytest.mark.parametrize(("scope", "words"), [("all", "state.url"), ("al", "not one of: host, all")])
async def test_a_host_that_shares_nothing_has_no_sums_of_all(path: str, scope: str, words: str) -> None:
    """MACH-5.7: Without shared state `scope=all` is a 400 that names the setting; so is a scope that does not exist."""
    answer = await simulator().ask("GET", path, query=f"scope={scope}")

    assert answer.status == 400
    assert words in answer.json["error"]["message"]
    assert (await simulator().ask("GET", path, query="scope=host")).status == 200
