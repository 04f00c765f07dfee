"""Settings that change under load, over several workers: what requests see, when, and after a worker was killed."""

import asyncio
import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.raw_http import chat
from support.servers import Server, eventually, serve

STATES = {
    "alpha": {
        "response.generator": "fixed:alpha",
        "response.content_filter_rate": 0,
        "limits.default": "one",
        "errors.invalid_request_rate": 0,
    },
    "beta": {
        "response.generator": "fixed:" + " beta" * 8,
        "response.content_filter_rate": 1,
        "limits.default": "two",
        "errors.invalid_request_rate": 0,
    },
}
"""Two states of settings that different parts of the server read: what is generated, how it ends, and the limits."""

TIERS = {"one": {"rpm": 11_111_111}, "two": {"rpm": 22_222_222}}
SEEN = {"11111111": "alpha", "22222222": "beta"}

VISIBLE = 0.1
"""Seconds after which a change is seen by every request."""

LEAST_ANSWERS = 16
"""Answers that show each change at least: one for each connection."""


class Answer(NamedTuple):
    """When a request was sent and answered, and which states its answer shows: that of its limits, its text and its end."""

    sent: float
    came: float
    states: tuple[str, str, str]


def control(server: Server, method: str, path: str, body: Any = None) -> Any:
    data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.base}{path}", data=data, method=method)
    request.add_header("content-type", "application/toml" if isinstance(body, str) else "application/json")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def request_of(path: str = "/openai/v1/chat/completions") -> bytes:
    body = json.dumps(chat()).encode()
    return b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b" % (path.encode(), len(body), body)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
    sent = time.monotonic()
    writer.write(request_of())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
    answer = json.loads(await reader.readexactly(int(headers["content-length"])))
    assert head.startswith("http/1.1 200"), (head, answer)
    (choice,) = answer["choices"]
    text = "alpha" if choice["message"]["content"] == "alpha" else "beta"
    end = "beta" if choice["finish_reason"] == "content_filter" else "alpha"
    return Answer(sent, time.monotonic(), (SEEN[headers["x-ratelimit-limit-requests"]], text, end))


async def load(port: int, clients: int, rate: float, until: asyncio.Event, answers: list[Answer]) -> None:
    """Ask at a rate from several connections until an event; add the answers."""

    async def run(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        due = time.monotonic() + number / rate
        while not until.is_set():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            answers.append(await ask(reader, writer))
            due += clients / rate
        writer.close()

    await asyncio.gather(*(run(number) for number in range(clients)))


def test_no_request_sees_half_a_change(tmp_path: Path) -> None:
    """CTRL-2.1, CTRL-2.2, CTRL-2.10: Under load no answer shows a part of a change; each shows the last one, 100 ms after it."""
    changes: list[tuple[float, float, str]] = []
    answers: list[Answer] = []

    async def change(server: Server) -> None:
        until = asyncio.Event()
        asking = asyncio.create_task(load(server.port, 16, 500, until, answers))
        loop = asyncio.get_running_loop()
        for name in ("alpha", "beta") * 6:
            begun = time.monotonic()
            await loop.run_in_executor(None, control, server, "PATCH", "/llmsim/settings", STATES[name])
            changes.append((begun, time.monotonic(), name))
            visible = changes[-1][1] + VISIBLE
            while sum(answer.sent >= visible for answer in answers[-1000:]) < LEAST_ANSWERS:
                # An answer that is lost, or is another than a 200, ends the load.
                assert not asking.done(), asking.exception()
                await asyncio.sleep(0.02)
        until.set()
        await asking

    with serve(tmp_path, "--workers", "4", "--latency", "instant") as server:
        server.wait_for_workers(4)
        control(server, "PATCH", "/llmsim/settings", {"limits.tiers": TIERS} | STATES["alpha"])
        asyncio.run(change(server))
        stats = server.stats()

    half_seen = [answer for answer in answers if len(set(answer.states)) > 1]
    ends = [*(begun for begun, _, _ in changes[1:]), float("inf")]
    # On a busy machine a request may wait until the next change is made: it shows that one.
    between = [
        (name, [answer for answer in answers if made + VISIBLE <= answer.sent and answer.came < end])
        for (_, made, name), end in zip(changes, ends, strict=True)
    ]
    assert half_seen == []
    assert [answer for name, seen in between for answer in seen if answer.states[0] != name] == []
    assert min(len(seen) for _, seen in between) >= LEAST_ANSWERS
    assert sum(worker["requests"] > 0 for worker in stats["workers"]) == 4


def test_changes_of_many_clients(tmp_path: Path) -> None:
    """CTRL-2.5: Changes that clients make at the same time by different workers are all there."""
    kinds = ("rate_limit", "server_error", "timeout", "invalid_request", "authentication")
    changes = [{f"errors.{kind}_rate": number / 1000} for number in range(1, 9) for kind in kinds]

    async def run(server: Server) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            *(
                loop.run_in_executor(None, control, server, "PATCH", "/llmsim/settings", change)
                for change in changes
            )
        )

    with serve(tmp_path, "--workers", "3", "--latency", "instant") as server:
        server.wait_for_workers(3)
        asyncio.run(run(server))
        found = control(server, "GET", "/llmsim/settings")

    changed = {one["name"] for one in found["settings"] if one["origin"] == "run time"}
    assert found["epoch"] == len(changes)
    assert changed == {f"errors.{kind}_rate" for kind in kinds}


