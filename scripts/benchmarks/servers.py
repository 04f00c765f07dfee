"""Servers for a benchmark: llmsim as users start it, and the trivial server."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from .clients import Client
from .endpoints import BenchError, Endpoint, build_body, encode_frames, fetch_reply
from .machine import ROOT, pinned_to

_TIMEOUT = 60.0

_FIRST_TOKENS = 16
"""Length of the first reply: the least that every API accepts."""


def free_port() -> int:
    """Return a port that is free."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class RunningServer(msgspec.Struct, frozen=True):
    """A server that responds.

    Attributes:
        endpoint: The measured endpoint.
        workers: Process ids of the workers; all have started.
        seconds: From its start to its first reply; 0 of the trivial server.
    """

    endpoint: Endpoint
    workers: tuple[int, ...]
    seconds: float


def _is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def _wait_for_reply(process: "subprocess.Popen[bytes]", to: Endpoint, body: bytes, log: Path) -> None:
    """Wait until a server replies to a request with status 200."""
    deadline = time.monotonic() + _TIMEOUT
    while not _is_listening(to.port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"llmsim does not start: {log.read_text(encoding='utf-8').strip()}")
        time.sleep(0.002)
    fetch_reply(to, body)


def _wait_for_workers(port: int, count: int) -> tuple[int, ...]:
    """Wait until all workers have started, and return their process ids."""
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
        with contextlib.closing(connection):
            connection.request("GET", "/llmsim/stats")
            stats = json.load(connection.getresponse())
        pids = tuple(worker["pid"] for worker in stats["workers"] if worker["alive"])
        if len(pids) == count:
            return pids
        time.sleep(0.02)
    raise BenchError(f"llmsim has not started {count} workers in {_TIMEOUT:g} s")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def run_llmsim(
    path: str,
    *,
    workers: int,
    tokens: int,
    model: str,
    cores: tuple[int, ...],
    pace: tuple[float, float] | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[RunningServer]:
    """Run `llmsim serve` until the block ends.

    Args:
        path: Path of the endpoint that is measured.
        workers: Number of worker processes.
        tokens: Length of its replies.
        model: Model of the requests.
        cores: Cores it runs on.
        pace: Constant time to first token and gap, in seconds; None for the instant profile.
        settings: Further variables of its settings.
    """
    to = Endpoint("llmsim", "127.0.0.1", free_port(), path)
    body = build_body(to, model=model, stream=False, tokens=_FIRST_TOKENS)
    command = [sys.executable, "-m", "llmsim", "serve", "--port", str(to.port), "--workers", str(workers)]
    command += ["--latency", "instant", "--target-tokens", str(tokens)]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("LLMSIM_")}
    variables |= {"LLMSIM_HOST": "127.0.0.1", **settings}
    if pace is not None:
        variables["LLMSIM_LATENCY_TTFT_MEAN_MS"] = f"{pace[0] * 1000:g}"
        variables["LLMSIM_LATENCY_TBT_MEAN_MS"] = f"{pace[1] * 1000:g}"
    with tempfile.TemporaryDirectory(prefix="llmsim-bench-") as folder:
        log = Path(folder, "log")
        variables["LLMSIM_SERVER_RUN_DIR"] = folder
        with log.open("wb") as output, pinned_to(cores):
            start = time.monotonic()
            process = subprocess.Popen(
                command, cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            _wait_for_reply(process, to, body, log)
            seconds = time.monotonic() - start
            yield RunningServer(to, _wait_for_workers(to.port, workers), seconds)
        finally:
            _stop(process)


@contextlib.contextmanager
def run_trivial(
    client: Client,
    like: Endpoint,
    frames: list[bytes],
    *,
    cores: tuple[int, ...],
    pace: tuple[float, float] | None = None,
) -> Iterator[RunningServer]:
    """Run the trivial server, which sends the same frames for every request, until the block ends.

    Args:
        client: The client, whose program is also the server.
        like: Endpoint whose path it takes.
        frames: The frames of a reply.
        cores: Cores it runs on.
        pace: Time to first frame and gap, in seconds; None sends all at once.
    """
    with tempfile.TemporaryDirectory(prefix="llmsim-bench-") as folder:
        file = Path(folder, "frames")
        file.write_bytes(encode_frames(frames))
        to = Endpoint("trivial server", "127.0.0.1", free_port(), like.path)
        command = [str(client.program), "serve", f"port={to.port}", f"frames={file}"]
        if pace is not None:
            command += [f"ttft_us={pace[0] * 1e6}", f"gap_us={pace[1] * 1e6}"]
        with pinned_to(cores):
            process = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise BenchError("the trivial server does not start")
            yield RunningServer(to, (process.pid,), 0.0)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
