"""Real servers for tests: `llmsim serve` on a reserved port, and waiting for a state."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from support.warm_server import WarmServer

_STATE_TIMEOUT = 60.0
"""Seconds until a state counts as never reached; generous, for loaded machines."""

_EXIT_TIMEOUT = 30.0
"""Seconds until a server that was asked to stop counts as hanging."""


def free_port() -> int:
    """Return a port nobody listens on at the moment; for commands that never come to listen there."""
    with reserved_port() as port:
        return port


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """Reserve a port of the loopback interface that a server may listen on.

    The socket is bound and does not listen, so that the kernel gives the port to no other process that asks for
    a free one, while a server that binds it by number (with `SO_REUSEADDR`) succeeds.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def eventually(condition: Callable[[], Any], *, within: float = _STATE_TIMEOUT) -> Any:
    """Call `condition` until it returns something true, and return that."""
    deadline = time.monotonic() + within
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {condition}")
        time.sleep(0.01)


Process: TypeAlias = "subprocess.Popen[str] | WarmServer"


class Server:
    """One running instance."""

    def __init__(self, process: Process, port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    @property
    def base(self) -> str:
        """Address without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai(self) -> str:
        """Base URL for OpenAI clients."""
        return f"{self.base}/openai/v1"

    def stats(self) -> Any:
        """Read the counters through any worker; repeat the request if that worker dies."""

        def read() -> Any:
            with (
                contextlib.suppress(ConnectionError),
                urllib.request.urlopen(f"{self.base}/llmsim/stats", timeout=10) as answer,
            ):
                return json.load(answer)

        return eventually(read)

    def settled(self, requests: int) -> Any:
        """Return the counters once `requests` requests are counted and none is active."""

        def read() -> Any:
            stats = self.stats()
            return stats if stats["total_requests"] == requests and stats["active_requests"] == 0 else None

        try:
            return eventually(read)
        except AssertionError:
            raise AssertionError(f"{requests} requests do not settle: {self.stats()}") from None

    def workers(self) -> list[int]:
        """Return the pids of the living workers."""
        return [worker["pid"] for worker in self.stats()["workers"] if worker["alive"]]

    def wait_for_workers(self, count: int) -> list[int]:
        """Return the pids of the living workers once there are `count`."""
        return eventually(lambda: len(pids := self.workers()) == count and pids)  # type: ignore[no-any-return]

    def signal(self, number: signal.Signals) -> None:
        """Send the master a signal."""
        self.process.send_signal(number)

    def logged(self) -> str:
        """Return its output so far."""
        return self.log.read_text()


def _up(port: int, process: Process, log: Path) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"the server ended with {process.returncode}: {log.read_text()}")
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
        return True
    return False


@contextlib.contextmanager
def serve(
    directory: Path,
    *arguments: str,
    command: tuple[str, ...] = (),
    **variables: str,
) -> Iterator[Server]:
    """Run a server until the block ends; it must then exit without a traceback.

    Args:
        directory: Receives its log, and is its run directory.
        arguments: Arguments of the command.
        command: The command, if it is not `llmsim serve`.
        variables: Variables of its environment.
    """
    with reserved_port() as port:
        yield from _run(port, directory, command, arguments, variables)


@contextlib.contextmanager
def serve_on(port: int, directory: Path, *arguments: str, **variables: str) -> Iterator[Server]:
    """Run a server on a port that is reserved, which another may have used before; see `serve`."""
    yield from _run(port, directory, (), arguments, variables)


def _run(
    port: int,
    directory: Path,
    command: tuple[str, ...],
    arguments: tuple[str, ...],
    variables: dict[str, str],
) -> Iterator[Server]:
    log = directory / f"server-{port}.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLMSIM_")}
    environment |= {
        "LLMSIM_PORT": str(port),
        "LLMSIM_HOST": "127.0.0.1",
        "LLMSIM_SERVER_RUN_DIR": str(directory),
    }
    environment |= variables
    process: Process
    if command:
        with log.open("w") as output:
            process = subprocess.Popen(
                (*command, *arguments), env=environment, stdout=output, stderr=subprocess.STDOUT, text=True
            )
    else:
        log.write_text("")
        process = WarmServer(("serve", *arguments), environment, log)
    try:
        eventually(lambda: _up(port, process, log))
        yield Server(process, port, log)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(timeout=_EXIT_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert "Traceback" not in log.read_text(), log.read_text()
