"""The load tests as processes: the command, Locust, real servers and broken ones."""

import contextlib
import csv
import http.client
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.servers import serve

ROOT = Path(__file__).parents[2]


def run(
    *arguments: str, command: tuple[str, ...] = (sys.executable, "-m", "loadtest"), **variables: str
) -> Any:
    """Run the command."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOADTEST_")}
    return subprocess.run(
        (*command, *arguments),
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def summary_in(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text())


def checkout(folder: Path) -> Path:
    """Create what the script needs, with an up-to-date .venv that runs this Python."""
    (folder / "scripts").mkdir(parents=True)
    for name in ("loadtest", "venv.sh"):
        shutil.copy(ROOT / "scripts" / name, folder / "scripts")
    shutil.copy(ROOT / "pyproject.toml", folder)
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    shutil.copy(ROOT / "pyproject.toml", folder / ".venv/.installed-load")
    (folder / "loadtest").symlink_to(ROOT / "loadtest")
    return folder / "scripts/loadtest"


def test_the_script_runs_a_suite_against_a_server(tmp_path: Path) -> None:
    """LOAD-5.5, LOAD-6.2, LOAD-2.4: The run passes, writes its reports, and counts what the server counts."""
    out = tmp_path / "out"
    script = checkout(tmp_path / "checkout")
    with serve(tmp_path, "--latency", "fast", "--target-tokens", "20") as server:
        result = run("quick-smoke", "--host", server.base, "--out", str(out), command=(str(script),))
        assert result.returncode == 0, result.stdout + result.stderr
        # Three times four endpoints, streamed and not, and embeddings; lists are not counted by the server.
        stats = server.settled(27)

    summary = summary_in(out)
    lines = {line["name"]: line for line in summary["lines"]}
    assert "quick-smoke: passed" in result.stdout
    assert (summary["passed"], summary["requests"], summary["failed"]) == (True, 30, 0)
    assert sum(line["tokens"] for line in lines.values()) == stats["completion_tokens"] == 24 * 20
    for endpoint in ("chat", "responses", "openresponses", "messages"):
        stream = lines[f"{endpoint} stream"]
        assert (stream["ttft"]["count"], stream["itl"]["count"], stream["e2e"]["count"]) == (3, 3 * 19, 3)
        # The profile's first token takes 10 ± 2 ms, and 19 more 1 ms each; nothing leaves before it is due.
        assert stream["ttft"]["p50"] > 3
        assert stream["e2e"]["p50"] > 20
    assert summary["generator"]["lag_p99_ms"] is not None
    assert summary["server"]["lateness_p99_ms"] is not None
    assert (out / "report.html").stat().st_size > 10_000
    with (out / "locust_stats.csv").open() as file:
        rows = {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}
    assert int(rows["", "Aggregated"]["Request Count"]) == 30
    assert {kind for kind, name in rows if name == "chat stream"} == {"POST", "TTFT", "ITL", "E2E", "TOK/S"}


def test_a_server_is_started_for_the_run(tmp_path: Path) -> None:
    """LOAD-6.1: The server has the suite's profile, even if variables for other servers are set."""
    result = run(
        "smoke", "--duration", "2", "--out", str(tmp_path), LLMSIM_PORT="no port", LLMSIM_LATENCY="gpt-4"
    )

    summary = summary_in(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "--latency=fast --target-tokens=50" in result.stderr
    assert summary["requests"] > 0
    assert "Traceback" not in (tmp_path / "server.log").read_text()
    with pytest.raises(OSError, match="refused"):
        connect(summary["host"])


def connect(host: str) -> None:
    with contextlib.closing(
        http.client.HTTPConnection(host.removeprefix("http://"), timeout=5)
    ) as connection:
        connection.request("GET", "/health")


def test_a_server_that_does_not_start_is_reported(tmp_path: Path) -> None:
    """LOAD-5.5: A server that does not start fails the run, with the server's message."""
    result = run("smoke", "--latency", "warp", "--out", str(tmp_path))

    assert result.returncode == 1
    assert "llmsim exited with 2" in result.stderr
    assert "warp" in result.stderr


def test_workers_rows_add_up(tmp_path: Path) -> None:
    """LOAD-2.6, LOAD-4.1: Two processes with half of the rate each count together what the server counts."""
    out = tmp_path / "out"
    with serve(tmp_path, "--latency", "fast", "--target-tokens", "20") as server:
        result = run(
            *("open", "--rate", "40", "--duration", "3", "--arrivals", "constant", "--processes", "2"),
            *("--endpoints", "chat,messages", "--host", server.base, "--out", str(out)),
        )
        assert result.returncode == 0, result.stdout + result.stderr
        summary = summary_in(out)
        stats = server.settled(summary["requests"])

    # 120 by the clock, one more or less for the phase of each process.
    assert 118 <= summary["requests"] <= 122
    assert sum(line["tokens"] for line in summary["lines"]) == stats["completion_tokens"]
    assert sum(line["ttft"]["count"] for line in summary["lines"]) == stats["streaming_requests"]
    assert sum(line["itl"]["count"] for line in summary["lines"]) == 19 * stats["streaming_requests"]
    assert sum(line["e2e"]["count"] for line in summary["lines"]) == summary["requests"]
    assert summary["generator"]["processes"] == 2


class Faulty(http.server.BaseHTTPRequestHandler):
    """Returns a different broken response at every endpoint."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Return a list without models."""
        self._respond("application/json", b'{"data": []}')

    def do_POST(self) -> None:
        """Return the broken response of the path."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        streamed = bool(body.get("stream"))
        events = "text/event-stream"
        if self.path.endswith("/chat/completions"):
            chunk = b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'
            self._respond(events if streamed else "application/json", chunk if streamed else b'{"choices"')
        elif self.path.startswith("/openresponses"):
            self._respond("application/json", b'{"error": {"type": "model_error"}}', status=500)
        elif self.path.endswith("/responses"):
            error = b'event: error\ndata: {"type": "error", "code": "server_error", "message": "x"}\n\n'
            self._respond(events if streamed else "text/html", error if streamed else b"<html>")
        elif self.path.endswith("/embeddings"):
            self._respond("application/json", b'{"data": [{"embedding": []}]}')
        elif streamed:
            # Half a chunk of a chunked body, then nothing.
            self.send_response(200)
            self.send_header("content-type", events)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"40\r\nevent: message_start\n")
            self.close_connection = True
        else:
            self._respond("application/json", b'{"content": [], "stop_reason": null}')

    def _respond(self, kind: str, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class Slow(Faulty):
    """Returns correct chat completions, one at a time, each after a fifth of a second."""

    lock = threading.Lock()

    def do_GET(self) -> None:
        """Return a verdict."""
        self._respond(
            "application/json", b'{"verdict": {"state": "late", "text": "late: p99 lateness 200 ms"}}'
        )

    def do_POST(self) -> None:
        """Wait, then respond."""
        self.rfile.read(int(self.headers["content-length"]))
        with self.lock:
            time.sleep(0.2)
        body = (
            b'data: {"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
        )
        with contextlib.suppress(ConnectionError):
            self._respond("text/event-stream", body)


class Silent(Faulty):
    """Reads requests, and never responds."""

    def do_POST(self) -> None:
        """Wait until the client disconnects."""
        self.rfile.read(int(self.headers["content-length"]))
        self.rfile.read(1)
        self.close_connection = True


@contextlib.contextmanager
def listening(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve with `handler` until the block ends."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False
        request_queue_size = 256

    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_broken_responses_fail_the_run(tmp_path: Path) -> None:
    """LOAD-3.1, LOAD-3.2, LOAD-3.3, LOAD-3.4, LOAD-5.5: Each kind of failure is listed once, by its own message."""
    with listening(Faulty) as host:
        result = run("quick-smoke", "--host", host, "--out", str(tmp_path))

    summary = summary_in(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert {failure["name"]: failure["message"] for failure in summary["failures"]} == {
        "chat stream": "truncated stream: no [DONE]",
        "chat": "invalid JSON in the response",
        "responses stream": "error event: server_error",
        "responses": "invalid JSON in the response",
        "openresponses stream": "HTTP 500 model_error",
        "openresponses": "HTTP 500 model_error",
        "messages stream": "the connection closed in mid-response",
        "messages": "a message without stop_reason",
        "embeddings": "embeddings without a vector",
        "models": "a list without models",
    }
    assert [failure["count"] for failure in summary["failures"]] == [3] * 10
    assert all(line["ttft"]["count"] == line["tokens"] == 0 for line in summary["lines"])
    assert "truncated stream: no [DONE]" in result.stdout
    assert "quick-smoke: failed" in result.stdout


@pytest.mark.slow
def test_waiting_for_a_slow_server_is_measured(tmp_path: Path) -> None:
    """LOAD-4.2, LOAD-4.3, LOAD-6.3: Times begin when a request was due; requests above the limit fail at once."""
    with listening(Slow) as host:
        result = run(
            *("open", "--rate", "20", "--duration", "3", "--arrivals", "constant", "--endpoints", "chat"),
            *("--host", host, "--out", str(tmp_path)),
            LOADTEST_MAX_OUTSTANDING="10",
        )

    summary = summary_in(tmp_path)
    kinds = {failure["message"] for failure in summary["failures"]}
    assert result.returncode == 1
    assert "not sent: too many requests in flight" in kinds
    # Ten requests take a fifth of a second each, one after the other: the last waits for two seconds.
    assert summary["figures"]["e2e_max_ms"] > 1500
    # All that were due were counted, though the server responds to five in a second.
    assert 58 <= summary["requests"] <= 61
    assert summary["server"]["state"] == "late"
    assert "late: p99 lateness 200 ms" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("model", [("--rate", "10"), ("--users", "4")])
def test_requests_cut_off_by_the_end_have_failed(tmp_path: Path, model: tuple[str, ...]) -> None:
    """LOAD-3.6: A server that stops responding cannot look as good as before."""
    with listening(Silent) as host:
        result = run(
            *(
                "load",
                *model,
                "--duration",
                "2",
                "--endpoints",
                "chat",
                "--host",
                host,
                "--out",
                str(tmp_path),
            ),
            LOADTEST_DRAIN="0.5",
        )

    summary = summary_in(tmp_path)
    assert result.returncode == 1
    assert {failure["message"] for failure in summary["failures"]} == {"no response when the run ended"}
    assert summary["failed"] == summary["requests"] > 0


class LateOnce(http.server.BaseHTTPRequestHandler):
    """An llmsim that was late in the middle of a run: its first and last verdicts are on time, the one between is late."""

    protocol_version = "HTTP/1.1"
    verdicts = 0

    def do_GET(self) -> None:
        """Return models or stats."""
        content: dict[str, Any] = {"data": [{"id": "m"}]}
        if self.path == "/llmsim/stats":
            LateOnce.verdicts += 1
            verdict = {"state": "on_time", "text": "on time", "p99_lateness_ms": 2.0}
            if LateOnce.verdicts == 2:
                verdict = {"state": "late", "text": "simulator-limited", "p99_lateness_ms": 90.0}
            content = {"verdict": verdict}
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def test_the_verdict_is_read_during_the_run(tmp_path: Path) -> None:
    """LOAD-6.3: The verdict is also read during the run, because the last one covers the last seconds only."""
    with listening(LateOnce) as host:
        result = run(
            *("load", "--duration", "12", "--users", "2", "--endpoints", "models"),
            *("--host", host, "--out", str(tmp_path)),
        )

    server = summary_in(tmp_path)["server"]
    assert result.returncode == 0, result.stderr
    assert LateOnce.verdicts == 3
    assert (server["state"], server["worst_text"]) == ("on_time", "simulator-limited")
    assert 9 < server["worst_after_seconds"] < 12
    assert f"after {server['worst_after_seconds']:.0f} s: simulator-limited" in result.stdout


def test_every_user_class_has_a_name() -> None:
    """LOAD-1.4: Without a suite, Locust's own command lists a user class for each endpoint."""
    command = (sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py")
    result = run("--list", command=command)

    assert result.returncode == 0, result.stderr
    for name in ("Chat", "Responses", "OpenResponses", "Messages", "Embeddings", "Models", "Mixed"):
        assert f"{name}User" in result.stdout


@pytest.mark.slow
def test_a_user_class_calls_its_endpoint(tmp_path: Path) -> None:
    """LOAD-1.4, LOAD-2.4: A user class calls its own endpoint only, and its rows are in Locust's statistics."""
    command = (sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--headless")
    with serve(tmp_path, "--latency", "fast", "--target-tokens", "10") as server:
        result = run(
            *(
                "--host",
                server.base,
                "--users",
                "2",
                "--run-time",
                "2s",
                "--stop-timeout",
                "5",
                "--json",
                "MessagesUser",
            ),
            command=command,
            LOADTEST_THINK="0.1",
        )

    assert result.returncode == 0, result.stderr
    rows = {
        (row["method"], row["name"]): row for row in json.loads(result.stdout[result.stdout.index("[") :])
    }
    assert rows["TTFT", "messages stream"]["num_requests"] > 0
    assert (
        rows["ITL", "messages stream"]["num_requests"] == 9 * rows["TTFT", "messages stream"]["num_requests"]
    )
    assert {name for _, name in rows} == {"messages stream", "messages", "load generator"}
