"""A server of a test's own: a process on a free port, gone when the test is.

Decisions:
* It is the same server as any other, with its master and workers, so that what is tested is what is hosted.
* A script of its own is always there when it starts, and deleted again if none is wanted: only a server that has one looks
  for another that is sent later, by `play`.
* The environment's own LLMSIM_ variables count for nothing: a test means the same wherever it runs.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmsim.testing.control import Control
from llmsim.testing.exchange import Exchange
from llmsim.testing.process import SCRIPT, Process, StartError
from llmsim.testing.session import Session, exchanges, load
from llmsim.testing.turns import Script, say, written

_ATTEMPTS = 3

_DEFAULT = "default"
"""Name of the server's own script."""


class Simulator:
    """A simulator in a process of its own.

    Use it as a context manager, or `start` and `stop` it. Its methods may be called from any thread.

    Examples:
        >>> with Simulator([say("Hello!")]) as sim:
        ...     client = OpenAI(base_url=sim.openai_base_url, api_key="any")
        ...     run_my_agent(client)
        ...     sim.assert_finished()
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        scripts: Mapping[str, Script] | None = None,
        workers: int = 1,
        latency: str | None = "instant",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Describe a simulator.

        Args:
            script: What it plays to everybody who chooses nothing else: turns, a whole script as a table, or the path of a
                file; None for generated replies.
            scripts: Further scripts, which requests choose by the header `x-llmsim-script`, by name.
            workers: How many processes answer.
            latency: A latency profile; None for each model's own.
            settings: Other settings by dotted name, e.g. `{"response.target_tokens": 5}`.
        """
        self._script = script
        self._scripts = scripts or {}
        self._settings = {
            "server.host": "127.0.0.1",
            "server.port": 0,
            "server.workers": workers,
            "server.log_level": "warning",
            "latency.profile": latency,
            **(settings or {}),
        }
        self._process: Process | None = None

    def start(self) -> Self:
        """Start it, and wait until it answers.

        Raises:
            StartError: It does not; the message says why, e.g. all that is wrong with its script.
            ControlError: One of the further scripts cannot be played.
            RuntimeError: It runs.
        """
        if self._process is not None:
            raise RuntimeError("the simulator runs")
        self._process = self._launched()
        try:
            if self._script is None:
                self._control.ask("DELETE", f"scripts/{_DEFAULT}")
            for name, script in self._scripts.items():
                self.load(name, script)
        except BaseException:
            self.stop()
            raise
        return self

    def _launched(self) -> Process:
        taken: StartError | None = None
        for _ in range(_ATTEMPTS):
            directory = Path(tempfile.mkdtemp(prefix="llmsim-test-"))
            try:
                return Process(self._environment(directory), directory)
            except StartError as error:
                if self._settings["server.port"] or " is taken: " not in str(error):
                    raise
                taken = error
            except BaseException:
                shutil.rmtree(directory, ignore_errors=True)
                raise
        assert taken is not None
        raise taken

    def _environment(self, directory: Path) -> dict[str, str]:
        """Write script and settings down; give the environment that leads to them."""
        if isinstance(self._script, Path):
            script = self._script.absolute()
        else:
            script = directory / SCRIPT
            script.write_bytes(written([say("")] if self._script is None else self._script)[1])
        values = {"server.run_dir": str(directory), "response.script_path": str(script), **self._settings}
        tables: dict[str, list[str]] = {}
        for name, value in values.items():
            section, _, key = name.rpartition(".")
            if value is not None:
                tables.setdefault(section, []).append(f"{_quoted(key)} = {_quoted(value)}\n")
        settings = directory / "settings"
        settings.write_text(
            "".join(
                (f"[{_quoted(section)}]\n" if section else "") + "".join(lines)
                for section, lines in sorted(tables.items())
            ),
            encoding="utf-8",
        )
        # A test run that takes warnings for errors does not mean those of the server.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("LLMSIM_") and name != "PYTHONWARNINGS"
        }
        return inherited | {"LLMSIM_CONFIG": str(settings)}

    def stop(self) -> None:
        """Stop it at once, and all that is under way; it may be started again."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

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
    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("the simulator does not run: use `with Simulator() as sim:`, or start() it")
        return self._process

    @property
    def base_url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._running.port}"

    @property
    def _control(self) -> Control:
        return Control(self.base_url)

    @property
    def _own(self) -> Session:
        """The session of all requests that name none."""
        return Session(self.base_url, "global")

    @property
    def openai_base_url(self) -> str:
        """For clients of the OpenAI API."""
        return self._own.openai_base_url

    @property
    def openresponses_base_url(self) -> str:
        """For clients of the OpenResponses API."""
        return self._own.openresponses_base_url

    @property
    def anthropic_base_url(self) -> str:
        """For clients of the Anthropic API."""
        return self._own.anthropic_base_url

    @property
    def env(self) -> dict[str, str]:
        """Environment for SDKs, and for agents that are started as processes."""
        own = self._own.env
        del own["ANTHROPIC_CUSTOM_HEADERS"]
        return own

    @property
    def log(self) -> str:
        """What the server has written so far: its warnings, and whatever `server.log_level` asks for."""
        return self._running.log

    def play(self, script: Script) -> None:
        """Play a script to everybody who chooses nothing else, from its beginning, with an empty journal.

        Args:
            script: Turns, a whole script as a table, or the path of a file.

        Raises:
            ControlError: It cannot be played; the message says all that is wrong with it.
        """
        load(self._control, _DEFAULT, script)
        self._own.reset()

    def load(self, name: str, script: Script) -> None:
        """Load a script for requests that choose it by the header `x-llmsim-script`, and for sessions that play it.

        Raises:
            ControlError: It cannot be played; the message says all that is wrong with it.
        """
        load(self._control, name, script)

    def session(self, script: Script | str | None = None, *, name: str | None = None) -> Session:
        """Begin a session, which shares the server with others and is disturbed by none.

        Args:
            script: What it plays: turns, a whole script as a table, the path of a file, or the name of a script that is
                loaded; None for what the server plays.
            name: What it is called; None for a name of its own.

        Raises:
            ControlError: The script cannot be played; the message says all that is wrong with it.
        """
        return Session(self.base_url, name, script=script)

    @property
    def requests(self) -> list[Exchange]:
        """What all requests asked and got, of all sessions, the oldest first."""
        return exchanges(self._control)

    def assert_finished(self) -> None:
        """See that the server's own script was played to its end, and that every request was what was expected.

        Raises:
            AssertionError: A turn was not played, an expectation not met, or more was asked than the script has turns.
                The message says which, and what was asked.
        """
        self._own.assert_finished()

    def reset(self) -> None:
        """Let all sessions begin anew, with an empty journal; scripts stay as they are."""
        self._control.ask("POST", "reset")

    def stats(self) -> Any:
        """Read the server's counters: the JSON of `/llmsim/stats`."""
        return self._control.ask("GET", "stats")


def _quoted(value: Any) -> str:
    """Write a value as TOML has it."""
    if isinstance(value, tuple):
        value = list(value)
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
