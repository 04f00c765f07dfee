"""The endpoint that creates responses, in a dialect: whole, as a stream of `response.*` events, and stored.

Decisions:
* A prompt that is too long is refused in the wording of this API, which has an input and no messages.
* `response.created`, `response.queued` and `response.in_progress` are sent at once, as the API sends them before the
  first token.
* Tokens that no other event has carried are carried by the last event.
* An error in mid-stream has the next free sequence number.
* A response that was cancelled has no output.

Source of names, fields and order: recorded streams of the OpenAI API; openai SDK 3.54, types/responses/*_event.py;
openresponses/openresponses, schema/events.tsp.
"""

from collections.abc import Callable
from functools import partial
from typing import assert_never

import msgspec

from llmsim.domain import Fault, Turn
from llmsim.errors import ContextLengthError, RefusedError
from llmsim.providers.contract import (
    ChannelFormat,
    GenerationEndpoint,
    IncomingRequest,
    ParsedRequest,
    Reply,
    WebSocketFormat,
)
from llmsim.providers.openai_family.error_bodies import ErrorBody
from llmsim.providers.openai_family.responses.dialect import Dialect, Framing
from llmsim.providers.openai_family.responses.event_stream import EventStream, encode_event
from llmsim.providers.openai_family.responses.history import (
    referenced_responses,
    with_history,
    with_references,
)
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.parse import continued_id, parse, parse_event
from llmsim.providers.openai_family.responses.response import (
    Failure,
    build_output,
    public_id,
    render_finished,
    render_unfinished,
)
from llmsim.providers.openai_family.responses.stored_conversations import append, load, remove
from llmsim.providers.storage import ConversationStorage, ResponseStorage, State, StoredResponse
from llmsim.wire.codec import encode
from llmsim.wire.frames import SSE_HEADERS, FrameBatch

_TOO_LONG = ErrorBody(
    status=400,
    message="Your input exceeds the context window of this model. Please adjust your input and try again.",
    param="input",
    code="context_length_exceeded",
)


def endpoint(
    dialect: Dialect,
    label: str,
    *,
    render_error: Callable[[ErrorBody], Reply],
    render_refusal: Callable[[RefusedError], Reply],
    render_fault: Callable[[Fault], Reply],
) -> GenerationEndpoint[ResponseOptions]:
    """Build the endpoint.

    Args:
        dialect: The API's dialect.
        label: Its name in the stats, and the kind of its stored responses.
        render_error: Renders a client's error as the provider's error reply.
        render_refusal: Renders a refused request likewise.
        render_fault: Renders a simulated failure likewise.
    """

    def refuse(error: RefusedError) -> Reply:
        if isinstance(error, ContextLengthError):
            return render_error(_TOO_LONG)
        return render_refusal(error)

    def limit(message: str) -> Reply:
        # Source: openai WebSocket guide, "Connection limits".
        error = ErrorBody(status=400, message=message, code="websocket_connection_limit_reached")
        return _as_event(render_error(error))

    def parse_body(request: IncomingRequest) -> ParsedRequest[ResponseOptions]:
        return parse(request.body, dialect)

    def parse_message(request: IncomingRequest) -> ParsedRequest[ResponseOptions]:
        return parse_event(request.body, dialect)

    def broken(turn: Turn, options: ResponseOptions, fault: Fault, frames: int, framing: Framing) -> bytes:
        # A frame holds one event, so the number of frames sent is the next sequence number.
        return render_failure(turn, options, dialect, render_fault(fault), frames, framing)

    return GenerationEndpoint(
        path="/v1/responses",
        label=label,
        http=ChannelFormat(
            parse=parse_body,
            render_refusal=refuse,
            render_fault=render_fault,
            render_stream=partial(render_stream, dialect=dialect),
            render_stream_fault=partial(broken, framing=Framing.SSE),
            stream_headers=SSE_HEADERS,
        ),
        render_response=partial(render_response, dialect=dialect),
        splits_turns=True,
        storage=ResponseStorage(
            kind=label,
            options=ResponseOptions,
            public_id=public_id,
            should_store=lambda options: options.store,
            is_background=lambda options: options.background,
            metadata=lambda options: options.metadata,
            previous_id=lambda options: options.previous_response_id,
            with_history=partial(with_history, dialect=dialect),
            render=partial(render_stored, dialect=dialect),
            referenced=referenced_responses,
            with_references=partial(with_references, dialect=dialect),
            conversations=ConversationStorage(
                id=lambda options: options.conversation,
                load=partial(load, dialect=dialect),
                append=partial(append, dialect=dialect),
                remove=partial(remove, dialect=dialect),
            ),
        ),
        websocket=WebSocketFormat(
            messages=ChannelFormat(
                parse=parse_message,
                render_refusal=lambda error: _as_event(refuse(error)),
                render_fault=lambda fault: _as_event(render_fault(fault)),
                render_stream=partial(render_stream, dialect=dialect, framing=Framing.LINES),
                render_stream_fault=partial(broken, framing=Framing.LINES),
            ),
            render_limit=limit,
            previous_id=continued_id,
        ),
    )


