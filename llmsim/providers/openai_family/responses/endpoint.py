"""The endpoint that creates responses, in a dialect: over HTTP, over WebSocket, and kept for later.

Decisions:
* A prompt that is too long is refused in the words of this API, which has an input and no messages.
"""

from collections.abc import Callable
from functools import partial

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
from llmsim.providers.openai_family.responses.dialect import Dialect, Framing
from llmsim.providers.openai_family.responses.events import render_failure, render_stream, socket_error
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.parse import parse, parse_event
from llmsim.providers.openai_family.responses.resource import outcome, public_id, resource
from llmsim.providers.openai_family.responses.stored import continued, shown
from llmsim.providers.storage import ResponseStorage
from llmsim.wire.complaints import ErrorBody
from llmsim.wire.frames import SSE_HEADERS

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
    render_complaint: Callable[[ErrorBody], Reply],
    render_refusal: Callable[[RefusedError], Reply],
    render_fault: Callable[[Fault], Reply],
) -> GenerationEndpoint[ResponseOptions]:
    """Make the endpoint.

    Args:
        dialect: How it speaks.
        label: Its name in the stats, and the kind of its kept turns.
        render_complaint: What a client did wrong, as the provider's error reply.
        render_refusal: A refused request likewise.
        render_fault: A simulated failure likewise.
    """

    def refuse(error: RefusedError) -> Reply:
        if isinstance(error, ContextLengthError):
            return render_complaint(_TOO_LONG)
        return render_refusal(error)

    def limit(message: str) -> Reply:
        # Source: openai WebSocket guide, "Connection limits".
        complaint = ErrorBody(status=400, message=message, code="websocket_connection_limit_reached")
        return _as_event(render_complaint(complaint))

    def parse_body(request: IncomingRequest) -> ParsedRequest[ResponseOptions]:
        return parse(request.body, dialect)

    def parse_message(request: IncomingRequest) -> ParsedRequest[ResponseOptions]:
        parsed = parse_event(request.body, dialect)
        return ParsedRequest(parsed.prompt, parsed.options, is_warm_up=not parsed.options.generate)

    def broken(turn: Turn, options: ResponseOptions, fault: Fault, frames: int, framing: Framing) -> bytes:
        # A frame holds one event, so what has left tells the next number.
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
        storage=ResponseStorage(
            kind=label,
            options=ResponseOptions,
            public_id=public_id,
            should_store=lambda options: options.store,
            is_background=lambda options: options.background,
            metadata=lambda options: options.metadata,
            previous_id=lambda options: options.previous,
            with_history=partial(continued, dialect=dialect),
            render=partial(shown, dialect=dialect),
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
        ),
    )


def render_response(turn: Turn, options: ResponseOptions, dialect: Dialect) -> bytes:
    """Render the response of a turn that is done."""
    return resource(turn, options, dialect, outcome(turn))


def _as_event(reply: Reply) -> Reply:
    """Render an error reply as a message over a WebSocket."""
    return Reply(reply.status, socket_error(reply))
