"""An engine that several real workers share: streams in steps, and what happens when its ticker is killed."""

import asyncio
import contextlib
import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.raw_http import Client, chat
from support.servers import Server, eventually, serve

SETTINGS = """
[response]
target_tokens = 100000
[latency.engine]
step_base_ms = 20
step_sequence_us = 0
step_context_token_us = 0
max_num_seqs = 1000
max_requests = 250
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Run a server of three workers with an engine."""
    config = tmp_path / "engine.toml"
    config.write_text(SETTINGS)
    with serve(tmp_path, "--config", str(config), "--workers", "3") as running:
        running.wait_for_workers(3)
        yield running


def _ticker(server: Server) -> int:
    """Return the process that runs the steps: the lease is its lock."""
    (lease,) = server.log.parent.glob("*.engines-*-lease")
    inode = lease.stat().st_ino
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
            return int(fields[4])
    return 0


class _Stream:
    """A stream that is read to its end, and when its events came."""

    def __init__(self) -> None:
        self.data = b""
        self.times: list[float] = []

    async def read(self, port: int, tokens: int) -> None:
        client = await Client.open(port)
        await client.send(chat(stream=True, max_tokens=tokens))
        with contextlib.suppress(ConnectionError):
            while b"data: [DONE]" not in self.data[-64:]:
                data = await client.reader.read(1 << 16)
                if not data:
                    break
                self.data += data
                self.times.append(time.monotonic())
        await client.hang_up()

    @property
    def is_whole(self) -> bool:
        return b"data: [DONE]" in self.data

    @property
    def tokens(self) -> int:
        return self.data.count(b'"content":"') - 1

    def longest_gap(self) -> float:
        return max(after - before for before, after in zip(self.times, self.times[1:], strict=False))


async def test_streams_go_on_when_the_ticker_is_killed(server: Server) -> None:
    """ENG-3.1, ENG-3.2: Of 200 streams those of living workers go on within a second and end whole; the dead worker's leave."""
    streams = [_Stream() for _ in range(200)]
    reading = [asyncio.create_task(each.read(server.port, 150)) for each in streams]
    await asyncio.to_thread(eventually, lambda: all(len(each.times) > 10 for each in streams))
    killed = _ticker(server)
    os.kill(killed, signal.SIGKILL)
    began = time.monotonic()
    successor = await asyncio.to_thread(
        eventually, lambda: (found := _ticker(server)) not in (0, killed) and found
    )
    took = time.monotonic() - began
    await asyncio.gather(*reading)
    whole = [each for each in streams if each.is_whole]
    stats = await asyncio.to_thread(
        eventually, lambda: (found := server.stats())["engine_running"] == 0 and found
    )

    assert successor != killed
    assert took < 1.0
    assert 50 < len(whole) < 200
    assert all(each.tokens == 150 for each in whole)
    assert max(each.longest_gap() for each in whole) < 1.5
    assert (stats["engines"], stats["engine_waiting"]) == (1, 0)


async def test_all_workers_step_together(server: Server) -> None:
    """ENG-2.2, ENG-4.1: Streams at different workers get their tokens in the same steps; they are counted together."""
    streams = [_Stream() for _ in range(30)]
    began = time.monotonic()
    reading = [asyncio.create_task(each.read(server.port, 60)) for each in streams]
    stats = await asyncio.to_thread(
        eventually, lambda: (found := server.stats())["engine_running"] == 30 and found
    )
    await asyncio.gather(*reading)
    alive = [worker for worker in stats["workers"] if worker["alive"]]

    assert sum(worker["open_streams"] > 0 for worker in alive) > 1
    assert stats["engine_waiting"] == 0
    # 60 steps of 20 ms, whatever the number of streams.
    assert all(each.times[-1] - began > 1.1 for each in streams)
    assert all(each.tokens == 60 for each in streams)


async def _hold(server: Server, count: int, **fields: Any) -> list[Client]:
    clients = [await Client.open(server.port) for _ in range(count)]
    for client in clients:
        await client.send(chat(**fields))
    return clients


async def test_a_change_reaches_the_ticker(server: Server) -> None:
    """ENG-5.1, ENG-5.2: Streams of all workers go on in the steps of the change at once, though no worker gets a request."""
    streams = [_Stream() for _ in range(12)]
    reading = [asyncio.create_task(each.read(server.port, 500)) for each in streams]
    await asyncio.to_thread(eventually, lambda: all(len(each.times) > 5 for each in streams))
    began = time.monotonic()
    await asyncio.to_thread(_change, server, {"latency.engine.step_base_ms": 2})
    await asyncio.gather(*reading)
    seconds = time.monotonic() - began

    assert all(each.is_whole and each.tokens == 500 for each in streams)
    # 10 s without the change.
    assert seconds < 5


def _change(server: Server, changes: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"{server.base}/llmsim/settings", json.dumps(changes).encode(), method="PATCH"
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


async def test_a_full_engine_refuses(server: Server) -> None:
    """ENG-2.6, ENG-2.9: Beyond its bound it answers as an overloaded provider; a hang-up makes room."""
    clients = await _hold(server, 250, max_tokens=3_000)
    await asyncio.to_thread(eventually, lambda: server.stats()["engine_running"] == 250)
    (refused,) = await _hold(server, 1)
    head = await refused.read_until(b"\r\n\r\n")
    body = json.loads(await refused.reader.readexactly(int(head.split(b"content-length: ")[1].split()[0])))
    for client in clients:
        await client.hang_up()
    await asyncio.to_thread(eventually, lambda: server.stats()["engine_running"] == 0)
    (admitted,) = await _hold(server, 1, max_tokens=2)
    answer = await admitted.read_until(b"\r\n\r\n")
    await refused.hang_up()
    await admitted.hang_up()

    assert head.startswith(b"HTTP/1.1 503 ")
    assert body["error"]["message"]
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_an_engine_comes_and_goes(tmp_path: Path) -> None:
    """ENG-5.3, ENG-5.4, ENG-3.1: Switched on, changed and off for two workers under open streams; its ticker is killed between."""
    with serve(tmp_path, "--workers", "2", "--latency", "instant", "--target-tokens", "100000") as server:
        server.wait_for_workers(2)
        await asyncio.to_thread(
            _change,
            server,
            {"latency.engine": {"step_base_ms": 20, "step_sequence_us": 0, "max_num_seqs": 1000}},
        )
        streams = [_Stream() for _ in range(60)]
        reading = [asyncio.create_task(each.read(server.port, 200)) for each in streams]
        await asyncio.to_thread(eventually, lambda: server.stats()["engine_running"] == 60)
        during = await asyncio.to_thread(server.stats)
        await asyncio.to_thread(_change, server, {"latency.engine.step_base_ms": 10})
        killed = _ticker(server)
        os.kill(killed, signal.SIGKILL)
        await asyncio.to_thread(eventually, lambda: _ticker(server) not in (0, killed))
        await asyncio.to_thread(_change, server, {"latency.engine": "unset"})
        at_once = _Stream()
        began = time.monotonic()
        await at_once.read(server.port, 200)
        took = time.monotonic() - began
        left = (await asyncio.to_thread(server.stats))["engine_running"]
        await asyncio.gather(*reading)
        whole = [each for each in streams if each.is_whole]
        await asyncio.to_thread(eventually, lambda: server.stats()["engines"] == 0)
        lease = _ticker(server)

    assert during["engines"] == 1
    assert at_once.is_whole
    assert took < 0.5
    assert left > 0
    assert 10 < len(whole) < 60
    assert all(each.tokens == 200 for each in whole)
    assert lease == 0
