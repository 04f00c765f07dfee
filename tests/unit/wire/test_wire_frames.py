"""Frames: how neighbours are joined, and how events are encoded."""

from hypothesis import given
from hypothesis import strategies as st

from llmsim.wire.frames import SSE_DONE, FrameBatch, single, sse, truncate


@given(st.data())
def test_joined_frames_are_the_frames_in_order(data: st.DataObject) -> None:
    """LAT-3.3: One write has the bytes of each event, one after the other."""
    bodies = data.draw(st.lists(st.binary(max_size=5), min_size=1, max_size=12))
    run = FrameBatch(
        data.draw(st.binary(max_size=4)), bodies, data.draw(st.binary(max_size=4)), range(len(bodies))
    )
    start = data.draw(st.integers(0, len(bodies) - 1))
    stop = data.draw(st.integers(start + 1, len(bodies)))

    together = run.data(start, stop)

    assert together == b"".join(run.data(index, index + 1) for index in range(start, stop))
    assert together == b"".join(run.head + body + run.tail for body in bodies[start:stop])


def test_a_single_frame_carries_no_token() -> None:
    """CHAT-3.6: A frame without text requires its tokens and carries no token."""
    run = single(b"data: {}\n\n", 7)

    assert run.data(0, 1) == b"data: {}\n\n"
    assert list(run.required_tokens) == [7]
    assert list(run.tokens) == []


def test_events_without_a_name_have_a_data_line_only() -> None:
    """CHAT-3.1: An event is `data: {json}` and an empty line."""
    assert sse(b'{"a":1}') == b'data: {"a":1}\n\n'


def test_named_events_begin_with_their_name() -> None:
    """CHAT-3.1: If an API names its events, the name is on a line of its own before the data."""
    assert sse(b"{}", "ping") == b"event: ping\ndata: {}\n\n"


def test_the_end_of_a_stream_is_an_event() -> None:
    """CHAT-3.1: A stream ends with `data: [DONE]`."""
    assert SSE_DONE == b"data: [DONE]\n\n"


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), max_size=4), st.integers(0, 12))
def test_a_truncated_stream_is_a_prefix(numbers: list[list[int]], after: int) -> None:
    """SCRIPT-7.2: It has the frames that require no more tokens than that, and no other."""
    ends = sorted(end for run in numbers for end in run)
    runs, at = [], 0
    for run in numbers:
        own = ends[at : at + len(run)]
        bodies = tuple(b"%d" % (at + index) for index in range(len(own)))
        runs.append(FrameBatch(b"<", bodies, b">", tuple(own), (1,) * len(own) if len(own) % 2 else ()))
        at += len(own)

    kept = truncate(runs, after)

    left = sum(end <= after for end in ends)
    whole = b"".join(b"<%d>" % number for number in range(left))
    assert b"".join(run.data(0, len(run.required_tokens)) for run in kept) == whole
    assert all(len(run.tokens) in (0, len(run.required_tokens)) for run in kept)
