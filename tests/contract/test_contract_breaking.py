"""Every generating endpoint: answers that break off, in this process and over real connections."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
from anthropic import AsyncAnthropic
from msgspec.structs import replace
from openai import AsyncOpenAI
from support.asgi import Simulator, served, simulator
from support.endpoints import ENDPOINTS, Endpoint, signed
from support.gemini_dialect import routed
from support.turns import shown_text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from llmsim.domain import Fault, FaultKind, StreamFault, Turn
from llmsim.providers.contract import Reply

OVERLOADED = Fault(FaultKind.OVERLOADED, message="Too much")
ERROR = StreamFault(5, OVERLOADED)
CUT = StreamFault(5, Fault(FaultKind.SERVER_ERROR), disconnect=True)
TOKENS = 40


@contextlib.contextmanager
def breaking(worker: Simulator, breakage: StreamFault | None) -> Iterator[list[Turn]]:
    """Make every turn of a worker break off; yield the turns that it plans."""
    planner = worker.planner
    plan, analyze = planner.plan, planner.analyze
    planned: list[Turn] = []

    def break_off(*arguments: Any, **options: Any) -> Turn:
        turn = plan(*arguments, **options)
        assert isinstance(turn, Turn)
        planned.append(replace(turn, stream_fault=breakage))
        return planned[-1]

    # What is plain never breaks off.
    replaced = {
        "plan": break_off,
        "analyze": lambda prompt: replace(analyze(prompt), is_plain=False),
        "analyze_text": lambda prompt: None,
        "analyze_known_text": lambda prompt: None,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, method in replaced.items():
            patch.setattr(planner, name, method)
        yield planned


def text(events: bytes) -> str:
    """Join the text of a stream of any API."""
    parts = []
    for line in events.splitlines():
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        parts += [
            choice["text"] if "text" in choice else choice["delta"].get("content") or ""
            for choice in event.get("choices", ())
        ]
        for candidate in event.get("candidates", ()):
            parts += [part.get("text", "") for part in candidate["content"].get("parts", ())]
        if event.get("type") == "response.output_text.delta":
            parts.append(event["delta"])
        if event.get("type") == "content_block_delta":
            parts.append(event["delta"].get("text", ""))
    return "".join(parts)


def begins(turn: Turn, tokens: int) -> str:
    """Return the text of so many tokens."""
    passages = [text for segment in turn.choices[0].segments if (text := shown_text(segment))]
    return "".join(
        piece
        for piece, end in zip(passages[-1].pieces, passages[-1].cumulative_tokens, strict=True)
        if end <= tokens
    )


def worker_of(**tables: Any) -> Simulator:
    return simulator(generator="random", target_tokens=TOKENS, **tables)


def body_of(streamer: Endpoint, *, stream: bool) -> bytes:
    """Ask for an answer without thought, so that a token of it is a token of text, and without a tight limit."""
    limit = "max_output_tokens" if "responses" in streamer.path else "max_tokens"
    return json.dumps(streamer.request | {"model": "gpt-4o", limit: 1000, "stream": stream}).encode()


class TestErrors:
    """Answers that end in an error."""

    @pytest.mark.parametrize("after", [0, 1, 5, TOKENS - 1, TOKENS, 10_000])
    async def test_a_stream_has_what_exists_and_then_the_error(self, streamer: Endpoint, after: int) -> None:
        """SCRIPT-7.2, SCRIPT-7.5: The text of just so many tokens, the API's own event for the error, and the end."""
        worker = worker_of()
        with breaking(worker, replace(ERROR, after=after)) as planned:
            exchange = await worker.ask("POST", streamer.path, body_of(streamer, stream=True))

        assert exchange.status == 200
        assert exchange.whole
        assert text(exchange.body) == begins(planned[0], min(after, TOKENS - 1))
        assert b"Too much" in [line for line in exchange.body.splitlines() if line.startswith(b"data: {")][-1]
        for end in (b'finish_reason":"stop', b"message_stop", b"response.completed", b"finishReason"):
            assert end not in exchange.body

    def test_what_streams_can_break(self, streamer: Endpoint) -> None:
        """SCRIPT-7.2: Every endpoint that streams has an end for a stream that fails, over WebSocket too."""
        assert streamer.generation.http.render_stream_fault is not None
        if (websocket := streamer.generation.websocket) is not None:
            assert websocket.messages.render_stream_fault is not None

    async def test_an_error_has_the_form_of_its_api(self, streamer: Endpoint) -> None:
        """SCRIPT-7.2: As an SDK of the API expects it: with numbers that go on, where events have any."""
        worker = worker_of()
        with breaking(worker, ERROR):
            exchange = await worker.ask("POST", streamer.path, body_of(streamer, stream=True))

        events = [json.loads(line[6:]) for line in exchange.body.splitlines() if line.startswith(b"data: {")]
        (error,) = [
            event for event in events if "error" in event and event.get("type", "error") == "error"
        ] or [event for event in events if event.get("type") == "error"]
        assert error.get("error", error)["message"] == "Too much"
        numbers = [event["sequence_number"] for event in events if "sequence_number" in event]
        assert numbers == list(range(len(numbers)))
        if numbers:
            assert events[-1]["type"] == "response.failed"
            assert events[-1]["response"]["error"]["message"] == "Too much"

    async def test_an_unstreamed_answer_is_the_error(self, streamer: Endpoint) -> None:
        """SCRIPT-7.4: With the status, the headers and the words of the same failure without a stream."""
        worker = worker_of()
        fault = replace(OVERLOADED, retry_after=0.5)
        with breaking(worker, StreamFault(5, fault)):
            exchange = await worker.ask("POST", streamer.path, body_of(streamer, stream=False))

        reply: Reply = signed(streamer.provider, streamer.provider.render_fault(fault), exchange.headers)
        assert (exchange.status, exchange.body) == (reply.status, reply.body)
        assert exchange.headers["retry-after-ms"] == "500"

    async def test_an_unstreamed_answer_breaks_when_its_stream_would(self, streamer: Endpoint) -> None:
        """SCRIPT-7.4: Not before the tokens that come first exist."""
        worker = worker_of(latency={"profile": "instant", "tbt_mean_ms": 10})
        with breaking(worker, ERROR) as planned:
            began = asyncio.get_running_loop().time()
            await worker.ask("POST", streamer.path, body_of(streamer, stream=False))
            took = asyncio.get_running_loop().time() - began

        assert took >= planned[0].schedule.due(5) == pytest.approx(0.04)


