"""Responses that an engine times, over every endpoint: streamed, whole, stored, failing, and those that keep their own times."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from support.asgi import Exchange, Simulator, served, simulator
from support.endpoints import Endpoint
from support.raw_http import Client, chat
from support.servers import eventually
from websockets.asyncio.client import connect

from llmsim.config import EngineSettings, LatencyFigures

CHAT = "/openai/v1/chat/completions"
RESPONSES = "/openai/v1/responses"
SETTINGS = "/llmsim/settings"
PLAIN = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
STEP = 0.03
"""Seconds of a step, whatever runs."""


@pytest.fixture
def run_dir(tmp_path: Path) -> str:
    """Return a run directory of this test: its engine is shared with no other loop."""
    return str(tmp_path)


def engine(
    run_dir: str, *, direct: bool = True, faults: Any = None, script_path: str | None = None, **knobs: Any
) -> Simulator:
    """Start a worker whose engine takes 30 ms a step, with texts of ten tokens."""
    settings = EngineSettings(
        **(
            {
                "step_base_ms": STEP * 1000,
                "step_sequence_us": 0,
                "step_prefill_token_us": 0,
                "step_context_token_us": 0,
            }
            | knobs
        )
    )
    return simulator(
        server={"run_dir": run_dir, "direct_writes": direct},
        latency={"engine": settings},
        target_tokens=10,
        faults=faults,
        script_path=script_path,
    )


def _files(run_dir: str) -> list[Path]:
    return sorted(Path(run_dir).glob("*.engines-*"))


async def timed(worker: Simulator, path: str, request: Any) -> tuple[Exchange, float]:
    """Post a request; return its exchange and the seconds it took."""
    began = time.monotonic()
    exchange = await worker.post(path, request)
    return exchange, time.monotonic() - began


async def test_each_endpoint_waits_for_its_tokens(endpoint: Endpoint, run_dir: str) -> None:
    """ENG-2.4, ENG-2.5: A whole response leaves when the step of its last token ends; an embedding, when its prompt is read."""
    worker = engine(run_dir)
    exchange, seconds = await timed(worker, endpoint.path, endpoint.request)
    stats = worker.stats()
    steps = max(1, stats.completion_tokens)

    assert exchange.status == 200
    assert seconds >= steps * STEP
    assert stats.latency.lateness_ms.count > 0
    assert stats.engine_running == stats.engine_waiting == 0


async def test_each_stream_goes_step_by_step(streamer: Endpoint, run_dir: str) -> None:
    """ENG-2.4, ENG-2.5: A stream's tokens leave at the ends of steps, none of them early."""
    worker = engine(run_dir)
    began = time.monotonic()
    exchange = await worker.post(streamer.path, streamer.request | {"stream": True})
    instants = [at - began for at, _ in exchange.parts]

    assert exchange.whole
    assert instants[-1] >= worker.stats().completion_tokens * STEP


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "asgi"])
async def test_streams_step_together(run_dir: str, direct: bool) -> None:
    """ENG-2.4: Over real connections too: the second stream's tokens come in the steps of the first."""
    worker = engine(run_dir, direct=direct)
    async with served(worker) as port:
        clients = [await Client.open(port) for _ in range(3)]
        for client in clients:
            await client.send(chat(stream=True))
        texts = await asyncio.gather(*(client.read_until(b"[DONE]\n\n") for client in clients))
        for client in clients:
            await client.hang_up()
    found = worker.stats()

    assert all(text.count(b'"content":"') == 11 for text in texts)
    assert found.completion_tokens == 30
    assert found.latency.inter_token_ms.count == 27
    assert 20 < found.latency.inter_token_ms.mean < 80


