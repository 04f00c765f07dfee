"""Alarms: one callback at an instant, by a timer descriptor or by a timer of the loop."""

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fakes import FakeClock, FakeLoop

from llmsim.server import alarms
from llmsim.server.alarms import Alarm, DescriptorAlarm, LoopAlarm, open_alarm

linux = pytest.mark.skipif(sys.platform != "linux", reason="timer descriptors are Linux's")

KINDS = [pytest.param(DescriptorAlarm, marks=linux), LoopAlarm]


def millis_from_now(millis: int) -> int:
    """Return an instant as alarms take it."""
    return int(time.monotonic() * 1000) + millis


async def wait_for(calls: list[float], count: int) -> None:
    """Wait until so many calls have come, for at most 5 s."""
    for _ in range(5000):
        if len(calls) >= count:
            break
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("kind", KINDS)
class TestAlarm:
    """What all kinds do, with the clock of the machine."""

    def open(self, kind: Callable[..., Alarm]) -> tuple[Alarm, list[float]]:
        """Return an alarm, and the instants of its calls."""
        calls: list[float] = []
        loop = asyncio.get_running_loop()
        return kind(loop, time.monotonic, lambda: calls.append(time.monotonic() * 1000)), calls

    async def test_it_calls_once(self, kind: Callable[..., Alarm]) -> None:
        """LAT-3.1: It calls at its instant, or up to a millisecond too soon by a timer of the loop, and once."""
        alarm, calls = self.open(kind)
        alarm.set(instant := millis_from_now(20))
        await wait_for(calls, 1)
        await asyncio.sleep(0.03)

        assert len(calls) == 1
        assert calls[0] >= instant - (1 if kind is LoopAlarm else 0)

    async def test_the_last_instant_holds(self, kind: Callable[..., Alarm]) -> None:
        """LAT-3.2: Set anew, earlier or later, it calls at the new instant."""
        alarm, calls = self.open(kind)
        alarm.set(millis_from_now(60_000))
        alarm.set(millis_from_now(5))
        await wait_for(calls, 1)
        alarm.set(millis_from_now(5))
        alarm.set(later := millis_from_now(40))
        await wait_for(calls, 2)

        assert len(calls) == 2
        assert calls[1] >= later - 1

    async def test_a_past_instant_is_as_soon_as_possible(self, kind: Callable[..., Alarm]) -> None:
        """LAT-3.2: An instant that has passed, at the beginning of time even, is no reason to be silent."""
        alarm, calls = self.open(kind)
        for count, instant in enumerate((millis_from_now(-5), 0, -1), start=1):
            alarm.set(instant)
            await wait_for(calls, count)

            assert len(calls) == count


@linux
class TestDescriptor:
    """What only the descriptor has."""

    async def test_one_that_is_set_anew_while_it_expires_is_not_called_early(self) -> None:
        """LAT-3.1: The loop may have seen that it expired, when it is set to a later instant."""
        calls: list[float] = []
        alarm = DescriptorAlarm(asyncio.get_running_loop(), time.monotonic, lambda: calls.append(0.0))
        alarm.set(millis_from_now(60_000))
        alarm._expire()
        assert calls == []

        alarm.set(millis_from_now(-1))
        await wait_for(calls, 1)
        assert calls == [0.0]

    def test_its_descriptor_ends_with_the_loop(self) -> None:
        """ARCH-4.3: A server that ran in this process leaves no descriptor behind."""

        def descriptors() -> int:
            gc.collect()
            count = 0
            for one in Path("/proc/self/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    count += "timerfd" in str(one.readlink())
            return count

        async def run() -> int:
            DescriptorAlarm(asyncio.get_running_loop(), time.monotonic, lambda: None)
            return descriptors()

        before = descriptors()
        with asyncio.Runner() as runner:
            assert runner.run(run()) == before + 1

        assert descriptors() == before


class TestChoice:
    """Which kind is used."""

    async def test_the_best_that_there_is(self) -> None:
        """LAT-3.8: On Linux that is the descriptor."""
        alarm = open_alarm(asyncio.get_running_loop(), time.monotonic, lambda: None)

        assert isinstance(alarm, DescriptorAlarm if sys.platform == "linux" else LoopAlarm)

    def test_another_clock_has_no_descriptor(self) -> None:
        """LAT-3.8: A descriptor goes by the clock of the machine; for any other the loop's timers serve."""
        clock = FakeClock()
        alarm = open_alarm(FakeLoop(clock), clock, lambda: None)  # type: ignore[arg-type] # a fake loop

        assert isinstance(alarm, LoopAlarm)

    @linux
    async def test_without_descriptors_the_loop_serves(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """LAT-3.8: Where the system refuses one, that is logged, and the loop's timers serve."""

        class Refusing:
            def timerfd_create(self, *_: int) -> int:
                return -1

        monkeypatch.setattr(alarms.ctypes, "CDLL", lambda *_, **__: Refusing())
        alarm = open_alarm(asyncio.get_running_loop(), time.monotonic, lambda: None)

        assert isinstance(alarm, LoopAlarm)
        assert "timerfd_create" in caplog.text
