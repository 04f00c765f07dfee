"""One test's part of a server: a script of its own, and what its requests asked and got."""

import os

from llmsim.testing.control import Control, ControlError, escaped
from llmsim.testing.exchange import Exchange
from llmsim.testing.turns import Script, written

_PAGE = 1000
_LONGEST_NAME = 180
_HOST = "127.0.0.1"


class Session:
    """A part of a server that others do not disturb: its script stands where its own requests have brought it.

    It comes from `Simulator.session` or the fixture `llmsim_session`; on a server that runs anyway, make one:
    `Session("http://llm.staging:8080", script=[say("Hello")])`.

    Attributes:
        name: What it is called.
        base_url: Where the server is.
        openai_base_url: For clients of the OpenAI API.
        openresponses_base_url: For clients of the OpenResponses API.
        anthropic_base_url: For clients of the Anthropic API.
    """

    def __init__(self, base_url: str, name: str | None = None, *, script: Script | str | None = None) -> None:
        """Begin a session.

        Args:
            base_url: Where the server is.
            name: What it is called: printable ASCII without a slash, it travels in headers and paths; None for
                one that no other session has, of this process or another.
            script: What it plays, see `play`; None for what the server plays.

        Raises:
            ControlError: The script cannot be played.
            ValueError: The name cannot be sent.
        """
        self.name = f"session-{os.urandom(6).hex()}" if name is None else name
        fits = 0 < len(self.name) <= _LONGEST_NAME and self.name.isascii() and self.name.isprintable()
        if not fits or "/" in self.name:
            raise ValueError(
                f"name: wanted 1 to {_LONGEST_NAME} printable ASCII characters but /, found {self.name!r}"
            )
        self.base_url = base_url.rstrip("/")
        self.openai_base_url = f"{self.base_url}/openai/v1"
        self.openresponses_base_url = f"{self.base_url}/openresponses/v1"
        self.anthropic_base_url = f"{self.base_url}/anthropic"
        self._control = Control(self.base_url)
        self._script: str | None = None
        if script is not None:
            self.play(script)

    def __repr__(self) -> str:
        return f"<Session {self.name!r} of {self.base_url}>"

    def play(self, script: Script | str) -> None:
        """Play a script from its beginning, with an empty journal.

        Args:
            script: Turns, a whole script as a table, or the path of a file; a text is the name of one that is loaded.

        Raises:
            ControlError: It cannot be played; the message says all that is wrong with it.
        """
        if isinstance(script, str):
            self._script = self._loaded(script)
        else:
            own = f"{self.name}.script"
            load(self._control, own, script)
            self._script = own
        self.reset()

    def _loaded(self, name: str) -> str:
        names = self._scripts()
        if name not in names:
            loaded = ", ".join(names) or "none"
            raise ControlError(f"no script {name!r} is loaded (loaded: {loaded}); for a file, give a Path")
        return name

    @property
    def headers(self) -> dict[str, str]:
        """What a client must send to be in this session, e.g. as `default_headers`."""
        chosen = {} if self._script is None else {"x-llmsim-script": self._script}
        return {"x-llmsim-session": self.name} | chosen

    @property
    def env(self) -> dict[str, str]:
        """Environment for SDKs, and for agents that are started as processes.

        Anthropic's SDK takes the session from it as well; with OpenAI's, `headers` must be given to the client.
        """
        named = "\n".join(f"{name}: {value}" for name, value in self.headers.items())
        unproxied = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or _HOST
        if _HOST not in unproxied.split(","):
            unproxied = f"{unproxied},{_HOST}"
        return {
            "OPENAI_BASE_URL": self.openai_base_url,
            "OPENAI_API_KEY": "llmsim",
            "ANTHROPIC_BASE_URL": self.anthropic_base_url,
            "ANTHROPIC_API_KEY": "llmsim",
            "NO_PROXY": unproxied,
            "no_proxy": unproxied,
        } | ({"ANTHROPIC_CUSTOM_HEADERS": named} if named else {})

    @property
    def requests(self) -> list[Exchange]:
        """What its requests asked and got, the oldest first."""
        return exchanges(self._control, f"session={escaped(self.name)}&")

    def assert_finished(self) -> None:
        """See that its script was played to the end, and that every request was what was expected.

        Raises:
            AssertionError: A turn was not played, an expectation not met, or more was asked than the script has turns.
                The message says which, and what was asked.
        """
        script = self._script or "default"
        if script not in self._scripts():
            raise AssertionError(f"{self.name}: no script is played here, so none can be finished")
        asked = self.requests
        problems = self._unplayed(script)
        late = sum(one.script == script and (one.error or {}).get("exhausted", False) for one in asked)
        if late:
            problems.append(f"{late} more {'request' if late == 1 else 'requests'} came after the last turn")
        if problems:
            requests = [f"  {number}. {one}" for number, one in enumerate(asked, 1)] or ["  none"]
            raise AssertionError(
                "\n".join((f"{self.name}: {problems[0]}", *problems[1:], "requests:", *requests))
            )

    def _unplayed(self, script: str) -> list[str]:
        """Tell what of a script was not played, or not as it was meant."""
        try:
            standings = self._control.ask("GET", f"sessions/{escaped(self.name)}")["scripts"]
        except ControlError as error:
            if error.status != 404:
                raise
            # It is not known, so it has not asked.
            standings = []
        standing = next((one for one in standings if one["script"] == script), None)
        if standing is None:
            return [
                "nothing of its script was asked for; did the client get the session's headers and base URL?"
            ]
        problems = []
        if not standing["finished"]:
            problems.append(f"{standing['cursor']} of {standing['length']} turns were played")
        for failure in standing["failures"]:
            problems += [f"not what the turn expects: {sentence}" for sentence in failure["unmet"]]
        return problems

    def _scripts(self) -> list[str]:
        """Name the scripts that are loaded."""
        return [one["name"] for one in self._control.ask("GET", "scripts")["scripts"]]

    def reset(self) -> None:
        """Begin anew: at the script's first turn, with an empty journal."""
        self._control.ask("POST", f"sessions/{escaped(self.name)}/reset")


def load(control: Control, name: str, script: Script) -> None:
    """Send a script to a server.

    Raises:
        ControlError: It cannot be played.
    """
    kind, data = written(script)
    control.ask("PUT", f"scripts/{escaped(name)}", data, kind=kind)


def exchanges(control: Control, which: str = "") -> list[Exchange]:
    """Read a server's journal.

    Args:
        control: Of the server.
        which: A filter as a query has it, with `&` behind it.
    """
    found: list[Exchange] = []
    after, more = 0, True
    while more:
        page = control.ask("GET", f"requests?{which}after={after}&limit={_PAGE}")
        found += map(Exchange, page["requests"])
        more = page["has_more"]
        after = page["requests"][-1]["number"] if page["requests"] else after
    return found