def failures(server: Server, requests: int = 24) -> int:
    """Count how many of some requests, each on a connection of its own, fail."""
    count = 0
    for _ in range(requests):
        request = urllib.request.Request(
            f"{server.openai}/chat/completions", data=json.dumps(chat()).encode(), method="POST"
        )
        try:
            urllib.request.urlopen(request, timeout=20).close()
        except urllib.error.HTTPError as error:
            error.close()
            count += 1
    return count


def test_changes_last_until_a_reload(tmp_path: Path) -> None:
    """CTRL-2.9: A worker that takes the place of a killed one has the changes; a reload, and a restart, undo them."""
    with serve(tmp_path, "--workers", "2", "--latency", "instant") as server:
        before = server.wait_for_workers(2)
        control(server, "PATCH", "/llmsim/settings", {"errors.invalid_request_rate": 1})
        os.kill(before[0], signal.SIGKILL)
        eventually(lambda: len(now := server.workers()) == 2 and before[0] not in now)
        killed = failures(server)
        old = set(server.workers())
        server.signal(signal.SIGHUP)
        eventually(lambda: len(now := server.workers()) == 2 and not old & set(now))
        reloaded = failures(server)

    assert (killed, reloaded) == (24, 0)


TIMELINE = """
[[step]]
at_secs = 0
name = "first"
errors.invalid_request_rate = 1
[[step]]
at_secs = 1
name = "second"
"""


def test_timelines(tmp_path: Path) -> None:
    """CTRL-3.2, CTRL-3.4: A timeline begins with the server, or when it is put, and is the same for all workers."""
    path = tmp_path / "timeline.toml"
    path.write_text(TIMELINE.replace("at_secs = 1", "at_secs = 86400"))
    with serve(tmp_path, "--workers", "3", "--latency", "instant", "--timeline", str(path)) as server:
        server.wait_for_workers(3)
        shown = control(server, "GET", "/llmsim/timeline")["timeline"]
        first = failures(server)
        control(server, "PUT", "/llmsim/timeline", TIMELINE)
        eventually(lambda: server.stats()["timeline"]["name"] == "second")
        second = failures(server)
        control(server, "DELETE", "/llmsim/timeline")
        ended = server.stats()["timeline"]

    assert (shown["origin"], shown["step_name"]) == (str(path), "first")
    assert (first, second, ended) == (24, 0, None)


@pytest.mark.parametrize("text", [None, "[[step]]\nat_sec = 0"])
def test_a_wrong_timeline_keeps_the_server_from_starting(tmp_path: Path, text: str | None) -> None:
    """CTRL-3.5: Its mistakes are reported, by its path."""
    path = tmp_path / "timeline.toml"
    if text is not None:
        path.write_text(text)
    with (
        pytest.raises(AssertionError, match=r"timeline\.toml"),
        serve(tmp_path, "--workers", "1", "--timeline", str(path)),
    ):
        pass
