"""An llmsim for the length of a run, as a process: it is started by its command, as anybody would.

Decisions:
* Variables that are meant for other servers on this machine (LLMSIM_) are not handed on: the suite says what
  server its gates are meant for.
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

_PATIENCE = 60.0
"""Seconds until a server that does not answer, or does not end, is given up."""


class ServerError(Exception):
    """The server did not come up."""


@contextlib.contextmanager
def serving(flags: list[str], log: Path) -> Iterator[str]:
    """Run `llmsim serve` on a free port of this machine.

    Args:
        flags: Its options.
        log: File for what it says.

    Yields:
        Its URL, once it answers.

    Raises:
        ServerError: It ended at once, or never answered.
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
            # Ctrl-C is for the load: the server must live to be asked for its verdict.
            start_new_session=True,
        )
        try:
            _await(process, host, log)
            yield host
        finally:
            _end(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(process: "subprocess.Popen[bytes]", host: str, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerError(f"llmsim ended with {process.returncode}: {_last_words(log)}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{host}/health", timeout=5):
            return
        time.sleep(0.05)
    raise ServerError(f"llmsim does not answer on {host}: {_last_words(log)}")


def _last_words(log: Path) -> str:
    return " ".join(log.read_text(errors="replace").split()[-40:]) or "it said nothing"


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
