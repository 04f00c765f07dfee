"""The official SDKs, with their own settings for retries, are clean whatever fails; see REPORT-2.8 in the specs."""

import contextlib
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from support.servers import Server

FAULTS = [
    ("429", "errors"),
    ("500", "errors"),
    ("503", "errors"),
    ("529", "errors"),
    ("400", "errors"),
    ("401", "errors"),
    ("reset;at=0", "streams"),
    ("reset;at=5", "streams"),
    ("close;at=5", "streams"),
    ("disconnect", "errors"),
    ("disconnect;at=5", "streams"),
    ("error;at=5", "streams"),
    ("missing_terminal", "streams"),
    ("half_close;at=5", "streams"),
]

ERRORS = (openai.OpenAIError, anthropic.AnthropicError, Exception)


def session(name: str, fault: str) -> dict[str, str]:
    return {"x-llmsim-session": f"{name} {fault}", "x-llmsim-fault": fault}


def findings(server: Server, name: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{server.base}/llmsim/clients", timeout=30) as answer:
        clients = json.load(answer)["clients"]
    found = [one for one in clients if one["client"] == name]
    return [finding for one in found for finding in one["findings"]]


def ask_openai(client: openai.OpenAI, *, stream: bool, headers: dict[str, str]) -> None:
    answer: Any = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hi"}], stream=stream, extra_headers=headers
    )
    if stream:
        list(answer)


def ask_anthropic(client: anthropic.Anthropic, *, stream: bool, headers: dict[str, str]) -> None:
    answer: Any = client.messages.create(
        model="claude-sonnet-4-5",
        max_tokens=50,
        messages=[{"role": "user", "content": "Hi"}],
        stream=stream,
        extra_headers=headers,
    )
    if stream:
        list(answer)


@pytest.mark.parametrize(("fault", "kind"), FAULTS)
@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_synchronous_sdk_is_clean(server: Server, name: str, fault: str, kind: str) -> None:
    """REPORT-2.8: It retries, waits and gives up as it should."""
    stream = kind == "streams"
    asking: Callable[..., None]
    if name == "openai":
        client: Any = openai.OpenAI(base_url=server.openai, api_key="any")
        asking = ask_openai
    else:
        client, asking = (
            anthropic.Anthropic(base_url=f"{server.base}/anthropic", api_key="any"),
            ask_anthropic,
        )
    headers = session(name, fault)
    with client, contextlib.suppress(*ERRORS):
        asking(client, stream=stream, headers=headers)

    assert findings(server, headers["x-llmsim-session"]) == []


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "kind"), FAULTS)
@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_asynchronous_sdk_is_clean(server: Server, name: str, fault: str, kind: str) -> None:
    """REPORT-2.8: So is the one for asyncio, and a call that the application makes again afterwards."""
    stream = kind == "streams"
    headers = session(f"async {name}", fault)
    message: Any = [{"role": "user", "content": "Hi"}]
    for _ in range(2 if fault in ("429", "529") else 1):
        with contextlib.suppress(*ERRORS):
            answer: Any
            if name == "openai":
                async with openai.AsyncOpenAI(base_url=server.openai, api_key="any") as client:
                    answer = await client.chat.completions.create(
                        model="gpt-4o", messages=message, stream=stream, extra_headers=headers
                    )
                    if stream:
                        async for _chunk in answer:
                            pass
            else:
                base = f"{server.base}/anthropic"
                async with anthropic.AsyncAnthropic(base_url=base, api_key="any") as other:
                    answer = await other.messages.create(
                        model="claude-sonnet-4-5",
                        max_tokens=50,
                        messages=message,
                        stream=stream,
                        extra_headers=headers,
                    )
                    if stream:
                        async for _event in answer:
                            pass

    assert findings(server, headers["x-llmsim-session"]) == []
