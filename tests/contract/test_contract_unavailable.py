"""State that cannot be kept: plain requests go on, the rest is 503 with the reason."""

import json
from typing import Any

import pytest
from support.asgi import Exchange, Simulator, simulator
from support.endpoints import Endpoint

from llmsim.errors import StoreError
from llmsim.state.counters import FileCounters
from llmsim.state.database import Database
from llmsim.state.runtime_settings import SharedSettings

REASON = "1.records: the shared store cannot be used: database or disk is full"


@pytest.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A worker whose files cannot be used, after it has started."""
    worker = simulator(latency={"profile": "instant"}, admin={"journal": "all"})
    monkeypatch.setattr(Database, "run", _fail)
    monkeypatch.setattr(FileCounters, "_open", _fail)
    return worker


def _fail(*_: Any, **__: Any) -> Any:
    raise StoreError(REASON)


def _is_unavailable(exchange: Exchange) -> bool:
    assert exchange.status == 503, exchange.body
    assert int(dict(exchange.headers)["retry-after"]) > 0
    return REASON in exchange.body.decode()


async def test_plain_requests_go_on(worker: Simulator, endpoint: Endpoint) -> None:
    """STATE-5.9: Without a state to keep a request is answered as always; its journal entry is dropped and counted."""
    fields = {"store": False} if "responses" in endpoint.path else {}
    exchange = await worker.ask("POST", endpoint.path, endpoint.body(**fields))

    assert exchange.status == 200, exchange.body
    assert worker.stats().journal_dropped == 1
    assert worker.stats().failed_requests == 0


async def test_the_prompt_cache_fails_no_request(worker: Simulator) -> None:
    """STATE-5.9: A prompt that asks to be cached is answered, uncached."""
    text = {"type": "text", "text": "word " * 3000, "cache_control": {"type": "ephemeral"}}
    body = {"model": "claude-haiku-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": [text]}]}
    headers = {"anthropic-version": "2023-06-01"}
    exchange = await worker.ask("POST", "/anthropic/v1/messages", json.dumps(body).encode(), headers=headers)

    assert exchange.status == 200, exchange.body
    assert exchange.json["usage"]["cache_creation_input_tokens"] == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/openai/v1/responses", {"model": "gpt-4o", "input": "x"}),
        ("/openresponses/v1/responses", {"model": "gpt-4o", "input": "x"}),
        (
            "/openai/v1/chat/completions",
            {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}], "store": True},
        ),
    ],
)
async def test_what_cannot_be_stored_is_refused(worker: Simulator, path: str, body: Any) -> None:
    """STATE-5.9: A response that is to be stored is refused with the reason, and counts as failed."""
    exchange = await worker.post(path, body)

    assert _is_unavailable(exchange)
    assert exchange.json["error"]["code"] == "store_unavailable"
    assert worker.stats().failed_requests == 1


async def test_a_script_cannot_be_played(worker: Simulator, text_endpoint: Endpoint) -> None:
    """STATE-5.9: So is a request that names a script, on every API that plays scripts."""
    if not text_endpoint.streams:
        pytest.skip("embeddings play no scripts")
    headers = {"x-llmsim-script": "any", "anthropic-version": "2023-06-01"}
    exchange = await worker.ask("POST", text_endpoint.path, text_endpoint.body(), headers=headers)

    assert _is_unavailable(exchange)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/openai/v1/chat/completions"),
        ("GET", "/openai/v1/responses/resp_1"),
        ("DELETE", "/openai/v1/responses/resp_1"),
        ("GET", "/anthropic/v1/messages/batches"),
        ("GET", "/llmsim/scripts"),
        ("GET", "/llmsim/sessions"),
        ("GET", "/llmsim/requests"),
        ("POST", "/llmsim/reset"),
    ],
)
async def test_what_is_kept_cannot_be_read(worker: Simulator, method: str, path: str) -> None:
    """STATE-5.9: So is what reads or deletes stored objects, and the control API."""
    exchange = await worker.ask(method, path, headers={"anthropic-version": "2023-06-01"})

    assert _is_unavailable(exchange)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/llmsim/rules", {"rules": []}),
        ("DELETE", "/llmsim/rules", None),
        ("PATCH", "/llmsim/settings", {"latency.ttft_mean_ms": 7}),
        ("DELETE", "/llmsim/timeline", None),
    ],
)
async def test_what_is_in_force_cannot_be_changed(
    monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: Any
) -> None:
    """MACH-12.7, MACH-4.4: It is no mistake of the client, who is to come again."""
    worker = simulator()
    monkeypatch.setattr(SharedSettings, "replace", _fail)
    content = b"" if body is None else json.dumps(body).encode()
    headers = {"host": "localhost", "content-type": "application/json"}

    assert _is_unavailable(await worker.ask(method, path, content, headers=headers))


async def test_a_store_that_fails_afterwards_costs_no_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """STATE-5.9: What fails once the response was planned, the end of a journal entry or a turn, is not the client's loss."""
    worker = simulator(latency={"profile": "instant"})
    script = {"turns": [{"type": "assistant", "text": "hi"}]}
    await worker.ask("PUT", "/llmsim/scripts/s", json.dumps(script).encode())
    headers = {"x-llmsim-script": "s"}
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "x"}]}
    sessions, journal = worker.application.state.sessions, worker.application.state.journal
    for owner, name in ((sessions, "commit"), (journal, "finish")):
        monkeypatch.setattr(owner, name, _fail_later)
    exchange = await worker.ask(
        "POST", "/openai/v1/chat/completions", json.dumps(body).encode(), headers=headers
    )

    assert exchange.status == 200, exchange.body
    assert worker.stats().journal_dropped == 1


async def _fail_later(*_: Any, **__: Any) -> None:
    raise StoreError(REASON)
