"""An address that fails over: the requests of a host follow it to the server that was promoted."""

import http.client
import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.forwarder import forward
from support.redis_server import RedisServer, run_redis_server
from support.servers import Server, eventually, free_port, serve

CHAT = "/openai/v1/chat/completions"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}


def call(host: Server, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=30)
    try:
        connection.request(method, path, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def play(host: Server) -> tuple[int, str]:
    """Play the next turn; return the status and its text, or why there is none."""
    headers = {"x-llmsim-session": "s", "x-llmsim-script": "x"}
    status, body = call(host, "POST", CHAT, BODY, headers)
    return status, body["choices"][0]["message"]["content"] if status == 200 else body["error"]["message"]


def replicate(server: RedisServer, port: int) -> None:
    """Have a server follow the one of a port, and wait until it has all of it."""
    server.command(f"REPLICAOF 127.0.0.1 {port}")
    eventually(lambda: "master_link_status:up" in server.command("INFO replication"))


def test_requests_follow_an_address_that_fails_over(tmp_path: Path) -> None:
    """MACH-2.3, MACH-4.2, MACH-4.5: At once where the former primary refuses, in seconds where it was killed; no turn is lost or given twice.

    It takes some seconds: two servers follow each other twice.
    """
    ports = [free_port(), free_port()]
    options = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", "--port")
    run = contextmanager(run_redis_server)
    with (
        run(*options, f"{ports[0]}") as first,
        run(*options, f"{ports[1]}") as second,
        forward(ports[0]) as address,
        serve(
            tmp_path,
            "--workers",
            "1",
            LLMSIM_LATENCY="instant",
            LLMSIM_STATE_URL=f"redis://127.0.0.1:{address.port}",
            LLMSIM_STATE_TIMEOUT_MS="500",
        ) as host,
    ):
        turns = [{"type": "assistant", "text": f"{number}"} for number in range(100)]
        assert call(host, "PUT", "/llmsim/scripts/x", {"turns": turns}, {})[0] == 201
        assert play(host) == (200, "0")
        replicate(second, ports[0])

        # The primary becomes a replica, and keeps its connections.
        address.target = ports[1]
        second.command("REPLICAOF NO ONE")
        replicate(first, ports[1])
        assert play(host) == (200, "1")
        assert play(host) == (200, "2")
        eventually(lambda: _offset(first) == _offset(second))

        # The primary is killed; its replica is promoted a little later.
        second.kill()
        status, message = play(host)
        assert (status, "the shared state cannot be used" in message) == (503, True)
        assert call(host, "POST", CHAT, BODY, {})[0] == 200
        first.command("REPLICAOF NO ONE")
        address.target = ports[0]

        assert eventually(lambda: (turn := play(host))[0] == 200 and turn) == (200, "3")


def _offset(server: RedisServer) -> str:
    """Return how far the replication of a server is."""
    return next(
        line
        for line in server.command("INFO replication").splitlines()
        if line.startswith("master_repl_offset")
    )
