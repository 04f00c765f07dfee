"""A running server's figures on itself: verdict, lag, CPU and open streams of its workers."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from support.raw_http import Client, chat
from support.servers import Server, eventually, serve

from llmsim.cli.stats import read_block

LONG = {"LLMSIM_LATENCY": "instant", "LLMSIM_LATENCY_TBT_MEAN_MS": "20", "LLMSIM_TARGET_TOKENS": "6000"}
"""Streams of 50 tokens per second that do not end during a test."""

_STOPPED = 2.5


async def _drain(client: Client) -> None:
    while await client.reader.read(1 << 16):
        pass


@contextlib.asynccontextmanager
async def _streams(server: Server, count: int) -> AsyncIterator[None]:
    """Read a number of streams while the block runs."""
    clients = [await Client.open(server.port) for _ in range(count)]
    readers = []
    for client in clients:
        await client.send(chat(stream=True))
        readers.append(asyncio.create_task(_drain(client)))
    try:
        yield
    finally:
        for reader in readers:
            reader.cancel()
        for client in clients:
            await client.hang_up()


class _Lag:
    """How late this process is woken at most, in ms: what the machine adds to all timing."""

    most = 0.0

    async def measure(self) -> None:
        while True:
            asleep = time.monotonic()
            await asyncio.sleep(0.01)
            self.most = max(self.most, (time.monotonic() - asleep - 0.01) * 1000)


async def test_a_light_load_is_on_time(tmp_path: Path) -> None:
    """STATS-9.1, STATS-9.7: a server is idle, then on time under a light load, or as late as a busy machine makes it."""
    lag = _Lag()
    measuring = asyncio.create_task(lag.measure())

    def verdict_follows_machine() -> Any:
        stats = server.stats()
        p99 = stats["verdict"]["p99_lateness_ms"]
        return p99 is not None and p99 < max(20.0, 10 * lag.most) and stats

    def workers_are_measured() -> bool:
        workers = server.stats()["workers"]
        return len(workers) == 2 and all((worker["cpu_percent"] or 0.0) > 0.0 for worker in workers)

    with serve(tmp_path, "--workers", "2", **LONG) as server:
        assert server.stats()["verdict"]["state"] == "idle"

        async with _streams(server, 4):
            await asyncio.to_thread(eventually, workers_are_measured, within=150)
            await asyncio.to_thread(eventually, lambda: _open(server, 4), within=150)
            # A late first token is forgotten after 40 s.
            stats = await asyncio.to_thread(eventually, verdict_follows_machine, within=150)
    measuring.cancel()

    verdict = stats["verdict"]
    is_late = verdict["p99_lateness_ms"] >= 20.0 or "stood still" in verdict["text"]
    assert verdict["state"] == ("late" if is_late else "on_time")
    assert verdict["text"].startswith("on time") != is_late
    assert sum(worker["open_streams"] for worker in stats["workers"]) == 4


async def test_a_stopped_worker_is_reported(tmp_path: Path) -> None:
    """STATS-9.4, STATS-9.5, STATS-9.8: a worker stopped under streams is reported to stand still, and then to have been held up."""
    with serve(tmp_path, "--workers", "1", **LONG) as server:
        async with _streams(server, 20):
            await asyncio.to_thread(
                eventually,
                lambda: (server.stats()["verdict"]["p99_lateness_ms"] or 1e6) < _STOPPED * 1000 / 2,
            )
            [worker] = server.workers()

            os.kill(worker, signal.SIGSTOP)
            started = time.monotonic()
            try:
                still = await asyncio.to_thread(
                    eventually, lambda: (v := read_block(server.port).verdict).text.count("stood still") and v
                )
                await asyncio.sleep(max(0.0, started + _STOPPED - time.monotonic()))
            finally:
                os.kill(worker, signal.SIGCONT)
            stats = await asyncio.to_thread(
                eventually,
                lambda: (
                    (s := server.stats())["verdict"]["state"] == "late"
                    and (s["verdict"]["p99_lateness_ms"] or 0.0) > _STOPPED * 1000 / 2
                    and s["loop_lag_ms"]["max"] >= _STOPPED * 1000 - 200
                    and s
                ),
            )

    assert still.state == "late"
    assert "with 20 open streams" in still.text
    assert stats["verdict"]["text"].startswith("simulator-limited: p99 lateness ")
    assert stats["workers"][0]["loop_lag_ms"] == stats["loop_lag_ms"]


async def test_open_streams_are_those_in_flight(tmp_path: Path) -> None:
    """STATS-9.6, STATS-9.9: disconnects and a killed worker leave no stream open in the figures."""
    with serve(tmp_path, "--workers", "2", **LONG) as server:
        eventually(lambda: len(server.workers()) == 2)
        async with _streams(server, 30):
            stats = await asyncio.to_thread(eventually, lambda: _open(server, 30))
            assert all(worker["open_streams"] == worker["active"] for worker in stats["workers"])
            victim = max(stats["workers"], key=lambda worker: worker["open_streams"])

            os.kill(victim["pid"], signal.SIGKILL)
            await asyncio.to_thread(eventually, lambda: _open(server, 30 - victim["open_streams"]))
        stats = await asyncio.to_thread(eventually, lambda: _open(server, 0))

    assert stats["active_requests"] == 0


def _open(server: Server, streams: int) -> object:
    stats = server.stats()
    return sum(worker["open_streams"] or 0 for worker in stats["workers"]) == streams and stats
