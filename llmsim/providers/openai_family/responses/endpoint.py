"""The endpoint that creates responses, in a dialect: over HTTP, over WebSocket, and kept for later.

Decisions:
* A prompt that is too long is refused in the words of this API, which has an input and no messages.
"""

from collections.abc import Callable
from functools import partial

from llmsim.domain import Fault, Turn
from llmsim.errors import ContextLengthError, RefusedError
from llmsim.providers.contract import GenerationEndpoint, ParsedRequest, Reply, Socket
from llmsim.providers.openai_family.error_bodies import ErrorBody
from llmsim.providers.openai_family.responses.dialect import Dialect, Framing
from llmsim.providers.openai_family.responses.events import render_failure, render_stream, socket_error
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.parse import parse, parse_event
from llmsim.providers.openai_family.responses.resource import outcome, public_id, resource
from llmsim.providers.openai_family.responses.stored import continued, shown
from llmsim.providers.storage import ResponseStorage

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
) -> GenerationEndpoint:
    """Make the endpoint.

    Args:
        dialect: How it speaks.
        label: Its name in the stats, and the kind of its kept turns.
        render_error: What a client did wrong, as the provider's error reply.
        render_refusal: A refused request likewise.
        render_fault: A simulated failure likewise.
    """

    def refuse(error: RefusedError) -> Reply:
        if isinstance(error, ContextLengthError):
            return render_error(_TOO_LONG)
        return render_refusal(error)

    def limit(message: str) -> bytes:
        # Source: openai WebSocket guide, "Connection limits".
        error = ErrorBody(status=400, message=message, code="websocket_connection_limit_reached")
        return socket_error(render_error(error))

    def broken(turn: Turn, options: ResponseOptions, fault: Fault, frames: int, framing: Framing) -> bytes:
        # A frame holds one event, so what has left tells the next number.
        return render_failure(turn, options, dialect, render_fault(fault), frames, framing)

    return GenerationEndpoint(
        path="/v1/responses",
        label=label,
        parse=partial(parse, dialect=dialect),
        render_answer=partial(render_answer, dialect=dialect),
        render_stream=partial(render_stream, dialect=dialect),
        render_broken=partial(broken, framing=Framing.SSE),
        storage=ResponseStorage(
            kind=label,
            options=ResponseOptions,
            public_id=public_id,
            keeps=lambda options: options.store,
            background=lambda options: options.background,
            metadata=lambda options: options.metadata,
            previous=lambda options: options.previous,
            continued=partial(continued, dialect=dialect),
            render=partial(shown, dialect=dialect),
        ),
        socket=Socket(
            parse=partial(parse_event, dialect=dialect),
            is_warm_up=_is_warm_up,
            render_stream=partial(render_stream, dialect=dialect, framing=Framing.LINES),
            render_broken=partial(broken, framing=Framing.LINES),
            render_refusal=lambda error: socket_error(refuse(error)),
            render_fault=lambda fault: socket_error(render_fault(fault)),
            render_limit=limit,
        ),
        render_refusal=refuse,
    )


def render_answer(turn: Turn, options: ResponseOptions, dialect: Dialect) -> bytes:
    """Render the response of a turn that is done."""
    return resource(turn, options, dialect, outcome(turn))


def _is_warm_up(ask: ParsedRequest) -> bool:
    options: ResponseOptions = ask.options
    return not options.generate
