"""Tools that are loaded by a search, and tools that a program calls: what a request says of them, and their items.

Decisions:
* A deferred tool is offered like any other, so that the question decides; its first call in a conversation follows the search that
  loads it. Without `tool_search` nothing is searched; `client_search` has the searches of the client.
* A tool that only programs may call is called by one: the calls of a turn follow their program, and its output comes first in the
  turn that has their results. The program is JavaScript that makes these calls and prints what they return; it is never run.

Source: openai SDK 3.54, types/responses/tool_search_tool.py, response_tool_search_call.py, response_tool_search_output_item.py,
response_output_item.py (`Program`, `ProgramOutput`), function_tool.py (`allowed_callers`); OpenAI, guides/tools-tool-search.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Raw, Struct, json, structs

from llmsim.domain import Segment, ToolCallSegment
from llmsim.providers.openai_family.responses.conversation import Head
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.event_stream import EventStream
from llmsim.providers.openai_family.responses.hosted_items import item_type
from llmsim.providers.openai_family.responses.options import Deferred, ProgramResult, ToolOptions
from llmsim.providers.openai_family.responses.output_items import ItemPosition, emit_added, emit_done
from llmsim.wire.codec import decoder, encode

SEARCH, PROGRAMS = "tool_search", "programmatic_tool_calling"


class _AnyTool(Struct):
    type: Any = None
    name: Any = None
    description: Any = None
    defer_loading: Any = None
    allowed_callers: Any = None
    execution: Any = None
    tools: list[Raw] | None = None


class _Item(Struct):
    call_id: Any = None
    tools: Any = None
    output: Any = None


_decode_tool = decoder(_AnyTool)
_decode_item = decoder(_Item)


def read_loading(sent: Sequence[Raw]) -> dict[str, Any]:
    """Return what the tools of a request, which have been parsed, say of loading and programs, as fields of `ToolOptions`."""
    tools = [(bytes(one), _decode_tool(bytes(one))) for one in sent]
    offered = {tool.type for _, tool in tools if tool.execution != "client"}
    fields: dict[str, Any] = {}
    if SEARCH in offered:
        fields["deferred"] = {
            name: found for encoded, tool in tools for name, found in _deferred(encoded, tool)
        }
    if PROGRAMS in offered:
        every = [
            *(tool for _, tool in tools),
            *(_decode_tool(bytes(one)) for _, tool in tools for one in tool.tools or ()),
        ]
        fields["program_tools"] = tuple(
            [
                tool.name
                for tool in every
                if tool.allowed_callers == ["programmatic"] and isinstance(tool.name, str)
            ]
        )
    return fields


def deferred_names(sent: Sequence[Raw]) -> frozenset[str]:
    """Return the names of the tools of a request that are deferred."""
    tools = [(bytes(one), _decode_tool(bytes(one))) for one in sent]
    return frozenset(name for encoded, tool in tools for name, _ in _deferred(encoded, tool))


def _deferred(encoded: bytes, tool: _AnyTool) -> Iterable[tuple[str, Deferred]]:
    if tool.type in ("function", "custom"):
        if tool.defer_loading is True:
            yield tool.name, Deferred(tool.name, encoded)
    elif tool.type == "namespace":
        for one in tool.tools or ():
            inner = _decode_tool(bytes(one))
            if inner.defer_loading is True:
                yield inner.name, Deferred(tool.name, encoded)


def with_loaded(tools: ToolOptions, items: Sequence[bytes], heads: Sequence[Head]) -> ToolOptions:
    """Return options without the tools that a conversation has loaded, and with the output of the program that runs in it."""
    if not tools.deferred and not tools.program_tools:
        return tools
    loaded: set[Any] = set()
    running: str | None = None
    result = ""
    for item, head in zip(items, heads, strict=True):
        match head.kind:
            case "tool_search_output":
                found = _decode_item(item).tools
                names = [one.get("name") for one in found or () if isinstance(one, dict)]
                loaded.update(name for name in names if isinstance(name, str))
            case "program" if isinstance(head.call_id, str):
                running, result = head.call_id, ""
            case "function_call_output" if running is not None:
                output = _decode_item(item).output
                result = output if isinstance(output, str) else encode(output).decode()
            case "program_output":
                running = None
    return structs.replace(
        tools,
        deferred={name: one for name, one in tools.deferred.items() if one.path not in loaded},
        program_result=ProgramResult(running, result) if running is not None else None,
    )


class InstantItem:
    """An item without events of its own, which is complete as soon as it is announced."""

    def __init__(
        self,
        position: ItemPosition,
        prefix: bytes,
        name: str,
        dialect: Dialect,
        begun: dict[str, Any],
        done: dict[str, Any],
    ) -> None:
        self._position = position
        members = {"id": position.item_id(prefix).decode(), "type": item_type(dialect, name)}
        self._begun = json.encode(members | done | begun)
        self.json = json.encode(members | done)

    def emit(self, stream: EventStream) -> None:
        """Add the item's events."""
        emit_added(stream, self._position, self._begun, self._position.end)
        emit_done(stream, self._position, self.json, carries_tokens=False)


