"""The stream of `response.*` events.

Decisions:
* A resumed stream is the same frames without the first.
* `response.created`, `response.queued` and `response.in_progress` leave at once, as the API sends them before the
  model has said anything.
* Tokens that nothing else has carried leave with the last event.
* What goes wrong in mid-stream is told with the next free number.

Source of names, fields and order: recorded streams of the OpenAI API; openai SDK 3.54, types/responses/*_event.py;
openresponses/openresponses, schema/events.tsp.
"""

from collections.abc import Sequence

import msgspec

from llmsim.domain import Turn
from llmsim.providers.contract import Reply
from llmsim.providers.openai_family.responses.dialect import Dialect, Framing
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.output import put_out
from llmsim.providers.openai_family.responses.resource import Failure, outcome, resource
from llmsim.providers.openai_family.responses.stream import EventStream, event
from llmsim.wire.codec import encode
from llmsim.wire.frames import FrameBatch


def render_stream(
    turn: Turn, options: ResponseOptions, dialect: Dialect, framing: Framing = Framing.SSE
) -> tuple[FrameBatch, ...]:
    """Render all events of a streamed response, from `response.created` to its end."""
    stream = EventStream(framing, padded=options.obfuscation)
    if options.background:
        queued = b'"response":' + resource(turn, options, dialect, "queued")
        stream.tell(b"response.created", queued, 0)
        stream.tell(b"response.queued", queued, 0)
    begun = b'"response":' + resource(turn, options, dialect, "in_progress")
    if not options.background:
        stream.tell(b"response.created", begun, 0)
    stream.tell(b"response.in_progress", begun, 0)
    written = put_out(turn, options, dialect)
    for one in written:
        one.tell(stream)
    status = outcome(turn)
    whole = resource(turn, options, dialect, status, items=[one.item for one in written])
    stream.tell(b"response." + status.encode(), b'"response":' + whole, turn.length, carries=True)
    return stream.end(dialect.done if framing is Framing.SSE else b"")


def resumed(runs: Sequence[FrameBatch], starting_after: int) -> tuple[FrameBatch, ...]:
    """Leave out of a stream all events up to the number `starting_after`; nothing may be left."""
    left = starting_after + 1
    kept: list[FrameBatch] = []
    for run in runs:
        if left <= 0:
            kept.append(run)
        elif left < len(run.required_tokens):
            kept.append(
                FrameBatch(
                    run.head, run.bodies[left:], run.tail, run.required_tokens[left:], run.tokens[left:]
                )
            )
        left -= len(run.required_tokens)
    return tuple(kept)


class _Envelope(msgspec.Struct):
    error: Failure


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def render_failure(
    turn: Turn,
    options: ResponseOptions,
    dialect: Dialect,
    reply: Reply,
    number: int,
    framing: Framing = Framing.SSE,
) -> bytes:
    """Render how a stream ends that fails before event `number`: an error event, then `response.failed`.

    Args:
        turn: What was being answered.
        options: What was asked.
        dialect: How it is said.
        reply: What goes wrong, as the provider's error reply.
        number: The first number that no event has.
        framing: How events are put on the wire.
    """
    failure = _decode_envelope(reply.body).error
    if dialect.nested_errors:
        members = reply.body[1:-1]
    else:
        flat = {"code": failure.code, "message": failure.message, "param": failure.param}
        members = encode(flat)[1:-1]
    failed = resource(turn, options, dialect, "failed", failure=failure)
    return (
        event(framing, b"error", members, number)
        + event(framing, b"response.failed", b'"response":%b' % failed, number + 1)
        + (dialect.done if framing is Framing.SSE else b"")
    )


def socket_error(reply: Reply) -> bytes:
    """Render an error reply as a message over a WebSocket: a line that tells its status beside its error."""
    return b'{"type":"error","status":%d,%b\n' % (reply.status, reply.body[1:])
