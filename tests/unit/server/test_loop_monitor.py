"""The probe: what it samples of its loop, and when it writes that down."""

import asyncio
import os
import time
from pathlib import Path

import pytest
from support.fakes import FakeClock, FakeLoop

from llmsim.server.processes import loop_monitor
from llmsim.server.processes.loop_monitor import LoopMonitor, usage
from llmsim.stats import Block, Gauges, Snapshot, snapshot


class Probed:
    """A worker under a clock of its own, whose CPU time is half of the clock's."""

    def __init__(self) -> None:
        self.clock = FakeClock(1000.0)
        self.loop = FakeLoop(self.clock)
        self.block = Block.private(endpoints=("completions",), now=900.0)
        self.pulses = 0
        gauges = Gauges(self.block, self.block.claim(os.getpid()), self.clock())
        LoopMonitor(self.loop, gauges, self.clock, self._usage).start()  # type: ignore[arg-type]

    def _usage(self) -> tuple[float, float | None]:
        self.pulses += 1
        return self.clock() / 2, self.clock() / 4

    def stats(self) -> Snapshot:
        """Read."""
        return snapshot(self.block, self.clock())


def test_an_idle_worker_writes_once_a_second() -> None:
    """STATS-9.10: A loop with nothing to do has ten samples and one pulse a second, and no lag."""
    probed = Probed()
    probed.loop.run_to(1030.0)

    [worker] = probed.stats().workers
    assert 27 <= probed.pulses - 1 <= 30
    assert len(probed.loop.armed()) == 1
    assert (worker.cpu_percent, worker.cpu_wait_percent) == (50.0, 25.0)
    assert worker.loop_lag_ms is not None
    assert (worker.loop_lag_ms.mean, worker.loop_lag_ms.max) == (0.0, 0.0)


def test_a_blocked_loop_is_seen_afterwards() -> None:
    """STATS-9.8: A loop that was blocked for two seconds shows 1.9 s of it or more, for ten seconds."""
    probed = Probed()
    probed.loop.run_to(1010.55)
    probed.clock.now += 2.0
    probed.loop.run_to(probed.clock.now + 1.0)

    lag = probed.stats().loop_lag_ms
    assert lag is not None
    assert 1900 <= lag.max <= 2000
    assert lag.mean < lag.max / 10
    probed.loop.run_to(probed.clock.now + 11.0)
    later = probed.stats().loop_lag_ms
    assert later is not None
    assert later.max == 0.0


async def test_a_real_loop_is_probed() -> None:
    """STATS-9.8: What blocks the loop shows, and CPU time is the process's own."""
    block = Block.private(endpoints=("completions",), now=time.monotonic())
    gauges = Gauges(block, block.claim(os.getpid()), time.monotonic())
    LoopMonitor(asyncio.get_running_loop(), gauges, time.monotonic, usage).start()
    await asyncio.sleep(0.05)
    time.sleep(1.2)  # noqa: ASYNC251 # that is the point
    await asyncio.sleep(0.05)

    [worker] = snapshot(block, time.monotonic()).workers
    assert worker.loop_lag_ms is not None
    assert worker.loop_lag_ms.max >= 1100
    assert worker.cpu_percent is not None
    assert worker.cpu_percent >= 0.0


def test_usage_is_what_the_system_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """STATS-9.7: Waiting time is the kernel's second figure, in nanoseconds; without such a file it is unknown."""
    (tmp_path / "schedstat").write_text("61242130 2500000000 27\n")
    monkeypatch.setattr(loop_monitor, "_SCHEDULED", tmp_path / "schedstat")
    before = time.process_time()

    cpu, waited = usage()

    assert before <= cpu <= time.process_time()
    assert waited == 2.5
    monkeypatch.setattr(loop_monitor, "_SCHEDULED", tmp_path / "nowhere")
    assert usage()[1] is None
