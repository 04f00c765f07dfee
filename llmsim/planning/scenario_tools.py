"""The tools that a scenario calls: chosen of those that the request offers, with arguments for what they require.

Decisions:
* A tool reads or writes if a word of its name begins as one of the lists does. The lists are those of the Rust project 0.6.0:
  files that were written for it call the same tools.
* Tools that the provider runs are called by name only: their calls wait for no result of the client.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.domain import Tool, ToolKind
from llmsim.planning.rng import Random
from llmsim.planning.tools import PROVIDERS
from llmsim.scenarios import ScenarioCall, ToolClass

_READ = tuple(
    """
    cat describe fetch find get glob grep head inspect list lookup ls query read search show stat tail view
    """.split()
)
_WRITE = tuple(
    """
    append apply create delete edit insert mkdir move patch put remove rename replace save set update write
    """.split()
)
_BEGINNINGS = {ToolClass.ANY_READ: _READ, ToolClass.ANY_WRITE: _WRITE, ToolClass.ANY: ()}

_PARTS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z])")
_PATH_WORDS = ("path", "file", "dir")
_TEXT = "llmsim"
_DEEPEST = 32
"""Levels of nested objects that are filled in."""


def pick_tool(call: ScenarioCall, tools: Sequence[Tool], rng: Random) -> Tool | None:
    """Return the offered tool that a call is for; None if it is not offered."""
    if call.name is not None:
        return next((tool for tool in tools if tool.name == call.name), None)
    own = [tool for tool in tools if tool.kind not in PROVIDERS]
    fitting = [tool for tool in own if _begins(tool.name, _BEGINNINGS[call.tool])] or own
    return rng.choice(fitting) if fitting else None


def _begins(name: str, beginnings: tuple[str, ...]) -> bool:
    return any(word.lower().startswith(beginnings) for word in _PARTS.split(name[:500]) if word)


def fill_arguments(tool: Tool) -> str:
    """Return arguments with a fixed value for each required parameter, as they are sent."""
    if tool.kind is not ToolKind.FUNCTION:
        return _TEXT
    schema = msgspec.json.decode(tool.schema) if tool.schema else {}
    return msgspec.json.encode(_fill_object(schema, _DEEPEST)).decode()


def _fill_object(schema: Any, levels: int) -> dict[str, Any]:
    if not isinstance(schema, dict) or not levels:
        return {}
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return {}
    return {
        name: _fill(name, properties[name], levels - 1)
        for name in required
        if isinstance(name, str) and name in properties
    }


def _fill(name: str, schema: Any, levels: int) -> Any:
    schema = schema if isinstance(schema, dict) else {}
    choices, kinds = schema.get("enum"), schema.get("type")
    if isinstance(choices, list) and choices:
        return choices[0]
    kinds = kinds if isinstance(kinds, list) else [kinds]
    match next((kind for kind in kinds if kind != "null"), "string"):
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case "array":
            return []
        case "object":
            return _fill_object(schema, levels)
        case _:
            return "." if any(word in name.lower() for word in _PATH_WORDS) else _TEXT
