"""Starts and stops the server process of a simulator.

Decisions:
* The server chooses its port and reports it through a pipe once it listens. So nothing is polled, and no other program
  is mistaken for it.
* Its output goes to an unnamed file, of which nothing is left however the processes end.
* It starts in a process session of its own: Ctrl-C reaches only the test run, which then stops the server.
"""

import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from signal import SIGINT
from typing import IO

from llmsim.testing.client import ControlClient, ControlError

_PROGRAM = Path(__file__).with_name("server.py")

_TIMEOUT = 60.0
"""Seconds to wait for a server to start or to stop."""

SCRIPT = "script.json"
"""File name of a script that was given as Python objects; all of it is one line."""

_MAX_LOG_BYTES = 1_000_000
"""Bytes of a server's output that `log` returns."""


class StartError(Exception):
    """The server did not start. The message is its output."""


class ServerProcess:
    """A running server.

    Attributes:
        port: Port on which it listens.
    """

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        """Start a server.

        Args:
            environment: Environment variables, its settings among them.
            directory: Its own directory, removed when it stops.

        Raises:
            StartError: The server does not start.
        """
        self._directory = directory
        # Open as long as the server runs.
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self.port = self._launch(environment)
        except BaseException:
            self._log.close()
            shutil.rmtree(directory, ignore_errors=True)
            raise

    def _launch(self, environment: Mapping[str, str]) -> int:
        reader, writer = os.pipe()
        try:
            try:
                self._popen = subprocess.Popen(  # noqa: S603 - our own command
                    # -P: a module of the tests may shadow any name.
                    [sys.executable, "-P", str(_PROGRAM), str(writer), str(self._directory)],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=self._log,
                    stderr=subprocess.STDOUT,
                    pass_fds=[writer],
                    start_new_session=True,
                )
            finally:
                os.close(writer)
            try:
                return self._wait_for_port(reader)
            except BaseException:
                self._terminate()
                raise
        finally:
            os.close(reader)

    def _wait_for_port(self, reader: int) -> int:
        """Return the port that the server reports, once a worker answers there."""
        deadline = time.monotonic() + _TIMEOUT
        line = b""
        poll = select.poll()
        poll.register(reader, select.POLLIN | select.POLLHUP)
        while not line.endswith(b"\n"):
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise StartError(f"the simulator did not start within {_TIMEOUT:g} s\n{self.log}".strip())
            part = os.read(reader, 100)
            if not part:
                self._popen.wait()
                raise StartError(f"the simulator did not start: {self._error_output()}")
            line += part
        port = int(line)
        try:
            ControlClient(f"http://127.0.0.1:{port}").send("GET", "/health", None, "text/plain")
        except ControlError as error:
            raise StartError(f"the simulator does not answer: {error}\n{self.log}".strip()) from error
        return port

    def _error_output(self) -> str:
        """Return its output, without the paths of temporary files, which mean nothing to the user."""
        output = self.log.strip().removeprefix("llmsim: ").replace(f"{self._directory}{os.sep}", "")
        output = output.replace(f"{SCRIPT}:1: ", "")
        return output or f"it exited with {self._popen.returncode} and no output"

    @property
    def log(self) -> str:
        """Its output so far, at most the last million bytes."""
        size = os.fstat(self._log.fileno()).st_size
        # The server shares the file's position: it must not be moved.
        data = os.pread(self._log.fileno(), _MAX_LOG_BYTES, max(0, size - _MAX_LOG_BYTES))
        return data.decode(errors="replace")

    @property
    def pid(self) -> int:
        """Process id of the master."""
        return self._popen.pid

    def stop(self) -> None:
        """Stop the server at once, without waiting for requests in progress."""
        try:
            self._terminate()
        finally:
            self._log.close()
            # The server does so itself, unless it was killed.
            shutil.rmtree(self._directory, ignore_errors=True)

    def _terminate(self) -> None:
        # Closing the pipe is not enough: a process that was forked by the tests may still hold it.
        self._popen.send_signal(SIGINT)
        try:
            self._popen.wait(timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        finally:
            assert self._popen.stdin is not None
            self._popen.stdin.close()
