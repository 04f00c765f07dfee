"""Monitors a worker: how late its event loop is, and how much CPU it uses and waits for.

Decisions:
* The loop's lag is how much later than planned a timer fires, ten times a second: a loop that was
  blocked for some time shows all of it but the last tenth of a second. uvicorn wakes as often.
  PERF: a sample takes 0.8 us, a pulse 18 us, a mark 0.7 us. Waking up for them costs more: an idle worker takes
  2.1 ms of CPU time a second, without the monitor 1.6. A token pays nothing.
* Time waiting for a core comes from the kernel's accounting, where it has any.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from llmsim.stats import PULSE_SECONDS, SAMPLE_SECONDS, Gauges

_SCHEDULED = Path("/proc/self/schedstat")

Usage = Callable[[], tuple[float, float | None]]
"""Returns CPU time and waiting time of this process so far, in seconds; None where the system does not account for it."""


def usage() -> tuple[float, float | None]:
    """Return this process's CPU time, and how long its main thread was ready and had no core."""
    cpu = time.process_time()
    try:
        # Source: Linux, Documentation/scheduler/sched-stats.rst: time on a core, time on a run queue (ns), slices.
        waited = int(_SCHEDULED.read_bytes().split()[1]) / 1e9
    except FileNotFoundError:
        return cpu, None
    return cpu, waited


class LoopMonitor:
    """Samples the lag of one event loop, and writes a pulse of it once a second, until the loop ends.

    Args:
        loop: The worker's event loop.
        gauges: The gauges of the worker's slot.
        clock: `time.monotonic`.
        usage: Returns the resource usage of the process.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, gauges: Gauges, clock: Callable[[], float], usage: Usage
    ) -> None:
        self._loop = loop
        self._gauges = gauges
        self._clock = clock
        self._usage = usage
        self._planned = self._pulsed = 0.0
        self._lag_max = self._lag_sum = 0.0
        self._samples = 0

    def start(self) -> None:
        """Start sampling."""
        now = self._clock()
        self._pulse(now)
        self._plan(now)

    def _plan(self, now: float) -> None:
        self._planned = now + SAMPLE_SECONDS
        self._loop.call_later(SAMPLE_SECONDS, self._sample)

    def _sample(self) -> None:
        now = self._clock()
        # NOTE: uvloop's timers count whole milliseconds and may fire early.
        lag = max(0.0, now - self._planned)
        self._lag_max = max(self._lag_max, lag)
        self._lag_sum += lag
        self._samples += 1
        if now - self._pulsed >= PULSE_SECONDS:
            self._pulse(now)
        self._plan(now)

    def _pulse(self, now: float) -> None:
        cpu, wait = self._usage()
        self._gauges.record_pulse(
            now, cpu=cpu, wait=wait, lag_max=self._lag_max, lag_sum=self._lag_sum, samples=self._samples
        )
        self._pulsed = now
        self._lag_max = self._lag_sum = 0.0
        self._samples = 0
