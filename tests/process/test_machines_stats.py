"""Stats of several hosts: servers with a Redis server, of which some are killed."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.redis_server import RedisServer
from support.servers import Server, eventually, reserved_port, serve, serve_on

ROOT = Path(__file__).parents[2]
PATH = "/openai/v1/chat/completions"


def _host(
    directory: Path, redis: RedisServer, name: str, port: int
) -> contextlib.AbstractContextManager[Server]:
    """Run a host of two workers on a port."""
    folder = directory / name
    folder.mkdir(exist_ok=True)
    variables = {"LLMSIM_STATE_URL": redis.url, "LLMSIM_STATE_HOST": name, "LLMSIM_STATE_PREFIX": "stats"}
    return serve_on(port, folder, "--workers", "2", "--latency", "instant", **variables)


def _kill(server: Server) -> None:
    """Kill all processes of a host at once, as a power failure does."""
    workers = server.wait_for_workers(2)
    for pid in (server.process.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    server.process.wait()


def _get(server: Server, path: str) -> Any:
    with urllib.request.urlopen(server.base + path, timeout=10) as answer:
        body = answer.read()
    return json.loads(body) if body[:1] == b"{" else body.decode()


def _sums(server: Server) -> Any:
    return _get(server, "/llmsim/stats?scope=all")


def _states(server: Server) -> dict[str, str]:
    return {host["host"]: host["state"] for host in _sums(server)["hosts"]}


def _ask(server: Server, times: int) -> None:
    body = json.dumps(
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}
    )
    for _ in range(times):
        request = urllib.request.Request(
            server.base + PATH, body.encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()


def _open_stream(server: Server) -> socket.socket:
    """Open a stream whose first token takes a minute."""
    body = json.dumps(
        {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    ).encode()
    one = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    one.sendall(
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-llmsim-latency: ttft=60000\r\n"
        f"content-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    return one


def _has_recovered(server: Server) -> bool:
    with contextlib.suppress(urllib.error.HTTPError):
        return _states(server) == {"a": "up"}
    return False


def _figures(stats: Any) -> tuple[int, ...]:
    return tuple(stats[f"{name}_requests"] for name in ("total", "finished", "active", "aborted"))


@pytest.fixture(scope="module")
def ports() -> Iterator[list[int]]:
    """Ports of three hosts, reserved for all their starts."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(reserved_port()) for _ in range(3)]


# Five seconds of it pass until a host counts as gone.
def test_sums_are_exact_while_hosts_are_killed(
    tmp_path: Path, own_redis_server: RedisServer, ports: list[int]
) -> None:
    """MACH-5.1, MACH-5.3, MACH-5.4, MACH-5.7: Sums of 3 hosts of 2 workers are exact at once, also when hosts are killed in mid-load and started anew."""
    with contextlib.ExitStack() as stack:
        names = ("a", "b", "c")
        hosts = [
            stack.enter_context(_host(tmp_path, own_redis_server, name, port))
            for name, port in zip(names, ports, strict=True)
        ]
        first = hosts[0]
        for number, host in enumerate(hosts, 1):
            _ask(host, 10 * number)
        for host in hosts * 3:
            stack.enter_context(_open_stream(host))
        eventually(lambda: _figures(_sums(first)) == (69, 60, 9, 0))
        rows = {row["host"]: row for row in _sums(hosts[2])["hosts"]}
        assert [rows[name]["requests"] for name in names] == [13, 23, 33]
        metrics = _get(hosts[1], "/metrics?scope=all")
        assert 'llmsim_host_requests_started_total{host="c"} 33\n' in metrics
        assert "llmsim_requests_in_flight 9\n" in metrics
        assert 'outcome="finished"} 60\n' in metrics

        # No time passes in which the host could publish these.
        _ask(hosts[2], 5)
        _kill(hosts[2])
        with _host(tmp_path, own_redis_server, "c", ports[2]) as again:
            _ask(again, 7)
            assert _figures(_sums(again)) == (81, 72, 6, 3)
            row = {row["host"]: row for row in _sums(first)["hosts"]}["c"]
            assert (row["state"], row["starts"], row["requests"], row["aborted"]) == ("up", 2, 45, 3)

            _ask(hosts[1], 5)
            _kill(hosts[1])
            eventually(lambda: _states(first)["b"] == "gone")
            # What it had counted last is read by another host of this machine, which may take a moment.
            eventually(lambda: _figures(_sums(first)) == (86, 77, 3, 6))
        # It was stopped, so it is gone at once.
        assert _states(first) == {"a": "up", "b": "gone", "c": "gone"}
        assert _figures(_sums(first)) == (86, 77, 3, 6)

        own_redis_server.kill()
        with pytest.raises(urllib.error.HTTPError) as refused:
            _sums(first)
        assert (refused.value.code, refused.value.headers["retry-after"]) == (503, "5")
        assert b"shared state cannot be used" in refused.value.read()
        assert _get(first, "/llmsim/stats")["total_requests"] == 13
        assert "llmsim_requests_in_flight 3\n" in _get(first, "/metrics")
        own_redis_server.start()
        eventually(lambda: _has_recovered(first))


def test_a_load_test_spreads_its_users_over_hosts(tmp_path: Path) -> None:
    """MACH-6.1: Users and arrivals of a load test go to all hosts evenly, and the summary names all of them."""
    with (
        serve(tmp_path, "--workers", "1", "--latency", "instant") as first,
        serve(tmp_path, "--workers", "1", "--latency", "instant") as second,
    ):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LOADTEST_")}
        command = (sys.executable, "-m", "loadtest", "load", "--endpoints", "chat", "--duration", "2")
        hosts = ("--host", f"{first.base},{second.base}")
        for number, load in enumerate((("--users", "4", "--think", "0.1"), ("--rate", "20"))):
            folder = tmp_path / f"{number}"
            done = subprocess.run(
                (*command, *load, *hosts, "--out", folder),
                env=environment | {"PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        summary = json.loads((tmp_path / "1" / "summary.json").read_text())
        counts = [host.stats()["total_requests"] for host in (first, second)]

    assert summary["host"] == f"{first.base}, {second.base}"
    assert (summary["target"]["hosts"], summary["target"]["workers"]) == (2, 2)
    assert "worst of 2 hosts" in summary["server"]["text"]
    assert min(counts) > 0.6 * max(counts) > 0
