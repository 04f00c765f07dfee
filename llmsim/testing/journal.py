"""The journal of a server: each request, and how it was answered."""

import json
from collections.abc import Mapping
from typing import Any

from llmsim.testing.client import ControlClient

_PAGE = 1000
"""Entries that are read at once."""

_MAX_SHOWN = 100
"""Characters of a text or of arguments that an assertion shows."""


class Exchange:
    """One request and how it was answered.

    Attributes:
        session: Its session; `global` if it named none.
        script: The script that was to answer it; None if the request named none and the server plays none.
        endpoint: `completions`, `responses`, `openresponses`, `messages` or `embeddings`.
        turn: Index of the script's turn that answered it, from 0; None if no turn did.
        scenario: The step of a scenario that answered it: `{"name", "step", "attempt"}`; None if none did.
        request: The body as it was sent; `{"bytes", "begins"}` if it is not JSON, or larger than
            `admin.journal_request_bytes`, by default 64 KiB.
        outcome: How it ended: `finished`, `refused`, `abandoned` (the client disconnected), or the kind of a failure, such
            as `rate_limit`; None while it is in progress.
        answer: The answer in a form that is the same for every API; None if there was none. See also `text` and `calls`.
        error: Why it was not answered: `{"kind", "message", "status"}` for a failure, `{"message"}` for a refusal, with `turn`
            and `unmet` if it did not meet the turn's expectations, or `exhausted` if there was no turn left; None if it was.
    """

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.session: str | None = entry["session"]
        self.script: str | None = entry["script"]
        self.endpoint: str = entry["endpoint"]
        self.turn: int | None = entry["turn"]
        self.scenario: dict[str, Any] | None = entry.get("scenario")
        self.request: dict[str, Any] = entry["request"]
        self.outcome: str | None = entry["outcome"]
        self.answer: dict[str, Any] | None = entry.get("answer")
        self.error: dict[str, Any] | None = entry.get("fault") or entry.get("refusal")

    @property
    def text(self) -> str | None:
        """The text of the answer; None if it has none."""
        return None if self.answer is None else self.answer["choices"][0]["text"]

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The tool calls of the answer: `{"id", "name", "arguments"}` each, the arguments as text."""
        return [] if self.answer is None else self.answer["choices"][0]["calls"]

    def __repr__(self) -> str:
        return f"<Exchange {self}>"

    def __str__(self) -> str:
        """Summarize it in a line: `completions "go" -> turn 0: bash({"command":"ls"})`."""
        turn = "no turn" if self.turn is None else f"turn {self.turn}"
        return f"{self.endpoint}{self._last_input()} -> {turn}: {'; '.join(self._result()) or self.outcome}"

    def _last_input(self) -> str:
        """Return the last part of the last message or input item, whatever the API calls it."""
        sent = self.request.get("messages", self.request.get("input"))
        last = sent[-1] if isinstance(sent, list) and sent else sent
        if isinstance(last, dict):
            last = last.get("content", last.get("output"))
        if isinstance(last, list) and last and isinstance(last[-1], dict):
            last = last[-1].get("text", last[-1].get("content", last[-1]))
        return "" if last is None else f" {_quote(last)}"

    def _result(self) -> list[str]:
        if self.error is not None:
            # The message names script and turn; where this line is shown, both are known.
            reason = (
                self.error.get("kind") or "; ".join(self.error.get("unmet", ())) or self.error.get("message")
            )
            return [f"{self.outcome}: {reason}" if self.outcome not in (None, reason) else str(reason)]
        texts = [] if self.text is None else [_quote(self.text)]
        calls = [f"{call['name']}({_shorten(call['arguments'])})" for call in self.calls]
        breaks = (self.answer or {}).get("breaks")
        ended = [] if self.outcome == "finished" else [self.outcome or "in progress"]
        if breaks is not None and self.outcome is not None:
            ended = [f"cut off after {breaks['after_tokens']} tokens: {breaks['kind']}"]
        return texts + calls + ended


def _quote(value: Any) -> str:
    return _shorten(json.dumps(value, ensure_ascii=False))


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def read_exchanges(client: ControlClient, query: str = "") -> list[Exchange]:
    """Read a server's journal, the oldest request first.

    Args:
        client: Client of the server.
        query: A filter as query parameters, with `&` at the end.
    """
    found: list[Exchange] = []
    after, has_more = 0, True
    while has_more:
        page = client.call("GET", f"requests?{query}after={after}&limit={_PAGE}")
        found += map(Exchange, page["requests"])
        has_more = page["has_more"]
        after = page["requests"][-1]["number"] if page["requests"] else after
    return found
