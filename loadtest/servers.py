"""An llmsim server for the length of a run, started by its command line.

Decisions:
* Variables meant for other servers on this machine (LLMSIM_) are not passed on: the suite defines the server
  that its gates are meant for.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

_TIMEOUT = 60.0
"""Seconds to wait for a server to start or to stop."""


class ServerError(Exception):
    """The server did not start."""


@contextlib.contextmanager
def run_server(flags: list[str], log: Path) -> Iterator[str]:
    """Run `llmsim serve` on a free port of this machine.

    Args:
        flags: Command line options.
        log: File for its output.

    Yields:
        Its URL, once it responds.

    Raises:
        ServerError: The server exited at once, or never responded.
    """
    port = _free_port()
    host = f"http://127.0.0.1:{port}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LLMSIM_")}
    command = [sys.executable, "-m", "llmsim", "serve", "--host", "127.0.0.1", "--port", str(port), *flags]
    with tempfile.TemporaryDirectory(prefix="loadtest-") as directory, log.open("wb") as output:
        environment["LLMSIM_SERVER_RUN_DIR"] = directory
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C ends the load only: the server must live until its verdict was read.
            start_new_session=True,
        )
        try:
            _wait_until_up(process, host, log)
            yield host
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_up(process: "subprocess.Popen[bytes]", host: str, log: Path) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerError(f"llmsim exited with {process.returncode}: {_tail(log)}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{host}/health", timeout=5):
            return
        time.sleep(0.05)
    raise ServerError(f"llmsim does not respond on {host}: {_tail(log)}")


def _tail(log: Path) -> str:
    return " ".join(log.read_text(errors="replace").split()[-40:]) or "no output"


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
