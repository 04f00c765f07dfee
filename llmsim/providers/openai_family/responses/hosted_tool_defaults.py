"""How hosted tools are echoed: with their defaults.

Source: OpenAI API reference, examples of responses with file and web search; openai SDK 3.57, web_search_tool.py ("defaults to the United
States").
"""

from typing import Any

from msgspec import Raw

from llmsim.wire.codec import decoder

_NOWHERE = {"type": "approximate", "city": None, "country": None, "region": None, "timezone": None}
_PREVIEW: dict[str, Any] = {
    "search_context_size": "medium",
    "user_location": _NOWHERE | {"country": "US"},
}
_SEARCH = {"filters": None, **_PREVIEW}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "web_search": _SEARCH,
    "web_search_2025_08_26": _SEARCH,
    "web_search_preview": _PREVIEW,
    "web_search_preview_2025_03_11": _PREVIEW,
    "file_search": {
        "filters": None,
        "max_num_results": 20,
        "ranking_options": {"ranker": "auto", "score_threshold": 0.0},
    },
}

_decode = decoder(dict[str, Any])


def with_defaults(echo: Any) -> Any:
    """Return the echo of a tool with the defaults of its type, in place of what is missing or null.

    Args:
        echo: The tool as it was sent and checked, or as it is echoed already.
    """
    if not isinstance(echo, Raw):
        return echo
    tool = _decode(bytes(echo))
    defaults = _DEFAULTS.get(tool["type"])
    if defaults is None:
        return echo
    given = {name: value for name, value in tool.items() if value is not None}
    place = given.get("user_location")
    if place is not None:
        given["user_location"] = _NOWHERE | place
    return {**tool, **defaults, **given}
