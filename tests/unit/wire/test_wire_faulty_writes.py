"""Frames with a fault on the wire become writes."""

import json
from itertools import pairwise

import pytest

from llmsim.domain import EFFECTS, WireFault, WireFaultKind
from llmsim.wire.faulty_writes import Write, apply_wire_fault
from llmsim.wire.frames import SSE_DONE, FrameBatch, single

TOKENS = (b'{"t":"a"}', b'{"t":"\xc3\xbc"}', b'{"t":"\xf0\x9f\xa6\x9c"}', b'{"t":"d"}')
STREAM = (
    single(b'data: {"role":"assistant"}\n\n', 0),
    FrameBatch(b"data: ", TOKENS, b"\n\n", (1, 2, 3, 4), (1, 1, 1, 1)),
    single(b'data: {"usage":4}\n\n' + SSE_DONE, 4),
)
NAMED = (
    single(b'event: start\ndata: {"n":0}\n\n', 0),
    single(b'event: stop\ndata: {"n":1}\n\n', 1),
)
PLAIN = [b'data: {"role":"assistant"}\n\n', *(b"data: %b\n\n" % token for token in TOKENS)]
PLAIN += [b'data: {"usage":4}\n\n', SSE_DONE]
BODY = '{"text":"Grüße 🦜","tokens":4}'.encode()


def of_stream(
    kind: WireFaultKind, after: int = 2, frames: tuple[FrameBatch, ...] = STREAM
) -> tuple[Write, ...] | None:
    return apply_wire_fault(frames, WireFault(kind, after, pause=0.25), is_stream=True)


def stream(kind: WireFaultKind, after: int = 2, frames: tuple[FrameBatch, ...] = STREAM) -> list[bytes]:
    writes = of_stream(kind, after, frames)
    assert writes is not None
    return [write.data for write in writes]


def body(kind: WireFaultKind, share: float = 0.5, data: bytes = BODY) -> list[bytes]:
    writes = apply_wire_fault((single(data, 4),), WireFault(kind, 2, share=share), is_stream=False)
    assert writes is not None
    return [write.data for write in writes]


@pytest.mark.parametrize("kind", [WireFaultKind.RESET, WireFaultKind.CLOSE, WireFaultKind.HALF_CLOSE])
def test_what_exists_is_sent_before_a_connection_breaks(kind: WireFaultKind) -> None:
    """FAULT-2.1: Events of `after` tokens leave, then nothing for an instant, so that they arrive before a reset."""
    assert stream(kind) == [*PLAIN[:3], b""]
    assert stream(kind, after=0) == [PLAIN[0], b""]
    assert body(kind) == [BODY[: round(len(BODY) / 2)], b""]


def test_a_body_never_breaks_behind_its_end() -> None:
    """FAULT-2.2: At the share 1 the last byte is missing: a client could not notice otherwise."""
    assert body(WireFaultKind.CLOSE, share=1.0) == [BODY[:-1], b""]


def test_a_stream_never_breaks_behind_its_end() -> None:
    """FAULT-1.5: Behind the last token the event that ends the stream is missing, for the same reason."""
    assert stream(WireFaultKind.RESET, after=9) == [*PLAIN[:-1], b""]
    assert stream(WireFaultKind.CLOSE, after=9, frames=NAMED) == [b'event: start\ndata: {"n":0}\n\n', b""]


def test_an_array_has_no_comments() -> None:
    """FAULT-4.3: A stream that is a JSON array stays one."""
    array = (single(b'[{"n":1}\r\n', 1), single(b',{"n":2}\r\n', 2), single(b"]\r\n", 2))

    assert of_stream(WireFaultKind.COMMENTS, frames=array) is None


@pytest.mark.parametrize("kind", [kind for kind in WireFaultKind if EFFECTS[kind].streams])
def test_sound_has_no_events_to_damage(kind: WireFaultKind) -> None:
    """FAULT-4.6: A stream of sound breaks off, drips or is called HTML; nothing else happens to it."""
    sound = (FrameBatch(b"", (b"RIFF", b"\x01\x02\x03\x04" * 8, b"\x05\n"), b"", (0, 2, 4), (0, 2, 2)),)
    writes = of_stream(kind, 2, sound)
    if kind in (WireFaultKind.RESET, WireFaultKind.CLOSE, WireFaultKind.HALF_CLOSE):
        assert writes is not None
        assert [len(write.data) for write in writes] == [4, 32, 0]
    elif kind in (WireFaultKind.SLOW_DRIP, WireFaultKind.WRONG_CONTENT_TYPE):
        assert writes is not None
        assert b"".join(write.data for write in writes) == b"RIFF" + b"\x01\x02\x03\x04" * 8 + b"\x05\n"
    else:
        assert writes is None


def test_slow_drip() -> None:
    """FAULT-2.4: From its place on, no write has more than 16 bytes, and each waits."""
    writes = of_stream(WireFaultKind.SLOW_DRIP)
    assert writes is not None

    assert [write.data for write in writes[:3]] == PLAIN[:3]
    assert max(len(write.data) for write in writes[3:]) == 16
    assert {write.pause for write in writes[3:]} == {0.25}
    assert b"".join(write.data for write in writes) == b"".join(PLAIN)
    assert sum(write.tokens for write in writes) == 4
    assert max(map(len, body(WireFaultKind.SLOW_DRIP)[1:])) == 16
    assert b"".join(body(WireFaultKind.SLOW_DRIP)) == BODY


