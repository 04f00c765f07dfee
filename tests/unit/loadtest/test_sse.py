"""The event parser: events are the same wherever the network splits them."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from loadtest.sse import EventParser

STREAM = (
    b'\xef\xbb\xbfevent: message_start\ndata: {"a": 1}\n\n'
    b": a comment\n\n"
    b"data: one\ndata: two\n\n"
    b"data:without space\r\n\r\n"
    b"event:  padded\rdata:   kept\r\r"
    b"id: 7\nretry: 10\n\n"
    b"event: nothing\n\n"
    b"\n\n\ndata\n\n" + "data: Grüße 🐟\n\n".encode() + b"data: [DONE]\n\n"
)
EVENTS = [
    (b"message_start", b'{"a": 1}'),
    (b"", b"one\ntwo"),
    (b"", b"without space"),
    (b" padded", b"  kept"),
    (b"", b""),
    (b"", "Grüße 🐟".encode()),
    (b"", b"[DONE]"),
]


def parse(pieces: list[bytes]) -> tuple[list[tuple[bytes, bytes]], bool]:
    parser = EventParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events, parser.unfinished


def test_fields_are_read_as_the_standard_says() -> None:
    """LOAD-2.1: Names, several lines of data, comments, all three line ends and a byte order mark are parsed."""
    assert parse([STREAM]) == (EVENTS, False)


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    """LOAD-2.1: Wherever the stream is split, the events are the same."""
    edges = [0, *sorted(cuts), len(STREAM)]

    assert parse([STREAM[a:b] for a, b in itertools.pairwise(edges)]) == (EVENTS, False)


def test_single_bytes_do_not_matter() -> None:
    """LOAD-2.1: A stream that arrives byte by byte has the same events."""
    assert parse([STREAM[i : i + 1] for i in range(len(STREAM))]) == (EVENTS, False)


@given(st.lists(st.tuples(st.sampled_from(["", "delta", "x.y"]), st.text("ab:ü {}", max_size=9)), max_size=9))
def test_encoded_events_are_parsed(events: list[tuple[str, str]]) -> None:
    """LOAD-2.1: Any events are parsed, with or without a name."""
    encoded = "".join((f"event: {name}\n" if name else "") + f"data: {data}\n\n" for name, data in events)

    assert parse([encoded.encode()])[0] == [(name.encode(), data.encode()) for name, data in events]


def test_an_event_is_returned_once_it_is_complete() -> None:
    """LOAD-2.1: An event does not wait for the next bytes, not even after a lone CR."""
    parser = EventParser()

    assert parser.feed(b"data: 1\r\r") == [(b"", b"1")]
    assert parser.feed(b"\ndata: 2\n") == []
    assert parser.unfinished
    assert parser.feed(b"\n") == [(b"", b"2")]
    assert not parser.unfinished
