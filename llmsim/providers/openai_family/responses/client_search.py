"""Tools that are not in a request: those that a search of the client finds, and those that an item of the conversation brings.

Decisions:
* A search that the client runs is a call with arguments by the tool's schema, which ends the turn like that of a function. It has no
  events of its own: its item is added and done.
* Deferred tools cannot be called before the client has found them. What it has found since the last message of the user is not searched
  for again, so that a turn ends.
* What a client returns is neither a question nor the answer to one: the turn goes on with the tools that it brings.

Source: openai SDK 3.57, types/responses/tool_search_tool_param.py, response_tool_search_call.py, response_input_item_param.py
(`ToolSearchCall`, `AdditionalTools`); OpenAI, guides/tools-tool-search, "Client-executed tool search".
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Raw, Struct, structs

from llmsim.domain import Tool, ToolCallSegment, ToolKind
from llmsim.errors import InvalidFieldError, InvalidJsonError
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.openai_family.responses.conversation import Head
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.event_stream import EventStream
from llmsim.providers.openai_family.responses.hosted_items import item_type
from llmsim.providers.openai_family.responses.input_items import Path
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.output_items import ItemPosition, emit_added, emit_done
from llmsim.providers.openai_family.strict_schemas import parse_schema
from llmsim.wire.codec import decoder, encode

SEARCH = "tool_search"
"""The kind of tool, and the name by which it is called."""

_ANY_SEARCH = b'{"type":"object","properties":{"query":{"type":"string"}},"required":["query"],"additionalProperties":false}'
"""The arguments of a search whose parameters are not given."""


class SearchTool(Struct):
    """A search for tools."""

    execution: str | None = None
    description: str | None = None
    parameters: Raw = Raw(b"null")


class _BringingItem(Struct):
    execution: Any = None
    tools: list[Raw] | None = None


_decode_tool = decoder(SearchTool)
_decode_item = decoder(_BringingItem)
_decode_arguments = decoder(dict[str, Any])


def parse_search(sent: bytes, path: Path) -> tuple[Tool, ...]:
    """Parse a search for tools: the tool that is called if the client runs it, and none if the provider does.

    Raises:
        InvalidFieldError: It is invalid.
        InvalidSchemaError: Its parameters are not a valid schema.
    """
    search = _decode_tool(sent)
    if search.execution not in (None, "server", "client"):
        raise InvalidFieldError(("execution",), "choice", ("server", "client"), search.execution)
    if search.execution != "client":
        return ()
    given = bytes(search.parameters) != b"null"
    schema = _ANY_SEARCH
    if given:
        schema = parse_schema(search.parameters, (*path, "parameters"), "function", SEARCH, strict=False)
    return (Tool(SEARCH, ToolKind.FUNCTION, search.description or "", schema, finds_tools=True),)


def brought_tools(item: bytes, head: Head) -> list[Raw]:
    """Return the definitions of the tools that an item of a conversation brings."""
    if head.kind == "additional_tools":
        return _decode_item(item).tools or []
    if head.kind == "tool_search_output":
        found = _decode_item(item)
        return found.tools or [] if found.execution == "client" else []
    return []


def is_searched(heads: Sequence[Head]) -> bool:
    """Check whether the client has searched since the last message of the user."""
    for head in reversed(heads):
        if head.kind == "message" and head.role == "user":
            return False
        if head.kind == "tool_search_output" and isinstance(head.call_id, str):
            return True
    return False


def with_tools(
    request: ParsedRequest[ResponseOptions],
    brought: Sequence[Tool],
    namespaces: dict[str, str],
    heads: Sequence[Head],
) -> ParsedRequest[ResponseOptions]:
    """Return a request with the tools that its conversation brings, and without a search that has been made.

    Args:
        request: The request.
        brought: The tools; those of a name that is offered already are not added.
        namespaces: The namespace of each that is in one, by its name.
        heads: The heads of all items of the conversation.
    """
    prompt, options = request.prompt, request.options
    tools = {tool.name: tool for tool in (*brought, *prompt.tools)}
    names = prompt.tool_choice.names
    if options.tools.searches_client and is_searched(heads) and names != (SEARCH,):
        tools.pop(SEARCH, None)
    if tuple(tools.values()) == prompt.tools:
        return request
    own = structs.replace(options.tools, namespaces=namespaces | options.tools.namespaces)
    return structs.replace(
        request,
        prompt=structs.replace(prompt, tools=tuple(tools.values())),
        options=structs.replace(options, tools=own),
    )


class ClientSearchItem:
    """A search for tools that the client runs."""

    def __init__(self, position: ItemPosition, segment: ToolCallSegment, dialect: Dialect) -> None:
        self._position = position
        members = {
            "id": position.item_id(b"tsc").decode(),
            "type": item_type(dialect, "tool_search_call"),
            "call_id": segment.call.public_id("call_"),
            "execution": "client",
        }
        self._begun = encode(members | {"status": "in_progress", "arguments": {}})
        # A part of the arguments must not be searched for.
        arguments = _parse_arguments(segment.arguments.text) if position.is_complete else {}
        self.json = encode(members | {"status": position.status.decode(), "arguments": arguments})

    def emit(self, stream: EventStream) -> None:
        """Add the item's events."""
        position = self._position
        emit_added(stream, position, self._begun, position.first_token)
        emit_done(stream, position, self.json, carries_tokens=True)


def _parse_arguments(text: str) -> dict[str, Any]:
    """Parse the arguments of a search; those of a script may be no object, and are the query then."""
    try:
        found: dict[str, Any] = _decode_arguments(text.encode())
    except (InvalidJsonError, InvalidFieldError, UnicodeEncodeError):
        return {"query": text}
    return found