async def fetched(port: int, streamer: Endpoint, body: bytes) -> bytes:
    """Post over a connection of its own; return all that came until it was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    path, query, body = routed(streamer.path, body)
    head = (
        f"POST {path}?{query} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        "anthropic-version: 2023-06-01\r\nconnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


def unchunked(data: bytes) -> tuple[bytes, bool]:
    """Return the body of a response in chunks, and whether it came to its end."""
    left = data.partition(b"\r\n\r\n")[2]
    parts = []
    while left:
        size, _, rest = left.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return b"".join(parts), True
        parts.append(rest[:length])
        left = rest[length + 2 :]
    return b"".join(parts), False


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "asgi"])
class TestCuts:
    """Connections that are cut."""

    async def test_a_stream_ends_without_its_end(self, streamer: Endpoint, direct: bool) -> None:
        """SCRIPT-7.3, SCRIPT-7.5: What exists has come; the chunk that ends a body has not."""
        worker = worker_of(server={"direct_writes": direct})
        for after in (0, 5, 10_000):
            with breaking(worker, replace(CUT, after=after)) as planned:
                async with served(worker) as port:
                    data = await fetched(port, streamer, body_of(streamer, stream=True))

            body, whole = unchunked(data)
            assert data.startswith(b"HTTP/1.1 200 ")
            assert not whole
            assert text(body) == begins(planned[0], min(after, TOKENS - 1))

    async def test_a_paced_stream_is_cut_when_its_token_exists(
        self, streamer: Endpoint, direct: bool
    ) -> None:
        """SCRIPT-7.3: Also where tokens leave one by one."""
        worker = worker_of(server={"direct_writes": direct}, latency={"profile": "instant", "tbt_mean_ms": 5})
        with breaking(worker, CUT) as planned:
            async with served(worker) as port:
                data = await fetched(port, streamer, body_of(streamer, stream=True))

        body, whole = unchunked(data)
        assert (text(body), whole) == (begins(planned[0], 5), False)
        assert worker.stats().completion_tokens == 5

    async def test_an_unstreamed_answer_is_none(self, streamer: Endpoint, direct: bool) -> None:
        """SCRIPT-7.4: The connection is closed without an answer, or, where only the server can, without its body."""
        worker = worker_of(server={"direct_writes": direct})
        with breaking(worker, CUT):
            async with served(worker) as port:
                data = await fetched(port, streamer, body_of(streamer, stream=False))

        body, whole = unchunked(data)
        assert (body, whole) == (b"", False)
        assert direct is (data == b"")

    async def test_the_worker_lives(self, streamer: Endpoint, direct: bool) -> None:
        """SCRIPT-7.3: The next request on another connection is answered whole."""
        worker = worker_of(server={"direct_writes": direct})
        async with served(worker) as port:
            with breaking(worker, CUT):
                await fetched(port, streamer, body_of(streamer, stream=True))
            data = await fetched(port, streamer, body_of(streamer, stream=True))

        assert unchunked(data)[1]


@pytest.mark.parametrize(
    ("breakage", "stream"),
    [*itertools.product([ERROR, CUT], [True, False])],
    ids=lambda value: str(value)[:14],
)
class TestBooking:
    """What is counted, and what is kept."""

    async def test_a_broken_answer_is_booked_once(
        self, streamer: Endpoint, breakage: StreamFault, stream: bool
    ) -> None:
        """SCRIPT-7.6: As the simulated fault it is; of tokens, those of a stream that were made."""
        worker = worker_of()
        with breaking(worker, breakage):
            await worker.ask("POST", streamer.path, body_of(streamer, stream=stream))

        stats = worker.stats()
        assert (stats.total_requests, stats.active_requests, stats.finished_requests) == (1, 0, 0)
        assert stats.overloaded_errors == (0 if breakage.disconnect else 1)
        assert stats.server_errors == 1
        assert (stats.failed_requests, stats.abandoned_requests, stats.aborted_requests) == (0, 0, 0)
        assert stats.completion_tokens == (5 if stream or breakage.disconnect else 0)

    async def test_a_broken_answer_is_not_kept(
        self, streamer: Endpoint, breakage: StreamFault, stream: bool
    ) -> None:
        """SCRIPT-7.6: Nobody can look up or continue what never came to its end."""
        storage = streamer.generation.storage
        one = f"{streamer.generation.path}/{{"
        looked_up = [
            operation for operation in streamer.provider.resource_endpoints if operation.path.startswith(one)
        ]
        if storage is None or not looked_up:
            pytest.skip("gives no turns back")
        worker = worker_of()
        body = json.dumps(json.loads(body_of(streamer, stream=stream)) | {"store": True}).encode()
        with breaking(worker, breakage) as planned:
            await worker.ask("POST", streamer.path, body)
            path = f"{streamer.path}/{storage.public_id(planned[0])}"
            assert (await worker.ask("GET", path)).status == 404
        with breaking(worker, None) as planned:
            await worker.ask("POST", streamer.path, body)
            path = f"{streamer.path}/{storage.public_id(planned[0])}"
            assert (await worker.ask("GET", path)).status == 200


@pytest.fixture(params=["openai", "openresponses"])
def responses(request: pytest.FixtureRequest) -> Endpoint:
    """Return the endpoints that also speak over WebSocket."""
    (found,) = [
        Endpoint(provider, generation)
        for provider, generation in ENDPOINTS
        if provider.name == request.param and generation.websocket is not None
    ]
    return found


class TestSockets:
    """Turns over WebSocket."""

    MESSAGE = json.dumps({"type": "response.create", "model": "gpt-4o", "input": "Hello"})

    async def test_an_error_leaves_the_connection_open(self, responses: Endpoint) -> None:
        """SCRIPT-7.2, SCRIPT-7.6: Events up to the break, then the error, numbered on; the next turn is whole."""
        worker = worker_of()
        async with served(worker) as port, connect(f"ws://127.0.0.1:{port}{responses.path}") as websocket:
            with breaking(worker, ERROR) as planned:
                await websocket.send(self.MESSAGE)
                broken = await self._events(websocket, "response.failed")
            await websocket.send(self.MESSAGE)
            whole = await self._events(websocket, "response.completed")

        shown = "".join(event["delta"] for event in broken if event["type"] == "response.output_text.delta")
        assert shown == begins(planned[0], 5)
        assert [event["sequence_number"] for event in broken] == list(range(len(broken)))
        assert broken[-2]["type"] == "error"
        assert len(whole) > len(broken)
        stats = worker.stats()
        assert (stats.overloaded_errors, stats.finished_requests, stats.active_requests) == (1, 1, 0)

    async def test_a_cut_closes_the_connection(self, responses: Endpoint) -> None:
        """SCRIPT-7.3, SCRIPT-7.6: Events up to the break, and then the line is gone."""
        worker = worker_of()
        events = []
        async with served(worker) as port, connect(f"ws://127.0.0.1:{port}{responses.path}") as websocket:
            with breaking(worker, CUT) as planned:
                await websocket.send(self.MESSAGE)
                with pytest.raises(ConnectionClosedError):
                    await self._read(websocket, events, "never")

        shown = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        assert shown == begins(planned[0], 5)
        stats = worker.stats()
        assert (stats.server_errors, stats.total_requests, stats.active_requests) == (1, 1, 0)
        assert stats.completion_tokens == 5

    async def _events(self, websocket: ClientConnection, last: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        await self._read(websocket, events, last)
        return events

    async def _read(self, websocket: ClientConnection, events: list[dict[str, Any]], last: str) -> None:
        while not events or events[-1]["type"] != last:
            events.append(json.loads(await asyncio.wait_for(websocket.recv(), 20)))


class TestClients:
    """The official clients."""

    async def test_clients_raise_what_the_stream_says(self) -> None:
        """SCRIPT-7.2: Each with the message, after what came before."""
        worker = worker_of()
        messages = [{"role": "user", "content": "Hello"}]
        with breaking(worker, ERROR):
            async with served(worker) as port:
                address = f"http://127.0.0.1:{port}"
                async with AsyncOpenAI(base_url=f"{address}/openai/v1", api_key="x", max_retries=0) as client:
                    chunks = await client.chat.completions.create(
                        model="gpt-4o", messages=messages, stream=True
                    )  # type: ignore[call-overload]
                    with pytest.raises(openai.APIError, match="Too much"):
                        _ = [chunk async for chunk in chunks]
                async with AsyncAnthropic(
                    base_url=f"{address}/anthropic", api_key="x", max_retries=0
                ) as other:
                    events = await other.messages.create(
                        model="claude-haiku-4-5", messages=messages, max_tokens=99, stream=True
                    )  # type: ignore[call-overload]
                    with pytest.raises(anthropic.APIStatusError, match="Too much"):
                        _ = [event async for event in events]

    async def test_clients_raise_where_a_stream_is_cut(self) -> None:
        """SCRIPT-7.3, SCRIPT-7.4: A body without its end is an error of the connection, and so is no answer."""
        worker = worker_of()
        messages = [{"role": "user", "content": "Hello"}]
        client = AsyncOpenAI(base_url="http://127.0.0.1/openai/v1", api_key="x", max_retries=0)
        with breaking(worker, CUT):
            async with served(worker) as port, client:
                client.base_url = f"http://127.0.0.1:{port}/openai/v1"
                chunks = await client.chat.completions.create(model="gpt-4o", messages=messages, stream=True)  # type: ignore[call-overload]
                # Which of the two depends on the client's version.
                with pytest.raises((httpx.RemoteProtocolError, openai.APIConnectionError)):
                    _ = [chunk async for chunk in chunks]
                with pytest.raises(openai.APIConnectionError):
                    await client.chat.completions.create(model="gpt-4o", messages=messages)  # type: ignore[call-overload]
