"""Responses with a fault on the wire, in this process and over real connections."""

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.asgi import Simulator, served, settings_of, simulator, twin
from support.raw_http import chat, request
from support.servers import eventually

from llmsim.domain import WireFaultKind

CHAT = "/openai/v1/chat/completions"
TEXT = "fixed:Grüße 🦜 to you, dear friend"


def exchange(port: int, sent: bytes) -> tuple[bytes, str]:
    """Send a request on a raw socket; return all that comes, and how it ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(sent)
        received = b""
        while True:
            try:
                data = client.recv(65_536)
            except ConnectionResetError:
                return received, "ECONNRESET"
            if not data:
                return received, "EOF"
            received += data


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_reset_is_a_reset(stream: bool) -> None:
    """FAULT-2.1: A raw socket reads what was sent, then gets ECONNRESET."""
    worker = simulator(generator=TEXT, faults={"reset_rate": 1.0, "after_tokens": 2})
    before = worker.stats()
    async with served(worker) as port:
        received, ending = await asyncio.to_thread(exchange, port, request(chat(stream=stream)))

    assert ending == "ECONNRESET"
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b'"id":"chatcmpl' in received
    assert b"[DONE]" not in received
    await assert_counted(worker, before, "reset", "server_errors", tokens=2 if stream else None)


async def assert_counted(
    worker: Simulator, before: Any, kind: str, outcome: str, tokens: int | None = None
) -> None:
    await asyncio.to_thread(eventually, lambda: not worker.stats().active_requests)
    counter = f"wire_fault_{kind}"
    found, earlier = worker.stats().as_dict(), before.as_dict()
    assert found[counter] - earlier[counter] == 1
    assert found[outcome] - earlier[outcome] == 1
    if tokens is not None:
        assert found["completion_tokens"] - earlier["completion_tokens"] == tokens


async def test_half_of_a_connection_is_closed() -> None:
    """FAULT-2.2: The client reads the end, and may go on sending: nothing answers with a reset."""
    worker = simulator(generator=TEXT, faults={"half_close_rate": 1.0, "after_tokens": 2})

    def send_after_the_end(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(request(chat(stream=True)))
            received = b""
            while data := client.recv(65_536):
                received += data
            for _ in range(3):
                client.sendall(b"x")
                time.sleep(0.02)
            return received

    async with served(worker) as port:
        received = await asyncio.to_thread(send_after_the_end, port)

    assert received.count(b'"content":"') == 3
    assert not received.endswith(b"0\r\n\r\n")


async def test_a_close_can_be_noticed() -> None:
    """FAULT-2.2: What was sent is read, and the body has no end."""
    worker = simulator(generator=TEXT, faults={"close_rate": 1.0, "at": 0.2})
    before = worker.stats()
    async with served(worker) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            await client.post(CHAT, json=chat())

    await assert_counted(worker, before, "close", "server_errors")


async def test_a_decoder_of_single_chunks_fails() -> None:
    """FAULT-4.4: `chunk.decode(errors="replace")` has replacement characters, the joined bytes have none."""
    worker = simulator(generator=TEXT, faults={"split_utf8_rate": 1.0})
    before = worker.stats()
    async with (
        served(worker) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        client.stream("POST", CHAT, json=chat(stream=True)) as response,
    ):
        chunks = [chunk async for chunk in response.aiter_raw()]

    assert "�" in "".join(chunk.decode(errors="replace") for chunk in chunks)
    joined = b"".join(chunks).decode()
    contents = [
        json.loads(line[6:])["choices"][0]["delta"].get("content", "")
        for line in joined.splitlines()
        if line.startswith("data: {")
    ]
    assert "".join(contents) == TEXT.removeprefix("fixed:")
    await assert_counted(worker, before, "split_utf8", "finished_requests")


async def test_rates_are_for_some_models_and_keys() -> None:
    """FAULT-1.2: Patterns of model ids and of keys, as each API's clients send those."""
    worker = simulator(
        faults={"malformed_json_rate": 1.0, "models": ("gpt-4*", "claude-*"), "keys": ("sk-chaos-*",)}
    )
    claude = {"model": "claude-sonnet-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}

    async def is_json(path: str, body: dict[str, Any], **headers: str) -> bool:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        found = await worker.ask("POST", path, json.dumps(body).encode(), headers=named)
        try:
            json.loads(found.body)
        except json.JSONDecodeError:
            return False
        return True

    assert not await is_json(CHAT, chat(), authorization="Bearer sk-chaos-1")
    assert await is_json(CHAT, chat(), authorization="Bearer sk-other")
    assert await is_json(CHAT, chat())
    assert await is_json(CHAT, chat(model="o3"), authorization="Bearer sk-chaos-1")
    messages = "/anthropic/v1/messages"
    version = {"anthropic_version": "2023-06-01"}
    assert not await is_json(messages, claude, x_api_key="sk-chaos-2", **version)
    assert await is_json(messages, claude, x_api_key="sk-other", **version)


def test_a_number_has_the_same_fault() -> None:
    """FAULT-1.3: Any worker draws the same for the request of a number."""
    rates = {f"{kind.value}_rate": 1 / 30 for kind in WireFaultKind}
    settings = settings_of(seed=7, faults=rates, errors={"rate_limit_rate": 0.1})

    def drawn() -> list[Any]:
        planner = twin(settings)
        found: list[Any] = []
        for number in range(200):
            rng = planner.outcome_rng(number)
            error = planner.draw_fault(rng)
            found.append(error or planner.wire_faults.draw(rng, "gpt-4o", ""))
        return found

    assert drawn() == drawn()
    assert len({fault.kind for fault in drawn() if fault is not None}) > 15


async def test_embeddings_have_those_of_whole_responses() -> None:
    """FAULT-1.6: Bodies can be cut; faults of events leave them as they are, and do not count."""
    body = {"model": "text-embedding-3-small", "input": "Hello"}
    cut = simulator(faults={"malformed_json_rate": 1.0})
    before = cut.stats()
    found = await cut.post("/openai/v1/embeddings", body)
    with pytest.raises(json.JSONDecodeError):
        json.loads(found.body)
    await assert_counted(cut, before, "malformed_json", "finished_requests")

    doubled = simulator(faults={"duplicate_event_rate": 1.0})
    assert len((await doubled.post("/openai/v1/embeddings", body)).json["data"]) == 1
    assert doubled.stats().as_dict()["wire_fault_duplicate_event"] == 0


async def test_the_content_type_is_wrong() -> None:
    """FAULT-3.6: Streams and whole responses are called HTML, and their bodies are as ever."""
    worker = simulator(generator=TEXT, faults={"wrong_content_type_rate": 1.0})
    for stream in (True, False):
        found = await worker.post(CHAT, chat(stream=stream))
        assert found.headers["content-type"] == "text/html; charset=utf-8"
        assert found.body.startswith(b"data: {" if stream else b"{")


async def test_a_response_that_breaks_off_is_not_stored() -> None:
    """FAULT-5.2: Its client never got its id; one that is damaged only is stored."""
    body = {"model": "gpt-4o", "input": "Hello", "stream": True}
    for rate, status in (("close_rate", 404), ("comments_rate", 200)):
        worker = simulator(faults={rate: 1.0})
        found = await worker.post("/openai/v1/responses", body)
        response_id = found.body.partition(b'"id":"')[2].partition(b'"')[0].decode()
        assert (await worker.ask("GET", f"/openai/v1/responses/{response_id}")).status == status, rate


async def test_a_scenario_has_faults(tmp_path: Path) -> None:
    """FAULT-1.4: The first attempt that does not fail has the fault, the next one is whole."""
    fault = {"kind": "malformed_json", "at": 0.3}
    steps = [{"turn": {"type": "assistant", "text": "One two three", "stream_fault": fault}}]
    (tmp_path / "cut.json").write_text(json.dumps({"name": "cut", "steps": steps}), encoding="utf-8")
    worker = simulator(scenarios_path=str(tmp_path))
    body = chat(messages=[{"role": "user", "content": f"[[llmsim:cut]] {tmp_path.name}"}])

    with pytest.raises(json.JSONDecodeError):
        json.loads((await worker.post(CHAT, body)).body)
    assert (await worker.post(CHAT, body)).json["choices"][0]["message"]["content"] == "One two three"


async def test_every_fault_is_counted() -> None:
    """FAULT-5.1: By its kind, once for each response that has it."""
    for kind in WireFaultKind:
        if kind is WireFaultKind.TRUNCATED_ARGUMENTS:
            continue
        worker = simulator(generator=TEXT, faults={f"{kind.value}_rate": 1.0, "stall_ms": 1, "drip_ms": 0})
        before = worker.stats()
        await worker.post(CHAT, chat(stream=True))
        found, earlier = worker.stats().as_dict(), before.as_dict()
        counted = {name for name in found if name.startswith("wire_fault_") and found[name] > earlier[name]}
        assert counted == {f"wire_fault_{kind.value}"}
