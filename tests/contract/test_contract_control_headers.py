"""Every generating endpoint: what requests ask for by headers."""

import json
import time
from typing import Any

import pytest
from support.asgi import Exchange, Simulator, served, simulator
from support.driving import drive
from support.endpoints import Endpoint, likeness
from websockets.asyncio.client import connect

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def keys(value: Any) -> Any:
    return {name: keys(inner) for name, inner in value.items()} if isinstance(value, dict) else None


async def ask(worker: Simulator, endpoint: Endpoint, stream: bool = False, **headers: str) -> Exchange:
    named = {f"x-llmsim-{name}": value for name, value in headers.items()}
    return await worker.ask("POST", endpoint.path, endpoint.body(stream=stream), headers=named)


@STREAMED
async def test_latency(streamer: Endpoint, stream: bool) -> None:
    """CTRL-1.1: The response of any endpoint comes when its request asks for it."""
    worker = simulator()
    begun = time.monotonic()
    exchange = await ask(worker, streamer, stream, latency="ttft=150,itl=0")

    assert exchange.status == 200
    assert time.monotonic() - begun >= 0.15


async def test_latency_of_embeddings(endpoint: Endpoint) -> None:
    """CTRL-1.10: Embeddings too."""
    begun = time.monotonic()
    exchange = await ask(simulator(), endpoint, latency="ttft=100")

    assert (exchange.status, time.monotonic() - begun >= 0.1) == (200, True)


@STREAMED
async def test_text(streamer: Endpoint, stream: bool) -> None:
    """CTRL-1.7: So does its text."""
    exchange = await ask(simulator(), streamer, stream, generator="fixed:Yes")

    assert b"Yes" in exchange.body


async def test_errors(endpoint: Endpoint) -> None:
    """CTRL-1.2: An error is answered in the envelope of the API, with its status, and counted as simulated."""
    worker = simulator()
    limited = await ask(worker, endpoint, fault="429")
    teapot = await ask(worker, endpoint, fault="418")

    assert (limited.status, teapot.status) == (429, 418)
    assert limited.headers["retry-after"] == "1"
    assert worker.stats().rate_limit_errors == 1


WRONG = {
    "latency": ("gtp-55", 'did you mean "gpt-5"?'),
    "fault": ("resett", 'did you mean "reset"?'),
    "seed": ("1.5", "did you mean 2?"),
    "tokens": ("2000000", "did you mean 1000000?"),
    "generator": ("lorme", 'did you mean "lorem"?'),
    "scenario": ("chat-short sed=3", "did you mean seed?"),
    "script": ("wron", "did you mean 'wrong'?"),
    "session": ("x" * 201, "the first 200"),
}
"""A wrong value of each header, and what its refusal says of the nearest right one."""


async def with_script() -> Simulator:
    """Start a worker with a script of the name `wrong`."""
    worker = simulator()
    source = b'{"turns": [{"type": "assistant", "text": "first"}]}'
    await worker.ask("PUT", "/llmsim/scripts/wrong", source, headers={"content-type": "application/json"})
    return worker


async def test_wrong_values(endpoint: Endpoint) -> None:
    """CTRL-1.9: A wrong value is refused with 400 in the envelope of the API; the message names header and nearest right value."""
    worker = await with_script()
    for header, (value, meant) in WRONG.items():
        exchange = await ask(worker, endpoint, **{header: value})

        assert exchange.status == 400, header
        assert exchange.json.keys() == likeness(endpoint.provider).keys()
        assert f"x-llmsim-{header}: " in exchange.json["error"]["message"]
        assert meant in exchange.json["error"]["message"] or not endpoint.streams
    assert worker.stats().refused_requests == len(WRONG)


async def test_wrong_script_beside_a_fault(endpoint: Endpoint) -> None:
    """CTRL-1.9: The name of a script is checked also where none is played."""
    worker = await with_script()
    wrong = await ask(worker, endpoint, script="wron", fault="500")
    right = await ask(worker, endpoint, script="wrong", fault="500")

    assert (wrong.status, right.status) == (400, 500)


async def test_headers_that_cannot_apply(endpoint: Endpoint) -> None:
    """CTRL-1.10: An endpoint that generates no text refuses the headers of a text, by name."""
    exchange = await ask(simulator(), endpoint, tokens="3")

    assert exchange.status == (200 if endpoint.streams else 400)
    assert endpoint.streams or "x-llmsim-tokens" in exchange.json["error"]["message"]


async def test_nothing_is_remembered(text_endpoint: Endpoint) -> None:
    """CTRL-1.11: The same request without the headers is answered as if they had never been."""
    worker = simulator(scenarios_path="builtin")
    plain = await ask(worker, text_endpoint)
    for headers in (
        {"fault": "500"},
        {"seed": "3", "latency": "ttft=1"},
        *([{"generator": "fixed:a", "tokens": "3"}, {"scenario": "chat-short"}] * text_endpoint.streams),
    ):
        await ask(worker, text_endpoint, **headers)
        after = await ask(worker, text_endpoint)

        assert after.status == 200
        assert keys(after.json) == keys(plain.json)
        assert "x-llmsim-scenario" not in after.headers
        assert b"fixed" not in after.body