def _as_event(reply: Reply) -> Reply:
    """Return an error reply as a WebSocket message: one line, with the status and the headers beside the error.

    Source: codex, codex-api/src/endpoint/responses_websocket.rs: a 429 is retried if its event has `retry-after` in `headers`.
    """
    headers = b',"headers":%b' % encode(dict(reply.headers)) if reply.headers else b""
    return Reply(
        reply.status, b'{"type":"error","status":%d,%b%b}\n' % (reply.status, reply.body[1:-1], headers)
    )


def render_response(turn: Turn, options: ResponseOptions, dialect: Dialect) -> bytes:
    """Render the response of a turn that is done."""
    return render_finished(turn, options, dialect, build_output(turn, options, dialect))


def render_stored(stored: StoredResponse[ResponseOptions], now: float, dialect: Dialect) -> bytes:
    """Render a stored response as it is at `now`, a Unix time."""
    turn = stored.turn
    options: ResponseOptions = stored.options
    state = stored.state(now)
    match state:
        case State.DONE:
            return render_response(turn, options, dialect)
        case State.QUEUED:
            return render_unfinished(turn, options, dialect, "queued")
        case State.IN_PROGRESS:
            return render_unfinished(turn, options, dialect, "in_progress")
        case State.CANCELLED:
            return render_unfinished(turn, options, dialect, "cancelled")
        case _:
            assert_never(state)


def render_stream(
    turn: Turn, options: ResponseOptions, dialect: Dialect, framing: Framing = Framing.SSE
) -> tuple[FrameBatch, ...]:
    """Render all events of a streamed response, from `response.created` to the last."""
    stream = EventStream(framing, padded=options.obfuscation)
    if options.background:
        queued = b'"response":' + render_unfinished(turn, options, dialect, "queued")
        stream.emit(b"response.created", queued, 0)
        stream.emit(b"response.queued", queued, 0)
    begun = b'"response":' + render_unfinished(turn, options, dialect, "in_progress")
    if not options.background:
        stream.emit(b"response.created", begun, 0)
    stream.emit(b"response.in_progress", begun, 0)
    output = build_output(turn, options, dialect)
    for item in output.items:
        item.emit(stream)
    done = b'"response":' + render_finished(turn, options, dialect, output)
    stream.emit(b"response." + output.status.encode(), done, turn.length, carries_tokens=True)
    return stream.finish(dialect.stream_end if framing is Framing.SSE else b"")


class _ErrorReply(msgspec.Struct):
    error: Failure


_decode_error_reply = msgspec.json.Decoder(_ErrorReply).decode


def render_failure(
    turn: Turn,
    options: ResponseOptions,
    dialect: Dialect,
    reply: Reply,
    number: int,
    framing: Framing = Framing.SSE,
) -> bytes:
    """Render the end of a stream that fails before event `number`: an error event, then `response.failed`.

    Args:
        turn: The turn that fails.
        options: The request's options.
        dialect: The API's dialect.
        reply: The failure, as the provider's error reply.
        number: The next free sequence number.
        framing: How events are framed.
    """
    failure = _decode_error_reply(reply.body).error
    if dialect.nested_errors:
        members = reply.body[1:-1]
    else:
        flat = {"code": failure.code, "message": failure.message, "param": failure.param}
        members = encode(flat)[1:-1]
    failed = b'"response":' + render_unfinished(turn, options, dialect, "failed", failure=failure)
    return (
        encode_event(framing, b"error", members, number)
        + encode_event(framing, b"response.failed", failed, number + 1)
        + (dialect.stream_end if framing is Framing.SSE else b"")
    )