async def test_a_websocket_goes_step_by_step(run_dir: str) -> None:
    """ENG-2.5: Over a WebSocket likewise."""
    worker = engine(run_dir)
    async with served(worker) as port, connect(f"ws://127.0.0.1:{port}{RESPONSES}") as socket:
        began = time.monotonic()
        await socket.send(json.dumps({"type": "response.create", "model": "gpt-4o", "input": "Hello"}))
        kinds = []
        while not kinds or kinds[-1] != "response.completed":
            kinds.append(json.loads(await socket.recv())["type"])
        seconds = time.monotonic() - began

    assert kinds.count("response.output_text.delta") == 10
    assert seconds >= 10 * STEP


async def test_a_hang_up_in_the_queue_is_noticed(run_dir: str) -> None:
    """ENG-2.6: A client that hangs up while it waits, or while it is answered, leaves the engine."""
    worker = engine(run_dir, max_num_seqs=1)
    calls = [
        worker.begin("POST", CHAT, [json.dumps(chat(stream=stream, max_tokens=10)).encode()], headers={})
        for stream in (True, False, True)
    ]
    await asyncio.to_thread(eventually, lambda: worker.stats().engine_waiting == 2)
    for _, exchange in calls:
        exchange.hung_up.set()
    await asyncio.gather(*(call for call, _ in calls))
    await asyncio.to_thread(
        eventually, lambda: not (worker.stats().engine_running or worker.stats().engine_waiting)
    )

    assert worker.stats().abandoned_requests == 3


async def test_a_full_engine_is_overloaded(endpoint: Endpoint, run_dir: str) -> None:
    """ENG-2.9: What is beyond the bound gets the provider's own error, at once."""
    worker = engine(run_dir, max_requests=1, step_base_ms=100)
    call, first = worker.begin("POST", CHAT, [json.dumps(chat()).encode()])
    await asyncio.to_thread(eventually, lambda: worker.stats().engine_running == 1)
    exchange, _ = await timed(worker, endpoint.path, endpoint.request)
    await call

    assert exchange.status in (503, 529)
    assert "error" in exchange.json
    assert worker.stats().overloaded_errors == 1
    assert first.status == 200


async def test_a_stored_response_has_the_times_that_are_expected(run_dir: str) -> None:
    """ENG-2.7: In the background it takes a place, and is done when expected; a whole one says its true end."""
    worker = engine(run_dir, step_base_ms=310)
    whole, seconds = await timed(
        worker, RESPONSES, {"model": "gpt-4o", "input": "Hello", "max_output_tokens": 20}
    )
    body = whole.json
    started, _ = await timed(worker, RESPONSES, {"model": "gpt-4o", "input": "Hello", "background": True})
    await asyncio.to_thread(eventually, lambda: worker.stats().engine_running == 1)
    first = (await worker.ask("GET", f"{RESPONSES}/{started.json['id']}")).json
    await asyncio.to_thread(eventually, lambda: not worker.stats().engine_running)
    last = first
    while last["status"] in _UNDER_WAY:
        await asyncio.sleep(0.1)
        last = (await worker.ask("GET", f"{RESPONSES}/{started.json['id']}")).json

    assert seconds >= 3.0
    assert body["completed_at"] - body["created_at"] == 3
    assert (started.json["status"], last["status"]) == ("queued", "completed")
    assert first["status"] in _UNDER_WAY


async def test_a_cancelled_response_leaves_the_engine(run_dir: str) -> None:
    """ENG-2.6: In the background, too: what waits for its place gets it."""
    worker = engine(run_dir, step_base_ms=310, max_num_seqs=1)
    asked = {"model": "gpt-4o", "input": "Hello", "background": True}
    first, _ = await timed(worker, RESPONSES, asked)
    await timed(worker, RESPONSES, asked)
    await asyncio.to_thread(eventually, lambda: worker.stats().engine_waiting == 1)
    cancelled = await worker.ask("POST", f"{RESPONSES}/{first.json['id']}/cancel")
    await asyncio.to_thread(eventually, lambda: not worker.stats().engine_waiting)

    assert cancelled.json["status"] == "cancelled"
    assert worker.stats().engine_running == 1


_UNDER_WAY = ("queued", "in_progress")