async def test_scenarios(streamer: Endpoint) -> None:
    """CTRL-1.8: A scenario is chosen by name, an unknown one refused with 400 and the header's name."""
    worker = simulator(scenarios_path="builtin")
    played = await ask(worker, streamer, scenario="chat-short seed=3")
    unknown = await ask(worker, streamer, scenario="chat-shrt")
    unloaded = await ask(simulator(), streamer, scenario="chat-short")

    assert played.headers["x-llmsim-scenario"] == "chat-short"
    assert (unknown.status, unloaded.status) == (400, 400)
    assert "x-llmsim-scenario: unknown llmsim scenario 'chat-shrt'; did you mean 'chat-short'?" in str(
        unknown.json
    )
    assert "response.scenarios_path" in str(unloaded.json)


async def test_errors_take_no_turn(streamer: Endpoint) -> None:
    """CTRL-1.4: The request after one that was to fail gets the turn of the script."""
    worker = simulator()
    state = worker.application.state
    drive(state.sessions.forget())
    source = b'{"turns": [{"type": "assistant", "text": "first"}, {"type": "assistant", "text": "second"}]}'
    await worker.ask("PUT", "/llmsim/scripts/ctl", source, headers={"content-type": "application/json"})
    chosen = {"script": "ctl", "session": streamer.path}
    failed = await ask(worker, streamer, fault="503", **chosen)
    answered = await ask(worker, streamer, **chosen)

    assert failed.status == 503
    assert b"first" in answered.body


async def test_headers_can_be_ignored(endpoint: Endpoint) -> None:
    """CTRL-1.12: With `control_headers = false` a request with any of them, right or wrong, is like one without."""
    worker = simulator(server={"control_headers": False})
    for headers in ({"fault": "500"}, {"tokens": "x"}, {"script": "none"}, {"unknown": "1"}):
        assert (await ask(worker, endpoint, **headers)).status == 200


async def test_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """CTRL-1.10: The requests of a batch are answered by the headers of the one that creates it; a wrong one refuses it."""
    worker = simulator()
    params = {"model": "claude-sonnet-4-5", "max_tokens": 50, "messages": [{"role": "user", "content": "a"}]}
    body = json.dumps({"requests": [{"custom_id": "a", "params": params}]}).encode()
    path = "/anthropic/v1/messages/batches"
    monkeypatch.setattr("llmsim.providers.anthropic.batches._MIN_SECONDS", 0.0)
    wrong = await worker.ask("POST", path, body, headers={"x-llmsim-tokens": "x"})
    made = await worker.ask("POST", path, body, headers={"x-llmsim-generator": "fixed:Yes"})
    results = await worker.ask("GET", f"{path}/{made.json['id']}/results")
    played = await worker.ask("POST", path, body, headers={"x-llmsim-scenario": "chat-short"})
    refused = await worker.ask("GET", f"{path}/{played.json['id']}/results")

    assert wrong.status == 400
    assert "x-llmsim-tokens" in wrong.json["error"]["message"]
    assert results.json["result"]["message"]["content"][0]["text"] == "Yes"
    assert "x-llmsim-scenario" in refused.json["result"]["error"]["error"]["message"]


async def test_websockets() -> None:
    """CTRL-1.10: Over WebSocket the headers of the handshake hold for each message; CTRL-1.9: wrong ones are refused."""
    worker = await with_script()
    message = json.dumps({"type": "response.create", "model": "gpt-4o", "input": "Hello"})
    async with served(worker) as port:
        address = f"ws://127.0.0.1:{port}/openai/v1/responses"
        async with connect(address, additional_headers={"x-llmsim-generator": "fixed:Yes"}) as opened:
            for _ in range(2):
                await opened.send(message)
                text = ""
                while "response.completed" not in text:
                    text = str(await opened.recv())
                assert "Yes" in text
        for header, (value, meant) in WRONG.items():
            named = {f"x-llmsim-{header}": value}
            async with connect(address, additional_headers=named) as refused:
                await refused.send(message)
                event = json.loads(await refused.recv())
            assert event["status"] == 400
            assert f"x-llmsim-{header}: " in event["error"]["message"]
            assert meant in event["error"]["message"]


async def test_background() -> None:
    """CTRL-1.10: A response in the background has the text that its request asks for."""
    worker = simulator()
    body = json.dumps({"model": "gpt-4o", "input": "Hello", "background": True}).encode()
    made = await worker.ask("POST", "/openai/v1/responses", body, headers={"x-llmsim-generator": "fixed:Yes"})
    found = await worker.ask("GET", f"/openai/v1/responses/{made.json['id']}")

    assert b"Yes" in found.body
