"""The content blocks of a message.

Decisions:
* Thinking that is hidden has a block all the same: the client sends its signature back.
* A text that cites has its citations in a block of its own; see `citations`.
* An empty text has no block: such a message has no content.
* A refusal is a text block; the stop reason says that it is a refusal.
* A compaction comes before all other blocks, with the first token of the turn.
* The result of a hosted tool is a block without tokens that is sent at the end of the call; a truncated call has no
  result. A call of another API's hosted tool, which only a script can make, has no block; its tokens count.
* The input of a truncated call is what the SDK makes of its stream; see `partial_json`.

Source: anthropic SDK 2.14, types/content_block.py, tool_use_block.py, server_tool_use_block.py, beta/beta_compaction_block.py.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.domain import (
    Choice,
    Compaction,
    FinishReason,
    ReasoningSegment,
    RefusalSegment,
    Segment,
    TextSegment,
    TokenizedText,
    ToolCall,
    ToolCallSegment,
    ToolKind,
    Turn,
)
from llmsim.providers.anthropic.citations import citation_deltas, cited_page, cited_results, split_text
from llmsim.providers.anthropic.fallbacks import render_fallback
from llmsim.providers.anthropic.hosted import (
    DIRECT,
    HostedTool,
    find_hosted_tool,
    render_container,
    within_domain,
)
from llmsim.providers.anthropic.mcp import render_mcp_call, render_mcp_result
from llmsim.providers.anthropic.message_rules import THOUGHTFUL_CALL
from llmsim.providers.anthropic.messages import MessageOptions
from llmsim.providers.anthropic.partial_json import parse_partial_object
from llmsim.providers.anthropic.programs import (
    CODE,
    called_by_code,
    code_deltas,
    code_id,
    render_caller,
    render_code,
    render_output,
)
from llmsim.providers.anthropic.signatures import sign
from llmsim.providers.anthropic.tool_changes import SEARCHES
from llmsim.providers.anthropic.tool_search import ToolSearch, called_deferred, render_found, search_fields
from llmsim.wire.codec import encode

_NO_TEXT = TokenizedText((), ())

_CITED = ("web_search", "web_fetch")
"""Hosted tools whose results a text may cite."""

_TRUNCATING = (FinishReason.LENGTH, FinishReason.WINDOW, FinishReason.CONTENT_FILTER)


class ContentBlock(msgspec.Struct, frozen=True):
    """A content block.

    Attributes:
        kind: The segment that it renders; None for the result of a hosted tool and for a compaction.
        text: The text that is streamed; of a call its input as JSON.
        tokens_before: Tokens that exist before it starts.
        tokens: Its tokens.
        header_tokens: Its tokens before those of the text.
        fields: A call as it is when the block starts, the result of a hosted tool, or a compaction; None for text and thinking.
        hosted_tool: The hosted tool that is called; None for other blocks.
        start: The block as it starts in a stream, if that differs.
        deltas: What follows its start in a stream, besides the text.
    """

    kind: type[Segment] | None
    text: TokenizedText
    tokens_before: int
    tokens: int
    header_tokens: int = 0
    fields: dict[str, Any] | None = None
    hosted_tool: HostedTool | None = None
    start: dict[str, Any] | None = None
    deltas: tuple[dict[str, Any], ...] = ()


def content_blocks(turn: Turn, options: MessageOptions) -> list[ContentBlock]:
    """Return the content of a turn. Reasoning that was not requested, which a script may have, counts and has no block."""
    blocks: list[ContentBlock] = []
    if turn.edited is not None and turn.edited.compaction is not None:
        blocks.append(_compaction_block(turn, turn.edited.compaction))
    before = 0
    citations = options.citations
    segments = turn.choices[0].segments
    blocks += (ContentBlock(None, _NO_TEXT, min(1, turn.length), 0, fields=one) for one in options.listings)
    by_code = called_by_code(segments, options.programs) if options.programs.callers else []
    if options.programs.running:
        output = render_output(options.programs)
        blocks.append(ContentBlock(None, _NO_TEXT, min(1, turn.length), 0, fields=output))
    unloaded = called_deferred(segments, options.search) if options.search.waiting else []
    for segment in segments:
        match segment:
            case ToolCallSegment():
                if unloaded and segment.call.name in unloaded and not _has_search(blocks):
                    blocks += _search_blocks(segment, before, options.search, unloaded)
                if by_code and segment is by_code[0]:
                    blocks.append(_code_block(by_code, before))
                calls = _call_blocks(turn, segment, before, options)
                if by_code and segment.call.name in options.programs.callers:
                    calls = [_called_by_code(calls[0], by_code, options)]
                if segment.call.name in SEARCHES and len(calls) > 1:
                    calls[1] = _with_found(calls, options.search, unloaded)
                blocks += calls
                if segment.call.name in _CITED and not options.is_formatted:
                    citations = (*_found(calls, options), *citations)
            case ReasoningSegment():
                if options.thinks:
                    text = segment.text or _NO_TEXT
                    blocks.append(ContentBlock(ReasoningSegment, text, before, segment.tokens))
            case TextSegment() | RefusalSegment():
                if not segment.text.pieces:
                    if options.fallback and isinstance(segment, RefusalSegment):
                        fields, place = render_fallback(turn, options.fallback), min(before + 1, turn.length)
                        blocks.append(ContentBlock(None, _NO_TEXT, place, 0, fields=fields))
                elif citations and isinstance(segment, TextSegment):
                    blocks += _cited_blocks(segment, before, citations)
                else:
                    blocks.append(ContentBlock(type(segment), segment.text, before, segment.tokens))
        before += segment.tokens
    return blocks


def _code_block(calls: Sequence[ToolCallSegment], before: int) -> ContentBlock:
    """Return the code that makes calls, which comes with the first token of the first of them."""
    code = render_code(calls)
    start = {"type": "server_tool_use", "id": code_id(calls), "name": CODE, "input": {}, "caller": DIRECT}
    fields = start | {"input": {"code": code}}
    place = before + min(1, calls[0].tokens)
    return ContentBlock(None, _NO_TEXT, place, 0, fields=fields, start=start, deltas=code_deltas(code))


def _called_by_code(
    block: ContentBlock, calls: Sequence[ToolCallSegment], options: MessageOptions
) -> ContentBlock:
    fields = block.fields
    assert fields is not None, "it is a call"
    caller = render_caller(fields["name"], options.programs, code_id(calls))
    return msgspec.structs.replace(block, fields=fields | {"caller": caller})


def _has_search(blocks: Sequence[ContentBlock]) -> bool:
    return any(
        block.fields is not None and block.fields["type"] == "tool_search_tool_result" for block in blocks
    )


def _search_blocks(
    segment: ToolCallSegment, before: int, search: ToolSearch, names: Sequence[str]
) -> list[ContentBlock]:
    """Return the search that loads the tools `names`, and its result, which come with the first token of a call."""
    use, query, result = search_fields(segment.call, search, names)
    place = before + min(1, segment.tokens)
    deltas = tuple({"type": "input_json_delta", "partial_json": part} for part in ("", query.decode()))
    whole = use | {"input": msgspec.json.decode(query)}
    return [
        ContentBlock(None, _NO_TEXT, place, 0, fields=whole, start=use, deltas=deltas),
        ContentBlock(None, _NO_TEXT, place, 0, fields=result),
    ]


def _with_found(calls: Sequence[ContentBlock], search: ToolSearch, called: Sequence[str]) -> ContentBlock:
    """Return the result of a search for tools with what it finds."""
    fields = calls[1].fields
    assert fields is not None, "it is a result"
    found = search.find(calls[0].text.text, called)
    return msgspec.structs.replace(calls[1], fields=fields | {"content": render_found(found)})


def _found(calls: Sequence[ContentBlock], options: MessageOptions) -> list[dict[str, Any]]:
    """Return citations of what searches have found, and of pages if they may be cited."""
    results = [block.fields for block in calls if block.kind is None and block.fields is not None]
    found: list[dict[str, Any]] = []
    for result in results:
        if result["type"] == "web_search_tool_result":
            found += cited_results(result["content"])
        elif options.fetched_index is not None:
            result["content"]["content"]["citations"] = {"enabled": True}
            found.append(cited_page(result["content"], options.fetched_index))
    return found


def _cited_blocks(
    segment: TextSegment, before: int, citations: tuple[dict[str, Any], ...]
) -> list[ContentBlock]:
    """Return the blocks of a text: the beginning that cites nothing, if it has one, and the rest."""
    own, cited = split_text(segment.text)
    lead = 0 if own is None else own.tokens
    blocks = [] if own is None else [ContentBlock(TextSegment, own, before, lead)]
    start = {"type": "text", "text": "", "citations": []}
    deltas = citation_deltas(citations)
    blocks.append(
        ContentBlock(TextSegment, cited, before + lead, segment.tokens - lead, start=start, deltas=deltas)
    )
    return blocks


def _compaction_block(turn: Turn, compaction: Compaction) -> ContentBlock:
    content: dict[str, Any] = {"content": compaction.summary, "encrypted_content": None}
    fields, start = {"type": "compaction"} | content, {"type": "compaction", "content": None}
    if compaction.is_signed:
        fields["signature"] = sign(turn.id, compaction.summary)
        start["signature"] = fields["signature"]
    delta = {"type": "compaction_delta"} | content
    return ContentBlock(None, _NO_TEXT, min(1, turn.length), 0, fields=fields, start=start, deltas=(delta,))


def _call_blocks(
    turn: Turn, segment: ToolCallSegment, before: int, options: MessageOptions
) -> list[ContentBlock]:
    """Return the block of a call, followed by that of the result if the API runs the tool."""
    call, text = segment.call, segment.arguments
    truncated = _is_truncated(turn.choices[0], segment)
    hosted_tool = None
    if call.kind is ToolKind.HOSTED and call.name in options.mcp:
        return _mcp_blocks(segment, before, options.mcp[call.name], truncated=truncated)
    if call.kind is ToolKind.HOSTED:
        hosted_tool = find_hosted_tool(call.name, python=options.python)
        if hosted_tool is None:
            return []
        if hosted_tool.input_field:
            text = wrap_in_object(hosted_tool.input_field, hosted_tool.input_value(text), truncated=truncated)
        else:
            text = _NO_TEXT
        type_, call_id, name = "server_tool_use", call.public_id("srvtoolu_"), hosted_tool.name
    else:
        if call.kind is ToolKind.CUSTOM:
            # No tool of this API takes free text; a script may call one all the same.
            text = wrap_in_object("input", text, truncated=truncated)
        type_, call_id, name = (
            "tool_use",
            call.public_id(_call_prefix(turn, call, options)),
            call.name,
        )
    fields = {"type": type_, "id": call_id, "name": name, "input": {}, "caller": DIRECT}
    if call.name in options.toolsets:
        fields["toolset_name"] = options.toolsets[call.name]
    block = ContentBlock(
        ToolCallSegment, text, before, segment.tokens, segment.header_tokens, fields, hosted_tool
    )
    if hosted_tool is None or truncated:
        return [block]
    value = parse_partial_object(text.text).get(hosted_tool.input_field, "")
    result = hosted_tool.result_block(value, turn, call_id)
    if options.domain and hosted_tool.name == "web_search":
        result = within_domain(result, options.domain)
    return [block, ContentBlock(None, _NO_TEXT, before + segment.tokens, 0, fields=result)]


def _mcp_blocks(segment: ToolCallSegment, before: int, server: str, *, truncated: bool) -> list[ContentBlock]:
    call = segment.call
    call_id = call.public_id("mcptoolu_")
    fields = render_mcp_call(call_id, call.name, server)
    block = ContentBlock(
        ToolCallSegment, segment.arguments, before, segment.tokens, segment.header_tokens, fields
    )
    if truncated:
        return [block]
    result = render_mcp_result(call_id, call.name, server)
    return [block, ContentBlock(None, _NO_TEXT, before + segment.tokens, 0, fields=result)]


def _call_prefix(turn: Turn, call: ToolCall, options: MessageOptions) -> str:
    """Return the prefix of the id of a call: it shows whether thinking is to come back with it. Ids of scripts are foretold."""
    thought = options.thinks and isinstance(turn.choices[0].segments[0], ReasoningSegment)
    return THOUGHTFUL_CALL if thought and not call.id.startswith("llmsim_") else "toolu_"


def _is_truncated(choice: Choice, segment: ToolCallSegment) -> bool:
    return segment is choice.segments[-1] and choice.finish in _TRUNCATING


class HostedUsage(msgspec.Struct, frozen=True):
    """What a turn used of hosted tools.

    Attributes:
        counts: How often each was called; None if none was called.
        container: The container in which code ran, or that was asked for; None for none.
    """

    counts: dict[str, int] | None = None
    container: dict[str, Any] | None = None


_UNUSED = HostedUsage()


def hosted_usage(turn: Turn, blocks: list[ContentBlock], options: MessageOptions) -> HostedUsage:
    """Return what a turn used of hosted tools."""
    asked = options.container
    if asked is None and len(blocks) == 1 and blocks[0].hosted_tool is None:
        return _UNUSED
    tools = [block.hosted_tool for block in blocks if block.hosted_tool is not None]
    container = None
    if asked is not None or any(map(_runs_in_container, blocks)):
        container = render_container(turn, asked)
    if not tools:
        return _UNUSED if container is None else HostedUsage(container=container)
    counts = {"web_search_requests": 0, "web_fetch_requests": 0}
    for tool in tools:
        if tool.usage_counter:
            counts[tool.usage_counter] += 1
    return HostedUsage(counts, container)


def _runs_in_container(block: ContentBlock) -> bool:
    if block.hosted_tool is not None:
        return block.hosted_tool.runs_in_container
    return block.kind is None and block.fields is not None and block.fields.get("name") == CODE


def wrap_in_object(name: str, text: TokenizedText, *, truncated: bool) -> TokenizedText:
    """Return an object of one member as JSON, in the pieces of the member's text.

    Args:
        name: Name of the member.
        text: Its text; an empty one has no pieces that could hold the object.
        truncated: Whether the text is truncated, and the object with it.
    """
    if not text.pieces:
        return text
    pieces = [encode(piece).decode()[1:-1] for piece in text.pieces]
    pieces[0] = f'{{"{name}": "{pieces[0]}'
    if not truncated:
        pieces[-1] += '"}'
    return TokenizedText(tuple(pieces), text.cumulative_tokens)
