"""What one request asked and got, as the journal tells it."""

import json
from collections.abc import Mapping
from typing import Any

_MOST_SHOWN = 100
"""Characters of a text or of arguments that an assertion shows."""


class Exchange:
    """What one request asked and got.

    Attributes:
        session: Its session; `global` if it named none.
        script: The script that it was to get a turn of; None if it named none, and the server plays none.
        endpoint: `completions`, `responses`, `openresponses`, `messages` or `embeddings`.
        turn: Number of the script's turn that it got, from 0; None if it got none.
        request: The body, as it was sent; `{"bytes", "begins"}` of one that is no JSON, or over 64 KiB.
        outcome: How it ended: `finished`, `refused`, `abandoned` (the client hung up), or the kind of a failure, such as
            `rate_limit`; None while it is under way.
        answer: What it was answered, in words that are the same for every API; None if it was not. See also `text` and
            `calls`.
        error: Why it was not answered: `{"kind", "message", "status"}` of a failure, `{"message"}` of a refusal, with `turn`
            and `unmet` if it was not what the turn expected, or `exhausted` if there was no turn left; None if it was.
    """

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.session: str | None = entry["session"]
        self.script: str | None = entry["script"]
        self.endpoint: str = entry["endpoint"]
        self.turn: int | None = entry["turn"]
        self.request: dict[str, Any] = entry["request"]
        self.outcome: str | None = entry["outcome"]
        self.answer: dict[str, Any] | None = entry.get("answer")
        self.error: dict[str, Any] | None = entry.get("fault") or entry.get("refusal")

    @property
    def text(self) -> str | None:
        """What was said; None if nothing was."""
        return None if self.answer is None else self.answer["choices"][0]["text"]

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The tools that were called: `{"id", "name", "arguments"}` each, the arguments as text."""
        return [] if self.answer is None else self.answer["choices"][0]["calls"]

    def __repr__(self) -> str:
        return f"<Exchange {self}>"

    def __str__(self) -> str:
        """Tell it in a line: `completions "go" -> turn 0: bash({"command":"ls"})`."""
        got = "no turn" if self.turn is None else f"turn {self.turn}"
        return f"{self.endpoint}{self._asked()} -> {got}: {'; '.join(self._got()) or self.outcome}"

    def _asked(self) -> str:
        """Tell the end of what was sent last, whatever the API calls it."""
        sent = self.request.get("messages", self.request.get("input"))
        last = sent[-1] if isinstance(sent, list) and sent else sent
        if isinstance(last, dict):
            last = last.get("content", last.get("output"))
        if isinstance(last, list) and last and isinstance(last[-1], dict):
            last = last[-1].get("text", last[-1].get("content", last[-1]))
        return "" if last is None else f" {_short(last)}"

    def _got(self) -> list[str]:
        if self.error is not None:
            # Which script and turn, as the message has it, is clear from where this is read.
            told = (
                self.error.get("kind") or "; ".join(self.error.get("unmet", ())) or self.error.get("message")
            )
            return [f"{self.outcome}: {told}" if self.outcome not in (None, told) else str(told)]
        said = [] if self.text is None else [_short(self.text)]
        called = [f"{one['name']}({_cut(one['arguments'])})" for one in self.calls]
        breaks = (self.answer or {}).get("breaks")
        ended = [] if self.outcome == "finished" else [self.outcome or "under way"]
        if breaks is not None and self.outcome is not None:
            ended = [f"broken off after {breaks['after_tokens']} tokens: {breaks['kind']}"]
        return said + called + ended


def _short(value: Any) -> str:
    return _cut(json.dumps(value, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
