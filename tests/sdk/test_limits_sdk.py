"""The official SDKs at the limits of their keys: what they see, and that they wait as long as they are asked to."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from support.servers import Server, serve
from websockets.sync.client import connect

PROMPT: Any = [{"role": "user", "content": "Hello"}]
LIMITS = """
[limits]
default = "small"
[limits.tiers.small]
rpm = 30
"""
BURST = 30
"""Requests that a key has when it begins; after them one each two seconds."""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("limits")
    config = folder / "limits.toml"
    config.write_text(LIMITS)
    with serve(folder, "--workers", "2", "--latency", "instant", "--config", str(config)) as running:
        yield running


def ask_openai(client: openai.OpenAI) -> Any:
    return client.chat.completions.create(model="gpt-4o", messages=PROMPT, max_tokens=5)


def ask_responses(client: openai.OpenAI) -> Any:
    return client.responses.create(model="gpt-4o", input="Hello")


def ask_embeddings(client: openai.OpenAI) -> Any:
    return client.embeddings.create(model="text-embedding-3-small", input="Hello")


def ask_anthropic(client: anthropic.Anthropic) -> Any:
    return client.messages.create(model="claude-haiku-4-5", messages=PROMPT, max_tokens=5)


def connected(server: Server, ask: Any, key: str) -> Any:
    """Return a client without retries for one way to ask."""
    if ask is ask_anthropic:
        return anthropic.Anthropic(base_url=f"{server.base}/anthropic", api_key=key, max_retries=0)
    return openai.OpenAI(base_url=server.openai, api_key=key, max_retries=0)


def exhaust(client: Any, ask: Any) -> Any:
    """Ask until a limit is reached; return the error."""
    for _ in range(5 * BURST):
        try:
            ask(client)
        except (openai.RateLimitError, anthropic.RateLimitError) as error:
            return error
    raise AssertionError("the limit was never reached")


ASKING = [ask_openai, ask_responses, ask_embeddings, ask_anthropic]


@pytest.mark.parametrize("ask", ASKING)
def test_sdks_wait_and_are_admitted(limited: Server, ask: Any) -> None:
    """LIM-2.3: An SDK with its default retries gets an answer, as it waits as long as the 429 says."""
    with connected(limited, ask, f"waits-{ask.__name__}") as client:
        exhaust(client, ask)
        retrying = client.with_options(max_retries=2)
        assert ask(retrying) is not None


@pytest.mark.parametrize("ask", ASKING)
def test_sdks_see_the_error_of_their_api(limited: Server, ask: Any) -> None:
    """LIM-3.4: Without retries the SDK raises its own error, with code and type of the API and the times to wait."""
    with connected(limited, ask, f"raises-{ask.__name__}") as client:
        error = exhaust(client, ask)
    headers = error.response.headers

    assert 0 < int(headers["retry-after-ms"]) <= 2000
    assert headers["retry-after"] in ("1", "2")
    if isinstance(error, openai.RateLimitError):
        assert (error.code, error.type) == ("rate_limit_exceeded", "requests")
        assert headers["x-ratelimit-remaining-requests"] == "0"
    else:
        assert error.body["error"]["type"] == "rate_limit_error"
        assert headers["anthropic-ratelimit-requests-remaining"] == "0"


def test_limits_hold_over_websocket(limited: Server) -> None:
    """LIM-3.4: A message beyond the limit gets an error event with the API's code; the connection goes on."""
    message = json.dumps({"type": "response.create", "model": "gpt-4o", "input": "Hello"})
    address = f"ws://127.0.0.1:{limited.port}/openai/v1/responses"
    errors = []
    with connect(address, additional_headers={"authorization": "Bearer socket"}) as socket:
        for _ in range(2 * BURST):
            socket.send(message)
            while (event := json.loads(socket.recv(timeout=20)))["type"] not in (
                "response.completed",
                "error",
            ):
                pass
            if event["type"] == "error":
                errors.append(event)
        time.sleep(2.1)
        socket.send(message)
        events = [json.loads(socket.recv(timeout=20))["type"] for _ in range(2)]

    assert errors
    assert errors[0]["error"]["code"] == "rate_limit_exceeded"
    assert errors[0]["status"] == 429
    assert "Rate limit reached" in errors[0]["error"]["message"]
    assert events[0] == "response.created"
