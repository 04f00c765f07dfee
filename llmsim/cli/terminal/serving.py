"""The server of `llmsim serve --tui`: a process of its own, which leaves the terminal to the dashboard.

Decisions:
* The server is the child, and the dashboard its parent: the terminal is the parent's, which leaves it in order however the
  server ends. Signals that reach the parent are passed on, so it is stopped and reloaded like any server.
* The output goes to an unnamed file, because a pipe that is not read would stop the server. Only its end is kept.
* The server has a process group of its own: what the terminal signals reaches the parent only.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial

from llmsim.cli.stats import read_block
from llmsim.errors import StatsError
from llmsim.stats import Block, block_name
from llmsim.text import printable

_MAX_OUTPUT = 1 << 20
"""Bytes of output from which only the end is kept."""

_KEPT_OUTPUT = 1 << 16
"""Bytes of output that are kept then, and shown."""

_POLL = 0.05
"""Seconds between two looks whether the server has started."""

_PR_SET_PDEATHSIG = 1


def serve_with_dashboard(port: int) -> int:
    """Serve by the settings of the environment on a port, and show the dashboard until one of them ends.

    Returns:
        The exit code of the server.
    """
    from llmsim.cli.terminal.app import run_dashboard

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = ServedProcess(port)
    try:
        if server.wait_until_ready():
            run_dashboard(partial(read_block, port), origin=f"port {port}", interval=1.0, server=server)
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()
    if server.exit_code:
        print(printable(server.output(50), keep="\n"), file=sys.stderr)
    else:
        print(f"llmsim: the server on port {port} is stopped", file=sys.stderr)
    return server.exit_code


class OutputFile:
    """An unnamed file to which processes write, and whose end is kept."""

    def __init__(self) -> None:
        # Open as long as the server runs.
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        # Cut while it is written to: each writer has to find the end anew.
        flags = fcntl.fcntl(self._file, fcntl.F_GETFL)
        fcntl.fcntl(self._file, fcntl.F_SETFL, flags | os.O_APPEND)

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file, which frees its space."""
        self._file.close()

    def tail(self, lines: int) -> str:
        """Return the last lines."""
        return "\n".join(self._end().decode(errors="replace").splitlines()[-lines:])

    def trim(self) -> None:
        """Leave only the end if it is large."""
        if os.fstat(self.fileno()).st_size > _MAX_OUTPUT:
            end = self._end()
            os.ftruncate(self.fileno(), 0)
            os.write(self.fileno(), end)

    def _end(self) -> bytes:
        size = os.fstat(self.fileno()).st_size
        # The processes share the file's position: it must not be moved.
        return os.pread(self.fileno(), _KEPT_OUTPUT, max(0, size - _KEPT_OUTPUT))


class ServedProcess:
    """A server that runs beside the dashboard.

    Attributes:
        port: Port on which it is to listen.
    """

    def __init__(self, port: int) -> None:
        """Start `llmsim serve` with the settings of the environment."""
        self.port = port
        self._output = OutputFile()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "llmsim", "serve"],
            stdin=subprocess.DEVNULL,
            # A request log that is redirected stays so.
            stdout=self._output.fileno() if sys.stdout.isatty() else None,
            stderr=self._output.fileno(),
            process_group=0,
            preexec_fn=_end_with_parent(),
        )

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    @property
    def exit_code(self) -> int:
        """Exit code as a shell has it; only after the end."""
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def wait_until_ready(self) -> bool:
        """Wait until the server has started; return False if it ended instead."""
        while not self.has_ended:
            with contextlib.suppress(StatsError):
                block = Block.attach(block_name(self.port))
                try:
                    is_ours = block.master == self._process.pid
                finally:
                    block.close()
                if is_ours and any(worker.alive for worker in read_block(self.port).workers):
                    return True
            time.sleep(_POLL)
        return False

    def send(self, number: int) -> None:
        """Pass a signal on."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def stop(self) -> None:
        """Stop the server as Ctrl-C does, and wait for its end; a second Ctrl-C kills it."""
        self.send(signal.SIGINT)
        try:
            self._process.wait()
        except KeyboardInterrupt:
            self._process.kill()
            self._process.wait()

    def output(self, lines: int) -> str:
        """Return the last lines of its output."""
        return self._output.tail(lines)

    def trim_output(self) -> None:
        """Leave only the end of its output if that is large."""
        self._output.trim()


def _end_with_parent() -> Callable[[], None] | None:
    """Return what has the kernel stop a process when its parent is killed, where the system can do so."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT))

    return prepare
