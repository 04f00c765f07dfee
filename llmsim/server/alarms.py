"""Alarms: one callback at an instant, as exact as the machine can be.

Decisions:
* The event loop's timers count whole milliseconds from now. A wheel that must turn again in 0.2 ms turns after 1 ms, so its ticks take a
  millisecond and the work in it: half of the lateness of a thousand streams. Linux's timer descriptors go by nanoseconds, and by
  the clock that instants are on.
* Where there are none, the loop's own timers serve.
"""

import asyncio
import ctypes
import logging
import os
import sys
import time
import weakref
from collections.abc import Callable
from typing import Protocol

_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_ABSOLUTE = 1
_NANOS = 1_000_000_000

_HAS_DESCRIPTORS = sys.platform == "linux" and ctypes.sizeof(ctypes.c_long) == 8
"""Whether there are timer descriptors, with times as `_TimerSpec` has them."""

_log = logging.getLogger(__name__)


class Alarm(Protocol):
    """Calls back once at the instant that was set last; maybe too soon, and maybe once for an instant that was set before."""

    def set(self, millis: int) -> None:
        """Set the instant, in milliseconds of the clock; one that has passed is as soon as possible."""


class LoopAlarm:
    """An alarm by a timer of the event loop: 1 ms late in the median, where ticks follow each other.

    Args:
        loop: The event loop.
        clock: What instants are on, in seconds.
        callback: What is called.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float], callback: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._callback = callback
        self._timer: asyncio.TimerHandle | None = None

    def set(self, millis: int) -> None:
        """See `Alarm`."""
        if self._timer is not None:
            self._timer.cancel()
        # NOTE: uvloop's timers count whole milliseconds and may fire early; below one it would spin.
        self._timer = self._loop.call_later(max(0.001, millis / 1000 - self._clock()), self._callback)


class _TimerSpec(ctypes.Structure):
    """`struct itimerspec`, timerfd_create(2): the interval, which stays 0, and the first expiration."""

    _fields_ = (
        ("interval_seconds", ctypes.c_long),
        ("interval_nanos", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("nanos", ctypes.c_long),
    )


class DescriptorAlarm:
    """An alarm by a timer descriptor: 0.1 ms late in the median.

    PERF: 1.4 us to set; a timer of the loop takes 1.7.

    Args:
        loop: The event loop.
        clock: `time.monotonic`, which is the clock of the descriptor.
        callback: What is called.

    Raises:
        OSError: The system refuses a descriptor.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float], callback: Callable[[], None]
    ) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        # NOTE: Python's own `os` has these functions from 3.13 on.
        descriptor = library.timerfd_create(time.CLOCK_MONOTONIC, _FLAGS)
        if descriptor < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        weakref.finalize(self, os.close, descriptor)
        self._spec = _TimerSpec()
        self._arguments = (descriptor, _ABSOLUTE, ctypes.byref(self._spec), None)
        self._set = library.timerfd_settime
        self._descriptor = descriptor
        self._callback = callback
        loop.add_reader(descriptor, self._expire)

    def set(self, millis: int) -> None:
        """See `Alarm`."""
        spec = self._spec
        # An instant of 0 would switch it off.
        spec.seconds, spec.nanos = divmod(max(1, millis * 1_000_000), _NANOS)
        self._set(*self._arguments)

    def _expire(self) -> None:
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:
            # It was set anew since the loop saw that it had expired.
            return
        self._callback()


OpenAlarm = Callable[[asyncio.AbstractEventLoop, Callable[[], float], Callable[[], None]], Alarm]
"""Opens an alarm of a loop, for a clock and a callback."""


def open_alarm(
    loop: asyncio.AbstractEventLoop, clock: Callable[[], float], callback: Callable[[], None]
) -> Alarm:
    """Open the most exact alarm that there is here; where a descriptor could be, and is refused, that is logged."""
    if _HAS_DESCRIPTORS and clock is time.monotonic:
        try:
            return DescriptorAlarm(loop, clock, callback)
        except OSError as error:
            _log.warning("tokens come a millisecond later, by timers of the loop: timerfd_create: %s", error)
    return LoopAlarm(loop, clock, callback)
