"""One test's part of a simulator: a script of its own, and what its requests asked and got."""

from collections.abc import Mapping
from typing import Any

from llmsim.testing.control import Control, ControlError, escaped
from llmsim.testing.turns import ScriptLike, as_script

_PAGE = 1000


class Exchange:
    """What one request asked and got.

    Attributes:
        endpoint: `completions`, `responses`, `openresponses`, `messages` or `embeddings`.
        turn: Number of the script's turn that it got, from 0; None if it got none.
        request: The body, as it was sent.
        outcome: How it ended: `finished`, `refused`, `abandoned`, `rate_limit`, …; None if it is under way.
        answer: What it was answered, in words that are the same for every API; None if it was not.
        error: Why it was not, as `{"kind"}` or `{"message", "unmet"}`; None if it was.
    """

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.endpoint: str = entry["endpoint"]
        self.turn: int | None = entry["turn"]
        self.request: dict[str, Any] = entry["request"]
        self.outcome: str | None = entry["outcome"]
        self.answer: dict[str, Any] | None = entry.get("answer")
        self.error: dict[str, Any] | None = entry.get("fault") or entry.get("refusal")

    def __repr__(self) -> str:
        got = self.error or (self.answer and self.answer["choices"])
        return f"<{self.endpoint} turn={self.turn} outcome={self.outcome} got={got}>"

    @property
    def text(self) -> str | None:
        """What was said; None if nothing was."""
        return None if self.answer is None else self.answer["choices"][0]["text"]

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The tools that were called: `{"id", "name", "arguments"}` each."""
        return [] if self.answer is None else self.answer["choices"][0]["calls"]


class Session:
    """A session: independent of all others of the server.

    Attributes:
        name: What it is called.
        base_url: Where the server is.
        openai_base_url: For clients of the OpenAI API.
        openresponses_base_url: For clients of the OpenResponses API.
        anthropic_base_url: For clients of the Anthropic API.
    """

    def __init__(self, base_url: str, name: str, script: ScriptLike | str | None = None) -> None:
        """Begin a session.

        Args:
            base_url: Where the server is.
            name: What it is called.
            script: What it plays: a script, its turns, or the name of one that is loaded; None for what the server plays.
        """
        self.name = name
        self.base_url = base_url
        self.openai_base_url = f"{base_url}/openai/v1"
        self.openresponses_base_url = f"{base_url}/openresponses/v1"
        self.anthropic_base_url = f"{base_url}/anthropic"
        self._control = Control(base_url)
        self._script: str | None = None
        if script is not None:
            self.play(script)

    def play(self, script: ScriptLike | str) -> None:
        """Play a script from its beginning.

        Args:
            script: A script, its turns, or the name of one that is loaded.

        Raises:
            ControlError: It cannot be played; the message says all that is wrong with it.
        """
        if isinstance(script, str):
            self._script = script
            self.reset()
        else:
            self._script = f"{self.name}.script"
            self._control.ask("PUT", f"scripts/{escaped(self._script)}", as_script(script))

    @property
    def headers(self) -> dict[str, str]:
        """What a client must send to be in this session, e.g. as `default_headers`."""
        chosen = {} if self._script is None else {"x-llmsim-script": self._script}
        return {"x-llmsim-session": self.name} | chosen

    @property
    def env(self) -> dict[str, str]:
        """Environment for SDKs and agents; the session itself travels in `headers`."""
        return {
            "OPENAI_BASE_URL": self.openai_base_url,
            "OPENAI_API_KEY": "llmsim",
            "ANTHROPIC_BASE_URL": self.anthropic_base_url,
            "ANTHROPIC_API_KEY": "llmsim",
            "ANTHROPIC_CUSTOM_HEADERS": "\n".join(f"{name}: {value}" for name, value in self.headers.items()),
        }

    @property
    def requests(self) -> list[Exchange]:
        """What its requests asked and got, the oldest first."""
        found: list[Exchange] = []
        after, more = 0, True
        while more:
            page = self._control.ask(
                "GET", f"requests?session={escaped(self.name)}&after={after}&limit={_PAGE}"
            )
            found += map(Exchange, page["requests"])
            more = page["has_more"]
            after = page["requests"][-1]["number"] if page["requests"] else after
        return found

    @property
    def standing(self) -> dict[str, Any]:
        """Where it stands in its script: `cursor`, `length`, `turns_played`, `expectations_failed`, `failures`.

        Raises:
            AssertionError: It has not asked for anything.
        """
        try:
            scripts = self._control.ask("GET", f"sessions/{escaped(self.name)}")["scripts"]
        except ControlError as error:
            raise AssertionError(f"{error}; did the client send the headers of the session?") from None
        name = self._script or "default"
        found: dict[str, Any] | None = next((one for one in scripts if one["script"] == name), None)
        if found is None:
            raise AssertionError(f"session {self.name!r} has asked for nothing of script {name!r}")
        return found

    def assert_finished(self) -> None:
        """See that every turn of the script was played and every expectation met.

        Raises:
            AssertionError: It is not so; the message tells what is left, and what was asked.
        """
        standing = self.standing
        problems = []
        if not standing["finished"]:
            problems.append(f"{standing['cursor']} of {standing['length']} turns were played")
        for failure in standing["failures"]:
            problems += [f"request {failure['cursor']}: {sentence}" for sentence in failure["unmet"]]
        if problems:
            asked = "\n".join(f"  {exchange!r}" for exchange in self.requests)
            raise AssertionError("\n".join((*problems, "requests:", asked)))

    def reset(self) -> None:
        """Begin anew, with an empty journal."""
        self._control.ask("POST", f"sessions/{escaped(self.name)}/reset")
