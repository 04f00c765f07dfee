"""Paths of fields as the API writes them: with the type of each object that is one of several kinds.

Decisions:
* The API's validator names the kind of a block, tool or source after its place: `messages.0.content.1.tool_use.id`. A wrong or
  missing `type` itself is reported for the place. Source: messages of the API as quoted in public issues:
  anthropics/claude-code#4378, #8184, #25597, Wei-Shaw/sub2api#225, LibreChat-AI/agents#153.
"""

from typing import Any

Path = tuple[str | int, ...]

_MEMBERS = ("source", "caller", "tool")
"""Fields that hold an object of one of several kinds."""

_LISTS = ("content", "citations", "edits")
"""Fields whose list holds such objects."""

_ROOTS = ("thinking", "tool_choice")
"""Such fields of the request itself."""


def with_kinds(path: Path, document: Any) -> Path:
    """Return a path with the kinds of the objects that it passes.

    Args:
        path: Keys and indices from the root of a request to a field.
        document: The request as decoded from JSON.
    """
    steps: list[str | int] = []
    for index, step in enumerate(path):
        steps.append(step)
        document = _child(document, step)
        rest = path[index + 1 :]
        if rest and rest != ("type",) and (kind := _kind(path[: index + 1], document)) is not None:
            steps.append(kind)
    return tuple(steps)


def _kind(path: Path, value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    if path[-1] == "cache_control":
        return "ephemeral"
    kind = value.get("type")
    if path[0] == "tools" and len(path) == 2:
        return kind if isinstance(kind, str) else "custom"
    if not isinstance(kind, str):
        return None
    if isinstance(path[-1], int):
        return kind if len(path) > 2 and path[-2] in _LISTS else None
    return kind if path[-1] in _MEMBERS or (len(path) == 1 and path[0] in _ROOTS) else None


def _child(node: Any, key: str | int) -> Any:
    try:
        return node[key]
    except (KeyError, IndexError, TypeError):
        return None
