"""`llmsim serve` in a process that has imported it: what tests start hundreds of times, for half the CPU time.

Python's fork server imports this module once. Whatever depends on arguments, environment or files happens in the process that is
forked, as in one that is begun anew; `tests/process/test_life_cycle.py` and others begin those.
"""

import atexit
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

import llmsim
import llmsim.cli.serve
import llmsim.server.processes.launch
from llmsim.catalogue import shipped_catalogue
from llmsim.cli import main
from llmsim.planning.tokens import load_tokenizer

_PROGRAM = str(Path(llmsim.__file__).with_name("__main__.py"))
_METHOD = multiprocessing.get_context("forkserver")
_TESTS = str(Path(__file__).parents[1])


def warm() -> None:
    """Load what every server loads."""
    for name in shipped_catalogue().tokenizers:
        load_tokenizer(name)


class WarmServer:
    """A server as a process, which is used like `subprocess.Popen`."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str], log: Path) -> None:
        """Start it.

        Args:
            arguments: Those behind `llmsim`.
            environment: Its environment.
            log: Receives its output.
        """
        self.args = ("llmsim", *arguments)
        self._process = _METHOD.Process(
            target=_serve, args=(arguments, dict(environment), str(Path.cwd()), str(log))
        )
        with pytest.MonkeyPatch.context() as patch:
            # A new process would import the program that runs the tests.
            patch.setitem(sys.modules, "__main__", ModuleType("__main__"))
            patch.setenv("PYTHONPATH", _TESTS, prepend=os.pathsep)
            _METHOD.set_forkserver_preload(["support.warm_fork"])
            self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Stop it."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


def _serve(arguments: tuple[str, ...], environment: dict[str, str], directory: str, log: str) -> None:
    """Run the command as `python -m llmsim` does."""
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [_PROGRAM, *arguments]
    with Path(log).open("ab") as output:
        for number in (1, 2):
            os.dup2(output.fileno(), number)
    random.seed()
    try:
        main(prog_name="llmsim")
    finally:
        atexit._run_exitfuncs()
