"""A stream of an engine against one with a schedule: the same bytes at the same looks, and the same figures."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st
from support.fakes import Counted, FakeClock, FakeLoop
from support.turns import choice, tokenized, turn

from llmsim.domain import Schedule
from llmsim.providers.openai.chat import ChatOptions
from llmsim.providers.openai.chat_chunks import render_stream
from llmsim.server.engine.reader import AwaitedInstant, EngineReader
from llmsim.server.engine.stream import EngineStream
from llmsim.server.pacing import PacedStream, TimerWheel
from llmsim.state.engine_memory import ADMISSIONS, EngineMemory, pack_answer

ARRIVED = 1000.0
TTFT, GAP = 0.25, 0.0625
FIRST = 3
"""Step of the first token; the ones before it are over when the request arrives."""


class Steps:
    """An engine of one request, whose steps a test publishes."""

    def __init__(self, folder: str, clock: FakeClock) -> None:
        self.loop = FakeLoop(clock)
        self.wheel = TimerWheel(self.loop, clock)  # type: ignore[arg-type]  # a fake loop
        self.memory = EngineMemory(Path(folder) / "1.engines-x", slots=1, entries=2)
        self.published = 0
        self.publish(FIRST - 1)
        self.reader = EngineReader(self.memory, 0, 0.0, self.wheel, clock, 1)
        place = self.reader.enter(ARRIVED, 1, 1000, 0, 1)
        assert place is not None
        self.place = place
        self.memory.words[self.memory.answer_at(0, 0)] = pack_answer(2, 0, FIRST)
        self.memory.words[ADMISSIONS] += 1

    def publish(self, step: int) -> None:
        """Publish all steps up to one."""
        for number in range(self.published + 1, step + 1):
            self.memory.publish(number, ARRIVED + TTFT + GAP * (number - FIRST), GAP)
        self.published = max(self.published, step)


@given(
    spans=st.lists(st.integers(1, 3), min_size=1, max_size=12),
    hidden=st.integers(0, 5),
    looks=st.lists(st.integers(0, 256).map(lambda number: ARRIVED + number / 128), max_size=12),
)
def test_it_sends_what_a_stream_with_a_schedule_sends(
    spans: list[int], hidden: int, looks: list[float]
) -> None:
    """ENG-2.4, LAT-3.3: Steps of equal length give what a schedule of that gap gives, look by look, and the same figures."""
    planned = turn(
        choice(tokenized(*(f"w{at}" for at in range(len(spans))), spans=spans), hidden=hidden),
        schedule=Schedule(ttft=TTFT, itl=GAP),
    )
    clock = FakeClock(ARRIVED)
    frames = render_stream(planned, ChatOptions(include_obfuscation=False))
    figures = [Counted(clock), Counted(clock)]
    rows = [one.recorder.accepted(0, planned.model, streaming=True, prompt_tokens=0) for one in figures]
    with TemporaryDirectory() as folder:
        steps = Steps(folder, clock)
        streams = (
            PacedStream(planned, frames, arrival=ARRIVED, recorder=figures[0].recorder, row=rows[0]),
            EngineStream(
                steps.place, planned, frames, arrival=ARRIVED, recorder=figures[1].recorder, row=rows[1]
            ),
        )
        for now in [*sorted(looks), ARRIVED + 60]:
            clock.now = now
            # Each step is published by its end, and the reader has looked by then.
            steps.publish(FIRST + int((now - ARRIVED - TTFT) / GAP) if now >= ARRIVED + TTFT else FIRST - 1)
            steps.reader.look()
            sent = [b"", b""]
            for index, stream in enumerate(streams):
                while not stream.done and (data := stream.take(now)):
                    sent[index] += data
            assert sent[0] == sent[1]

        assert all(stream.done for stream in streams)
        first, second = (one.read() for one in figures)
        assert first.latency == second.latency
        assert first.completion_tokens == second.completion_tokens


def test_an_instant_that_is_not_known_is_later_than_all_others() -> None:
    """LAT-2.2: What waits for a token compares with the clock as if its instant were known, once its step is published."""
    clock = FakeClock(ARRIVED)
    with TemporaryDirectory() as folder:
        steps = Steps(folder, clock)
        instant = steps.place.due(2)
        assert isinstance(instant, AwaitedInstant)
        assert not instant <= ARRIVED + 60
        assert instant > ARRIVED + 60
        called = []
        steps.wheel.at(instant, lambda: called.append(clock.now))
        steps.publish(FIRST + 1)
        steps.reader.look()
        due = ARRIVED + TTFT + GAP

        assert not due - 0.001 >= instant
        assert due >= instant
        assert due + 1 - instant == 1.0
        assert steps.place.due(2) == due
        steps.loop.run_to(due + 0.001)
        assert len(called) == 1
        assert called[0] >= due
