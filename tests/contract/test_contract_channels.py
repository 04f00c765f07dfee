"""Every generating endpoint on every channel: HTTP written directly, plain ASGI and WebSocket take one path."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.asgi import WANTED, Simulator, broken, served, simulator
from support.endpoints import ENDPOINTS, Endpoint
from support.gemini_dialect import routed
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from llmsim.server.channels import AsgiChannel
from llmsim.server.direct_channel import DirectChannel
from llmsim.server.generation import GenerationService
from llmsim.server.websocket import WebSocketChannel

HEADERS = {"x-llmsim-session": "s"}

REFUSED = {"temperature": "hot"}
FAULTY = {"rate_limit_rate": 1.0}

Events = list[dict[str, Any]]
"""The events of a stream, or the one error."""


@pytest.fixture(params=["openai", "openresponses"])
def responses(request: pytest.FixtureRequest) -> Endpoint:
    """Return each endpoint that speaks over WebSocket."""
    (found,) = [
        Endpoint(provider, generation)
        for provider, generation in ENDPOINTS
        if provider.name == request.param and generation.websocket is not None
    ]
    return found


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[type]]:
    """Return the list to which each run of the service adds the type of its channel."""
    answer = GenerationService.answer
    types: list[type] = []

    def spy(service: GenerationService[Any], request: Any, channel: Any) -> Awaitable[None] | None:
        types.append(type(channel))
        return answer(service, request, channel)

    monkeypatch.setattr(GenerationService, "answer", spy)
    return types


def parse_sse(body: bytes) -> Events:
    """Parse a streamed response, or the body of an error."""
    if body.startswith(b"{"):
        return [json.loads(body)]
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]


async def by_direct_http(worker: Simulator, endpoint: Endpoint, fields: dict[str, Any]) -> Events:
    """Request a stream from uvicorn."""
    async with served(worker) as port, httpx.AsyncClient() as client:
        response = await client.post(
            f"http://127.0.0.1:{port}{endpoint.path}",
            content=endpoint.body(stream=True, **fields),
            headers=WANTED | HEADERS,
        )
    return parse_sse(response.content)


async def by_plain_asgi(worker: Simulator, endpoint: Endpoint, fields: dict[str, Any]) -> Events:
    """Request a stream from the application itself."""
    body = endpoint.body(stream=True, **fields)
    return parse_sse((await worker.ask("POST", endpoint.path, body, headers=HEADERS)).body)


async def by_websocket(worker: Simulator, endpoint: Endpoint, fields: dict[str, Any]) -> Events:
    """Request a turn over WebSocket."""
    events: Events = []
    ends = ("response.completed", "response.incomplete", "error")
    async with (
        served(worker) as port,
        connect(f"ws://127.0.0.1:{port}{endpoint.path}", additional_headers=HEADERS) as opened,
    ):
        await opened.send(endpoint.body(type="response.create", **fields).decode())
        while not events or events[-1]["type"] not in ends:
            events.append(json.loads(await asyncio.wait_for(opened.recv(), 20)))
        await settled(worker)
    return events


CHANNELS = {DirectChannel: by_direct_http, AsgiChannel: by_plain_asgi, WebSocketChannel: by_websocket}


async def settled(worker: Simulator) -> None:
    """Wait until no request is in flight."""
    for _ in range(4_000):
        stats = worker.stats()
        if stats.total_requests and not stats.active_requests:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("a request does not end")


async def results(
    channel: type, endpoint: Endpoint, fields: dict[str, Any], **tables: Any
) -> tuple[Events, dict[str, Any]]:
    """Send one request; return its events, and what was booked, journalled and stored of it."""
    worker = simulator(seed=7, target_tokens=5, admin={"journal": "all"}, **tables)
    state = worker.application.state
    state.counters.restart()
    await state.journal.clear()

    events = await CHANNELS[channel](worker, endpoint, fields)
    await settled(worker)
    stats = worker.stats()
    [entry] = (await worker.ask("GET", "/llmsim/requests")).json["requests"]
    storage = endpoint.generation.storage
    assert storage is not None
    response_id = events[-1].get("response", {}).get("id", "")
    record = await state.records.get(storage.kind, response_id)
    await state.records.delete(storage.kind, response_id)
    return events, {
        "counts": stats.endpoints[endpoint.generation.label],
        "tokens": (stats.prompt_tokens, stats.completion_tokens, stats.latency.lateness_ms.count),
        "models": list(stats.models),
        "journal": {
            name: entry[name] for name in entry if name not in ("number", "at", "seconds", "request")
        },
        "stored": record and (record.id, record.model, record.created, record.metadata),
    }


class TestOnePath:
    """What a request gets does not depend on its channel."""

    async def test_a_turn_is_the_same_on_every_channel(
        self, responses: Endpoint, channels: list[type]
    ) -> None:
        """ARCH-1.6: One service runs it: events, booking, journal entry and stored response are the same."""
        outcomes = [await results(channel, responses, {"store": True}) for channel in CHANNELS]

        assert channels == list(CHANNELS)
        assert outcomes[0] == outcomes[1] == outcomes[2]
        events, effects = outcomes[0]
        assert events[-1]["type"] == "response.completed"
        assert effects["counts"]["finished"] == 1
        assert effects["stored"][0] == events[-1]["response"]["id"]
        assert effects["journal"]["outcome"] == "finished"

    @pytest.mark.parametrize(
        ("fields", "errors", "outcome"),
        [(REFUSED, {}, "refused"), ({}, FAULTY, "rate_limit")],
        ids=["refused", "fault"],
    )
    async def test_an_error_is_the_same_on_every_channel(
        self,
        responses: Endpoint,
        channels: list[type],
        fields: dict[str, Any],
        errors: dict[str, float],
        outcome: str,
    ) -> None:
        """ARCH-1.6: So are refusals and simulated faults, with the message of the API."""
        outcomes = [await results(channel, responses, fields, errors=errors) for channel in CHANNELS]

        assert channels == list(CHANNELS)
        assert outcomes[0][1] == outcomes[1][1] == outcomes[2][1]
        assert len({events[0]["error"]["message"] for events, _ in outcomes}) == 1
        effects = outcomes[0][1]
        assert (effects["counts"][outcome], effects["stored"]) == (1, None)
        assert effects["journal"]["outcome"] == outcome

    async def test_every_endpoint_is_run_by_the_service(
        self, endpoint: Endpoint, channels: list[type]
    ) -> None:
        """ARCH-1.6: So is every generating endpoint over HTTP, streamed or not, written directly or by plain ASGI."""
        worker = simulator()
        async with served(worker) as port, httpx.AsyncClient() as client:
            for stream in (True, False):
                path, query, body = routed(endpoint.path, endpoint.body(stream=stream))
                await client.post(f"http://127.0.0.1:{port}{path}?{query}", content=body, headers=WANTED)
                await worker.ask("POST", endpoint.path, endpoint.body(stream=stream))

        assert channels == [DirectChannel, AsgiChannel] * 2
        assert worker.stats().finished_requests == 4

    async def test_what_waits_for_nothing_is_answered_without_a_task(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """ARCH-7.3: A plain chat is answered as it is received; one that is refused or fails, or waits, by what may wait."""
        run, paths = RequestResponseCycle.run_asgi, []

        async def spy(cycle: RequestResponseCycle, app: Any) -> None:
            paths.append(cycle.scope["path"])
            await run(cycle, app)

        monkeypatch.setattr(RequestResponseCycle, "run_asgi", spy)
        worker = simulator(server={"run_dir": str(tmp_path)})
        address, text = "/openai/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}
        plain = {"model": "gpt-4o", **text}
        async with served(worker) as port, httpx.AsyncClient() as client:

            async def ask(**fields: Any) -> int:
                return (
                    await client.post(f"http://127.0.0.1:{port}{address}", json=plain | fields)
                ).status_code

            # The first one puts the settings in force.
            assert [await ask(), await ask(stream=True), await ask()] == [200] * 3
            assert paths == [address][: len(paths)]
            paths.clear()
            assert await ask(n="many") == 400
            with caplog.at_level(logging.ERROR), broken(worker.planner, "plan", RuntimeError("boom")):
                assert await ask() == 500
            assert await ask() == 200

        # The report on clients watches those that have failed.
        assert paths == [address] * 3
        assert any("boom" in str(record.exc_info) for record in caplog.records)
        stats = worker.stats()
        assert (stats.finished_requests, stats.failed_requests, stats.active_requests) == (4, 1, 0)


class TestWebSocketBugs:
    """Bugs, and handshakes that no endpoint has."""

    MESSAGE = json.dumps({"type": "response.create", "model": "gpt-4o", "input": "Hello"})

    @pytest.mark.parametrize("name", ["parse", "plan", "render_stream"])
    async def test_a_bug_costs_its_connection(
        self, responses: Endpoint, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """ARCH-1.5: The connection is closed with 1011, the turn booked as failed and logged; others and the worker go on."""
        worker = simulator(target_tokens=3)
        assert responses.generation.websocket is not None
        owner = worker.planner if name == "plan" else responses.generation.websocket.messages
        async with served(worker) as port:
            address = f"ws://127.0.0.1:{port}{responses.path}"
            async with connect(address) as other, connect(address) as opened:
                with caplog.at_level(logging.ERROR), broken(owner, name, RuntimeError("boom")):
                    await opened.send(self.MESSAGE)
                    with pytest.raises(ConnectionClosedError) as closed:
                        await asyncio.wait_for(opened.recv(), 20)
                await settled(worker)
                failed = worker.stats()
                await other.send(self.MESSAGE)
                await self._completed(other)
            async with connect(address) as again:
                await again.send(self.MESSAGE)
                await self._completed(again)

        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
        assert (failed.failed_requests, failed.active_requests, failed.total_errors) == (1, 0, 1)
        assert [str(record.exc_info) for record in caplog.records if "boom" in str(record.exc_info)] != []
        stats = worker.stats()
        assert (stats.finished_requests, stats.failed_requests, stats.websocket_connections) == (2, 1, 0)

    async def test_a_bug_in_mid_stream_costs_its_connection(
        self, responses: Endpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """ARCH-1.5: So does a bug after the first events have left."""
        worker = simulator(target_tokens=20, latency={"profile": "instant", "tbt_mean_ms": 2})
        send = WebSocketChannel._send

        async def fail_later(channel: WebSocketChannel, event: bytes) -> None:
            await send(channel, event)
            if b"output_text.delta" in event:
                raise RuntimeError("boom")

        async with served(worker) as port:
            address = f"ws://127.0.0.1:{port}{responses.path}"
            async with connect(address) as opened:
                with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
                    patch.setattr(WebSocketChannel, "_send", fail_later)
                    await opened.send(self.MESSAGE)
                    with pytest.raises(ConnectionClosedError) as closed:
                        await self._completed(opened)
            async with connect(address) as again:
                await again.send(self.MESSAGE)
                await self._completed(again)
                await settled(worker)

        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
        assert any("boom" in str(record.exc_info) for record in caplog.records)
        assert (worker.stats().failed_requests, worker.stats().finished_requests) == (1, 1)

    @pytest.mark.parametrize(
        "path",
        [
            "/openai/v1/chat/completions",
            "/anthropic/v1/messages",
            "/openai/v1/nothing",
            "/health",
            "/nothing",
            "/",
        ],
    )
    async def test_a_handshake_that_no_endpoint_has_is_refused(
        self, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """ARCH-1.5: A WebSocket handshake on any other path gets an HTTP error, without a traceback; the worker goes on."""
        worker = simulator()
        with caplog.at_level(logging.WARNING):
            async with served(worker) as port, httpx.AsyncClient() as client:
                with pytest.raises(InvalidStatus) as refused:
                    await connect(f"ws://127.0.0.1:{port}{path}")
                health = await client.get(f"http://127.0.0.1:{port}/health")

        assert 400 <= refused.value.response.status_code < 500
        assert [
            record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR
        ] == []
        assert health.status_code == 200
        assert (worker.stats().total_requests, worker.stats().websocket_connections) == (0, 0)

    async def _completed(self, opened: Any) -> None:
        """Read the events of a turn to its end."""
        while json.loads(await asyncio.wait_for(opened.recv(), 20))["type"] != "response.completed":
            pass
