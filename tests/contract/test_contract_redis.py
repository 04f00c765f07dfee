"""Two hosts on one Redis server: what each finds of the other's, and what happens while the server is gone."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.asgi import Exchange, Simulator, settings_of
from support.redis_server import RedisServer

from llmsim.config import StateSettings
from llmsim.server.asgi import Application
from llmsim.state.redis.client import RedisClient

CHAT = "/openai/v1/chat/completions"
RESPONSES = "/openai/v1/responses"


def host_of(state: StateSettings, directory: Path, **tables: Any) -> Simulator:
    """Start a worker of one more host."""
    settings = settings_of(latency={"profile": "instant"}, **tables)
    directory.mkdir(mode=0o700)
    server = msgspec.structs.replace(settings.server, run_dir=str(directory))
    application = Application(msgspec.structs.replace(settings, state=state, server=server))
    application.state.restart()
    return Simulator(application)


@pytest.fixture
async def hosts(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[tuple[Simulator, Simulator]]:
    """Two hosts of one prefix."""
    state = redis_server.settings()
    one, other = (host_of(state, tmp_path / name) for name in ("a", "b"))
    yield one, other
    for host in (one, other):
        await host.application.state.close()


async def test_what_one_host_stores_another_finds(hosts: tuple[Simulator, Simulator]) -> None:
    """MACH-3.2: A response is found, continued, and deleted by another host; so are conversations."""
    one, other = hosts
    first = (await one.post(RESPONSES, {"model": "gpt-4o", "input": "hi"})).json
    found = await other.ask("GET", f"{RESPONSES}/{first['id']}")
    body = {"model": "gpt-4o", "input": "more", "previous_response_id": first["id"]}
    second = await other.post(RESPONSES, body)
    conversation = (await one.post("/openai/v1/conversations", {})).json["id"]
    in_it = await other.post(RESPONSES, {"model": "gpt-4o", "input": "x", "conversation": conversation})
    items = await one.ask("GET", f"/openai/v1/conversations/{conversation}/items")
    deleted = await other.ask("DELETE", f"{RESPONSES}/{first['id']}")

    assert found.json["output"] == first["output"]
    assert second.json["usage"]["input_tokens"] > first["usage"]["input_tokens"]
    assert in_it.status == deleted.status == 200
    assert len(items.json["data"]) == 2
    assert (await one.ask("GET", f"{RESPONSES}/{first['id']}")).status == 404


async def test_a_plain_request_makes_no_round_trip(
    hosts: tuple[Simulator, Simulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """MACH-2.5: Chat, messages and responses that are not stored ask the server nothing."""

    def fail(*_: Any) -> None:
        raise AssertionError("a round trip")

    monkeypatch.setattr(RedisClient, "run", fail)
    message = [{"role": "user", "content": "hi"}]
    requests = [
        (CHAT, {"model": "gpt-4o", "messages": message}),
        (CHAT, {"model": "gpt-4o", "messages": message, "seed": 1, "stream": True}),
        (RESPONSES, {"model": "gpt-4o", "input": "hi", "store": False}),
        ("/anthropic/v1/messages", {"model": "claude-haiku-4-5", "max_tokens": 5, "messages": message}),
    ]
    for path, body in requests:
        exchange = await hosts[0].ask(
            "POST", path, msgspec.json.encode(body), headers={"anthropic-version": "2023-06-01"}
        )
        assert exchange.status == 200, exchange.body


async def test_a_server_that_is_gone_costs_what_needs_it(
    own_redis_server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """MACH-4.4, MACH-4.5: Plain requests go on; what is stored is refused with the reason, or goes without, by a setting."""
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    state = own_redis_server.settings(timeout_ms=300)
    host = host_of(state, tmp_path / "a")
    ignoring = host_of(msgspec.structs.replace(state, unavailable="ignore"), tmp_path / "b")
    assert (await host.post(RESPONSES, {"model": "gpt-4o", "input": "hi"})).status == 200
    own_redis_server.kill()
    begun = time.monotonic()

    async def ask(worker: Simulator, path: str, body: Any) -> Exchange:
        exchange: Exchange = await worker.post(path, body)
        return exchange

    for _ in range(5):
        assert (await ask(host, CHAT, chat)).status == 200
        refused = await ask(host, RESPONSES, {"model": "gpt-4o", "input": "hi"})
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json["error"]["code"] == "store_unavailable"
        assert "redis.sock: the shared state cannot be used" in refused.json["error"]["message"]
        assert (await ask(ignoring, RESPONSES, {"model": "gpt-4o", "input": "hi"})).status == 200
    named = {"model": "gpt-4o", "input": "hi", "previous_response_id": "resp_1"}
    assert (await ask(ignoring, RESPONSES, named)).status == 503
    assert ignoring.stats().evicted_records == 5
    assert time.monotonic() - begun < 30
    errors = [record for record in caplog.records if "shared state cannot be used" in record.message]
    assert len(errors) == 2
    for worker in (host, ignoring):
        await worker.application.state.close()


async def test_a_reset_of_all_hosts(hosts: tuple[Simulator, Simulator]) -> None:
    """MACH-1.6: What is stored is gone for every host; a scope that there is not is refused."""
    one, other = hosts
    stored = (await one.post(RESPONSES, {"model": "gpt-4o", "input": "hi"})).json["id"]
    wrong = await other.ask("POST", "/llmsim/reset", query="scope=host")
    plain = await other.ask("POST", "/llmsim/reset")
    there = await one.ask("GET", f"{RESPONSES}/{stored}")
    anew = await other.ask("POST", "/llmsim/reset", query="scope=all")

    assert [wrong.status, plain.status, there.status, anew.status] == [400, 200, 200, 200]
    assert (await one.ask("GET", f"{RESPONSES}/{stored}")).status == 404


async def test_one_machine_has_no_other_hosts(tmp_path: Path) -> None:
    """MACH-1.6: Without an address the reset of all hosts is refused, and says what does it."""
    alone = await host_of(StateSettings(), tmp_path / "a").ask("POST", "/llmsim/reset", query="scope=all")

    assert alone.status == 400
    assert "state.url is not set; restart the server" in alone.json["error"]["message"]
