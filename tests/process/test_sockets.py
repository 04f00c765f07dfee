"""Responses over WebSocket, on several workers."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest
from support.servers import Server, eventually, serve
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Four workers that answer at once."""
    directory = tmp_path_factory.mktemp("sockets")
    with serve(
        directory, "--workers", "4", "--latency", "instant", LLMSIM_SERVER_MAX_BODY_BYTES="100000"
    ) as running:
        yield running


@asynccontextmanager
async def socket(server: Server, provider: str = "openai") -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{server.port}/{provider}/v1/responses", max_size=None) as opened:
        yield opened


async def turn(opened: ClientConnection, message: dict[str, Any] | bytes | str) -> list[dict[str, Any]]:
    """Send a message and read the events up to the last."""
    await opened.send(json.dumps(message) if isinstance(message, dict) else message)
    events = []
    while not events or events[-1]["type"] not in ENDS:
        events.append(json.loads(await asyncio.wait_for(opened.recv(), 60)))
    return events


def create(**fields: Any) -> dict[str, Any]:
    return {"type": "response.create", "model": "gpt-4o", "input": "Hello"} | fields


@pytest.mark.parametrize("provider", ["openai", "openresponses"])
async def test_turns_one_after_the_other(server: Server, provider: str) -> None:
    """SOCK-1.1, SOCK-1.2: flat or nested, a connection carries several turns, whose events are those of the stream."""
    async with socket(server, provider) as opened:
        flat = await turn(opened, create())
        nested = await turn(
            opened, {"type": "response.create", "response": {"model": "gpt-4o", "input": "Hello"}}
        )
        for message in (create(input="one"), create(input="two")):
            await opened.send(json.dumps(message))
        both = [json.loads(await opened.recv()) for _ in range(2 * len(flat))]

    for events in (flat, nested, both[: len(flat)], both[len(flat) :]):
        assert [event["sequence_number"] for event in events] == list(range(len(flat)))
        assert events[0]["type"] == "response.created"
        assert events[-1]["type"] == "response.completed"


async def test_connection_remembers_what_is_not_stored(server: Server) -> None:
    """SOCK-1.3: chains of store false go on through the connection's own memory, and nowhere else."""
    async with socket(server) as opened:
        first = (await turn(opened, create(store=False)))[-1]["response"]
        second = (await turn(opened, create(store=False, previous_response_id=first["id"])))[-1]["response"]
    async with socket(server) as other:
        unknown = await turn(other, create(previous_response_id=first["id"]))

    assert second["usage"]["input_tokens"] == 3 + 5 + 104 + 5
    assert [event["error"]["code"] for event in unknown] == ["previous_response_not_found"]


async def test_errors_leave_the_connection_open(server: Server) -> None:
    """SOCK-2.1, SOCK-2.2: what cannot be answered gets an error event with its status; the next turn is answered."""
    wrong: list[tuple[Any, int, str | None]] = [
        (create(previous_response_id="resp_none"), 400, "previous_response_not_found"),
        ({"type": "response.fly"}, 400, "invalid_value"),
        ("not JSON", 400, None),
        (b"\x00\xff", 400, None),
        ("[" * 50_000, 400, None),
        (create(input="x" * 100_001), 413, "request_too_large"),
        (create(temperature=9), 400, "decimal_above_max_value"),
    ]
    async with socket(server) as opened:
        for message, status, code in wrong:
            (event,) = await turn(opened, message)
            assert event["type"] == "error"
            assert event["status"] == status
            assert event["error"]["code"] == code
        events = await turn(opened, create())

    assert events[-1]["type"] == "response.completed"


@pytest.mark.parametrize("wrong", [{"model": 5}, {"temperature": 9}, {"input": [{"type": "nothing"}]}])
async def test_a_failed_continuation_is_forgotten(server: Server, wrong: dict[str, Any]) -> None:
    """SOCK-2.3: A turn that was continued in vain cannot be continued again; one that is stored can."""
    async with socket(server) as opened:
        for store, outcome in ((False, "error"), (True, "response.completed")):
            first = (await turn(opened, create(store=store)))[-1]["response"]
            continued = {"store": store, "previous_response_id": first["id"]}
            assert (await turn(opened, create(**continued)))[-1]["type"] == "response.completed"
            assert [event["type"] for event in await turn(opened, create(**(continued | wrong)))] == ["error"]
            last = (await turn(opened, create(**continued)))[-1]

            assert last["type"] == outcome
            if not store:
                assert last["error"]["code"] == "previous_response_not_found"


async def test_warm_up(server: Server) -> None:
    """SOCK-1.4: generate false gives an empty response at once, to be continued."""
    async with socket(server) as opened:
        warm = (await turn(opened, create(generate=False)))[-1]["response"]
        warmed = (await turn(opened, create(previous_response_id=warm["id"])))[-1]["response"]

    assert warm["output"] == []
    assert warm["usage"]["output_tokens"] == 0
    assert warmed["usage"]["input_tokens"] == 3 + 5 + 5


