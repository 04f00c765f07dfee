"""Faults on the wire, applied to frames: the only function that turns the frames of a response into single writes.

Decisions:
* It runs between rendering and pacing. A renderer knows nothing of faults, and a channel only writes the pieces as they are given.
* Each event is a write of its own, so that a fault is where it is configured to be, whatever falls due together.
* The pieces of an event that is cut are some milliseconds apart: a client that reads both at once would not notice the cut.
* A stream's end is `[DONE]`, and where events are named the last event too.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec
from msgspec.structs import replace

from llmsim.domain import BREAKING, WireFault, WireFaultKind
from llmsim.wire.frames import SSE_DONE, FrameBatch

_APART = 0.005
"""Seconds between the pieces of an event."""

_DRIP_BYTES = 16
_PADDING = b" " * 2**20
_COMMENT = b": keep-alive\n\n"
_FIELDS = (b"data:", b"event:")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_FEED = re.compile(rb"(?<!\r)\n")

_BYTEWISE = (*BREAKING, WireFaultKind.WRONG_CONTENT_TYPE, WireFaultKind.SLOW_DRIP)
"""What can go wrong with a stream of mere bytes, such as sound."""

_ENDS = (b"\r\n\r\n", b"\n\n", b"\n")
"""What an event may end with: of server-sent events a blank line, of messages and elements of an array the end of a line."""


class Write(msgspec.Struct, frozen=True, gc=False):
    """Bytes that leave in one write.

    Attributes:
        data: The bytes.
        required_tokens: Tokens of each choice that must exist before it is sent; never falling from one write to the next.
        tokens: Completion tokens that it carries.
        pause: Seconds by which it, and all behind it, leaves later than the schedule has it.
    """

    data: bytes
    required_tokens: int
    tokens: int = 0
    pause: float = 0.0


def apply_wire_fault(
    frames: Sequence[FrameBatch], fault: WireFault, *, is_stream: bool
) -> tuple[Write, ...] | None:
    """Return the writes of a response with a fault.

    Args:
        frames: The response; of one that is not streamed the body, as one frame.
        fault: What goes wrong, with its place in tokens.
        is_stream: Whether the frames are events.

    Returns:
        The writes; None if there is nothing that the fault could damage.
    """
    has_events = is_stream and all(data.endswith(_ENDS) for data in _bodies(frames))
    if is_stream and not has_events and fault.kind not in _BYTEWISE:
        return None
    events = list(_events(frames, has_events=has_events))
    after = fault.after or 0
    if fault.kind in BREAKING:
        return tuple(_broken(events, fault, after, is_stream=is_stream))
    if fault.kind is WireFaultKind.WRONG_CONTENT_TYPE:
        return tuple(events)
    place = _place(events, after)
    match fault.kind:
        case WireFaultKind.MALFORMED_JSON:
            found = _changed(events, place, _cut_json(events[place].data))
        case WireFaultKind.HUGE_EVENT:
            found = _changed(events, place, events[place].data.replace(b"{", b"{" + _PADDING, 1))
        case WireFaultKind.DUPLICATE_EVENT:
            found = [*events[: place + 1], replace(events[place], tokens=0), *events[place + 1 :]]
        case WireFaultKind.MISSING_EVENT:
            found = [*events[:place], *events[place + 1 :]]
        case WireFaultKind.REORDERED_EVENTS:
            found = _reordered(events, place)
        case WireFaultKind.MISSING_TERMINAL:
            found = _without_end(events)
        case WireFaultKind.JOINED_EVENTS:
            found = [*events[:place], _joined(events[place:])]
        case WireFaultKind.CRLF:
            found = [replace(event, data=_LINE_FEED.sub(b"\r\n", event.data)) for event in events]
        case WireFaultKind.COMMENTS if not events[0].data.startswith(_FIELDS):
            # The elements of an array: JSON has no comments.
            return None
        case WireFaultKind.COMMENTS:
            found = [replace(event, data=_COMMENT + event.data) for event in events]
        case WireFaultKind.BYTE_ORDER_MARK:
            found = _changed(events, 0, _BYTE_ORDER_MARK + events[0].data)
        case WireFaultKind.SPLIT_UTF8:
            found = [piece for event in events for piece in _split(event, _inside_character(event.data))]
        case WireFaultKind.SPLIT_NEWLINES:
            found = [piece for event in events for piece in _split(event, len(event.data) - 1)]
        case WireFaultKind.SLOW_DRIP:
            found = list(_dripping(events, place, fault, is_stream=is_stream))
        case _:
            return None
    return tuple(found) if found != events else None


def _bodies(frames: Sequence[FrameBatch]) -> Iterator[bytes]:
    for batch in frames:
        yield from (batch.data(index, index + 1) for index in range(len(batch.required_tokens)))


def _events(frames: Sequence[FrameBatch], *, has_events: bool) -> Iterator[Write]:
    """Yield each event; the last of a frame carries its tokens."""
    for batch in frames:
        for index, required in enumerate(batch.required_tokens):
            data = batch.data(index, index + 1)
            tokens = batch.tokens[index] if batch.tokens else 0
            if has_events:
                end = next(end for end in _ENDS if data.endswith(end))
                *before, data, _ = data.split(end)
                yield from [Write(event + end, required) for event in before]
                data += end
            yield Write(data, required, tokens)


def _place(events: list[Write], after: int) -> int:
    """Return the first event behind `after` tokens that carries some; the last that does if there is none behind."""
    carrying = [index for index, event in enumerate(events) if event.tokens] or [len(events) - 1]
    behind = [index for index in carrying if events[index].required_tokens > after]
    return behind[0] if behind else carrying[-1]


def _changed(events: list[Write], place: int, data: bytes) -> list[Write]:
    return [*events[:place], replace(events[place], data=data), *events[place + 1 :]]


def _broken(events: list[Write], fault: WireFault, after: int, *, is_stream: bool) -> Iterator[Write]:
    if is_stream:
        # Before its end at the latest: a client that has read that would not notice.
        yield from [event for event in _without_end(events) if event.required_tokens <= after]
        yield Write(b"", after, pause=_APART)
    else:
        (body,) = events
        yield replace(body, data=body.data[: _share_of(body.data, fault.share)])
        yield Write(b"", body.required_tokens, pause=_APART)


def _share_of(data: bytes, share: float) -> int:
    """Return a place inside of `data`, not at its end."""
    return max(0, min(round(len(data) * share), len(data) - 1))


def _cut_json(data: bytes) -> bytes:
    """Cut the JSON of an event, or of a body, at about its middle, between two characters."""
    text = data.rstrip(b"\r\n")
    start = text.find(b"{")
    cut = start + max(1, (len(text) - start) // 2)
    while text[cut] & 0xC0 == 0x80:
        cut -= 1
    return text[:cut] + data[len(text) :]


def _reordered(events: list[Write], place: int) -> list[Write]:
    if place + 1 >= len(events):
        place -= 1
    if place < 0:
        return events
    first, second = events[place], events[place + 1]
    # The later instant is that of both: nothing leaves before it exists.
    second = replace(second, required_tokens=max(first.required_tokens, second.required_tokens))
    first = replace(first, required_tokens=second.required_tokens)
    return [*events[:place], second, first, *events[place + 2 :]]


def _without_end(events: list[Write]) -> list[Write]:
    kept = events[:-1]
    if events[-1].data == SSE_DONE and kept and kept[-1].data.startswith(b"event: "):
        kept.pop()
    return kept


def _joined(events: list[Write]) -> Write:
    return Write(
        b"".join(event.data for event in events),
        events[-1].required_tokens,
        sum(event.tokens for event in events),
    )


def _inside_character(data: bytes) -> int:
    """Return the place behind the first byte of the first character of several bytes; 0 if there is none."""
    return next((index + 1 for index, byte in enumerate(data) if byte >= 0xC0), 0)


def _split(event: Write, place: int) -> list[Write]:
    if place <= 0:
        return [event]
    first = replace(event, data=event.data[:place], tokens=0)
    return [first, replace(event, data=event.data[place:], pause=_APART)]


def _dripping(events: list[Write], place: int, fault: WireFault, *, is_stream: bool) -> Iterator[Write]:
    if is_stream:
        yield from events[:place]
    else:
        (body,) = events
        kept = _share_of(body.data, fault.share)
        yield replace(body, data=body.data[:kept])
        events, place = [replace(body, data=body.data[kept:])], 0
    for event in events[place:]:
        pieces = [event.data[start : start + _DRIP_BYTES] for start in range(0, len(event.data), _DRIP_BYTES)]
        for piece in pieces[:-1]:
            yield Write(piece, event.required_tokens, pause=fault.pause)
        yield Write(pieces[-1], event.required_tokens, event.tokens, fault.pause)
