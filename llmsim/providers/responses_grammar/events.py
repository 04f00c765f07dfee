"""The stream of `response.*` events.

Decisions:
* One frame holds one event, so that the n-th frame has the sequence number n, and a resumed stream is the same
  frames without the first.
* `response.created`, `response.queued` and `response.in_progress` leave at once, as the API sends them before the
  model has said anything. A reasoning item opens with the first token and closes with the last of the reasoning; the
  message opens with its first visible token, so that the first text is not announced ahead of its time.
* Hidden reasoning tokens leave with the first visible token. A summary carries no tokens, but its pieces wait until
  so much of the reasoning exists.
* What goes wrong in mid-stream is told with the next free number.

Source of names, fields and order: recorded streams of the OpenAI API; openai SDK 3.54, types/responses/*_event.py;
openresponses/openresponses, schema/events.tsp.
"""

from collections.abc import Sequence

import msgspec

from llmsim.exchange import Passage, Turn
from llmsim.providers.contract import Reply
from llmsim.providers.responses_grammar.dialect import Dialect, Framing
from llmsim.providers.responses_grammar.numbered import Numbered
from llmsim.providers.responses_grammar.options import ResponseOptions
from llmsim.providers.responses_grammar.resource import NOTHING, Failure, Output, outcome, resource
from llmsim.wire.codec import PassageMemo, encode, escaped, spans
from llmsim.wire.frames import Run
from llmsim.wire.obfuscation import padding

_NUMBER = b'","sequence_number":'


def _plain(passage: Passage) -> tuple[bytes, ...]:
    return tuple(piece + _NUMBER for piece in escaped(passage))


def _padded(passage: Passage) -> tuple[bytes, ...]:
    pieces = enumerate(escaped(passage), start=1)
    middle = b'","obfuscation":"'
    return tuple(piece + middle + padding(len(piece), place) + _NUMBER for place, piece in pieces)


_PLAIN = PassageMemo(_plain)
_PADDED = PassageMemo(_padded)


_BEFORE = {Framing.SSE: b'event: %b\ndata: {"type":"%b",%b', Framing.LINES: b'%.0b{"type":"%b",%b'}
"""What stands before the end of an event: its name, its name and its members. `%.0b` prints nothing."""

_BEHIND = {Framing.SSE: b"}\n\n", Framing.LINES: b"}\n"}

_WHOLE = {
    framing: before + b',"sequence_number":%d' + _BEHIND[framing] for framing, before in _BEFORE.items()
}


def _event(framing: Framing, kind: bytes, members: bytes, number: int) -> bytes:
    return _WHOLE[framing] % (kind, kind, members, number)


class _Stream:
    """The frames of one turn, numbered as they are added."""

    def __init__(self, framing: Framing, *, padded: bool) -> None:
        self._framing = framing
        self._whole = _WHOLE[framing]
        self._pieces = _PADDED if padded else _PLAIN
        self._number = 0
        self._runs: list[Run] = []
        self._bodies: list[bytes] = []
        self._ends: list[int] = []

    def tell(self, kind: bytes, members: bytes, after: int) -> None:
        """Add one event that may leave when `after` tokens exist."""
        self._bodies.append(self._whole % (kind, kind, members, self._number))
        self._ends.append(after)
        self._number += 1

    def pour(
        self,
        kind: bytes,
        members: bytes,
        passage: Passage,
        ends: Sequence[int],
        tokens: Sequence[int] = (),
    ) -> None:
        """Add one delta event a piece of `passage`."""
        self._close()
        head = _BEFORE[self._framing] % (kind, kind, members) + b',"delta":"'
        bodies = Numbered(self._pieces(passage), self._number)
        self._runs.append(Run(head, bodies, _BEHIND[self._framing], ends, tokens))
        self._number += len(bodies)

    def _close(self) -> None:
        if self._bodies:
            self._runs.append(Run(b"", tuple(self._bodies), b"", tuple(self._ends)))
            self._bodies.clear()
            self._ends.clear()

    def end(self, done: bytes) -> tuple[Run, ...]:
        """Give all frames; `done`, if there is any, leaves behind the last event."""
        if done:
            self._bodies.append(done)
            self._ends.append(self._ends[-1])
        self._close()
        return tuple(self._runs)


