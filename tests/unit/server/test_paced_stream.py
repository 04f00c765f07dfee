"""A paced stream: what is due leaves at once, nothing early, and everything is counted."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace
from support.fakes import Counted, FakeClock
from support.turns import choice, deviates, tokenized, turn

from llmsim.domain import Schedule, Turn
from llmsim.providers.openai.chat import ChatOptions
from llmsim.providers.openai.chat_chunks import render_stream
from llmsim.server.pacing import PacedStream
from llmsim.stats import Snapshot
from llmsim.wire.frames import join_frames

ARRIVED = 1000.0
PLAIN = ChatOptions(include_obfuscation=False)


# All figures are binary fractions, so that sums are exact and instants can be compared.
FRACTIONS = st.integers(0, 64).map(lambda number: number / 256)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    size = 2 ** draw(st.integers(0, 4))
    values = st.lists(st.integers(-48, 48).map(lambda number: number / 16), min_size=size, max_size=size)
    return Schedule(
        ttft=draw(FRACTIONS),
        itl=draw(FRACTIONS),
        spread=draw(st.just(0.0) | FRACTIONS),
        table=deviates(*draw(values)),
        start=draw(st.integers(0, size - 1)),
        stride=draw(st.integers(0, 7)) * 2 + 1,
        stall_after=draw(st.integers(0, 20)),
        stall=draw(st.just(0.0) | FRACTIONS),
    )


@st.composite
def turns(draw: st.DrawFn) -> Turn:
    spans = st.lists(st.integers(1, 3), max_size=12)
    answers = [
        choice(tokenized(*(f"w{at}" for at in range(len(one))), spans=one), hidden=draw(st.integers(0, 6)))
        for one in draw(st.lists(spans, min_size=1, max_size=3))
    ]
    # A choice of no tokens, due on arrival, beside others that are not: it may wait for their first token.
    assume(len(answers) == 1 or all(one.tokens for one in answers))
    return turn(*answers, schedule=draw(schedules()))


class Paced:
    """A stream with a clock and counters of its own."""

    def __init__(self, planned: Turn, options: ChatOptions = PLAIN) -> None:
        self.clock = FakeClock(ARRIVED)
        self.counted = Counted(self.clock)
        recorder = self.counted.recorder
        row = recorder.accepted(0, planned.model, streaming=True, prompt_tokens=0)
        self.runs = render_stream(planned, options)
        self.stream = PacedStream(planned, self.runs, arrival=ARRIVED, recorder=recorder, row=row)

    def frames(self, schedule: Schedule) -> list[tuple[float, bytes]]:
        """Return each frame's due instant and bytes, as its schedule has them."""
        return [
            (ARRIVED + schedule.due(end), run.data(index, index + 1))
            for run in self.runs
            for index, end in enumerate(run.required_tokens)
        ]

    def take(self, now: float) -> bytes:
        """Take what is due at `now`."""
        self.clock.now = now
        return self.stream.take(now)

    def take_all(self, now: float) -> list[bytes]:
        """Take all that is due at `now`, write by write."""
        writes = []
        while not self.stream.done and (data := self.take(now)):
            writes.append(data)
        return writes

    def stats(self) -> Snapshot:
        """Return what was counted."""
        return self.counted.read()


@given(turns(), FRACTIONS)
def test_without_a_pace_a_stream_is_sent_and_counted_alike(planned: Turn, late: float) -> None:
    """ARCH-7.3: A stream that leaves without a pace has the bytes and the counts of one that leaves by its pace at once."""
    planned = replace(planned, schedule=Schedule(ttft=planned.schedule.ttft, itl=0.0))
    now = ARRIVED + planned.schedule.ttft + late
    clock = FakeClock(ARRIVED)
    paced, other = Paced(planned), Counted(clock)
    clock.now = now
    parts, events = join_frames(paced.runs)
    other.recorder.streamed_at_once(
        0, planned.model, 0, planned.usage.completion, events, late, now, now - ARRIVED
    )

    assert b"".join(parts) == b"".join(paced.take_all(now))
    assert paced.stats() == other.read()


