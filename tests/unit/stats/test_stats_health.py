"""Worker health: lag, CPU and lateness of the last seconds."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.stats import Block, Gauges, Recorder, Snapshot, layout, snapshot
from llmsim.stats.health import Demand, WorkerHealth
from llmsim.stats.totals import read_totals

NOW = 1000.0


@pytest.fixture
def block() -> Block:
    return Block.private(endpoints=("completions",), slots=2, now=900.0, wall=1.75e9)


class FakeWorker:
    """A worker that records a pulse once a second.

    Args:
        block: The block that it counts in.
        now: When it starts.
    """

    def __init__(self, block: Block, now: float = NOW) -> None:
        self.block = block
        self.slot = block.claim(os.getpid())
        self.recorder = Recorder(block, self.slot)
        self.gauges = Gauges(block, self.slot, now)
        self.now = now
        self.cpu = 5.0
        self.wait: float | None = 1.0
        self.gauges.record_pulse(now, cpu=self.cpu, wait=self.wait)

    def run(
        self,
        seconds: int,
        *,
        cpu: float = 0.0,
        wait: float = 0.0,
        lag: float = 0.0,
        late: float | None = None,
    ) -> None:
        """Advance some seconds, each with a share of CPU and waiting, a lag, and 100 tokens that are `late`."""
        for _ in range(seconds):
            if late is not None:
                self.recorder.late(late, 100)
            self.now += 1.0
            self.cpu += cpu
            if self.wait is not None:
                self.wait += wait
            self.gauges.record_pulse(
                self.now, cpu=self.cpu, wait=self.wait, lag_max=lag, lag_sum=10 * lag / 2, samples=10
            )

    def stats(self, later: float = 0.0) -> Snapshot:
        """Return a snapshot."""
        return snapshot(self.block, self.now + later)


def _health(worker: FakeWorker) -> WorkerHealth:
    health = read_totals(worker.block, worker.now).workers[worker.slot].health
    assert health is not None
    return health


def test_cpu_is_of_the_last_ten_seconds(block: Block) -> None:
    """STATS-9.7: CPU and waiting time are in percent of one core, over the last ten seconds."""
    worker = FakeWorker(block)
    worker.run(30, cpu=0.9, wait=0.05)
    worker.run(5, cpu=0.1, wait=0.25)

    [shown] = worker.stats().workers
    assert shown.cpu_percent == pytest.approx(50.0)
    assert shown.cpu_wait_percent == pytest.approx(15.0)


def test_cpu_is_unknown_before_the_second_pulse(block: Block) -> None:
    """STATS-9.7: Between its start and its first whole second a worker shows no CPU; where the system has no figure, no waiting."""
    worker = FakeWorker(block)
    worker.wait = None
    assert worker.stats().workers[0].cpu_percent is None

    worker.run(1, cpu=0.5)

    [shown] = worker.stats().workers
    assert (shown.cpu_percent, shown.cpu_wait_percent) == (50.0, None)


def test_lag_is_of_the_last_ten_seconds(block: Block) -> None:
    """STATS-9.8: Mean and maximum of the loop's lag are over the last ten seconds, at the top the worst of all workers."""
    worker, other = FakeWorker(block), FakeWorker(block)
    worker.run(20, lag=2.0)
    worker.run(10, lag=0.002)
    other.run(30, lag=0.004)

    stats = worker.stats()

    lags = [shown.loop_lag_ms for shown in stats.workers]
    assert [(lag.mean, lag.max) for lag in lags if lag] == [(1.0, 2.0), (2.0, 4.0)]
    assert stats.loop_lag_ms is not None
    assert (stats.loop_lag_ms.mean, stats.loop_lag_ms.max) == (2.0, 4.0)


def test_a_blocked_loop_shows_its_lag_while_it_lasts(block: Block) -> None:
    """STATS-9.8: A pulse that is overdue counts as lag; one that is not yet due does not."""
    worker = FakeWorker(block)
    worker.run(5, lag=0.001)

    assert worker.stats(later=1.05).loop_lag_ms == worker.stats().loop_lag_ms
    [shown] = worker.stats(later=4.1).workers
    assert shown.loop_lag_ms is not None
    assert shown.loop_lag_ms.max == pytest.approx(3000.0)
    [shown] = worker.stats(later=61.1).workers
    assert shown.loop_lag_ms is not None
    assert shown.loop_lag_ms.mean == shown.loop_lag_ms.max == pytest.approx(60_000.0)
    assert shown.cpu_percent is None


