"""A real server for tests: `llmsim serve` on a free port, with everything a test wants to ask of it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_PATIENCE = 30.0
"""Seconds until something that must happen is said not to happen; generous, for loaded machines."""


def free_port() -> int:
    """Find a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(what: Callable[[], Any], *, within: float = _PATIENCE) -> Any:
    """Call `what` until it gives something true."""
    deadline = time.monotonic() + within
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {what}")
        time.sleep(0.01)


class Server:
    """One running instance."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    @property
    def base(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai(self) -> str:
        """The base URL for OpenAI clients."""
        return f"{self.base}/openai/v1"

    def stats(self) -> Any:
        """Read the counters through any worker; asks again where a worker dies while it is asked."""

        def ask() -> Any:
            with (
                contextlib.suppress(ConnectionError),
                urllib.request.urlopen(f"{self.base}/llmsim/stats", timeout=10) as answer,
            ):
                return json.load(answer)

        return eventually(ask)

    def settled(self, requests: int) -> Any:
        """Give the counters once `requests` requests were counted and none is active."""

        def look() -> Any:
            stats = self.stats()
            return stats if stats["total_requests"] == requests and stats["active_requests"] == 0 else None

        try:
            return eventually(look)
        except AssertionError:
            raise AssertionError(f"{requests} requests do not settle: {self.stats()}") from None

    def workers(self) -> list[int]:
        """Give the pids of the workers that live."""
        return [worker["pid"] for worker in self.stats()["workers"] if worker["alive"]]

    def signal(self, number: signal.Signals) -> None:
        """Send the master a signal."""
        self.process.send_signal(number)

    def logged(self) -> str:
        """Give what it has written to its output so far."""
        return self.log.read_text()


def _up(port: int, process: "subprocess.Popen[str]", log: Path) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"the server ended with {process.returncode}: {log.read_text()}")
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
        return True
    return False


@contextlib.contextmanager
def serve(
    directory: Path,
    *arguments: str,
    command: tuple[str, ...] = (sys.executable, "-m", "llmsim", "serve"),
    **variables: str,
) -> Iterator[Server]:
    """Run a server until the block ends; it must then end cleanly.

    Args:
        directory: For its log and run directory.
        arguments: Of the command.
        command: What is run.
        variables: Of the environment.
    """
    port = free_port()
    log = directory / f"server-{port}.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLMSIM_")}
    environment |= {
        "LLMSIM_PORT": str(port),
        "LLMSIM_HOST": "127.0.0.1",
        "LLMSIM_SERVER_RUN_DIR": str(directory),
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            (*command, *arguments),
            env=environment | variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        eventually(lambda: _up(port, process, log))
        yield Server(process, port, log)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert "Traceback" not in log.read_text(), log.read_text()
