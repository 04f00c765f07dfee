"""A simulator for one test: a server process on a free port.

Decisions:
* It is the same server as `llmsim serve`, with its master and workers, so that tests run against what is hosted.
* It always starts with a default script, which is deleted if none was given: only a server that was started with one looks
  for a default script that `play` uploads later.
* LLMSIM_ variables of the environment are ignored: a test means the same wherever it runs.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llmsim.testing.client import ControlClient
from llmsim.testing.clients import ClientFindings, check_clients, read_clients
from llmsim.testing.journal import Exchange, read_exchanges
from llmsim.testing.process import SCRIPT, ServerProcess, StartError
from llmsim.testing.script import Script, encode_script, say
from llmsim.testing.session import Session, upload_script

_ATTEMPTS = 3

_DEFAULT = "default"
"""Name of the server's default script."""


class Simulator:
    """A simulator in a process of its own.

    Use it as a context manager, or call `start` and `stop`. Its methods may be called from any thread.

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
        """Configure a simulator.

        Args:
            script: Its default script, for requests that choose no other: turns, a whole script as a table, or the path of
                a file; None for generated responses.
            scripts: Further scripts by name, which requests choose by the header `x-llmsim-script`.
            workers: Number of worker processes.
            latency: Latency profile; None for each model's own.
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
        self._process: ServerProcess | None = None

    def start(self) -> Self:
        """Start the server, and wait until it answers.

        Raises:
            StartError: It does not; the message says why, e.g. all mistakes of its script.
            ControlError: One of the further scripts is invalid.
            RuntimeError: It is already running.
        """
        if self._process is not None:
            raise RuntimeError("the simulator is already running")
        self._process = self._launch()
        try:
            if self._script is None:
                self._client.call("DELETE", f"scripts/{_DEFAULT}")
            for name, script in self._scripts.items():
                self.load(name, script)
        except BaseException:
            self.stop()
            raise
        return self

    def _launch(self) -> ServerProcess:
        port_taken: StartError | None = None
        for _ in range(_ATTEMPTS):
            directory = Path(tempfile.mkdtemp(prefix="llmsim-test-"))
            try:
                return ServerProcess(self._environment(directory), directory)
            except StartError as error:
                if self._settings["server.port"] or " is taken: " not in str(error):
                    raise
                port_taken = error
            except BaseException:
                shutil.rmtree(directory, ignore_errors=True)
                raise
        assert port_taken is not None
        raise port_taken

    def _environment(self, directory: Path) -> dict[str, str]:
        """Write the script and settings to files, and return the environment that names them."""
        if isinstance(self._script, Path):
            script = self._script.absolute()
        else:
            script = directory / SCRIPT
            script.write_bytes(encode_script([say("")] if self._script is None else self._script)[1])
        values = {"server.run_dir": str(directory), "response.script_path": str(script), **self._settings}
        tables: dict[str, list[str]] = {}
        for name, value in values.items():
            section, _, key = name.rpartition(".")
            if value is not None:
                tables.setdefault(section, []).append(f"{_format_toml(key)} = {_format_toml(value)}\n")
        settings = directory / "settings"
        settings.write_text(
            "".join(
                (f"[{_format_toml(section)}]\n" if section else "") + "".join(lines)
                for section, lines in sorted(tables.items())
            ),
            encoding="utf-8",
        )
        # A test run that turns warnings into errors does not mean those of the server.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("LLMSIM_") and name != "PYTHONWARNINGS"
        }
        return inherited | {"LLMSIM_CONFIG": str(settings)}

    def stop(self) -> None:
        """Stop the server at once, without waiting for requests in progress; it may be started again."""
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
    def _running(self) -> ServerProcess:
        if self._process is None:
            raise RuntimeError("the simulator is not running: use `with Simulator() as sim:`, or start() it")
        return self._process

    @property
    def base_url(self) -> str:
        """URL of the server."""
        return f"http://127.0.0.1:{self._running.port}"

    @property
    def _client(self) -> ControlClient:
        return ControlClient(self.base_url)

    @property
    def _api_key(self) -> str:
        """The first API key of the settings; any if they have none."""
        if keys := self._settings.get("auth.keys"):
            return str(keys[0])
        if file := self._settings.get("auth.keys_file"):
            lines = Path(file).read_text(encoding="utf-8").splitlines()
            return next(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
        return "llmsim"

    @property
    def _global_session(self) -> Session:
        """The session of requests that name none."""
        return Session(self.base_url, "global", api_key=self._api_key)

    @property
    def openai_base_url(self) -> str:
        """Base URL for clients of the OpenAI API."""
        return self._global_session.openai_base_url

    @property
    def openresponses_base_url(self) -> str:
        """Base URL for clients of the OpenResponses API."""
        return self._global_session.openresponses_base_url

    @property
    def anthropic_base_url(self) -> str:
        """Base URL for clients of the Anthropic API."""
        return self._global_session.anthropic_base_url

    @property
    def env(self) -> dict[str, str]:
        """Environment variables for SDKs, and for agents that run as processes."""
        variables = self._global_session.env
        del variables["ANTHROPIC_CUSTOM_HEADERS"]
        return variables

    @property
    def log(self) -> str:
        """Output of the server so far: its warnings, and what `server.log_level` adds."""
        return self._running.log

    def play(self, script: Script) -> None:
        """Replace the default script, and start it from its first turn, with an empty journal.

        Args:
            script: Turns, a whole script as a table, or the path of a file.

        Raises:
            ControlError: The script is invalid; the message lists all mistakes.
        """
        upload_script(self._client, _DEFAULT, script)
        self._global_session.reset()

    def load(self, name: str, script: Script) -> None:
        """Load a script for requests that choose it by the header `x-llmsim-script`, and for sessions that play it.

        Raises:
            ControlError: The script is invalid; the message lists all mistakes.
        """
        upload_script(self._client, name, script)

    def session(self, script: Script | str | None = None, *, name: str | None = None) -> Session:
        """Create a session, isolated from the other sessions of the server.

        Args:
            script: The script that it plays: turns, a whole script as a table, the path of a file, or the name of a loaded
                script; None for the default script.
            name: Its name; None for a unique one.

        Raises:
            ControlError: The script is invalid; the message lists all mistakes.
        """
        return Session(self.base_url, name, script=script, api_key=self._api_key)

    @property
    def requests(self) -> list[Exchange]:
        """The requests of all sessions and their answers, the oldest first."""
        return read_exchanges(self._client)

    def assert_finished(self) -> None:
        """Check that the default script was played to the end, and that every request met the expectations.

        Raises:
            AssertionError: A turn was not played, an expectation was not met, or there were more requests than turns.
                The message says which, and lists the requests.
        """
        self._global_session.assert_finished()

    @property
    def clients(self) -> list[ClientFindings]:
        """How the clients whose requests have failed went about it."""
        return read_clients(self._client)

    def assert_clients_behave(self, *, allow: Collection[str] = ()) -> None:
        """Check that no client did anything wrong when its requests failed.

        Args:
            allow: Kinds that are allowed, e.g. `["abandoned"]`.

        Raises:
            AssertionError: One did: it sent a request again too early, too often, or though no repetition helps, took a truncated
                stream for complete, or hung up. The message says which and what.
            ValueError: There is no such kind.
        """
        check_clients(self._client, None, allow)

    def reset(self) -> None:
        """Restart all sessions at the first turn, with an empty journal; scripts stay loaded."""
        self._client.call("POST", "reset")

    def stats(self) -> Any:
        """Read the server's counters: the JSON of `/llmsim/stats`."""
        return self._client.call("GET", "stats")


def _format_toml(value: Any) -> str:
    if isinstance(value, tuple):
        value = list(value)
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
