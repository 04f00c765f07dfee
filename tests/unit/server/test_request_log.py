"""The request log: its lines, and what happens when they are not read."""

import asyncio
import json
import os
import re
from typing import Any

import pytest
from support.asgi import Simulator, simulator

from llmsim.providers.registry import request_id_formats
from llmsim.server.active_request import ActiveRequest
from llmsim.server.request_log import RequestLog

CHAT = "/openai/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "the secret of the prompt"}]


class Pipe:
    """A pipe in the place of standard output."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def read(self, worker: Simulator) -> list[str]:
        """Return all lines that a worker has written when it ends."""
        worker.application.close()
        os.close(self.writer)
        with os.fdopen(self.reader, encoding="utf-8") as file:
            return file.read().splitlines()


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


def _logging(style: str, pipe: Pipe, **tables: Any) -> Simulator:
    worker = simulator(server={"request_log": style}, **tables)
    log = worker.application._log
    assert isinstance(log, RequestLog)
    log._file = pipe.writer
    return worker


def _body(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": MESSAGES} | fields


async def test_a_line_has_the_facts_of_its_request(pipe: Pipe) -> None:
    """METRICS-4.1: Time, request id, endpoint, model, status, tokens, time to first token and duration, in JSON."""
    worker = _logging("json", pipe)
    whole = await worker.post(CHAT, _body())
    streamed = await worker.post(CHAT, _body(stream=True, model="gpt-4.1", max_completion_tokens=50))

    first, second = map(json.loads, pipe.read(worker))

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert first.pop("time") <= second.pop("time")
    assert first.pop("duration_ms") > 0 < second.pop("duration_ms") >= second.pop("ttft_ms") >= 0
    assert first == {
        "request_id": whole.headers["x-request-id"],
        "endpoint": "completions",
        "model": "gpt-4o",
        "stream": False,
        "status": 200,
        "outcome": "finished",
        "prompt_tokens": whole.json["usage"]["prompt_tokens"],
        "completion_tokens": whole.json["usage"]["completion_tokens"],
        "ttft_ms": None,
        "fault": None,
    }
    stats = worker.stats()
    assert (second["request_id"], second["model"], second["stream"]) == (
        streamed.headers["x-request-id"],
        "gpt-4.1",
        True,
    )
    assert second["completion_tokens"] == stats.models["gpt-4.1"]["completion_tokens"] > 0
    assert second["prompt_tokens"] == stats.models["gpt-4.1"]["prompt_tokens"]


async def test_each_counted_request_has_one_line(pipe: Pipe) -> None:
    """METRICS-4.2: Requests that are refused, that fail by simulation, and that a client leaves, too; others have none."""
    worker = _logging("json", pipe, errors={"rate_limit_rate": 1.0})
    refused = await worker.ask("POST", CHAT, b"{")
    failed = await worker.post(CHAT, _body())
    listed = await worker.ask("GET", "/openai/v1/models")
    await worker.ask("GET", "/health")

    lines = [json.loads(line) for line in pipe.read(worker)]

    assert [(line["status"], line["outcome"], line["fault"]) for line in lines] == [
        (400, "refused", None),
        (429, "rate_limit", "rate_limit"),
        (200, "finished", None),
    ]
    assert [line["request_id"] for line in lines] == [
        refused.headers["x-request-id"],
        failed.headers["x-request-id"],
        listed.headers["x-request-id"],
    ]
    assert lines[0]["model"] is None
    assert lines[1]["model"] == "gpt-4o"
    assert (lines[2]["endpoint"], lines[2]["model"], lines[2]["prompt_tokens"]) == ("models", None, 0)
    assert len(lines) == worker.stats().total_requests + worker.stats().resources["models"]["requests"]


async def test_a_request_that_its_client_leaves_has_a_line(pipe: Pipe) -> None:
    """METRICS-4.2: A client that disconnects before the first token leaves a line without status and request id."""
    worker = _logging("json", pipe, latency={"ttft_mean_ms": 3_600_000.0})
    call, exchange = worker.begin("POST", CHAT, [json.dumps(_body(stream=True)).encode()])
    for _ in range(20):
        await asyncio.sleep(0)
    exchange.hung_up.set()
    await call

    [line] = map(json.loads, pipe.read(worker))

    assert (line["status"], line["request_id"], line["outcome"]) == (None, None, "abandoned")
    assert (line["model"], line["completion_tokens"]) == ("gpt-4o", 0)


@pytest.mark.parametrize("style", ["text", "json"])
async def test_neither_bodies_nor_keys_are_logged(pipe: Pipe, style: str) -> None:
    """METRICS-4.3: Nothing of prompt, response and headers is in a line."""
    worker = _logging(style, pipe, generator="fixed:the secret of the response")
    body = json.dumps(_body(user="user-77")).encode()
    await worker.ask("POST", CHAT, body, headers={"authorization": "Bearer sk-key-77"}, query="key=query-77")

    [line] = pipe.read(worker)

    assert "gpt-4o" in line
    assert not re.search("secret|key-77|user-77|query-77", line)


async def test_a_text_line_is_pairs(pipe: Pipe) -> None:
    """METRICS-4.1: A text line is `name=value` pairs; what is not known is left out."""
    worker = _logging("text", pipe)
    await worker.post(CHAT, _body())

    [line] = pipe.read(worker)

    pattern = (
        r"time=\S+Z request_id=\S+ endpoint=completions model=gpt-4o stream=false status=200 outcome=finished "
        r"prompt_tokens=\d+ completion_tokens=\d+ duration_ms=[\d.]+"
    )
    assert re.fullmatch(pattern, line)


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("model", ["a\nb=c", 'x" y', "\x1b[2J", "m" * 5000, "名 前", "\u009b2J\u2028"])
async def test_a_model_cannot_break_a_line(pipe: Pipe, style: str, model: str) -> None:
    """METRICS-4.4: Whatever a model is called, its request has one line that controls no terminal, of less than 4,096 bytes."""
    worker = _logging(style, pipe)
    await worker.post(CHAT, _body(model=model))

    [line] = pipe.read(worker)

    assert line.isprintable()
    assert len(line.encode()) < 4096
    if style == "json":
        assert json.loads(line)["endpoint"] == "completions"


async def test_lines_that_are_not_read_are_counted() -> None:
    """METRICS-4.5: While the reader is slow requests go on; lines beyond the limit are dropped, and counted to the unit."""
    worker = simulator(server={"request_log": "json"})
    pipe, dropped = Pipe(), 0

    def count(lines: int) -> None:
        nonlocal dropped
        dropped += lines

    labels, formats = worker.block.endpoints, request_id_formats()
    loop = asyncio.get_running_loop()
    log = RequestLog("json", labels, formats, loop, count, file=pipe.writer, max_lines=500)
    recorder = worker.application._recorder
    # More than a pipe holds, 64 KB.
    for number in range(2000):
        log.open(0.0, recorder, 0).finish()
        if number % 400 == 0:
            await asyncio.sleep(0.11)
    assert dropped > 0
    received: list[bytes] = []

    def drain() -> None:
        while data := os.read(pipe.reader, 65536):
            received.append(data)

    reading = asyncio.get_running_loop().run_in_executor(None, drain)
    await asyncio.get_running_loop().run_in_executor(None, log.close)
    os.close(pipe.writer)
    await reading
    os.close(pipe.reader)

    lines = b"".join(received).splitlines()
    assert all(json.loads(line)["outcome"] == "abandoned" for line in lines)
    assert len(lines) + dropped == 2000
    worker.application.close()


async def test_a_closed_reader_costs_no_request(pipe: Pipe) -> None:
    """METRICS-4.5: Lines that cannot be written are counted in the stats."""
    worker = _logging("json", pipe)
    os.close(pipe.reader)

    answers = [await worker.post(CHAT, _body()) for _ in range(3)]
    worker.application.close()

    assert [answer.status for answer in answers] == [200] * 3
    assert worker.stats().log_dropped == 3
    os.close(pipe.writer)


async def test_without_the_setting_nothing_is_noted() -> None:
    """METRICS-4.6: Off, as it is by default, requests are plain ones, and nothing is written."""
    worker = simulator()

    assert worker.application._open_request is ActiveRequest
    assert worker.application._log is None