SCRIPT = """
[[turns]]
type = "assistant"
text = "one two three four five six seven eight"
stream_fault = { kind = "error", after_tokens = 6, error = "overloaded" }

[[turns]]
type = "assistant"
text = "one two three four five six seven eight"
stream_fault = { kind = "disconnect", after_tokens = 6 }

[[turns]]
type = "assistant"
text = "one two three four five six seven eight"
latency = { ttft_ms = 1, itl_ms = 0 }
"""


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_failure_in_the_middle_comes_with_its_step(run_dir: str, stream: bool) -> None:
    """ENG-2.5, ENG-2.8: An error or disconnect comes at the end of its step; a turn with times of its own keeps them."""
    script = Path(run_dir) / "script.toml"
    script.write_text(SCRIPT)
    worker = engine(run_dir, script_path=str(script))
    await worker.application.publish_scripts()
    failed, failing = await timed(worker, CHAT, chat(stream=stream))
    began = time.monotonic()
    async with served(worker) as port:
        client = await Client.open(port)
        await client.send(chat(stream=stream))
        received = await client.reader.read()
        await client.hang_up()
    breaking = time.monotonic() - began
    exchange, quick = await timed(worker, CHAT, chat(stream=stream))

    assert b"overloaded" in failed.body or failed.status == 503
    assert failing >= 6 * STEP
    assert b"[DONE]" not in received
    assert breaking >= 6 * STEP
    assert exchange.status == 200
    assert quick < 8 * STEP
    assert (worker.stats().server_errors, worker.stats().overloaded_errors) == (2, 1)


async def test_a_fault_on_the_wire_keeps_its_own_times(run_dir: str) -> None:
    """ENG-2.8: A response with a fault on the wire takes no place."""
    worker = engine(run_dir, step_base_ms=5000, faults={"malformed_json_rate": 1.0})
    exchange, seconds = await timed(worker, CHAT, chat())

    assert exchange.status == 200
    assert seconds < 5.0
    assert worker.stats().engine_running == 0


async def test_patterns_choose_the_engine(run_dir: str) -> None:
    """ENG-2.1: The longest pattern that fits counts; models without an engine keep their profile."""
    slow, fast = EngineSettings(step_base_ms=60_000), EngineSettings(step_base_ms=1)
    latency = {
        "profile": "instant",
        "models": {
            "gpt-*": LatencyFigures(engine=slow),
            "gpt-4o*": LatencyFigures(engine=fast),
            "o3": LatencyFigures(ttft_mean_ms=1.0),
        },
    }
    worker = simulator(server={"run_dir": run_dir}, latency=latency, target_tokens=10)
    for model in ("gpt-4o", "o3"):
        exchange, seconds = await timed(worker, CHAT, chat() | {"model": model})
        assert exchange.status == 200
        assert seconds < 10
    call, slow_one = worker.begin("POST", CHAT, [json.dumps(chat() | {"model": "gpt-4.1"}).encode()])
    await asyncio.to_thread(eventually, lambda: worker.stats().engine_running == 1)
    slow_one.hung_up.set()
    await call

    assert worker.stats().engines == 2
    assert slow_one.status == 0


async def test_a_request_with_its_own_latency_takes_no_place(endpoint: Endpoint, run_dir: str) -> None:
    """ENG-2.10: It has the times that it asks for, though the engine would take seconds."""
    worker = engine(run_dir, step_base_ms=2000)
    headers = {"x-llmsim-latency": "ttft=30,itl=1"}
    began = time.monotonic()
    exchange = await worker.ask("POST", endpoint.path, endpoint.body(), headers=headers)

    assert exchange.status == 200
    assert time.monotonic() - began < 1.5


