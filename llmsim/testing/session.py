"""A session of a server: a script of its own, and its requests."""

import os
from collections.abc import Collection

from llmsim.testing.client import ControlClient, ControlError, encode_path_part
from llmsim.testing.clients import ClientFindings, check_clients, read_clients
from llmsim.testing.journal import Exchange, read_exchanges
from llmsim.testing.script import Script, encode_script

_MAX_NAME_LENGTH = 180
_HOST = "127.0.0.1"


class Session:
    """An isolated session on a server: only its own requests advance its script.

    `Simulator.session` and the fixture `llmsim_session` create one; for a server that is already running, create it
    directly: `Session("http://llm.staging:8080", script=[say("Hello")])`.

    Attributes:
        name: Its name.
        base_url: URL of the server.
        openai_base_url: Base URL for clients of the OpenAI API.
        openresponses_base_url: Base URL for clients of the OpenResponses API.
        anthropic_base_url: Base URL for clients of the Anthropic API.
    """

    def __init__(
        self,
        base_url: str,
        name: str | None = None,
        *,
        script: Script | str | None = None,
        api_key: str = "llmsim",
    ) -> None:
        """Create a session.

        Args:
            base_url: URL of the server.
            name: Its name, printable ASCII without a slash, because it is sent in headers and paths; None for a unique
                name.
            script: The script that it plays, see `play`; None for the server's.
            api_key: API key of its clients, see `env`; any will do unless the server has `auth.keys`.

        Raises:
            ControlError: The script is invalid.
            ValueError: The name is invalid.
        """
        self.name = f"session-{os.urandom(6).hex()}" if name is None else name
        is_valid = 0 < len(self.name) <= _MAX_NAME_LENGTH and self.name.isascii() and self.name.isprintable()
        if not is_valid or "/" in self.name:
            raise ValueError(
                f"name: wanted 1 to {_MAX_NAME_LENGTH} printable ASCII characters except /, found {self.name!r}"
            )
        self.base_url = base_url.rstrip("/")
        self.openai_base_url = f"{self.base_url}/openai/v1"
        self.openresponses_base_url = f"{self.base_url}/openresponses/v1"
        self.anthropic_base_url = f"{self.base_url}/anthropic"
        self._api_key = api_key
        self._client = ControlClient(self.base_url)
        self._script: str | None = None
        if script is not None:
            self.play(script)

    def __repr__(self) -> str:
        return f"<Session {self.name!r} of {self.base_url}>"

    def play(self, script: Script | str) -> None:
        """Play a script from its beginning, with an empty journal.

        Args:
            script: Turns, a whole script as a table, or the path of a file; a string is the name of a loaded script.

        Raises:
            ControlError: The script is invalid; the message lists all mistakes.
        """
        if isinstance(script, str):
            self._script = self._check_loaded(script)
        else:
            name = f"{self.name}.script"
            upload_script(self._client, name, script)
            self._script = name
        self.reset()

    def _check_loaded(self, name: str) -> str:
        names = self._list_scripts()
        if name not in names:
            loaded = ", ".join(names) or "none"
            raise ControlError(f"no script {name!r} is loaded (loaded: {loaded}); for a file, give a Path")
        return name

    @property
    def headers(self) -> dict[str, str]:
        """Headers that put a client into this session, e.g. as `default_headers`."""
        chosen = {} if self._script is None else {"x-llmsim-script": self._script}
        return {"x-llmsim-session": self.name} | chosen

    @property
    def env(self) -> dict[str, str]:
        """Environment variables for SDKs, and for agents that run as processes.

        Anthropic's SDK reads the session from them as well; with OpenAI's, pass `headers` to the client.
        """
        headers = "\n".join(f"{name}: {value}" for name, value in self.headers.items())
        unproxied = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or _HOST
        if _HOST not in unproxied.split(","):
            unproxied = f"{unproxied},{_HOST}"
        return {
            "OPENAI_BASE_URL": self.openai_base_url,
            "OPENAI_API_KEY": self._api_key,
            "ANTHROPIC_BASE_URL": self.anthropic_base_url,
            "ANTHROPIC_API_KEY": self._api_key,
            "NO_PROXY": unproxied,
            "no_proxy": unproxied,
        } | ({"ANTHROPIC_CUSTOM_HEADERS": headers} if headers else {})

    @property
    def requests(self) -> list[Exchange]:
        """Its requests and their answers, the oldest first."""
        return read_exchanges(self._client, f"session={encode_path_part(self.name)}&")

    def assert_finished(self) -> None:
        """Check that its script was played to the end, and that every request met the expectations.

        Raises:
            AssertionError: A turn was not played, an expectation was not met, or there were more requests than turns.
                The message says which, and lists the requests.
        """
        script = self._script or "default"
        if script not in self._list_scripts():
            raise AssertionError(f"{self.name}: no script is played here, so there is nothing to check")
        requests = self.requests
        problems = self._find_problems(script)
        late = sum(one.script == script and (one.error or {}).get("exhausted", False) for one in requests)
        if late:
            problems.append(f"{late} more {'request' if late == 1 else 'requests'} came after the last turn")
        if problems:
            lines = [f"  {number}. {request}" for number, request in enumerate(requests, 1)] or ["  none"]
            raise AssertionError(
                "\n".join((f"{self.name}: {problems[0]}", *problems[1:], "requests:", *lines))
            )

    @property
    def clients(self) -> list[ClientFindings]:
        """How its client went about failures; empty if no request has failed."""
        return read_clients(self._client, self.name)

    def assert_clients_behave(self, *, allow: Collection[str] = ()) -> None:
        """Check that its client did nothing wrong when requests failed.

        Args:
            allow: Kinds that are allowed, e.g. `["abandoned"]`.

        Raises:
            AssertionError: It did; see `Simulator.assert_clients_behave`.
            ValueError: There is no such kind.
        """
        check_clients(self._client, self.name, allow)

    def _find_problems(self, script: str) -> list[str]:
        """Return messages about turns that were not played and expectations that were not met."""
        try:
            sessions = self._client.call("GET", f"sessions/{encode_path_part(self.name)}")["scripts"]
        except ControlError as error:
            if error.status != 404:
                raise
            # The server does not know the session: it has sent no request.
            sessions = []
        progress = next((one for one in sessions if one["script"] == script), None)
        if progress is None:
            return ["its script got no request; does the client send the session's headers to its base URL?"]
        problems = []
        if not progress["finished"]:
            problems.append(f"{progress['cursor']} of {progress['length']} turns were played")
        for failure in progress["failures"]:
            problems += [f"not what the turn expects: {sentence}" for sentence in failure["unmet"]]
        return problems

    def _list_scripts(self) -> list[str]:
        return [one["name"] for one in self._client.call("GET", "scripts")["scripts"]]

    def reset(self) -> None:
        """Start again at the script's first turn, with an empty journal."""
        self._client.call("POST", f"sessions/{encode_path_part(self.name)}/reset")


def upload_script(client: ControlClient, name: str, script: Script) -> None:
    """Upload a script to a server.

    Raises:
        ControlError: The script is invalid.
    """
    content_type, data = encode_script(script)
    client.call("PUT", f"scripts/{encode_path_part(name)}", data, content_type=content_type)