def render_stream(
    turn: Turn, options: ResponseOptions, dialect: Dialect, framing: Framing = Framing.SSE
) -> tuple[Run, ...]:
    """Render all events of a streamed response, from `response.created` to its end."""
    stream = _Stream(framing, padded=options.obfuscation)
    put_out = Output(turn, options, dialect)
    if options.background:
        queued = b'"response":' + resource(turn, options, dialect, "queued")
        stream.tell(b"response.created", queued, 0)
        stream.tell(b"response.queued", queued, 0)
    begun = b'"response":' + resource(turn, options, dialect, "in_progress")
    if not options.background:
        stream.tell(b"response.created", begun, 0)
    stream.tell(b"response.in_progress", begun, 0)
    if put_out.thought is not None:
        _think(stream, put_out)
    if put_out.said is not None:
        _say(stream, put_out, turn.length)
    status = outcome(turn)
    whole = resource(turn, options, dialect, status, items=put_out.items)
    stream.tell(b"response." + status.encode(), b'"response":' + whole, turn.length)
    return stream.end(dialect.done if framing is Framing.SSE else b"")


def _think(stream: _Stream, put_out: Output) -> None:
    """Add the events of the reasoning item, which is the first."""
    thought, told, manner = put_out.thought, put_out.told, put_out.manner
    assert thought is not None
    begun = put_out.thought_item(b"in_progress")
    stream.tell(b"response.output_item.added", b'"item":%b,"output_index":0' % begun, 1)
    if told.pieces:
        where = b'"item_id":"%b","output_index":0,"%b":0' % (put_out.thought_id, manner.index)
        empty = b',"part":' + put_out.told_part(b"")
        stream.tell(manner.opened, where + empty, told.ends[0])
        stream.pour(manner.delta, where, told, told.ends, spans(told) if manner.whole else ())
        stream.tell(manner.done, where + b',"text":"%b"' % put_out.told_text, told.tokens)
        part = b',"part":' + put_out.told_part(put_out.told_text)
        stream.tell(manner.closed, where + part, told.tokens)
    item = put_out.items[0]
    stream.tell(b"response.output_item.done", b'"item":%b,"output_index":0' % item, thought.tokens)


def _say(stream: _Stream, put_out: Output, length: int) -> None:
    """Add the events of the message, which is the last item and ends with token `length`."""
    said = put_out.said
    assert said is not None
    passage = said.passage or NOTHING
    ends, tokens = passage.ends, spans(passage)
    first = length
    if passage.pieces:
        if put_out.thought is not None:
            before = put_out.thought.tokens
            ends = tuple(before + end for end in ends)
            hidden = before - (put_out.told.tokens if put_out.manner.whole else 0)
            tokens = (hidden + tokens[0], *tokens[1:])
        first = ends[0]
    place = b',"output_index":%d' % put_out.said_at
    where = b'"item_id":"%b","content_index":0' % put_out.said_id + place
    begun = b'"item":' + put_out.said_item(b"in_progress") + place
    stream.tell(b"response.output_item.added", begun, first)
    empty = b',"part":' + put_out.said_part(b"")
    stream.tell(b"response.content_part.added", where + empty, first)
    if passage.pieces:
        stream.pour(b"response.output_text.delta", where + b',"logprobs":[]', passage, ends, tokens)
    text = b',"logprobs":[],"text":"%b"' % put_out.said_text
    stream.tell(b"response.output_text.done", where + text, length)
    part = b',"part":' + put_out.said_part(put_out.said_text)
    stream.tell(b"response.content_part.done", where + part, length)
    stream.tell(b"response.output_item.done", b'"item":' + put_out.items[-1] + place, length)


def resumed(runs: Sequence[Run], starting_after: int) -> tuple[Run, ...]:
    """Leave out of a stream all events up to the number `starting_after`; nothing may be left."""
    left = starting_after + 1
    kept: list[Run] = []
    for run in runs:
        if left <= 0:
            kept.append(run)
        elif left < len(run.ends):
            kept.append(Run(run.head, run.bodies[left:], run.tail, run.ends[left:], run.tokens[left:]))
        left -= len(run.ends)
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
        _event(framing, b"error", members, number)
        + _event(framing, b"response.failed", b'"response":%b' % failed, number + 1)
        + (dialect.done if framing is Framing.SSE else b"")
    )


def socket_error(reply: Reply) -> bytes:
    """Render an error reply as a message over a WebSocket: a line that tells its status beside its error."""
    return b'{"type":"error","status":%d,%b\n' % (reply.status, reply.body[1:])