async def test_an_engine_changes_while_it_runs(run_dir: str) -> None:
    """ENG-5.1, ENG-5.2: A stream that runs goes on in the steps of the change, though no other request comes."""
    worker = engine(run_dir, step_base_ms=400)
    held = asyncio.create_task(timed(worker, CHAT, PLAIN))
    await asyncio.sleep(0.2)
    changed = await worker.ask("PATCH", SETTINGS, b'{"latency.engine.step_base_ms": 10}')
    found = {one["name"]: one for one in changed.json["settings"]}
    _, seconds = await held

    assert changed.json["changed"] == ["latency.engine.step_base_ms"]
    assert found["latency.engine"]["value"].startswith("{step_base_ms = 10.0")
    assert found["latency.engine"]["origin"] == "run time"
    assert seconds < 2


async def test_an_engine_is_unset_while_it_runs(run_dir: str) -> None:
    """ENG-5.3: What it holds ends in its steps; requests that come then have the latencies of their profile, until it is taken back."""
    worker = engine(run_dir)
    held = asyncio.create_task(timed(worker, CHAT, PLAIN))
    await asyncio.sleep(0.1)
    await worker.ask("PATCH", SETTINGS, b'{"latency.engine": "unset", "latency.profile": "instant"}')
    _, without = await timed(worker, CHAT, PLAIN)
    exchange, seconds = await held
    await worker.ask("PATCH", SETTINGS, b'{"latency.engine": null}')
    _, again = await timed(worker, CHAT, PLAIN)

    assert without < 5 * STEP
    assert exchange.status == 200
    assert seconds >= 10 * STEP
    assert again >= 10 * STEP


async def test_an_engine_begins_while_the_server_runs(run_dir: str) -> None:
    """ENG-5.4, ENG-4.1: Requests that come then have it, the stream under way keeps its schedule; unset again, nothing is left of it."""
    worker = simulator(server={"run_dir": run_dir}, latency={"profile": "instant"}, target_tokens=10)
    _, before = await timed(worker, CHAT, PLAIN)
    changes = {"latency.engine": {"step_base_ms": 30, "step_prefill_token_us": 0}}
    await worker.ask("PATCH", SETTINGS, json.dumps(changes).encode())
    held = asyncio.create_task(timed(worker, CHAT, PLAIN))
    await asyncio.to_thread(eventually, lambda: worker.stats().engine_running == 1)
    engines = worker.stats().engines
    await worker.ask("PATCH", SETTINGS, b'{"latency.engine": null}')
    _, after = await timed(worker, CHAT, PLAIN)
    exchange, seconds = await held
    await asyncio.to_thread(eventually, lambda: worker.stats().engines == 0)

    assert before < 5 * STEP
    assert after < 5 * STEP
    assert engines == 1
    assert exchange.status == 200
    assert seconds >= 10 * STEP


async def test_a_bound_is_raised_while_it_runs(run_dir: str) -> None:
    """ENG-5.4: Also to more than its memory has places for: what runs ends where it is, and further requests are taken."""
    worker = engine(run_dir, max_requests=1, step_base_ms=100)
    held = asyncio.create_task(timed(worker, CHAT, PLAIN))
    await asyncio.to_thread(eventually, lambda: worker.stats().engine_running == 1)
    refused, _ = await timed(worker, CHAT, PLAIN)
    await worker.ask("PATCH", SETTINGS, b'{"latency.engine": {"max_requests": 65536, "step_base_ms": 1}}')
    taken, _ = await timed(worker, CHAT, PLAIN)
    ended, _ = await held

    assert (refused.status, taken.status, ended.status) == (503, 200, 200)


async def test_without_an_engine_nothing_of_it_is_there(run_dir: str) -> None:
    """ENG-5.6: No file, no timer and no queue, until one is set for the first time; requests are planned at once as ever."""
    worker = simulator(server={"run_dir": run_dir}, latency={"profile": "instant"})
    await worker.post(CHAT, PLAIN)
    before = _files(run_dir)
    following = worker.application.live._is_following
    await worker.ask("PATCH", SETTINGS, b'{"latency.engine.max_num_seqs": 1}')
    made = _files(run_dir)

    assert (before, following) == ([], False)
    assert [path.name.endswith("-lease") for path in made] == [False, True]
    assert worker.application.live._is_following
