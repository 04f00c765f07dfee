"""Scripts in Python: functions that build turns, as the tables that a script file holds.

Decisions:
* A turn is a plain dict, so it can hold whatever a script file can: `call("bash", command="ls") | {"expect":
  {"contains": "list"}}`. Nothing is checked here; the server does that, and reports all mistakes at once.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Turn = dict[str, Any]

Script = Mapping[str, Any] | Sequence[Turn] | Path
"""A script: a list of turns, a single turn, a whole script as a table, or the path of a script file.

A script of turns alone is exhausted after the last one: a further request is refused.
"""

_CONTENT_TYPES = {
    ".json": "application/json",
    ".toml": "application/toml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


def say(text: str, **keys: Any) -> Turn:
    """Build a turn that answers with text.

    Args:
        text: The text.
        keys: Other keys of a turn: `reasoning="…"`, `delay_ms=50`, `expect={"contains": "…"}`, …

    Examples:
        >>> say("Done.", expect={"tool_result": {"call": "bash"}})
        {'type': 'assistant', 'text': 'Done.', 'expect': {'tool_result': {'call': 'bash'}}}
    """
    return {"type": "assistant", "text": text, **keys}


def call(name: str, /, **arguments: Any) -> Turn:
    """Build a turn that calls a tool.

    Args:
        name: The tool's name.
        arguments: Its arguments. If their names are not Python identifiers, or they are not JSON, use `calls`.

    Examples:
        >>> call("bash", command="ls")
        {'type': 'tool_calls', 'calls': [{'name': 'bash', 'arguments': {'command': 'ls'}}]}
    """
    return calls({"name": name, "arguments": arguments})


def calls(*called: Mapping[str, Any], text: str | None = None, **keys: Any) -> Turn:
    """Build a turn that calls several tools in parallel, or that has text before the calls.

    Args:
        called: Results of `call`, or tables of `name`, `arguments` and `id`; arguments and id may be left out.
        text: Text before the calls; None for none.
        keys: Other keys of a turn: `reasoning="…"`, `expect={"tools_offered": ["bash"]}`, …

    Examples:
        >>> calls(call("read", path="a"), {"name": "now", "id": "call_7"}, text="Two at once.")["calls"]
        [{'name': 'read', 'arguments': {'path': 'a'}}, {'name': 'now', 'id': 'call_7'}]
    """
    turn: Turn = {"type": "tool_calls"} if text is None else {"type": "mixed", "text": text}
    tables = [table for one in called for table in one.get("calls", [dict(one)])]
    return turn | {"calls": tables} | keys


def fail(kind: str = "other", **keys: Any) -> Turn:
    """Build a turn that fails.

    Args:
        kind: `rate_limit`, `timeout`, `invalid_request`, `overloaded`, `authentication`, `server_error` or `other`.
        keys: Other keys of such a turn: `retry_after_ms=10`, `message="…"`, with `other` also `status_code=418`.

    Examples:
        >>> fail("rate_limit", retry_after_ms=10)
        {'type': 'error', 'kind': 'rate_limit', 'retry_after_ms': 10}
    """
    return {"type": "error", "kind": kind, **keys}


def scripted(*turns: Turn, on_exhausted: str = "error", **keys: Any) -> dict[str, Any]:
    """Build a script of turns with keys of its own.

    Args:
        turns: Its turns.
        on_exhausted: What follows the last turn: `error`, `repeat_last` or `loop`.
        keys: Other keys of a script: `when={"tools_offered": True}`, `name="…"`, …

    Examples:
        >>> scripted(say("Done."), when={"tools_offered": True})["when"]
        {'tools_offered': True}
    """
    return {"on_exhausted": on_exhausted, "turns": list(turns), **keys}


def encode_script(script: Script) -> tuple[str, bytes]:
    """Encode a script for the server.

    Returns:
        Its content type, and its bytes.

    Raises:
        TypeError: The argument is not a script.
        ValueError: The file's suffix is not that of a script file.
        OSError: The file cannot be read.
    """
    if isinstance(script, Path):
        if script.suffix not in _CONTENT_TYPES:
            raise ValueError(f"{script}: wanted a script file, with the suffix {', '.join(_CONTENT_TYPES)}")
        return _CONTENT_TYPES[script.suffix], script.read_bytes()
    if isinstance(script, str | bytes):
        raise TypeError(f"wanted a script, found the text {script!r}; for a file, give Path({script!r})")
    if isinstance(script, Mapping):
        table = {"on_exhausted": "error", "turns": [script]} if _is_turn(script) else script
    elif isinstance(script, Sequence):
        table = {"on_exhausted": "error", "turns": list(script)}
    else:
        raise TypeError(f"wanted turns, a script as a table, or a Path, found {type(script).__name__}")
    return "application/json", json.dumps(table, ensure_ascii=False).encode()


def _is_turn(table: Mapping[str, Any]) -> bool:
    return "type" in table and "turns" not in table
