"""Limits, settings at run time and seeds over several hosts: servers of their own with one Redis server."""

import asyncio
import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.limited_clients import TOKENS, Client, hammer, most_in_window
from support.raw_http import chat
from support.redis_server import RedisServer
from support.servers import Server, eventually, serve

LIMITS = {
    "LLMSIM_LIMITS_TIERS": "{many = {rpm = 120, tpm = 100_000}, fast = {rpm = 600}, few = {concurrency = 3}}",
    "LLMSIM_LIMITS_KEYS": '{shared = "many", alone = "fast", held = "few"}',
}

TIMELINE = """
[[step]]
at_secs = 0
name = "first"
errors.invalid_request_rate = 1
[[step]]
at_secs = 86400
name = "last"
"""


@contextmanager
def hosts(
    directory: Path, redis: RedisServer, count: int, *arguments: str, workers: int = 2, **variables: str
) -> Iterator[list[Server]]:
    """Run hosts with a prefix of their own, each in a run directory of its own."""
    state = redis.settings()
    shared = {"LLMSIM_STATE_URL": state.url, "LLMSIM_STATE_PREFIX": state.prefix} | variables
    with ExitStack() as stack, ThreadPoolExecutor(count) as pool:

        def start(number: int) -> Server:
            own = directory / f"{state.prefix}-{number}"
            own.mkdir()
            command = ("--workers", str(workers), *arguments)
            return stack.enter_context(serve(own, *command, **shared, LLMSIM_STATE_HOST=f"host-{number}"))

        yield list(pool.map(start, range(count)))


def control(server: Server, method: str, path: str, body: Any = None) -> Any:
    data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.base}{path}", data=data, method=method)
    request.add_header("content-type", "application/toml" if isinstance(body, str) else "application/json")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def statuses(servers: Sequence[Server], key: str = "free", each: int = 8) -> set[int]:
    """Ask each host on several connections of their own; return which statuses there were."""

    async def run() -> set[int]:
        found = set()
        for server in servers:
            for _ in range(each):
                client = Client(server.port, key)
                answer = await client.ask()
                client.close()
                assert answer is not None
                found.add(answer.status)
        return found

    return asyncio.run(run())


async def wait_as_asked(servers: Sequence[Server], trials: int) -> int:
    """Use up a key, wait as long as the answer says, and ask another host; return how often that admits the request."""
    clients, admitted = [Client(server.port, "alone") for server in servers], 0
    for trial in range(trials):
        one, other = clients[trial % len(clients)], clients[(trial + 1) % len(clients)]
        while (answer := await one.ask()) is not None and answer.status == 200:
            pass
        assert answer is not None
        await asyncio.sleep(int(answer.headers["retry-after-ms"]) / 1000)
        answer = await other.ask()
        admitted += answer is not None and answer.status == 200
    for client in clients:
        client.close()
    return admitted


def test_limits_hold_over_hosts(redis_server: RedisServer, tmp_path: Path) -> None:
    """MACH-12.1: Three hosts of two workers admit the burst and the rate, no more and no less; a wait holds at any of them."""
    with hosts(tmp_path, redis_server, 3, "--latency", "instant", **LIMITS) as servers:
        answers = asyncio.run(hammer([server.port for server in servers], 18, 15, 0.05))
        waits = asyncio.run(wait_as_asked(servers, 12))

    admitted = [answer for answer in answers if answer.status == 200]
    assert {answer.status for answer in answers} == {200, 429}
    assert len(admitted) >= 120
    for window in (0.2, 1.0, 60.0):
        requests = most_in_window(admitted, window)
        assert requests <= 120 + 120 * window / 60
        assert requests * TOKENS <= 100_000 + 100_000 * window / 60
    assert waits == 12


def test_what_changes_at_one_host_changes_at_all(redis_server: RedisServer, tmp_path: Path) -> None:
    """MACH-12.6, MACH-12.8, MACH-1.6: Settings, rules and timelines reach every worker, outlive a restart, and end with a reset of all."""
    with hosts(tmp_path, redis_server, 2, "--latency", "instant") as servers:
        one, other = servers
        control(one, "PATCH", "/llmsim/settings", {"errors.invalid_request_rate": 1})
        eventually(lambda: statuses(servers) == {400})
        control(other, "PATCH", "/llmsim/settings", {"errors.invalid_request_rate": None})
        eventually(lambda: statuses(servers) == {200})
        control(other, "PUT", "/llmsim/rules", {"rules": [{"fault": "429"}]})
        eventually(lambda: statuses(servers) == {429})
        control(one, "DELETE", "/llmsim/rules")
        eventually(lambda: statuses(servers) == {200})
        control(one, "PUT", "/llmsim/timeline", TIMELINE)
        eventually(lambda: statuses(servers) == {400})
        shown = [control(server, "GET", "/llmsim/timeline")["timeline"] for server in servers]
        old = set(other.workers())
        other.signal(signal.SIGHUP)
        eventually(lambda: len(now := other.workers()) == 2 and not old & set(now))
        reloaded = statuses([other])
        control(other, "POST", "/llmsim/reset?scope=all")
        eventually(lambda: statuses(servers) == {200})

    assert shown[0]["step_name"] == shown[1]["step_name"] == "first"
    assert shown[0]["started_at"] == shown[1]["started_at"]
    assert reloaded == {400}