@given(turns(), st.lists(st.integers(0, 1024).map(lambda number: ARRIVED + number / 128), max_size=12))
def test_each_frame_leaves_at_the_first_look_after_it_is_due(planned: Turn, looks: list[float]) -> None:
    """LAT-3.1: For any schedule and any looks, a frame leaves with the first look at or after its instant."""
    paced = Paced(planned)
    waiting = paced.frames(planned.schedule)
    last = max(due for due, _ in waiting)

    for look in [*sorted(looks), max([last, *looks])]:
        due = [data for instant, data in waiting if instant <= look]
        assert paced.take(look) == b"".join(due)
        waiting = waiting[len(due) :]
        assert paced.stream.done == (not waiting)
        if waiting:
            assert paced.stream.due == waiting[0][0]


@given(turns())
def test_a_stream_that_is_followed_leaves_every_frame_on_time(planned: Turn) -> None:
    """LAT-2.1: Taken whenever the stream is due, each frame leaves at its very instant."""
    paced = Paced(planned)
    seen = b""
    looked = []
    while not paced.stream.done:
        looked.append(paced.stream.due)
        data = paced.take(paced.stream.due)
        assert data
        seen += data

    frames = paced.frames(planned.schedule)
    assert looked == sorted({due for due, _ in frames})
    assert seen == b"".join(data for _, data in frames)


@given(turns())
def test_nothing_leaves_a_moment_before_it_is_due(planned: Turn) -> None:
    """LAT-3.1: A 128th of a second early, a stream has nothing to send."""
    paced = Paced(planned)
    while not paced.stream.done:
        due = paced.stream.due
        assert paced.take(due - 1 / 128) == b""
        assert paced.stream.due == due
        paced.take(due)


@given(turns(), st.booleans())
def test_the_counted_tokens_are_those_of_the_usage(planned: Turn, usage: bool) -> None:
    """CHAT-2.6: When everything has left, as many completion tokens are counted as the usage says."""
    paced = Paced(planned, ChatOptions(include_usage=usage))
    while not paced.stream.done:
        paced.take(paced.stream.due)

    assert paced.stats().completion_tokens == planned.usage.completion


def test_an_unstreamed_answer_is_due_when_the_stream_ends() -> None:
    """LAT-2.3: The last frame of a stream is due when the whole answer is."""
    schedule = Schedule(ttft=0.5, itl=0.25, spread=0.125, table=deviates(1.0, -1.0), start=0, stride=1)
    planned = turn(choice(tokenized("a", "b")), choice(tokenized("c", "d", "e"), hidden=2), schedule=schedule)
    paced = Paced(planned)

    assert paced.frames(schedule)[-1][0] == ARRIVED + schedule.due(planned.length)


def test_hidden_reasoning_takes_its_time() -> None:
    """LAT-2.4: After r reasoning tokens, the first visible one and the head leave at due(r + 1)."""
    schedule = Schedule(ttft=0.5, itl=0.25)
    paced = Paced(turn(choice(tokenized("a", "b"), hidden=4), schedule=schedule))

    assert paced.stream.due == ARRIVED + schedule.due(5) == ARRIVED + 1.5


def test_a_late_frame_does_not_delay_those_behind_it() -> None:
    """LAT-3.2: Deadlines are absolute: after a look that came late, the next frame is due when it always was."""
    paced = Paced(turn(choice(tokenized("a", "b", "c", "d")), schedule=Schedule(ttft=1.0, itl=1.0)))
    paced.take(ARRIVED + 1.75)

    assert paced.stream.due == ARRIVED + 2.0
    paced.take(ARRIVED + 3.5)
    assert paced.stream.due == ARRIVED + 4.0


