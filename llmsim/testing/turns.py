"""Turns of a script as Python writes them: the same tables that a script file holds."""

from collections.abc import Mapping, Sequence
from typing import Any

Turn = dict[str, Any]

ScriptLike = Mapping[str, Any] | Sequence[Turn]
"""A whole script as a table, or its turns."""


def say(text: str, **keys: Any) -> Turn:
    """Make a turn that says `text`.

    Args:
        text: What is said.
        keys: Other keys of a turn, e.g. `reasoning="…"`, `expect={"contains": "…"}`.
    """
    return {"type": "assistant", "text": text, **keys}


def call(name: str, /, **arguments: Any) -> Turn:
    """Make a turn that calls the tool `name` with `arguments`."""
    return calls({"name": name, "arguments": arguments})


def calls(*called: dict[str, Any], text: str | None = None, **keys: Any) -> Turn:
    """Make a turn that calls tools.

    Args:
        called: `{"name", "arguments", "id"}` each; arguments and id may be left out.
        text: What is said before; None for nothing.
        keys: Other keys of a turn.
    """
    kind: Turn = {"type": "tool_calls"} if text is None else {"type": "mixed", "text": text}
    return kind | {"calls": list(called)} | keys


def fail(kind: str = "other", **keys: Any) -> Turn:
    """Make a turn that fails.

    Args:
        kind: `rate_limit`, `timeout`, `invalid_request`, `overloaded`, `authentication`, `server_error` or `other`.
        keys: Other keys of such a turn, e.g. `status_code=418`, `message="…"`, `retry_after_ms=10`.
    """
    return {"type": "error", "kind": kind, **keys}


def as_script(script: ScriptLike) -> dict[str, Any]:
    """Give a script as a table: turns alone are a script that is exhausted after them."""
    if isinstance(script, Mapping):
        return dict(script)
    return {"on_exhausted": "error", "turns": list(script)}