def bodies(servers: Sequence[Server]) -> list[bytes]:
    """Ask one question after the other, each at the next host; return the answers without their time."""
    found = []
    for number in range(24):
        body = chat(messages=[{"role": "user", "content": f"question {number % 5}"}], stream=number % 2 == 1)
        request = urllib.request.Request(
            f"{servers[number % len(servers)].openai}/chat/completions", json.dumps(body).encode()
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            lines = answer.read().split(b'"created":')
        found.append(b"".join([lines[0], *(line.partition(b",")[2] for line in lines[1:])]))
    return found


def test_a_seed_gives_the_same_bytes_on_one_host_and_three(redis_server: RedisServer, tmp_path: Path) -> None:
    """MACH-12.10: One worker and six on three hosts answer with the same bytes, ids too."""
    variables = {"LLMSIM_GENERATOR": "random", "LLMSIM_SEED": "11"}
    runs = []
    for count, workers in ((1, 1), (3, 2)):
        with hosts(
            tmp_path, redis_server, count, "--latency", "instant", workers=workers, **variables
        ) as servers:
            runs.append(bodies(servers))

    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 24


@pytest.fixture
def slow() -> dict[str, str]:
    """Settings with which requests last, and a server that stalls costs little."""
    return LIMITS | {"LLMSIM_LATENCY_TTFT_MEAN_MS": "60000", "LLMSIM_STATE_TIMEOUT_MS": "300"}


def test_what_a_killed_host_held_is_free_after_its_lease(
    redis_server: RedisServer, tmp_path: Path, slow: dict[str, str]
) -> None:
    """MACH-12.3: What a host holds counts at all hosts; a killed one loses it 5 s after its last renewal."""

    async def status(server: Server) -> int:
        """Return the status of a request; 0 for one that is admitted, and then hung up."""
        client = Client(server.port, "held")
        try:
            async with asyncio.timeout(1):
                answer = await client.ask()
            return 0 if answer is None else answer.status
        except TimeoutError:
            return 0
        finally:
            client.close()

    async def run(one: Server, other: Server) -> float:
        clients = [Client(one.port, "held") for _ in range(3)]
        tasks = [asyncio.create_task(client.ask()) for client in clients]
        await asyncio.to_thread(eventually, lambda: one.stats()["active_requests"] == 3)
        refused = await status(other), await status(one)
        killed = time.monotonic()
        for pid in (one.process.pid, *one.workers()):
            os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*tasks)
        while True:
            if await status(other) == 0:
                break
        assert refused == (429, 429)
        return time.monotonic() - killed

    state = redis_server.settings()
    shared = {"LLMSIM_STATE_URL": state.url, "LLMSIM_STATE_PREFIX": state.prefix} | slow
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with (
        serve(tmp_path / "a", "--workers", "2", **shared, LLMSIM_STATE_HOST="a") as one,
        serve(tmp_path / "b", "--workers", "2", **shared, LLMSIM_STATE_HOST="b") as other,
    ):
        seconds = asyncio.run(run(one, other))

    # It was renewed up to a second before; the rest is the request that finds out.
    assert seconds >= 3.5


def test_limits_without_the_server(own_redis_server: RedisServer, tmp_path: Path) -> None:
    """MACH-12.5, MACH-12.7, MACH-4.2: Requests with limits are refused or, by a setting, admitted; changes last; all goes on without a restart."""
    variables = LIMITS | {"LLMSIM_STATE_TIMEOUT_MS": "300"}
    with (
        hosts(tmp_path, own_redis_server, 1, "--latency", "instant", **variables) as (refusing,),
        hosts(
            tmp_path,
            own_redis_server,
            1,
            "--latency",
            "instant",
            **variables,
            LLMSIM_STATE_UNAVAILABLE="ignore",
        ) as (ignoring,),
    ):
        control(refusing, "PATCH", "/llmsim/settings", {"response.target_tokens": 7})
        eventually(lambda: statuses([refusing], "alone") == {200})
        own_redis_server.pause()
        begun = time.monotonic()
        paused = statuses([refusing], "alone"), statuses([ignoring], "alone"), statuses([refusing])
        took = time.monotonic() - begun
        changed = control(refusing, "GET", "/llmsim/settings")
        own_redis_server.resume()
        eventually(lambda: statuses([refusing], "alone") == {200})
        own_redis_server.kill()
        gone = statuses([refusing], "alone"), statuses([ignoring], "alone"), statuses([refusing])
        own_redis_server.start()
        eventually(lambda: statuses([refusing], "alone") == {200})

    assert paused == gone == ({503}, {200}, {200})
    assert took < 20
    values = {one["name"]: one["value"] for one in changed["settings"]}
    assert values["response.target_tokens"] == "7"
