"""A server of a test's own: a process on a free port, gone when the test is.

Decisions:
* It is the same server as any other, with its master and workers, so that what is tested is what is hosted.
* It holds a pipe to whoever started it, and ends when that is gone: also a test run that is killed leaves nothing behind.
* Ports are asked of the system just before the start; one that somebody else was faster to take costs another start.
"""

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmsim.testing.control import Control, escaped
from llmsim.testing.session import Exchange, Session
from llmsim.testing.turns import ScriptLike, as_script

_PATIENCE = 30.0
"""Seconds until a server that does not answer, or does not end, is given up."""

_ATTEMPTS = 3
_NAP = 0.005

_numbers = itertools.count(1)


class StartError(Exception):
    """The server did not start. The message is what it said."""


class Simulator:
    """A simulator in a process of its own; use it as a context manager, or `start` and `stop` it.

    Attributes:
        base_url: Where it is, once it is started.
    """

    def __init__(
        self,
        script: ScriptLike | Path | None = None,
        *,
        scripts: Mapping[str, ScriptLike] | None = None,
        workers: int = 1,
        latency: str | None = "instant",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Describe a simulator.

        Args:
            script: What it plays to everybody who chooses nothing else: a script, its turns, or a file; None for
                generated replies.
            scripts: Further scripts by name.
            workers: How many processes answer.
            latency: A latency profile; None for each model's own.
            settings: Other settings by dotted name, e.g. `{"response.target_tokens": 5}`; see docs/configuration.md.
        """
        self.base_url = ""
        self._script = script
        self._scripts = scripts or {}
        self._settings = {"server.workers": workers, "server.host": "127.0.0.1", **(settings or {})}
        if latency is not None:
            self._settings["latency.profile"] = latency
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> Self:
        """Start it, and wait until it answers.

        Raises:
            StartError: It does not; the message is what it said.
        """
        self._directory = tempfile.TemporaryDirectory(prefix="llmsim-")
        try:
            self._launch(Path(self._directory.name))
            for name, script in self._scripts.items():
                self.load(name, script)
        except BaseException:
            self.stop()
            raise
        return self

    def _launch(self, directory: Path) -> None:
        environment = self._environment(directory)
        for attempt in itertools.count(1):
            port = _free_port()
            log = directory / "log"
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "llmsim.testing.serving"],
                    env=environment | {"LLMSIM_PORT": str(port)},
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C is for the test run; it ends the server when it is done.
                    start_new_session=True,
                )
            self.base_url = f"http://127.0.0.1:{port}"
            if self._answers():
                return
            said = log.read_text(errors="replace")
            if attempt == _ATTEMPTS or f"port {port} is taken" not in said:
                raise StartError(said.strip() or "the server did not answer in time, and said nothing")

    def _environment(self, directory: Path) -> dict[str, str]:
        from llmsim.config import knobs

        variables = {knob.name: knob.env for knob in knobs()}
        values = {"server.run_dir": str(directory), **self._settings}
        if isinstance(self._script, Path):
            values["response.script_path"] = str(self._script)
        elif self._script is not None:
            path = directory / "script.json"
            path.write_text(json.dumps(as_script(self._script)), encoding="utf-8")
            values["response.script_path"] = str(path)
        unknown = sorted(set(values) - set(variables))
        if unknown:
            raise StartError(f"unknown settings: {', '.join(unknown)}")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LLMSIM_")}
        return inherited | {variables[name]: _written(value) for name, value in values.items()}

    def _answers(self) -> bool:
        """Wait until the server answers; tell whether it does."""
        assert self._process is not None
        deadline = time.monotonic() + _PATIENCE
        while self._process.poll() is None and time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.base_url}/health", timeout=5),  # noqa: S310 - our own address
            ):
                return True
            time.sleep(_NAP)
        return False

    def stop(self) -> None:
        """Stop it, and everything under way."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _control(self) -> Control:
        return Control(self.base_url)

    @property
    def _global(self) -> Session:
        return Session(self.base_url, "global")

    @property
    def openai_base_url(self) -> str:
        """For clients of the OpenAI API."""
        return self._global.openai_base_url

    @property
    def openresponses_base_url(self) -> str:
        """For clients of the OpenResponses API."""
        return self._global.openresponses_base_url

    @property
    def anthropic_base_url(self) -> str:
        """For clients of the Anthropic API."""
        return self._global.anthropic_base_url

    @property
    def env(self) -> dict[str, str]:
        """Environment for SDKs and agents that are started as processes."""
        return {name: value for name, value in self._global.env.items() if name != "ANTHROPIC_CUSTOM_HEADERS"}

    def load(self, name: str, script: ScriptLike) -> None:
        """Load a script for requests that choose it by the header `x-llmsim-script`.

        Raises:
            ControlError: It cannot be played; the message says all that is wrong with it.
        """
        self._control.ask("PUT", f"scripts/{escaped(name)}", as_script(script))

    def session(self, script: ScriptLike | str | None = None, *, name: str | None = None) -> Session:
        """Begin a session of its own.

        Args:
            script: What it plays: a script, its turns, or the name of one that is loaded; None for what the server plays.
            name: What it is called; None for a name of its own.
        """
        return Session(self.base_url, name or f"session-{os.getpid()}-{next(_numbers)}", script)

    @property
    def requests(self) -> list[Exchange]:
        """What the requests that are in no named session asked and got, the oldest first."""
        return self._global.requests

    def assert_finished(self) -> None:
        """See that the server's script was played to its end, and every expectation met.

        Raises:
            AssertionError: It is not so; the message tells what is left, and what was asked.
        """
        self._global.assert_finished()

    def reset(self) -> None:
        """Let all sessions begin anew, with an empty journal."""
        self._control.ask("POST", "reset")

    def stats(self) -> Any:
        """Read the server's counters: the JSON of `/llmsim/stats`."""
        return self._control.ask("GET", "stats")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _written(value: Any) -> str:
    """Write a setting as its environment variable has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
