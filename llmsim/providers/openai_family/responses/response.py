"""The response object, and the output of a turn in it.

Decisions:
* What a turn puts out is built once per rendering, as a `ResponseOutput`; the object and its events are rendered from it.
* A compaction and the lists of MCP servers come before what a model puts out.
* A reasoning item exists whenever a model has reasoned; any other item does not if the limit left no token for it.
* If a turn is truncated, its last item is incomplete, and no other.
* `completed_at` is computed from the means of the schedule, to the second: a sum of all gaps would cost more than all the
  rest of rendering.
* PERF: bytes are formatted around texts that were escaped once; the object occurs three times in a stream.

Source of fields: recorded responses of the OpenAI API; openai SDK 3.54, types/responses/response.py.
"""

from typing import Literal, assert_never

import msgspec

from llmsim.domain import (
    FinishReason,
    MediaSegment,
    ReasoningSegment,
    RefusalSegment,
    Segment,
    TextSegment,
    ToolCallSegment,
    ToolKind,
    Turn,
    Usage,
)
from llmsim.providers.openai_family.responses.annotations import SEARCHES, annotate
from llmsim.providers.openai_family.responses.client_search import SEARCH, ClientSearchItem
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.hosted_items import HostedCallItem
from llmsim.providers.openai_family.responses.mcp_items import ApprovalRequestItem, McpToolListItem
from llmsim.providers.openai_family.responses.moderation import render_moderation
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.output_items import (
    ClientCallItem,
    CompactionItem,
    ItemPosition,
    MessageItem,
    OutputItem,
    ReasoningItem,
)
from llmsim.providers.openai_family.responses.sealed_content import compacted_tokens
from llmsim.providers.openai_family.responses.tool_loading import load_tools
from llmsim.wire.codec import encode

UnfinishedStatus = Literal["queued", "in_progress", "cancelled", "failed"]
FinalStatus = Literal["completed", "incomplete"]

_TIERS = {
    "flex": "flex",
    "scale": "scale",
    "priority": "priority",
    "fast": "priority",
    "ultrafast": "ultrafast",
}
"""Requested tier to reported tier; all others are served as `default`. Source: SDK docstring of service_tier."""

_FAILURE_CODES = ("server_error", "rate_limit_exceeded")
"""Codes of a failed response that llmsim can have. Source: openai SDK 3.54, response_error.py."""


class ResponseOutput(msgspec.Struct, frozen=True):
    """The output of a turn.

    Attributes:
        items: Its items, in their order.
        incomplete_reason: Why the turn is incomplete; None if it is complete.
        web_searches: Number of complete web searches.
    """

    items: tuple[OutputItem, ...]
    incomplete_reason: bytes | None
    web_searches: int

    @property
    def status(self) -> FinalStatus:
        """The final status of the response."""
        return "completed" if self.incomplete_reason is None else "incomplete"


def incomplete_reason(finish: FinishReason) -> bytes | None:
    """Return why a turn that ends so is incomplete; None if it is complete."""
    match finish:
        case FinishReason.STOP | FinishReason.TOOL_CALLS | FinishReason.PAUSE:
            return None
        case FinishReason.LENGTH | FinishReason.WINDOW:
            return b"max_output_tokens"
        case FinishReason.CONTENT_FILTER:
            return b"content_filter"
        case _:
            assert_never(finish)


def build_output(turn: Turn, options: ResponseOptions, dialect: Dialect) -> ResponseOutput:
    """Build the output of a turn."""
    choice = turn.choices[0]
    reason = incomplete_reason(choice.finish)
    segments = [one for one in choice.segments if one.tokens or not _is_omitted(one, choice.finish)]
    truncated = segments[-1] if segments and reason is not None else None
    turn_id = turn.id.encode()
    items: list[OutputItem] = []
    start = web_searches = 0
    searches: list[tuple[str, str]] = []
    if options.compact_threshold is not None and turn.usage.prompt >= options.compact_threshold:
        place = ItemPosition(turn_id, 0, 0, 0, is_complete=True)
        items.append(CompactionItem(place, compacted_tokens(turn.usage.prompt), dialect))
    for server in options.tools.unlisted if segments else ():
        place = ItemPosition(turn_id, len(items), 0, 0, is_complete=True)
        items.append(McpToolListItem(place, server, dialect))
    loading = load_tools(turn_id, segments, truncated, options.tools, dialect)
    items += loading.output_of_program() if loading is not None else ()
    for segment in segments:
        end = start + segment.tokens
        is_complete = segment is not truncated
        position = ItemPosition(turn_id, len(items), start, end, is_complete)
        match segment:
            case TextSegment() if searches:
                annotations = annotate(segment.text.text, searches, dialect)
                items.append(MessageItem(position, segment, _phase(segment, segments, options), annotations))
            case TextSegment() | RefusalSegment():
                items.append(MessageItem(position, segment, _phase(segment, segments, options)))
            case ReasoningSegment():
                items.append(ReasoningItem(position, segment, options, dialect))
            case ToolCallSegment(call=call) if options.tools.searches_client and call.name == SEARCH:
                items.append(ClientSearchItem(position, segment, dialect))
            case ToolCallSegment(call=call) if call.kind in (ToolKind.FUNCTION, ToolKind.CUSTOM):
                caller = None
                if loading is not None:
                    items += loading.before(segment, len(items), start)
                    caller = loading.caller_of(segment)
                    position = ItemPosition(turn_id, len(items), start, end, is_complete)
                items.append(ClientCallItem(position, segment, options.tools, dialect, caller))
            case ToolCallSegment(call=call) if call.kind is ToolKind.ON_APPROVAL:
                items.append(ApprovalRequestItem(position, segment, options.tools, dialect))
            case ToolCallSegment(call=call):
                items.append(HostedCallItem(position, segment, options.tools, dialect))
                if call.name in SEARCHES and segment.tokens and is_complete:
                    searches.append((call.name, position.key))
                    web_searches += call.name == "web_search"
            case MediaSegment():
                pass  # No endpoint of this grammar makes any.
            case _:
                assert_never(segment)
        start = end
    return ResponseOutput(tuple(items), reason, web_searches)


