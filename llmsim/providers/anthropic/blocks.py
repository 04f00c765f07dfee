"""The blocks that a message's content is made of.

Decisions:
* Thinking that is not shown opens and closes its block all the same: its signature is there to be sent back.
* Nothing is rendered of a text that is empty: such a message has no content.
* A refusal is text; that it is one is said by the stop reason.
* What a hosted tool answers is a block that costs nothing and comes with the end of its call; a call that was cut off
  has none. A hosted tool of another API, which only a script can call, shows nothing; its tokens count.

Source: anthropic SDK 2.12, types/content_block.py, tool_use_block.py, server_tool_use_block.py.
"""

from typing import Any

import msgspec

from llmsim.domain import (
    Choice,
    FinishReason,
    ReasoningSegment,
    RefusalSegment,
    Segment,
    TextSegment,
    TokenizedText,
    ToolCallSegment,
    ToolKind,
    Turn,
)
from llmsim.providers.anthropic.hosted import DIRECT, Service, container, service_of
from llmsim.providers.anthropic.messages import MessageOptions
from llmsim.providers.anthropic.partial import arguments, member

EMPTY = TokenizedText((), ())

_CUT = (FinishReason.LENGTH, FinishReason.CONTENT_FILTER)


class Block(msgspec.Struct, frozen=True):
    """One block of content.

    Attributes:
        kind: What it is; None for what a hosted tool has answered.
        passage: What is streamed of it; of a call its input as JSON.
        before: Tokens that exist before it begins.
        tokens: Tokens it takes.
        lead: The part of them that comes before the passage.
        content: How it begins, of a call; all of it, of an answer; None of what is text.
        service: The hosted tool that is called; None if none is.
    """

    kind: type[Segment] | None
    passage: TokenizedText
    before: int
    tokens: int
    lead: int = 0
    content: dict[str, Any] | None = None
    service: Service | None = None

    def whole(self) -> dict[str, Any]:
        """Give all of a call or an answer."""
        assert self.content is not None
        if self.kind is ToolCallSegment:
            return self.content | {"input": arguments(self.passage.text)}
        return self.content


def blocks_of(turn: Turn, options: MessageOptions) -> list[Block]:
    """Give the content of a turn. Thought that nobody asked for, as a script may have it, costs tokens and is not told."""
    blocks: list[Block] = []
    before = 0
    for segment in turn.choices[0].segments:
        match segment:
            case ToolCallSegment():
                blocks += _called(turn, segment, before, options)
            case ReasoningSegment():
                if options.thinks:
                    blocks.append(Block(ReasoningSegment, segment.text or EMPTY, before, segment.tokens))
            case TextSegment() | RefusalSegment():
                if segment.text.pieces:
                    blocks.append(Block(type(segment), segment.text, before, segment.tokens))
        before += segment.tokens
    return blocks


def _called(turn: Turn, segment: ToolCallSegment, before: int, options: MessageOptions) -> list[Block]:
    """Give the block of a call, and what was answered to it if the API has run the tool itself."""
    call, passage = segment.call, segment.arguments
    if call.kind is ToolKind.HOSTED:
        return _hosted(turn, segment, before, python=options.python)
    if call.kind is ToolKind.CUSTOM:
        # No tool of this API takes free text; a script may call one all the same.
        passage = member("input", passage, cut=_is_cut(turn.choices[0], segment))
    content = {"type": "tool_use", "id": call.public_id("toolu_"), "name": call.name, "input": {}}
    content["caller"] = DIRECT
    if call.name in options.toolsets:
        content["toolset_name"] = options.toolsets[call.name]
    return [_call(segment, passage, before, content)]


def _hosted(turn: Turn, segment: ToolCallSegment, before: int, *, python: bool) -> list[Block]:
    call = segment.call
    service = service_of(call.name, python=python)
    if service is None:
        return []
    cut = _is_cut(turn.choices[0], segment)
    passage = service.asked(segment.arguments, cut=cut)
    called = call.public_id("srvtoolu_")
    content = {"type": "server_tool_use", "id": called, "name": service.name, "input": {}, "caller": DIRECT}
    block = _call(segment, passage, before, content, service)
    if cut:
        return [block]
    value = arguments(passage.text).get(service.field, "")
    answer = service.answered(value, turn, called)
    return [block, Block(None, EMPTY, before + segment.tokens, 0, content=answer)]


def _call(
    segment: ToolCallSegment,
    passage: TokenizedText,
    before: int,
    content: dict[str, Any],
    service: Service | None = None,
) -> Block:
    return Block(
        ToolCallSegment,
        passage,
        before,
        segment.tokens,
        lead=segment.header_tokens,
        content=content,
        service=service,
    )


def _is_cut(choice: Choice, segment: ToolCallSegment) -> bool:
    return segment is choice.segments[-1] and choice.finish in _CUT


class Served(msgspec.Struct, frozen=True):
    """What hosted tools have cost.

    Attributes:
        usage: How often each was called; None if none was.
        container: Where code was run; None if none was.
    """

    usage: dict[str, int] | None = None
    container: dict[str, Any] | None = None


_NOTHING = Served()


def served(turn: Turn, blocks: list[Block]) -> Served:
    """Tell what the hosted tools of a turn have cost."""
    if len(blocks) == 1 and blocks[0].service is None:
        return _NOTHING
    services = [block.service for block in blocks if block.service is not None]
    if not services:
        return _NOTHING
    counts = {"web_search_requests": 0, "web_fetch_requests": 0}
    for service in services:
        if service.counted:
            counts[service.counted] += 1
    contained = any(service.contained for service in services)
    return Served(counts, container(turn) if contained else None)
