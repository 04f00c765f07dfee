"""Readiness, the delay before a stop, and metrics, with real workers."""

import contextlib
import http.client
import json
import os
import signal
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.servers import Server, eventually, serve

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}


def _ask(
    connection: http.client.HTTPConnection, path: str, body: dict[str, Any] | None = None
) -> tuple[int, str | None, bytes]:
    """Return status, `connection` header and body of a response."""
    connection.request(
        "GET" if body is None else "POST",
        path,
        None if body is None else json.dumps(body),
        {"content-type": "application/json"},
    )
    answer = connection.getresponse()
    return answer.status, answer.getheader("connection"), answer.read()


def _connect(server: Server) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)


def _ask_once(server: Server, path: str, body: dict[str, Any] | None = None) -> tuple[int, str | None, bytes]:
    """Ask over a connection of its own."""
    with contextlib.closing(_connect(server)) as connection:
        return _ask(connection, path, body)


def _ready(server: Server) -> tuple[int, str | None, Any]:
    status, header, body = _ask_once(server, "/ready")
    return status, header, json.loads(body)["status"]


def _drains(server: Server) -> bool:
    """Return whether the workers, whichever is asked, answer that they drain, and close the connection."""
    # So often that each of two workers is asked: the kernel chooses by the port of the connection.
    return all(_ready(server) == (503, "close", "draining") for _ in range(30))


def _serve(directory: Path, workers: int, delay: int) -> contextlib.AbstractContextManager[Server]:
    return serve(
        directory,
        "--workers",
        str(workers),
        LLMSIM_LATENCY="instant",
        LLMSIM_SERVER_DRAIN_DELAY_SECS=str(delay),
    )


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_server_accepts_during_its_drain_delay(
    tmp_path: Path, workers: int, second: signal.Signals
) -> None:
    """METRICS-3.1, METRICS-3.2, METRICS-3.3: After SIGTERM `/ready` is 503 and all else is answered; another signal ends that."""
    with _serve(tmp_path, workers, 600) as server, contextlib.closing(_connect(server)) as kept:
        server.wait_for_workers(workers)
        assert _ready(server) == (200, None, "ready")
        assert _ask(kept, "/health")[:2] == (200, None)

        server.signal(signal.SIGTERM)
        eventually(lambda: _drains(server))

        assert _ask_once(server, "/health")[:2] == (200, "close")
        status, header, body = _ask_once(server, "/openai/v1/chat/completions", CHAT)
        assert (status, header) == (200, "close")
        assert json.loads(body)["choices"]
        status, header, body = _ask_once(server, "/openai/v1/chat/completions", CHAT | {"stream": True})
        assert (status, header) == (200, "close")
        assert body.endswith(b"data: [DONE]\n\n")
        # A connection from before is served, and then closed.
        assert _ask(kept, "/openai/v1/chat/completions", CHAT)[:2] == (200, "close")
        assert kept.sock is None
        assert server.process.poll() is None

        server.signal(second)
        assert server.process.wait(timeout=60) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_the_drain_delay_ends(tmp_path: Path, workers: int) -> None:
    """METRICS-3.2: After the delay the server stops as without one."""
    with _serve(tmp_path, workers, 1) as server:
        # A server that is still starting has nobody to wait for.
        server.wait_for_workers(workers)
        begun = time.monotonic()
        server.signal(signal.SIGTERM)

        assert server.process.wait(timeout=60) == 0
        assert time.monotonic() - begun >= 1.0


def test_workers_are_replaced_during_the_drain_delay(tmp_path: Path) -> None:
    """METRICS-3.2: A worker that dies in the delay is replaced, and its successor drains as well."""
    with _serve(tmp_path, 1, 600) as server:
        [worker] = server.wait_for_workers(1)
        server.signal(signal.SIGTERM)
        eventually(lambda: _drains(server))
        os.kill(worker, signal.SIGKILL)

        def replaced() -> bool:
            with contextlib.suppress(OSError, http.client.HTTPException):
                return server.workers() not in ([], [worker]) and _drains(server)
            return False

        eventually(replaced)
        server.signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0


def _metrics(server: Server) -> dict[str, float]:
    """Return the sum of the series of each name."""
    with urllib.request.urlopen(f"{server.base}/metrics", timeout=30) as answer:
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        page = answer.read().decode()
    sums: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            sums[sample.name] += sample.value
    return sums


def test_metrics_equal_the_stats_over_kills(tmp_path: Path) -> None:
    """METRICS-1.1, METRICS-1.3: With requests of two workers, one of them killed in mid-stream, both pages agree to the unit."""
    slow = {"LLMSIM_LATENCY_TTFT_MEAN_MS": "10", "LLMSIM_LATENCY_TBT_MEAN_MS": "500"}
    with serve(tmp_path, "--workers", "2", **slow) as server:
        workers = server.wait_for_workers(2)
        streams = [_connect(server) for _ in range(12)]
        for number, connection in enumerate(streams):
            body = json.dumps(CHAT | {"stream": True, "model": f"model-{number % 3}"})
            connection.request(
                "POST", "/openai/v1/chat/completions", body, {"content-type": "application/json"}
            )
        eventually(lambda: server.stats()["latency"]["ttft_ms"]["count"] == 12)
        os.kill(workers[0], signal.SIGKILL)
        eventually(lambda: server.stats()["aborted_requests"] > 0)
        for connection in streams:
            connection.close()
        stats = server.settled(12)

        found = _metrics(server)

        assert found["llmsim_requests_total"] == 12
        assert found["llmsim_requests_in_flight"] == 0
        assert found["llmsim_prompt_tokens_total"] == stats["prompt_tokens"]
        assert found["llmsim_completion_tokens_total"] == stats["completion_tokens"]
        for prefix in ("llmsim", "llmsim_endpoint", "llmsim_model"):
            assert found[f"{prefix}_time_to_first_token_seconds_count"] == 12
            gaps = stats["latency"]["inter_token_ms"]["count"]
            assert found[f"{prefix}_inter_token_latency_seconds_count"] == gaps
        assert found["llmsim_lateness_seconds_count"] == stats["latency"]["lateness_ms"]["count"]
        assert server.stats()["total_requests"] == 12


def test_the_request_log_of_two_workers_is_whole(tmp_path: Path) -> None:
    """METRICS-4.2: Each request of several workers has a line of its own, those before a stop included."""
    with serve(tmp_path, "--workers", "2", "--request-log", "json", LLMSIM_LATENCY="instant") as server:
        server.wait_for_workers(2)
        for number in range(60):
            _ask_once(server, "/openai/v1/chat/completions", CHAT | {"model": f"m-{number}"})
        server.signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
        lines = [json.loads(line) for line in server.logged().splitlines() if line.startswith('{"time"')]

    assert {line["model"] for line in lines} == {f"m-{number}" for number in range(60)}
    assert len(lines) == len({line["request_id"] for line in lines}) == 60