def _phase(segment: Segment, segments: list[Segment], options: ResponseOptions) -> bytes:
    """Return the phase of a message; empty for a model whose messages have none."""
    if not options.has_phase:
        return b""
    rest = segments[segments.index(segment) + 1 :]
    calls = any(isinstance(one, ToolCallSegment) and one.call.kind is not ToolKind.HOSTED for one in rest)
    return b"commentary" if calls else b"final_answer"


def _is_omitted(segment: Segment, finish: FinishReason) -> bool:
    """Check whether a segment without tokens has no item: the limit left none for it, or there was no reasoning."""
    return isinstance(segment, ReasoningSegment) or finish in (FinishReason.LENGTH, FinishReason.WINDOW)


def public_id(turn: Turn) -> str:
    """Return the id of a turn's response."""
    return f"resp_{turn.id}"


class Failure(msgspec.Struct):
    """The error of an error reply."""

    message: str
    code: str | None = None
    param: str | None = None


_NULL = b"null"


def render_finished(turn: Turn, options: ResponseOptions, dialect: Dialect, output: ResponseOutput) -> bytes:
    """Render the response object of a turn that is done, with its output."""
    reason = output.incomplete_reason
    constants = dialect.constants
    if options.moderated is not None:
        results = render_moderation(turn, *options.moderated)
        constants = constants.replace(b'"moderation":null', b'"moderation":' + results, 1)
    if output.web_searches:
        constants = constants.replace(b'"num_requests":0', b'"num_requests":%d' % output.web_searches)
    return _OBJECT % (
        public_id(turn).encode(),
        turn.created,
        output.status.encode(),
        b"%d" % _completed_at(turn) if reason is None else _NULL,
        _NULL,
        _NULL if reason is None else b'{"reason":"%b"}' % reason,
        encode(turn.model),
        b",".join([item.json for item in output.items]),
        _TIERS.get(options.service_tier, "default").encode(),
        render_usage(turn.usage),
        constants,
        options.echo,
    )


def render_unfinished(
    turn: Turn,
    options: ResponseOptions,
    dialect: Dialect,
    status: UnfinishedStatus,
    *,
    failure: Failure | None = None,
) -> bytes:
    """Render the response object of a turn that is not done, or will never be; it has no output.

    Args:
        turn: The turn.
        options: The request's options.
        dialect: The API's dialect.
        status: The status of the response.
        failure: Why it failed; None if it did not.
    """
    tier, error = options.service_tier, _NULL
    if failure is not None:
        code = failure.code if failure.code in _FAILURE_CODES else _FAILURE_CODES[0]
        error = encode({"code": code, "message": failure.message})
    return _OBJECT % (
        public_id(turn).encode(),
        turn.created,
        status.encode(),
        _NULL,
        error,
        _NULL,
        encode(turn.model),
        b"",
        (tier if status in ("queued", "in_progress") else _TIERS.get(tier, "default")).encode(),
        _NULL,
        dialect.constants,
        options.echo,
    )


_OBJECT = (
    b'{"id":"%b","object":"response","created_at":%d,"status":"%b","completed_at":%b,"error":%b,'
    b'"incomplete_details":%b,"model":%b,"output":[%b],"service_tier":"%b","usage":%b,%b%b}'
)


def _completed_at(turn: Turn) -> int:
    schedule = turn.schedule
    return turn.created + int(schedule.ttft + schedule.itl * max(0, turn.length - 1))


def render_usage(usage: Usage) -> bytes:
    """Render the tokens of a response."""
    return (
        b'{"input_tokens":%d,"input_tokens_details":{"cache_write_tokens":0,"cached_tokens":%d},"output_tokens":%d,'
        b'"output_tokens_details":{"reasoning_tokens":%d},"total_tokens":%d}'
    ) % (usage.prompt, usage.cached, usage.completion, usage.reasoning, usage.total)