def test_malformed_json() -> None:
    """FAULT-3.1: One event is no JSON, between whole characters; the framing and all other events are whole."""
    found = stream(WireFaultKind.MALFORMED_JSON)

    assert [index for index, data in enumerate(found) if data != PLAIN[index]] == [3]
    assert found[3].startswith(b'data: {"')
    assert found[3].endswith(b"\n\n")
    with pytest.raises(json.JSONDecodeError):
        json.loads(found[3].decode()[6:])
    with pytest.raises(json.JSONDecodeError):
        json.loads(body(WireFaultKind.MALFORMED_JSON)[0].decode())


def test_an_event_comes_twice_not_at_all_or_late() -> None:
    """FAULT-3.2: The event is the first behind its place that carries tokens."""
    assert stream(WireFaultKind.DUPLICATE_EVENT) == [*PLAIN[:4], *PLAIN[3:]]
    assert stream(WireFaultKind.MISSING_EVENT) == [*PLAIN[:3], *PLAIN[4:]]
    assert stream(WireFaultKind.REORDERED_EVENTS) == [*PLAIN[:3], PLAIN[4], PLAIN[3], *PLAIN[5:]]
    assert stream(WireFaultKind.MISSING_EVENT, after=9) == [*PLAIN[:4], *PLAIN[5:]]


def test_events_are_never_early() -> None:
    """FAULT-3.2: A swapped event waits for its own tokens, and tokens count once."""
    for kind in WireFaultKind:
        writes = of_stream(kind) or ()
        required = [write.required_tokens for write in writes]
        assert all(earlier <= later for earlier, later in pairwise(required)), kind
        assert sum(write.tokens for write in writes) <= 4, kind
    swapped = of_stream(WireFaultKind.REORDERED_EVENTS)
    assert swapped is not None
    assert swapped[3].required_tokens == 4


def test_missing_terminal() -> None:
    """FAULT-3.3: `[DONE]` is missing; where events are named the last of them, and `[DONE]` behind it too."""
    assert stream(WireFaultKind.MISSING_TERMINAL) == PLAIN[:-1]
    assert stream(WireFaultKind.MISSING_TERMINAL, frames=NAMED) == [NAMED[0].bodies[0]]
    assert stream(WireFaultKind.MISSING_TERMINAL, frames=(*NAMED, single(SSE_DONE, 1))) == [
        NAMED[0].bodies[0]
    ]


def test_events_are_cut_inside_characters() -> None:
    """FAULT-4.1: Each event with such a character comes in two writes, neither of which is UTF-8."""
    found = stream(WireFaultKind.SPLIT_UTF8)

    assert b"".join(found) == b"".join(PLAIN)
    assert len(found) == len(PLAIN) + 2
    assert sum(not is_utf8(data) for data in found) == 4
    assert b"".join(body(WireFaultKind.SPLIT_UTF8)) == BODY
    assert [is_utf8(data) for data in body(WireFaultKind.SPLIT_UTF8)] == [False, False]


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_events_are_cut_between_newlines() -> None:
    """FAULT-4.1: The second newline comes in a write of its own, a moment later."""
    writes = of_stream(WireFaultKind.SPLIT_NEWLINES)
    assert writes is not None

    assert [write.data for write in writes[::2]] == [event[:-1] for event in PLAIN]
    assert {(write.data, write.pause > 0) for write in writes[1::2]} == {(b"\n", True)}


def test_events_come_together() -> None:
    """FAULT-4.2: All events behind the place are one write."""
    assert stream(WireFaultKind.JOINED_EVENTS) == [*PLAIN[:3], b"".join(PLAIN[3:])]


def test_what_server_sent_events_allow() -> None:
    """FAULT-4.3: The fields of events are unchanged."""
    assert stream(WireFaultKind.CRLF) == [event.replace(b"\n", b"\r\n") for event in PLAIN]
    assert stream(WireFaultKind.COMMENTS) == [b": keep-alive\n\n" + event for event in PLAIN]
    assert stream(WireFaultKind.BYTE_ORDER_MARK) == [b"\xef\xbb\xbf" + PLAIN[0], *PLAIN[1:]]
    huge = stream(WireFaultKind.HUGE_EVENT)[3]
    assert len(huge) > 2**20
    assert json.loads(huge[6:]) == {"t": "🦜"}


@pytest.mark.parametrize("kind", [WireFaultKind.SPLIT_UTF8, WireFaultKind.BYTE_ORDER_MARK])
def test_nothing_to_damage(kind: WireFaultKind) -> None:
    """FAULT-1.6: A text of ASCII has no character to be cut; None says that the response stays as it is."""
    found = of_stream(kind, frames=NAMED)

    assert (found is None) == (kind is WireFaultKind.SPLIT_UTF8)


def test_every_kind_is_in_the_table() -> None:
    """FAULT-1.7: Each kind has a row, and applies to some response."""
    assert list(EFFECTS) == list(WireFaultKind)
    assert all(effect.streams for effect in EFFECTS.values())
