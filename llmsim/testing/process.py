"""Starts the process of a simulator, and ends it.

Decisions:
* The server chooses its port and tells it through a pipe once it listens. So there is nothing to poll, and no other
  program is taken for it.
* What it writes goes to a file without a name, of which nothing is left however all of this ends.
* It starts in a session of its own: Ctrl-C is for the test run, which ends it when it is done.
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

from llmsim.testing.control import Control, ControlError

_PROGRAM = Path(__file__).with_name("serving.py")

_PATIENCE = 60.0
"""Seconds until a server that does not answer, or does not end, is given up."""

SCRIPT = "script.json"
"""Name of the file of a script that was given as objects; all of it is one line."""

_LOGGED = 1_000_000
"""Bytes that are told of what a server has written."""


class StartError(Exception):
    """The server did not start. The message is what it said."""


class Process:
    """A server that runs.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, environment: Mapping[str, str], directory: Path) -> None:
        """Start it.

        Args:
            environment: Its settings among all that it inherits.
            directory: Its own, removed when it ends.

        Raises:
            StartError: It does not start.
        """
        self._directory = directory
        # Open for as long as the server is.
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self.port = self._launch(environment)
        except BaseException:
            self._log.close()
            shutil.rmtree(directory, ignore_errors=True)
            raise

    def _launch(self, environment: Mapping[str, str]) -> int:
        hears, tells = os.pipe()
        try:
            try:
                self._popen = subprocess.Popen(  # noqa: S603 - our own command
                    # -P: a module of the tests' own may have any name.
                    [sys.executable, "-P", str(_PROGRAM), str(tells), str(self._directory)],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=self._log,
                    stderr=subprocess.STDOUT,
                    pass_fds=[tells],
                    start_new_session=True,
                )
            finally:
                os.close(tells)
            try:
                return self._listening(hears)
            except BaseException:
                self._end()
                raise
        finally:
            os.close(hears)

    def _listening(self, hears: int) -> int:
        """Wait until it tells its port, and a worker answers."""
        deadline = time.monotonic() + _PATIENCE
        told = b""
        poll = select.poll()
        poll.register(hears, select.POLLIN | select.POLLHUP)
        while not told.endswith(b"\n"):
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise StartError(f"the simulator did not start within {_PATIENCE:g} s\n{self.log}".strip())
            part = os.read(hears, 100)
            if not part:
                self._popen.wait()
                raise StartError(f"the simulator did not start: {self._said()}")
            told += part
        port = int(told)
        try:
            Control(f"http://127.0.0.1:{port}").fetch("GET", "/health", None, "text/plain")
        except ControlError as error:
            raise StartError(f"the simulator does not answer: {error}\n{self.log}".strip()) from error
        return port

    def _said(self) -> str:
        """Give what it said, without the places of files that nobody knows."""
        said = self.log.strip().removeprefix("llmsim: ").replace(f"{self._directory}{os.sep}", "")
        said = said.replace(f"{SCRIPT}:1: ", "")
        return said or f"it ended with {self._popen.returncode}, and said nothing"

    @property
    def log(self) -> str:
        """What it has written so far, at most the last million bytes."""
        size = os.fstat(self._log.fileno()).st_size
        # The file's position is the server's: it must not be moved.
        data = os.pread(self._log.fileno(), _LOGGED, max(0, size - _LOGGED))
        return data.decode(errors="replace")

    @property
    def pid(self) -> int:
        """Of the master."""
        return self._popen.pid

    def stop(self) -> None:
        """End it, and all that is under way."""
        try:
            self._end()
        finally:
            self._log.close()
            # It does so itself, unless it was killed.
            shutil.rmtree(self._directory, ignore_errors=True)

    def _end(self) -> None:
        # Signalled as well: a process that was forked by the tests may still hold the pipe.
        self._popen.send_signal(SIGINT)
        try:
            self._popen.wait(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        finally:
            assert self._popen.stdin is not None
            self._popen.stdin.close()