@pytest.mark.parametrize("itl", [0.0, 0.001])
@pytest.mark.parametrize("tokens", [255, 256, 257, 600, 1024])
def test_a_write_is_bounded_and_splits_no_event(tokens: int, itl: float) -> None:
    """LAT-3.3: However much is due, a write has at most 256 text frames, and whole events only."""
    planned = turn(
        choice(tokenized(*(f"w{at}" for at in range(tokens)))), schedule=Schedule(ttft=0.0, itl=itl)
    )
    paced = Paced(planned)
    writes = paced.take_all(ARRIVED + 100.0)

    assert b"".join(writes) == b"".join(data for _, data in paced.frames(planned.schedule))
    assert all(write.count(b'"content":"w') <= 256 for write in writes)
    assert all(write.startswith(b"data: ") and write.endswith(b"\n\n") for write in writes)
    assert len(writes) == -(-tokens // 256)
    assert paced.stream.done


@pytest.mark.parametrize("itl", [0.0, 0.001])
def test_the_rest_of_a_bounded_write_is_due_at_once(itl: float) -> None:
    """LAT-3.3: What did not fit into one write is still due, not due again a gap later."""
    paced = Paced(turn(choice(tokenized(*["w"] * 600)), schedule=Schedule(ttft=0.0, itl=itl)))
    paced.take(ARRIVED + 100.0)

    assert not paced.stream.done
    assert paced.stream.due <= ARRIVED + 100.0


def test_what_is_observed_is_when_tokens_left() -> None:
    """LAT-3.7: Observed TTFT, gaps and lateness are those of the writes, not of the plan."""
    paced = Paced(turn(choice(tokenized("a", "b", "c", "d")), schedule=Schedule(ttft=0.100, itl=0.020)))
    for look in (0.103, 0.121, 0.165):
        paced.take(ARRIVED + look)

    latency = paced.stats().latency
    assert (latency.ttft_ms.count, latency.ttft_ms.mean) == (1, 103.0)
    # b left 18 ms behind a, c 44 ms behind b, and d together with c.
    assert (latency.inter_token_ms.count, latency.inter_token_ms.min, latency.inter_token_ms.max) == (
        3,
        0.0,
        44.0,
    )
    assert latency.inter_token_ms.mean == pytest.approx((18 + 44 + 0) / 3, abs=0.001)
    assert latency.lateness_ms.count == 4
    assert latency.lateness_ms.mean == pytest.approx((3 + 1 + 25 + 5) / 4, abs=0.002)


def test_lateness_of_what_exists_at_once_is_measured_too() -> None:
    """LAT-3.7: Without any latency, each token is as late as the write that carried it."""
    paced = Paced(turn(choice(tokenized("a", "b", "c")), schedule=Schedule(ttft=0.0, itl=0.0)))
    paced.take(ARRIVED + 0.005)

    latency = paced.stats().latency
    assert (latency.lateness_ms.count, latency.lateness_ms.min, latency.lateness_ms.max) == (3, 5.0, 5.0)
    assert (latency.ttft_ms.mean, latency.inter_token_ms.count) == (5.0, 2)


@pytest.mark.parametrize("itl", [0.0, 0.020])
def test_only_what_carries_tokens_is_late(itl: float) -> None:
    """STATS-5.8: Head and finish of several choices travel among their tokens, and are not counted for lateness."""
    paced = Paced(
        turn(
            choice(tokenized("a", "b", "c")),
            choice(tokenized("d", "e")),
            schedule=Schedule(ttft=0.1, itl=itl),
        )
    )
    paced.take_all(ARRIVED + 0.2)

    assert paced.stream.done
    assert paced.stats().latency.lateness_ms.count == 5


def test_reasoning_is_no_first_token() -> None:
    """LAT-3.7: TTFT is observed at the first visible token; hidden ones are counted with it."""
    paced = Paced(turn(choice(tokenized("a"), hidden=3), schedule=Schedule(ttft=0.5, itl=0.25)))
    paced.take(ARRIVED + 0.5)
    assert paced.stats().completion_tokens == 0

    paced.take(ARRIVED + 1.25)
    assert paced.stats().latency.ttft_ms.mean == 1250.0
    assert paced.stats().completion_tokens == 4


def test_an_answer_that_shows_nothing_has_no_first_token() -> None:
    """CHAT-2.1: Where reasoning ate the limit, its tokens are counted at the end, and no TTFT is observed."""
    paced = Paced(turn(choice(tokenized(), hidden=8), schedule=Schedule(ttft=0.5, itl=0.25)))
    paced.take(ARRIVED + 2.25)

    assert paced.stream.done
    assert paced.stats().completion_tokens == 8
    assert paced.stats().latency.ttft_ms.count == 0


def test_an_abandoned_stream_counts_what_left() -> None:
    """CHAT-2.6: Only tokens that were sent are counted."""
    paced = Paced(turn(choice(tokenized("a", "b", "c", "d")), schedule=Schedule(ttft=1.0, itl=1.0)))
    paced.take(ARRIVED + 2.0)

    assert paced.stats().completion_tokens == 2