async def test_connections_are_limited_over_all_workers(tmp_path: Path) -> None:
    """SOCK-3.1: one connection more than the limit gets an error event and is closed, whichever worker took the others."""
    limit = {"LLMSIM_SERVER_MAX_WEBSOCKET_CONNECTIONS": "6"}
    with serve(tmp_path, "--workers", "3", "--latency", "instant", **limit) as server:
        opened = [await connect(f"ws://127.0.0.1:{server.port}/openai/v1/responses") for _ in range(6)]
        eventually(lambda: server.stats()["websocket_connections"] == 6)
        async with socket(server) as refused:
            event = json.loads(await refused.recv())
            with pytest.raises(ConnectionClosed):
                await refused.recv()
        for one in opened:
            await one.close()
        eventually(lambda: server.stats()["websocket_connections"] == 0)
        async with socket(server) as again:
            assert (await turn(again, create()))[-1]["type"] == "response.completed"
        stats = server.stats()

    assert event["error"]["code"] == "websocket_connection_limit_reached"
    assert stats["websocket_connections_total"] == 7


async def test_hang_up_in_mid_turn_is_noticed_and_counted(tmp_path: Path) -> None:
    """SOCK-3.2, STATS-9.6: a client that leaves ends its turn at once; neither it nor the connection stays counted."""
    with serve(
        tmp_path, "--workers", "1", LLMSIM_LATENCY="instant", LLMSIM_LATENCY_TTFT_MEAN_MS="60000"
    ) as server:
        opened = await connect(f"ws://127.0.0.1:{server.port}/openai/v1/responses")
        await opened.send(json.dumps(create()))
        await opened.recv()
        eventually(lambda: [worker["open_streams"] for worker in server.stats()["workers"]] == [1])
        opened.transport.abort()
        await asyncio.sleep(0)
        stats = await _settle(server)

    assert stats["abandoned_requests"] == 1
    assert stats["websocket_connections"] == 0
    assert [worker["open_streams"] for worker in stats["workers"]] == [0]


async def _drained(opened: ClientConnection) -> None:
    while True:
        await asyncio.wait_for(opened.recv(), 60)


async def _settle(server: Server) -> Any:
    for _ in range(3000):
        stats = server.stats()
        if stats["active_requests"] == 0 and stats["websocket_connections"] == 0:
            return stats
        await asyncio.sleep(0.01)
    raise AssertionError(f"does not settle: {server.stats()}")


async def test_killed_worker_leaves_no_connection_counted(tmp_path: Path) -> None:
    """SOCK-3.3, STATS-3.7: connections of a killed worker end with it, and so does their turn."""
    with serve(
        tmp_path, "--workers", "1", LLMSIM_LATENCY="instant", LLMSIM_LATENCY_TTFT_MEAN_MS="60000"
    ) as server:
        opened = await connect(f"ws://127.0.0.1:{server.port}/openai/v1/responses")
        await opened.send(json.dumps(create()))
        await opened.recv()
        os.kill(server.workers()[0], signal.SIGKILL)
        stats = await _settle(server)
        with pytest.raises(ConnectionClosed):
            await _drained(opened)

    assert stats["aborted_requests"] == 1


LARGE = create(input=" ".join(map(hex, range(550_000))), max_output_tokens=16)
"""A message of 4 MB, whose tokens take some half a second to count."""


async def _send_by_websocket(server: Server) -> None:
    async with socket(server) as opened:
        assert (await turn(opened, LARGE))[-1]["type"] in ENDS[:2]


async def _send_by_http(server: Server) -> None:
    body = {name: value for name, value in LARGE.items() if name != "type"}
    async with httpx.AsyncClient(timeout=60) as client:
        response = await client.post(f"{server.openai}/responses", json=body)
        assert response.status_code == 200, response.text


async def _longest_silence(server: Server, send: Callable[[Server], Coroutine[Any, Any, None]]) -> float:
    """Return the longest time between two events of a stream of 10 ms a token, beside a large request, in seconds."""
    async with (
        httpx.AsyncClient(timeout=60) as client,
        client.stream(
            "POST",
            f"{server.openai}/chat/completions",
            json={"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "stream": True},
        ) as response,
    ):
        lines = response.aiter_lines()
        await anext(lines)
        # In a thread, so that the sender compresses its message without delaying the reader of the stream.
        sending = asyncio.ensure_future(asyncio.to_thread(asyncio.run, send(server)))
        silence, last = 0.0, time.monotonic()
        async for line in lines:
            if line:
                now = time.monotonic()
                silence, last = max(silence, now - last), now
        await sending
    return silence


async def test_a_large_message_delays_no_other_stream(tmp_path: Path) -> None:
    """ARCH-1.7: Beside 4 MB over WebSocket, another stream of the worker is silent no longer than beside the same over HTTP."""
    settings = {
        "LLMSIM_RESPONSE_ENFORCE_CONTEXT_WINDOW": "false",
        "LLMSIM_TARGET_TOKENS": "200",
        "LLMSIM_LATENCY_TBT_MEAN_MS": "10",
    }
    with serve(tmp_path, "--workers", "1", "--latency", "instant", **settings) as server:
        silences: dict[Any, list[float]] = {_send_by_http: [], _send_by_websocket: []}
        for _ in range(3):
            for send, found in silences.items():
                found.append(await _longest_silence(server, send))

    # Generous, for loaded machines: parsed on the loop, the message would silence the stream for its whole work.
    assert median(silences[_send_by_websocket]) <= 2 * median(silences[_send_by_http]) + 0.1, silences
