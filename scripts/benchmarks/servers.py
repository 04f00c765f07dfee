"""Servers for a benchmark: llmsim as users start it, and the trivial one."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import asking
from .asking import Endpoint
from .clients import Client
from .machine import ROOT, on
from .problems import BenchError

_PATIENCE = 60.0

_FIRST_TOKENS = 16
"""Length of the first answer: the least that every API takes."""


def free_port() -> int:
    """Find a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """A server that answers.

    Attributes:
        endpoint: Where.
        workers: The processes that answer; all have started.
        seconds: From its start to its first answer.
    """

    def __init__(self, endpoint: Endpoint, workers: tuple[int, ...], seconds: float) -> None:
        self.endpoint = endpoint
        self.workers = workers
        self.seconds = seconds


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def _await_answer(process: "subprocess.Popen[bytes]", to: Endpoint, data: bytes, log: Path) -> None:
    """Wait until a server answers a request with 200."""
    deadline = time.monotonic() + _PATIENCE
    while not _listens(to.port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"llmsim does not start: {log.read_text(encoding='utf-8').strip()}")
        time.sleep(0.002)
    asking.sample(to, data)


def _workers(port: int, count: int) -> tuple[int, ...]:
    """Wait until all workers have started, and give their processes."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/llmsim/stats")
            stats = json.load(connection.getresponse())
        pids = tuple(worker["pid"] for worker in stats["workers"] if worker["alive"])
        if len(pids) == count:
            return pids
        time.sleep(0.02)
    raise BenchError(f"llmsim has not started {count} workers in {_PATIENCE:g} s")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def llmsim(
    path: str,
    *,
    workers: int,
    tokens: int,
    model: str,
    cores: tuple[int, ...],
    pace: tuple[float, float] | None = None,
) -> Iterator[Running]:
    """Run `llmsim serve` until the block ends.

    Args:
        path: Of the endpoint that is measured.
        workers: Worker processes.
        tokens: Length of its replies.
        model: Which is asked for.
        cores: Where it runs.
        pace: Constant time to first token and gap, in seconds; None for the instant profile.
    """
    to = Endpoint("llmsim", "127.0.0.1", free_port(), path)
    data = asking.body(to, model=model, stream=False, tokens=_FIRST_TOKENS)
    command = [sys.executable, "-m", "llmsim", "serve", "--port", str(to.port), "--workers", str(workers)]
    command += ["--latency", "instant", "--target-tokens", str(tokens)]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("LLMSIM_")}
    variables["LLMSIM_HOST"] = "127.0.0.1"
    if pace is not None:
        variables["LLMSIM_LATENCY_TTFT_MEAN_MS"] = f"{pace[0] * 1000:g}"
        variables["LLMSIM_LATENCY_TBT_MEAN_MS"] = f"{pace[1] * 1000:g}"
    with tempfile.TemporaryDirectory(prefix="llmsim-bench-") as folder:
        log = Path(folder, "log")
        variables["LLMSIM_SERVER_RUN_DIR"] = folder
        with log.open("wb") as output, on(cores):
            began = time.monotonic()
            process = subprocess.Popen(
                command, cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            _await_answer(process, to, data, log)
            seconds = time.monotonic() - began
            yield Running(to, _workers(to.port, workers), seconds)
        finally:
            _end(process)


@contextlib.contextmanager
def trivial(
    client: Client,
    like: Endpoint,
    frames: bytes,
    *,
    cores: tuple[int, ...],
    pace: tuple[float, float] | None = None,
) -> Iterator[Endpoint]:
    """Run the server that gives every request the same frames, until the block ends.

    Args:
        client: Whose trivial server it is.
        like: Whose path and mark of tokens it takes over.
        frames: What it gives, as `asking.frames` writes it.
        cores: Where it runs.
        pace: Time to first frame and gap, in seconds; None sends all at once.
    """
    with tempfile.TemporaryDirectory(prefix="llmsim-bench-") as folder:
        file = Path(folder, "frames")
        file.write_bytes(frames)
        to = Endpoint("trivial server", "127.0.0.1", free_port(), like.path)
        command = [*client.command, "serve", f"port={to.port}", f"frames={file}"]
        if pace is not None:
            command += [f"ttft_us={pace[0] * 1e6}", f"gap_us={pace[1] * 1e6}"]
        with on(cores):
            process = subprocess.Popen(command, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise BenchError("the trivial server does not start")
            yield to
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
