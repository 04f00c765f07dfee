"""Recordings replayed against real servers."""

import json
import os
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from support.servers import serve

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
for name in ("locust", "gevent"):
    sys.modules[name] = None
from loadtest.cli import main
main(prog_name="loadtest")
"""


def replay(*arguments: str) -> Any:
    """Run the command where Locust cannot be imported."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOADTEST_")}
    return subprocess.run(
        (sys.executable, "-c", PROGRAM, "trace", *arguments),
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write_run(path: Path, *, untimed: int = 2) -> Path:
    rows: list[dict[str, Any]] = []
    for place in range(12):
        row: dict[str, Any] = {
            "arrival_ms": 80 * place,
            "prompt_tokens": 30 + 100 * (place % 3),
            "completion_tokens": 5 + place,
        }
        if place >= untimed:
            row |= {"ttft_ms": 200, "e2e_ms": 200 + 20 * (4 + place)}
        rows.append(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_replay_compares_with_the_recording(tmp_path: Path) -> None:
    """LOAD-7.1, LOAD-7.2, LOAD-7.3, LOAD-7.7, LOAD-7.8: Lengths are exact, times are those of the server, and Locust is not needed."""
    run = write_run(tmp_path / "run.jsonl")
    (tmp_path / "even.toml").write_text(
        "[latency]\nttft_mean_ms = 200\nttft_stddev_ms = 0\ntbt_mean_ms = 20\ntbt_stddev_ms = 0\n"
    )
    out = tmp_path / "out"
    with serve(tmp_path, "--config", str(tmp_path / "even.toml"), "--target-tokens", "100") as server:
        result = replay(str(run), "--host", server.base, "--out", str(out))
        stats = server.settled(14)

    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads((out / "comparison.json").read_text())
    whole = {measure["name"]: measure for measure in found["parts"][0]["measures"]}
    assert (found["requests"], found["failed"]) == (12, 0)
    assert (found["exact_prompts"], found["exact_completions"]) == (12, 12)
    assert [whole[name]["count"] for name in ("ttft", "tpot", "e2e")] == [10, 10, 10]
    # Nothing comes early; how late it is depends on the machine.
    assert whole["ttft"]["found"][0] >= 200
    assert whole["tpot"]["found"][0] > 10
    # Two probes of 24 tokens come before the load.
    assert stats["completion_tokens"] == 2 * 24 + sum(5 + place for place in range(12))
    assert "all: 10 requests" in result.stdout
    assert (out / "report.html").exists()


class _Refusing(socketserver.StreamRequestHandler):
    """Takes chat completions at the second path only, and no field that it does not know."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            path = line.split()[1]
            length = 0
            while (header := self.rfile.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            body = json.loads(self.rfile.read(length) or b"{}")
            self.answer(path.decode(), body)

    def answer(self, path: str, body: dict[str, Any]) -> None:
        if path != "/v1/chat/completions":
            self.send(404, b"{}")
        elif "ignore_eos" in body:
            self.send(400, b'{"error": {"message": "unknown field", "code": "unknown"}}')
        else:
            words = len(body["messages"][0]["content"].split())
            chunks = [{"choices": [{"delta": {"content": "x"}}]} for _ in range(3)]
            chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
            chunks.append({"choices": [], "usage": {"prompt_tokens": words + 9, "completion_tokens": 3}})
            text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            self.send(200, text.encode(), "text/event-stream")

    def send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        head = f"HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def test_the_way_to_ask_a_server_is_found_out(tmp_path: Path) -> None:
    """LOAD-7.2, LOAD-7.3: Another path, fewer fields and a prompt's overhead are found; an output of another length is reported."""
    run = write_run(tmp_path / "run.jsonl")
    with _Server(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_address[1]}"
        result = replay(
            str(run), "--host", host, "--model", "m", "--limit", "4", "--out", str(tmp_path / "out")
        )
        server.shutdown()

    assert result.returncode == 0, result.stdout + result.stderr
    assert "model m, POST /v1/chat/completions" in result.stderr
    assert "warning: its outputs are not as long as was asked for" in result.stderr
    assert "prompt as long as recorded in 4 of 4, output in 0" in result.stdout


def test_a_server_that_takes_no_chat_is_one_error(tmp_path: Path) -> None:
    """LOAD-5.6: Where chat completions are refused, or no server answers, nothing is replayed."""
    run = write_run(tmp_path / "run.jsonl")
    result = replay(str(run), "--host", "http://127.0.0.1:9", "--model", "m", "--out", str(tmp_path / "out"))

    assert result.returncode == 1
    assert "http://127.0.0.1:9: no connection" in result.stderr
    assert "Traceback" not in result.stderr
