"""Embeddings through the whole server: where the work is done, and how a model of another kind refuses."""

import threading
from typing import Any

import pytest
from support.asgi import simulator
from support.endpoints import Endpoint

from llmsim.providers.openai import embeddings

PATH = "/openai/v1/embeddings"


@pytest.mark.parametrize(
    ("given", "off_loop"),
    [
        ("hello", False),
        (["a", "b"], False),
        (["a"] * 100, True),
        ("word " * 500, True),
        ("word " * 7000, True),
    ],
    ids=["one", "two", "many", "long", "a large body"],
)
async def test_much_work_is_done_off_the_loop(
    given: Any, off_loop: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EMBD-5.1: Many or long texts are planned and rendered in a thread, a few short ones at once."""
    worker = simulator()
    threads: list[int] = []

    def watched(work: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            threads.append(threading.get_ident())
            return work(*arguments, **options)

        return run

    monkeypatch.setattr(worker.planner, "plan", watched(worker.planner.plan))
    monkeypatch.setattr(embeddings, "_as_numbers", watched(embeddings._as_numbers))
    exchange = await worker.post(PATH, {"model": "text-embedding-3-small", "input": given})

    assert exchange.status == 200
    assert len(threads) == 1 + len(exchange.json["data"])
    assert {thread != threading.get_ident() for thread in threads} == {off_loop}


async def test_models_that_embed_answer_nobody(streamer: Endpoint) -> None:
    """EMBD-4.3: Every endpoint that answers refuses them with 404 in its provider's envelope, streamed or not."""
    worker = simulator()
    for stream in (False, True):
        body = streamer.body(model="text-embedding-3-large", stream=stream)
        exchange = await worker.ask("POST", streamer.path, body)
        assert exchange.status == (400 if streamer.provider.name == "azure" else 404)
        assert "error" in exchange.json

    assert worker.stats().refused_requests == 2


async def test_limits_can_be_lifted() -> None:
    """EMBD-1.6: `response.enforce_context_window = false` takes what is too long for one text and for a request."""
    request = {"model": "text-embedding-3-small", "input": [[15339] * 300_001, [15339]], "dimensions": 2}

    assert (await simulator().post(PATH, request)).status == 400
    lifted = await simulator(enforce_context_window=False).post(PATH, request)
    assert lifted.json["usage"]["prompt_tokens"] == 300_002


async def test_an_answer_that_says_nothing_is_counted() -> None:
    """EMBD-2.5: Requests, prompt tokens and faults stand in the endpoint's row."""
    worker = simulator(errors={"rate_limit_rate": 1.0})
    assert (await worker.post(PATH, {"model": "my-own", "input": "hello"})).status == 429
    fine = simulator()
    exchange = await fine.post(PATH, {"model": "my-own", "input": "hello world"})

    assert exchange.headers["x-request-id"].startswith("req_")
    assert worker.stats().endpoints["embeddings"]["rate_limit"] == 1
    assert fine.stats().endpoints["embeddings"]["finished"] == 1
    assert (fine.stats().prompt_tokens, fine.stats().completion_tokens) == (2, 0)


async def test_what_many_texts_take_is_held_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """BUDG-5.2: Room is reserved before the vectors are there, and released after the response; one text needs none."""
    worker = simulator(latency={"profile": "instant"})
    bodies = worker.application.bodies
    held = []

    def watch(vector: bytes) -> bytes:
        held.append(bodies.held)
        return b"[]"

    monkeypatch.setattr(embeddings, "_as_numbers", watch)
    for texts in ("a", ["a"] * 100):
        exchange = await worker.post(PATH, {"model": "text-embedding-3-large", "input": texts})
        assert exchange.status == 200

    assert held[0] == 0
    assert min(held[1:]) > 100 * 3072 * 40
    assert bodies.held == 0


async def test_without_room_many_texts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRAN-1.12, BUDG-5.2: With 503 and `retry-after`, after the bounded wait; one text is embedded."""
    worker = simulator(latency={"profile": "instant"})
    bodies = worker.application.bodies
    monkeypatch.setattr(bodies, "_wait_seconds", 0.01)
    others = await bodies.reserve(bodies.limit + 1)
    exchange = await worker.post(PATH, {"model": "text-embedding-3-large", "input": ["a"] * 100})
    single = await worker.post(PATH, {"model": "text-embedding-3-large", "input": "a"})

    assert (exchange.status, single.status) == (503, 200)
    assert int(exchange.headers["retry-after"]) > 0
    assert exchange.json["error"]["type"] == "server_error"
    assert "no room" in exchange.json["error"]["message"]
    assert worker.stats().failed_requests == 1
    others.release()
    assert bodies.held == 0