class ToolLoading:
    """The items of a turn that load tools, and those of its program."""

    def __init__(
        self, turn_id: bytes, segments: Sequence[Segment], tools: ToolOptions, dialect: Dialect
    ) -> None:
        self._turn_id, self._tools, self._dialect = turn_id, tools, dialect
        calls = [one for one in segments if isinstance(one, ToolCallSegment)]
        self._searched = {
            found.path: found.definition
            for one in calls
            if (found := tools.deferred.get(one.call.name)) is not None
        }
        self._programmed = [one for one in calls if one.call.name in tools.program_tools]
        self._program_id = f"call_p{turn_id.decode()}"
        self._has_program = False

    def output_of_program(self) -> list[InstantItem]:
        """Return the item that ends the program of an earlier turn."""
        result = self._tools.program_result
        if result is None:
            return []
        done = {"call_id": result.call_id, "result": result.result, "status": "completed"}
        return [InstantItem(self._at(0, 0), b"po", "program_output", self._dialect, {}, done)]

    def before(self, segment: ToolCallSegment, index: int, tokens: int) -> list[InstantItem]:
        """Return the items that come before a call: with the first call of its kind, the search or the program.

        Args:
            segment: The call.
            index: Number of items before it.
            tokens: Tokens that exist before it.
        """
        items: list[InstantItem] = []
        if self._searched and segment.call.name in self._tools.deferred:
            shared = {"status": "completed", "execution": "server", "call_id": None}
            begun = {"status": "in_progress"}
            paths = {"arguments": {"paths": list(self._searched)}}
            found = {"tools": [Raw(one) for one in self._searched.values()]}
            items += [
                InstantItem(
                    self._at(index, tokens), b"tsc", "tool_search_call", self._dialect, begun, shared | paths
                ),
                InstantItem(
                    self._at(index + 1, tokens),
                    b"tso",
                    "tool_search_output",
                    self._dialect,
                    begun,
                    shared | found,
                ),
            ]
            self._searched = {}
        if self._programmed and segment.call.name in self._tools.program_tools:
            code = "\n".join(
                f"text(await tools[{encode(one.call.name).decode()}]({one.arguments.text or '{}'}));"
                for one in self._programmed
            )
            fingerprint = hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()[:32]
            done = {"call_id": self._program_id, "code": code, "fingerprint": fingerprint}
            items.append(
                InstantItem(
                    self._at(index + len(items), tokens),
                    b"prog",
                    "program",
                    self._dialect,
                    {"code": ""},
                    done,
                )
            )
            self._programmed = []
            self._has_program = True
        return items

    def caller_of(self, segment: ToolCallSegment) -> str | None:
        """Return the id of the program that makes a call; None for the model itself."""
        is_made = self._has_program and segment.call.name in self._tools.program_tools
        return self._program_id if is_made else None

    def _at(self, index: int, tokens: int) -> ItemPosition:
        return ItemPosition(self._turn_id, index, tokens, tokens, is_complete=True)


def load_tools(
    turn_id: bytes,
    segments: Sequence[Segment],
    truncated: Segment | None,
    tools: ToolOptions,
    dialect: Dialect,
) -> ToolLoading | None:
    """Return what adds these items to the output of a turn; None if its tools need none. What is truncated is not in a program."""
    if not tools.deferred and not tools.program_tools:
        return None
    whole = [one for one in segments if one is not truncated]
    return ToolLoading(turn_id, whole, tools, dialect)
