"""The tools that a conversation offers at its end: those of the request, as its messages have changed and loaded them.

Decisions:
* A change counts from its message on; what is offered next is what the last change leaves.
* A deferred tool is loaded by a reference to it: in the result of a search for tools, which the API or the client made, or in an
  addition. Until then its definition is not part of the prompt. If the API can search for it, it may be called all the same: the call
  follows the search that loads it; see `tool_search`.

Source: anthropic SDK 2.14, types/beta/beta_request_tool_addition_block_param.py, beta_request_tool_removal_block_param.py,
beta_tool_reference_block_param.py; Anthropic docs, agents-and-tools/tool-use/tool-search-tool; messages of the API in
router-for-me/CLIProxyAPI#4561 (marks).
"""

from collections.abc import Iterator, Sequence

import msgspec

from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.messages_request import (
    CountRequest,
    MessageParam,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolSearchResultBlock,
)
from llmsim.providers.anthropic.tool_params import (
    ToolAdditionBlock,
    ToolDefinition,
    ToolParam,
    ToolRemovalBlock,
    raw_json,
)
from llmsim.wire.codec import decoder

SEARCHES = ("tool_search_tool_bm25", "tool_search_tool_regex")


_Change = tuple[tuple[str | int, ...], ToolAdditionBlock | ToolRemovalBlock]


class _Reference(msgspec.Struct):
    tool_name: str = ""


class _Found(msgspec.Struct):
    tool_references: list[_Reference] = []


_decode_found = decoder(_Found)


def offered_tools(request: CountRequest) -> list[ToolParam]:
    """Return the tools that are offered, of a request that was validated."""
    tools = request.tools or []
    if changes := [block for _, block in _changes(request.messages)]:
        withdrawn = _withdrawn(changes)
        tools = [*tools, *(one.tool.definition for one in changes if isinstance(one.tool, ToolDefinition))]
        tools = [tool for tool in tools if tool.key not in withdrawn]
    if not tools:
        return []
    if not any(tool.defer_loading for tool in tools):
        return tools
    waiting = waiting_tools(request)
    # Without a search by the API, only the client can load what is waiting.
    hidden = waiting if not any(tool.name in SEARCHES for tool in tools) else frozenset()
    has_deferred = bool(waiting)
    return [tool for tool in tools if tool.name not in hidden and (has_deferred or tool.name not in SEARCHES)]


def waiting_tools(request: CountRequest) -> frozenset[str]:
    """Return the names of the deferred tools that nothing has loaded."""
    deferred = {tool.name for tool in request.tools or () if tool.defer_loading and tool.name is not None}
    return frozenset(deferred.difference(_loaded(request.messages))) if deferred else frozenset()


def withdrawn_tools(request: CountRequest) -> frozenset[str]:
    """Return what messages have withdrawn, as they name it."""
    return _withdrawn([block for _, block in _changes(request.messages)])


def _withdrawn(changes: Sequence[ToolAdditionBlock | ToolRemovalBlock]) -> frozenset[str]:
    withdrawn: set[str] = set()
    for block in changes:
        (withdrawn.add if isinstance(block, ToolRemovalBlock) else withdrawn.discard)(block.tool.key)
    return frozenset(withdrawn)


def check_tool_changes(request: CountRequest) -> set[str]:
    """Check deferred tools, and what messages say of tools; return the names of the tools that messages define.

    Raises:
        InvalidFieldError: All tools are deferred, a deferred one has a mark, or a tool is named that there is not.
    """
    changes, tools = _changes(request.messages), request.tools or []
    if not changes and not tools:
        return set()
    has_deferred = any(tool.defer_loading for tool in tools)
    if not changes and not has_deferred:
        return set()
    for index, tool in enumerate(tools):
        if tool.defer_loading and tool.cache_control is not None:
            raise _conflict(
                ("tools", index),
                f"Tool '{tool.name}' cannot have both defer_loading=true and cache_control set. Tools with defer_loading "
                "cannot use prompt caching.",
            )
    if tools and all(tool.defer_loading for tool in tools):
        raise _conflict(("tools",), "At least one tool must have defer_loading=false")
    known = {tool.key for tool in tools}
    defined: set[str] = set()
    for path, block in changes:
        if isinstance(block.tool, ToolDefinition):
            defined.add(block.tool.key)
        elif block.tool.owner not in known | defined:
            raise _unknown(path, block.tool.owner)
    for name in _loaded(request.messages) if has_deferred else ():
        if name not in known | defined and "/" not in name:
            raise _unknown(("messages",), name)
    return defined


def _changes(messages: list[MessageParam]) -> list[_Change]:
    """Return the changes of tools with their paths."""
    for message in messages:
        if message.role == "system":
            break
    else:
        # PERF: most requests have no message of the system.
        return []
    return [
        (("messages", index, "content", place), block)
        for index, message in enumerate(messages)
        if message.role == "system" and isinstance(message.content, list)
        for place, block in enumerate(message.content)
        if isinstance(block, ToolAdditionBlock | ToolRemovalBlock)
    ]


def _loaded(messages: list[MessageParam]) -> Iterator[str]:
    for message in messages:
        for block in message.content if isinstance(message.content, list) else ():
            match block:
                case ToolSearchResultBlock():
                    found = _decode_found(raw_json(block.content) or b"{}")
                    yield from (one.tool_name for one in found.tool_references)
                case ToolResultBlock(content=list() as parts):
                    yield from (part.tool_name for part in parts if isinstance(part, ToolReferenceBlock))
                case ToolAdditionBlock():
                    yield block.tool.key
                case _:
                    pass


def _unknown(path: tuple[str | int, ...], name: str) -> InvalidFieldError:
    return _conflict(path, f"Tool reference '{name[:128]}' not found in available tools")


def _conflict(path: tuple[str | int, ...], message: str) -> InvalidFieldError:
    return InvalidFieldError(path, "conflict", message)
