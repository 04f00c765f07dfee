"""The search for deferred tools: which it finds, and its blocks before the calls of what it has found.

Decisions:
* A deferred tool is offered like any other if the API can search for it, so that the question decides. Its first call in a
  conversation follows a search that refers to it: one that the turn has made, or one that is put before the call.
* A search finds the tools that the turn calls, else up to three whose names and descriptions have most words of the question.
* Tools that are loaded are not searched again; once nothing is left, the search is no longer offered.

Source: anthropic SDK 2.14, types/tool_search_tool_result_block.py; Anthropic docs, agents-and-tools/tool-use/tool-search-tool.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.domain import Segment, ToolCall, ToolCallSegment
from llmsim.providers.anthropic.messages_request import CountRequest
from llmsim.providers.anthropic.tool_changes import SEARCHES, waiting_tools
from llmsim.wire.codec import encode

_MOST_FOUND = 3
"""Tools that a search finds which calls none of them."""

_MOST_CHARS = 200
"""Characters of a description that are searched."""

_WORD = re.compile(r"[^\W_]{3,}")


class ToolSearch(msgspec.Struct, frozen=True):
    """The search for tools that a request offers.

    Attributes:
        tool: Its name; empty if none is offered.
        waiting: The deferred tools that are not loaded: the words of each by its name.
    """

    tool: str = ""
    waiting: dict[str, frozenset[str]] = {}

    def find(self, query: str, called: Sequence[str]) -> list[str]:
        """Return the tools that a search finds.

        Args:
            query: What is searched for.
            called: The deferred tools that the turn calls.
        """
        if called or not self.waiting:
            return list(called)
        wanted = _words(query)
        ranked = sorted(self.waiting, key=lambda name: -len(self.waiting[name] & wanted))
        return ranked[:_MOST_FOUND]


NO_SEARCH = ToolSearch()


def parse_tool_search(request: CountRequest) -> ToolSearch:
    """Return the search for tools of a request."""
    waiting = waiting_tools(request)
    if not waiting:
        return NO_SEARCH
    tools = request.tools or ()
    search = next((tool.name for tool in tools if tool.name in SEARCHES), None)
    if search is None:
        return NO_SEARCH
    words = {
        tool.name: _words(f"{tool.name} {(tool.description or '')[:_MOST_CHARS]}")
        for tool in tools
        if tool.name is not None and tool.name in waiting
    }
    return ToolSearch(search, words)


def called_deferred(segments: Sequence[Segment], search: ToolSearch) -> list[str]:
    """Return the deferred tools that a turn calls, each once."""
    names = (segment.call.name for segment in segments if isinstance(segment, ToolCallSegment))
    return list(dict.fromkeys(name for name in names if name in search.waiting))


def render_found(names: Sequence[str]) -> dict[str, Any]:
    """Render what a search has found."""
    references = [{"type": "tool_reference", "tool_name": name} for name in names]
    return {"type": "tool_search_tool_search_result", "tool_references": references}


def search_fields(
    call: ToolCall, search: ToolSearch, names: Sequence[str]
) -> tuple[dict[str, Any], bytes, dict[str, Any]]:
    """Return the blocks of a search that is put before a call: as it starts, its input as JSON, and its result."""
    call_id = f"srvtoolu_{call.id}"
    field, query = ("pattern", "|".join(names)) if search.tool == SEARCHES[1] else ("query", " ".join(names))
    use = {
        "type": "server_tool_use",
        "id": call_id,
        "name": search.tool,
        "input": {},
        "caller": {"type": "direct"},
    }
    result = {"type": "tool_search_tool_result", "tool_use_id": call_id, "content": render_found(names)}
    return use, encode({field: query.replace("_", " ") if field == "query" else query}), result


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower()[:7] for word in _WORD.findall(text))