def test_streams_are_open_until_they_end(block: Block) -> None:
    """STATS-9.6: Open streams are those that began and have not ended; releasing the slot ends a dead worker's."""
    worker = FakeWorker(block)
    for _ in range(3):
        worker.recorder.stream_opened()
    worker.recorder.stream_closed()

    assert worker.stats().workers[0].open_streams == 2
    block.release(worker.slot)
    assert read_totals(block, NOW).workers == ()


def test_a_dead_workers_gauges_are_null(block: Block) -> None:
    """STATS-9.9: A process that does not exist has no gauges, and the verdict ignores it."""
    worker = FakeWorker(block)
    worker.recorder.began(0, NOW)
    worker.recorder.stream_opened()
    worker.run(5, lag=0.5, late=0.5)
    block.set_pid(worker.slot, 2**22 + 1)

    stats = worker.stats()

    [shown] = stats.workers
    assert not shown.alive
    assert (shown.open_streams, shown.cpu_percent, shown.cpu_wait_percent, shown.loop_lag_ms) == (None,) * 4
    assert stats.loop_lag_ms is None
    assert stats.verdict.state == "idle"


def test_a_successor_begins_anew(block: Block) -> None:
    """STATS-9.9: A worker in a killed one's slot has neither its streams nor its lag, CPU and lateness; totals continue."""
    first = FakeWorker(block)
    first.recorder.stream_opened()
    first.run(45, cpu=0.9, lag=0.5, late=0.5)
    block.words[block.layout.slot(0) + layout.TAKEN] = 0

    second = FakeWorker(block, first.now + 1.0)

    stats = second.stats()
    [shown] = stats.workers
    assert (shown.open_streams, shown.cpu_percent, shown.loop_lag_ms) == (0, None, None)
    assert stats.verdict.state == "idle"
    assert stats.latency.lateness_ms.count == 4500


@given(st.integers(0, 200), st.integers(0, 200))
def test_lateness_is_judged_over_the_last_half_minute(before: int, after: int) -> None:
    """STATS-9.2: The verdict covers the tokens of the last 30 to 40 s, or of all seconds while there are fewer."""
    block = Block.private(endpoints=("completions",), slots=1, now=900.0)
    worker = FakeWorker(block)
    worker.run(before, late=0.5)
    worker.run(after, late=0.001)

    judged = _health(worker).lateness if before + after else [0]

    seconds = sum(judged) // 100
    assert min(before + after, 30) <= seconds <= min(before + after, 40)
    assert sum(judged[100:]) // 100 == max(0, seconds - after)


def test_demand_is_that_of_the_busiest_second(block: Block) -> None:
    """STATS-9.4: Demand is that of the busiest of the judged seconds."""
    worker = FakeWorker(block)
    worker.run(1, cpu=1.0)
    worker.run(50, cpu=0.1)
    worker.run(1, cpu=0.5, wait=0.4)
    worker.run(10, cpu=0.6)
    worker.recorder.began(0, NOW)

    demand = _health(worker).demand

    assert (demand.cpu, demand.wait) == (pytest.approx(0.5), pytest.approx(0.4))
    assert demand.total == pytest.approx(0.9)


@pytest.mark.parametrize("word", [layout.PULSE_AT, layout.PULSE_AT_AGAIN])
def test_half_a_pulse_is_not_read(block: Block, word: int) -> None:
    """STATS-9.11: A pulse that is being written is skipped, whichever of its ends is unfinished."""
    worker = FakeWorker(block)
    worker.recorder.began(0, NOW)
    worker.run(1, cpu=0.5)
    second = block.layout.slot(0) + layout.PULSES + layout.PULSE_WORDS
    assert block.words[second + word] == int(worker.now * 1e9)

    block.words[second + word] += 1

    assert worker.stats().workers[0].cpu_percent is None


def test_half_a_mark_is_not_read(block: Block) -> None:
    """STATS-9.11: A mark that is being written is skipped for an older one, or a younger one."""
    worker = FakeWorker(block)
    worker.run(100, late=0.001)
    whole = sum(_health(worker).lateness)
    first = block.layout.slot(0) + layout.MARKS
    marks = range(first, first + layout.MARK_ENTRIES * layout.MARK_WORDS, layout.MARK_WORDS)
    oldest = min(marks, key=lambda mark: block.words[mark + layout.MARK_AT])

    block.words[oldest + layout.MARK_AT_AGAIN] += 1

    assert whole == 3000
    assert sum(_health(worker).lateness) == 2000


def test_without_a_pulse_all_is_unknown(block: Block) -> None:
    """STATS-9.9: A worker that has just got its slot has no lag and no CPU."""
    block.claim(os.getpid())

    health = read_totals(block, NOW).workers[0].health

    assert health is not None
    assert (health.cpu, health.wait, health.lag, health.silence) == (None, None, None, 0.0)
    assert health.demand == Demand()
