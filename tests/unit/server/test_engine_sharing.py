"""Engines shared by several workers, in one process, on one clock that the test moves."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fakes import Counted, FakeClock, FakeLoop

from llmsim.config import EngineSettings
from llmsim.engine import TraceRequest, run_trace
from llmsim.server.engine.reader import EnginePlace, EngineReader
from llmsim.server.engine.ticker import EngineTicker
from llmsim.server.pacing import TimerWheel
from llmsim.state.engine_memory import EngineMemory, SharedRequest, pack_answer, unpack_answer

ENGINE = EngineSettings(
    step_base_ms=10, step_sequence_us=100, step_prefill_token_us=50, step_context_token_us=0.1, max_num_seqs=6
)
TRACE = [TraceRequest(1000.5 + index * 0.013, 40 + 17 * (index % 7), 5 + index % 23) for index in range(60)]


class Wheel(TimerWheel):
    """A wheel that stands still when its worker is dead."""

    is_dead = False

    def at(self, instant: float, callback: Callable[[], None]) -> None:
        """Call back, unless the worker is dead by then."""
        super().at(instant, lambda: None if self.is_dead else callback())


class Worker:
    """One worker: its wheel, reader and ticker."""

    def __init__(self, machine: "Machine", slot: int) -> None:
        self.machine = machine
        self.wheel = Wheel(machine.loop, machine.clock)  # type: ignore[arg-type]  # a fake loop
        self.counted = Counted(machine.clock)
        # A mapping of its own, as another process has it.
        self.memory = EngineMemory(machine.path, slots=8, entries=64)
        self.owner = (slot + 1) << 24
        self.memory.claim(slot, self.owner)
        overhead = machine.engine.output_overhead_ms / 1e3
        self.reader = EngineReader(self.memory, slot, overhead, self.wheel, machine.clock, slot * 1000)
        self.ticker = EngineTicker(
            self.memory,
            machine.engine,
            machine.path.with_name("lease"),
            self.wheel,
            self.counted.recorder,
            self.reader,
            machine.clock,
            machine.find_owner,
        )
        self.ticker.start()

    def send(self, request: TraceRequest, *, parsing: float = 0.0) -> "Sent":
        """Send a request at its arrival, plus the time that it takes to parse."""
        return Sent(self, request, parsing)

    def die(self) -> None:
        """Die, as by SIGKILL."""
        self.wheel.is_dead = True
        self.machine.dead.add(self.owner >> 24)
        if self.ticker._file >= 0:
            os.close(self.ticker._file)


class Sent:
    """A request, and the instants at which its tokens came."""

    def __init__(self, worker: Worker, request: TraceRequest, parsing: float) -> None:
        self.worker, self.request = worker, request
        self.place: EnginePlace | None = None
        self.due: list[float] = []
        self.looked: list[float] = []
        worker.wheel.at(request.arrival + parsing, self.enter)

    def enter(self) -> None:
        """Take the place."""
        request = self.request
        self.place = self.worker.reader.enter(
            request.arrival, request.prompt_tokens, request.completion_tokens, 0, 1
        )
        assert self.place is not None
        self.worker.ticker.resume()
        self.worker.wheel.at(self.place.due(1), self.look)

    def look(self) -> None:
        """Take what is due, and wait for the next."""
        place, now = self.place, self.worker.machine.clock()
        assert place is not None
        while len(self.due) < self.request.completion_tokens:
            due = place.due(len(self.due) + 1)
            if due == math.inf or due > now:
                self.worker.wheel.at(due, self.look)
                return
            self.due.append(float(due))
            self.looked.append(now)
        place.leave()

    @property
    def is_whole(self) -> bool:
        """Whether all of its tokens came."""
        return len(self.due) == self.request.completion_tokens


class Machine:
    """Workers that share a file, a clock and a loop."""

    def __init__(self, path: Path, workers: int, engine: EngineSettings = ENGINE) -> None:
        self.path = path / "1.engines-x"
        self.engine = engine
        self.clock = FakeClock(1000.0)
        self.loop = FakeLoop(self.clock)
        self.dead: set[int] = set()
        self.workers = [Worker(self, slot) for slot in range(workers)]

    def find_owner(self, pid: int) -> int:
        """Return the word of a process: 0 if it is dead."""
        return 0 if pid in self.dead else pid << 24

    def ticking(self) -> list[Worker]:
        """Return the living workers that run the steps."""
        return [each for each in self.workers if each.ticker.holds_lease and not each.wheel.is_dead]

    def replay(self, *, parsing: float = 0.0) -> list[Sent]:
        """Send the trace, in turn by each worker."""
        return [
            self.workers[index % len(self.workers)].send(request, parsing=parsing * (index % 3))
            for index, request in enumerate(TRACE)
        ]


@pytest.mark.parametrize(("workers", "parsing"), [(1, 0.0), (4, 0.0), (4, 0.001)])
def test_the_steps_are_those_of_the_model(tmp_path: Path, workers: int, parsing: float) -> None:
    """ENG-2.2, ENG-2.3: One and four workers give the same steps as the model alone, also if parsing takes a while."""
    machine = Machine(tmp_path, workers)
    sent = machine.replay(parsing=parsing)
    machine.loop.run_to(1020.0)
    expected = run_trace(ENGINE, TRACE)

    assert all(each.is_whole for each in sent)
    assert [each.due[0] - each.request.arrival for each in sent] == pytest.approx(
        [times.ttft for times in expected]
    )
    assert [each.due[-1] - each.request.arrival for each in sent] == pytest.approx(
        [times.e2e for times in expected]
    )


def test_tokens_are_there_at_the_end_of_their_step(tmp_path: Path) -> None:
    """ENG-2.4, LAT-2.2: No token is early, and none is more than two milliseconds late: its end was published before."""
    machine = Machine(tmp_path, 3)
    sent = machine.replay()
    machine.loop.run_to(1020.0)
    late = [now - due for each in sent for due, now in zip(each.due, each.looked, strict=True)]

    assert min(late) >= 0.0
    assert max(late) < 0.002


def test_another_worker_takes_over_within_a_second(tmp_path: Path) -> None:
    """ENG-3.1, ENG-3.2: When the ticker dies the streams of all others go on and end whole, and its own leave the engine."""
    machine = Machine(tmp_path, 4)
    sent = machine.replay()
    machine.loop.run_to(1000.9)
    (first,) = machine.ticking()
    first.die()
    machine.loop.run_to(1001.9)
    (second,) = machine.ticking()
    machine.loop.run_to(1025.0)
    living = [each for each in sent if each.worker is not first]
    gaps = [
        after - before for each in living for before, after in zip(each.looked, each.looked[1:], strict=False)
    ]

    assert second is not first
    assert all(each.is_whole for each in living)
    assert max(gaps) < 1.0
    assert not any(each.is_whole for each in sent[40:] if each.worker is first)
    assert second.memory.held() == 0
    assert second.counted.read().engine_running == second.counted.read().engine_waiting == 0


def test_a_dead_worker_leaves_the_engine(tmp_path: Path) -> None:
    """ENG-3.2: The requests of a worker that does not run the steps leave with it, too."""
    machine = Machine(tmp_path, 2)
    machine.loop.run_to(1000.4)
    ticking = machine.ticking()[0]
    other = next(each for each in machine.workers if each is not ticking)
    for _ in range(9):
        other.send(TraceRequest(1000.5, 10, 100_000))
    machine.loop.run_to(1001.0)
    before = ticking.counted.read()
    other.die()
    machine.loop.run_to(1002.0)
    after = ticking.counted.read()

    assert (before.engines, before.engine_running, before.engine_waiting) == (1, 6, 3)
    assert (after.engine_running, after.engine_waiting) == (0, 0)


def test_a_hang_up_lets_the_next_one_in(tmp_path: Path) -> None:
    """ENG-2.6: A place that is given up is free with the next step."""
    machine = Machine(tmp_path, 2)
    sent = [machine.workers[index % 2].send(TraceRequest(1000.5, 10, 100_000)) for index in range(7)]
    machine.loop.run_to(1001.0)
    waiting = [each for each in sent if not each.due]
    leaving = next(each for each in sent if each.due)
    assert leaving.place is not None
    leaving.place.leave()
    machine.loop.run_to(1001.1)

    assert len(waiting) == 1
    assert waiting[0].due


def test_a_cancel_lets_the_next_one_in(tmp_path: Path) -> None:
    """ENG-2.6: Places without a connection, running or waiting, are freed by any worker; other places are not."""
    machine = Machine(tmp_path, 3)
    sent = [machine.workers[index % 2].send(TraceRequest(1000.5, 10, 100_000)) for index in range(9)]
    machine.loop.run_to(1001.0)
    waiting = [each for each in sent if not each.due]
    running = [each for each in sent if each.due]
    for each in (running[0], waiting[0]):
        assert each.place is not None
        each.place.leave_after(100_000)
        machine.workers[2].reader.cancel(each.place.id)
    machine.workers[2].reader.cancel((1, 5))
    machine.loop.run_to(1001.2)

    assert [each.place is not None and each.place.is_held for each in (running[0], running[1])] == [
        False,
        True,
    ]
    assert [bool(each.due) for each in waiting] == [False, True, False]
    assert machine.workers[2].memory.held() == 7


def test_a_full_cache_shows_in_the_figures(tmp_path: Path) -> None:
    """ENG-4.1: KV tokens in use and in all, and preemptions; each preempted stream ends whole."""
    machine = Machine(tmp_path, 2, EngineSettings(step_base_ms=10, kv_tokens=320))
    sent = [machine.workers[index % 2].send(TraceRequest(1000.5, 60, 100)) for index in range(4)]
    machine.loop.run_to(1001.0)
    counted = machine.ticking()[0].counted
    during = counted.read()
    machine.loop.run_to(1010.0)

    assert during.engine_kv_capacity == 320
    assert 0 < during.engine_kv_tokens <= 320
    assert counted.read().engine_preemptions > 0
    assert counted.read().engine_kv_tokens == 0
    assert all(each.is_whole for each in sent)
    assert all(each.due == sorted(each.due) for each in sent)


def test_an_engine_that_is_switched_off_ends_what_it_holds(tmp_path: Path) -> None:
    """ENG-5.3: Its streams end in its steps; then the lease is free, the gauges are 0, and nothing is due any more."""
    machine = Machine(tmp_path, 3)
    sent = machine.replay()
    machine.loop.run_to(1001.5)
    for worker in machine.workers:
        worker.ticker.stop()
    machine.loop.run_to(1030.0)
    expected = run_trace(ENGINE, TRACE)

    assert [each.due[-1] - each.request.arrival for each in sent] == pytest.approx(
        [times.e2e for times in expected]
    )
    assert not machine.ticking()
    for worker in machine.workers:
        assert not worker.wheel._ticks
        assert not worker.ticker.is_seeking
        stats = worker.counted.read()
        assert stats.engines == stats.engine_running == stats.engine_waiting == 0


def test_an_engine_that_is_switched_off_passes_on(tmp_path: Path) -> None:
    """ENG-3.1, ENG-5.3: When the ticker of an engine that was switched off dies, the streams of all others end whole."""
    machine = Machine(tmp_path, 3)
    sent = machine.replay()
    machine.loop.run_to(1001.0)
    for worker in machine.workers:
        worker.ticker.stop()
    (first,) = machine.ticking()
    first.die()
    machine.loop.run_to(1030.0)

    assert all(each.is_whole for each in sent if each.worker is not first)
    assert not machine.ticking()


def test_a_request_behind_the_end_is_served(tmp_path: Path) -> None:
    """ENG-5.3, CTRL-2.2: A request that was planned by the settings before ends, though the engine had stopped already."""
    machine = Machine(tmp_path, 2)
    machine.loop.run_to(1000.5)
    for worker in machine.workers:
        worker.ticker.stop()
    machine.loop.run_to(1001.0)
    stopped = machine.ticking()
    late = machine.workers[1].send(TraceRequest(1001.0, 10, 20))
    machine.loop.run_to(1003.0)

    assert not stopped
    assert late.is_whole
    assert not machine.ticking()


def test_an_engine_is_switched_on_again(tmp_path: Path) -> None:
    """ENG-5.4: It goes on with what it still holds, by other settings; once empty it begins anew, at whichever worker."""
    machine = Machine(tmp_path, 2)
    old = machine.workers[0].send(TraceRequest(1000.5, 10, 100))
    machine.loop.run_to(1001.0)
    for worker in machine.workers:
        worker.ticker.stop()
    machine.loop.run_to(1001.1)
    for worker in machine.workers:
        worker.ticker.use(EngineSettings(step_base_ms=1))
        worker.ticker.start()
    machine.loop.run_to(1001.5)
    ended = old.is_whole
    for worker in machine.workers:
        worker.ticker.stop()
    machine.loop.run_to(1005.0)
    stopped = machine.ticking()
    machine.workers[1].ticker.start()
    new = machine.workers[1].send(TraceRequest(1005.0, 10, 10))
    machine.loop.run_to(1005.5)

    assert ended
    assert not stopped
    assert machine.ticking() == [machine.workers[1]]
    assert new.is_whole


def test_a_worker_that_is_full_takes_no_more(tmp_path: Path) -> None:
    """ENG-2.9: A worker holds as many requests as its table has entries, and again when one has left."""
    reader = Machine(tmp_path, 1).workers[0].reader
    places = [reader.enter(1000.0, 1, 1, 0, 1) for _ in range(65)]

    assert [place is None for place in places] == [False] * 64 + [True]
    assert places[5] is not None
    places[5].leave()
    places[5].leave()
    assert reader.enter(1000.0, 1, 1, 0, 1) is not None
    assert reader.enter(1000.0, 1, 1, 0, 1) is None


def test_what_was_overwritten_in_a_log_is_found_in_the_table(tmp_path: Path) -> None:
    """ENG-3.3: A ticker that was away for long sees all requests, and those that left as gone."""
    memory = EngineMemory(tmp_path / "m", slots=2, entries=16)
    for round_ in range(5):
        for entry in range(16):
            memory.write(1, entry, SharedRequest(round_ * 16 + entry + 1, 5.0, 7, 9, 3, 2))
        if round_ < 4:
            for entry in range(16):
                memory.erase(1, entry)

    assert list(memory.changed(1, 0, memory.logged(1))) == list(range(16))
    assert list(memory.changed(1, memory.logged(1) - 2, memory.logged(1))) == [14, 15]
    assert memory.read(1, 3) == SharedRequest(68, 5.0, 7, 9, 3, 2)
    assert memory.held() == 16
    memory.release(1)
    assert memory.held() == 0
    assert memory.read(1, 3) is None


def test_an_answer_counts_for_its_request_only() -> None:
    """ENG-3.3: An answer that comes when its request has left is not one to the next in its place."""
    word = pack_answer(5, 1234, 987_654_321)

    assert unpack_answer(word, 5) == (1234, 987_654_321)
    assert unpack_answer(word, 6) == (0, 0)
    assert word < 1 << 64
