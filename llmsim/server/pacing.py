"""When bytes leave: a wheel of deadlines, and the pace of one stream along its schedule.

Decisions:
* Deadlines are absolute, on `time.monotonic()`, and planned before the first byte leaves; what is
  due goes out in one write. Sleeping from token to token would end 100-token replies 44 ms late.
* One wheel a worker, of 1 ms ticks, with one timer for the earliest of them: the timer costs the
  same for one stream and for two thousand, and none when no stream is open. A tick is rounded up, so
  nothing is ever early.
* A stream knows what is due and what was observed; writing is the channel's matter.
* A fault in the middle of a stream is a frame like any other, so it is due at its instant; for a disconnect the frame is empty and
  marks that instant.
"""

import asyncio
import heapq
import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from math import ceil, inf
from typing import ClassVar

from llmsim.domain import Fault, StreamFault, Turn, WireFaultKind
from llmsim.server.alarms import Alarm, LoopAlarm, OpenAlarm
from llmsim.stats import Recorder, Row
from llmsim.wire.frames import FrameBatch, single, truncate

MOST_FRAMES = 256
"""Frames of one run that are put into one write: some 64 KB, so that no reply is copied whole."""

_GROUP = 32
"""Streams that are rendered before any of them is written: what is observed is less than half a millisecond before it leaves."""

_log = logging.getLogger(__name__)


class UnknownInstant(float):
    """An instant that is not known yet: infinitely far, until it is known."""

    __slots__ = ()

    def call_when_known(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, when it may be known."""
        raise NotImplementedError


class TimerWheel:
    """Calls back at instants, to the millisecond, never early."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        clock: Callable[[], float] = time.monotonic,
        open_alarm: OpenAlarm = LoopAlarm,
    ) -> None:
        """Prepare to turn.

        Args:
            loop: The event loop; None if that runs later, when `start` sets it.
            clock: What instants are on, in seconds.
            open_alarm: Opens what wakes the wheel.
        """
        self._clock = clock
        self._open_alarm = open_alarm
        self._alarm: Alarm
        self._due: dict[int, list[Callable[[], None]]] = {}
        self._ticks: list[int] = []
        # The tick that it is set to; infinite while it is not, and less than all while the wheel turns.
        self._armed = inf
        self._writes: list[tuple[asyncio.WriteTransport, bytes]] = []
        if loop is not None:
            self.start(loop)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Turn in an event loop; what was asked for in another is forgotten."""
        self._due, self._ticks, self._armed, self._writes = {}, [], inf, []
        self._alarm = self._open_alarm(loop, self._clock, self._turn)

    def at(self, instant: float, callback: Callable[[], None]) -> None:
        """Call `callback` once, as soon as the clock shows `instant`.

        It cannot be taken back: a callback must know itself whether it is still wanted.
        """
        try:
            tick = ceil(instant * 1000)
        except OverflowError:
            if not isinstance(instant, UnknownInstant):
                raise
            instant.call_when_known(callback)
            return
        waiting = self._due.get(tick)
        if waiting is not None:
            waiting.append(callback)
            return
        self._due[tick] = [callback]
        heapq.heappush(self._ticks, tick)
        if tick < self._armed:
            self._arm(tick)

    def _arm(self, tick: int) -> None:
        self._armed = tick
        self._alarm.set(tick)

    def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write: with what else is due at this tick, once that is rendered; at once if this is no callback.

        PERF: the code of Python and that of the kernel drive each other out of the processor's caches. An event of 1,000 streams takes
        18 us where they take turns by the group, 22 by the event.
        """
        if self._armed < 0:
            self._writes.append((transport, data))
        else:
            transport.write(data)

    def _turn(self) -> None:
        ticks, due = self._ticks, self._due
        self._armed = -1
        reached = int(self._clock() * 1000)
        try:
            while ticks and ticks[0] <= reached:
                waiting = due.pop(heapq.heappop(ticks))
                for start in range(0, len(waiting), _GROUP):
                    self._call(waiting[start : start + _GROUP])
        finally:
            # Whatever ends a turn, the next one comes.
            self._armed = inf
            if ticks:
                self._arm(ticks[0])

    def _call(self, callbacks: Sequence[Callable[[], None]]) -> None:
        """Call what is due, and write what that has rendered."""
        for callback in callbacks:
            try:
                callback()
            except Exception:
                # One stream's bug must not stop the clock of all others.
                _log.exception("a callback of the wheel failed")
        writes, self._writes = self._writes, []
        for transport, data in writes:
            try:
                transport.write(data)
            except Exception:
                if not transport.is_closing():
                    _log.exception("a write failed")
                    transport.abort()


class PacedStream:
    """One streamed turn in progress: what has left, what is due, and when the next frame will be.

    Attributes:
        due: Instant at which the next frame may leave; meaningless once done.
        done: Whether everything was taken.
        ends_abruptly: Whether the client is disconnected behind the last frame.
        ending: How it is disconnected then.
    """

    ending: ClassVar = WireFaultKind.CLOSE

    __slots__ = (
        "_arrival",
        "_at_once",
        "_batch",
        "_batches",
        "_index",
        "_last",
        "_recorder",
        "_row",
        "_schedule",
        "_steady",
        "_tokens",
        "_total",
        "_whole_due",
        "done",
        "due",
        "ends_abruptly",
    )

    def __init__(
        self,
        turn: Turn,
        frames: Sequence[FrameBatch],
        *,
        arrival: float,
        recorder: Recorder,
        row: Row,
        ends_abruptly: bool = False,
    ) -> None:
        """Prepare to send.

        Args:
            turn: The response.
            frames: Its frames.
            arrival: Instant of the request's arrival; the schedule counts from it.
            recorder: Counts what is observed.
            row: Where it is counted in the stats.
            ends_abruptly: Whether the client is disconnected behind the last frame.
        """
        self.ends_abruptly = ends_abruptly
        self._batches = frames
        self._schedule = turn.schedule
        self._at_once = turn.schedule.at_once
        self._whole_due = arrival + turn.schedule.ttft
        self._total = turn.generated_tokens
        self._arrival = arrival
        self._recorder = recorder
        self._row = row
        self._batch = 0
        self._index = 0
        self._tokens = 0
        # Of how many frames of the batch each is as good as any other: a token has left before it, and another frame comes behind it.
        self._steady = 0
        self._last = -1.0
        self.done = False
        self.due = arrival
        if frames:
            self._reach(frames[0].required_tokens[0])

    def _reach(self, after: int) -> None:
        """Move on to the instant at which `after` tokens exist."""
        if self._tokens < after:
            self.due = self._find(after)
            self._tokens = after

    def _find(self, after: int) -> float:
        """Return the instant at which `after` tokens exist, which are more than were reached, or as many."""
        tokens, instant, schedule = self._tokens, self.due, self._schedule
        if tokens == 0:
            instant = self._arrival + schedule.ttft
            tokens = 1
        if self._at_once:
            return instant
        while tokens < after:
            instant += schedule.gap(tokens)
            tokens += 1
        return instant

    def take(self, now: float) -> bytes:
        """Return all frames that are due at `now`, for writing at once; empty when none is due.

        PERF: 1.8 us for a token event: while one frame at a time falls due, nothing but that frame is looked at. 2.4 us where two fall due.
        """
        index, due = self._index, self.due
        if index < self._steady and due <= now:
            batch = self._batches[self._batch]
            following = index + 1
            required = batch.required_tokens[following]
            tokens = batch.tokens[index]
            if tokens and (then := self._find(required)) > now:
                last, self._last = self._last, now
                self._index, self._tokens, self.due = following, required, then
                self._recorder.streamed(self._row, tokens, now - due, now - last, now)
                return b"%b%b%b" % (batch.head, batch.bodies[index], batch.tail)
        return b"".join(self.take_parts(now))

    def take_parts(self, now: float) -> list[bytes]:
        """Return the same in parts, to be joined."""
        parts: list[bytes] = []
        batches = self._batches
        if self._at_once and self._whole_due <= now and self._is_whole():
            self._take_whole(parts, now)
            return parts
        while self._batch < len(batches):
            batch = batches[self._batch]
            start = self._index
            stop = self._ready(batch, start, now)
            if stop > start:
                parts.extend(batch.parts(start, stop))
                if batch.tokens:
                    self._observe(batch.tokens[start:stop], now)
            if stop < len(batch.required_tokens):
                self._index = stop
                is_steady = self._last >= 0.0 and not self._at_once
                self._steady = min(len(batch.tokens), len(batch.required_tokens) - 1) if is_steady else 0
                return parts
            self._batch += 1
            self._index = self._steady = 0
        self.done = True
        # Hidden tokens of a turn that shows nothing behind them.
        if (hidden := self._total - sum([sum(batch.tokens) for batch in batches])) > 0:
            self._recorder.sent(self._row, hidden, now)
        return parts

    def _is_whole(self) -> bool:
        """Whether nothing was taken, nothing waits for less than a token, and all of it fits into one write."""
        batches = self._batches
        return (
            not (self.done or self._batch or self._index)
            and len(batches) > 0
            and batches[0].required_tokens[0] > 0
            and sum([len(batch.required_tokens) for batch in batches]) <= MOST_FRAMES
        )

    def _take_whole(self, parts: list[bytes], now: float) -> None:
        """Take all frames of a stream that is due at once.

        PERF: 4 us for 100 tokens, 8 frame by frame.
        """
        frames = 0
        for batch in self._batches:
            counts = batch.tokens
            frames += len(counts) - counts.count(0)
            parts.extend(batch.parts(0, len(batch.required_tokens)))
        self.done = True
        self._batch = len(self._batches)
        recorder = self._recorder
        recorder.sent(self._row, self._total, now)
        if frames:
            recorder.late(now - self._whole_due, frames)
            recorder.first_token(self._row, now - self._arrival)
            if frames > 1:
                recorder.gap(self._row, 0.0, frames - 1)

    def _ready(self, run: FrameBatch, start: int, now: float) -> int:
        """Return up to which frame (exclusive) `run` may leave; if each is due at its time, book how late it is."""
        ends, tokens = run.required_tokens, run.tokens
        stop = min(len(ends), start + MOST_FRAMES)
        late = self._recorder.late
        if self._at_once:
            if ends[start] == 0:
                # What waits for no token does not wait for the first one either.
                return bisect_right(ends, 0, start, stop) if self._arrival <= now else start
            self._reach(ends[stop - 1])
            return start if self.due > now else stop
        for index in range(start, stop):
            if ends[index] > self._tokens:
                self._reach(ends[index])
            if self.due > now:
                return index
            if tokens and tokens[index]:
                late(now - self.due)
        return stop

    def _observe(self, tokens: Sequence[int], now: float) -> None:
        """Book that frames with `tokens` left together."""
        if len(tokens) == 1:  # PERF: by far the most frequent case, at 0.3 us less.
            sent = tokens[0]
            frames = 1 if sent else 0
        else:
            sent = sum(tokens)
            frames = len(tokens) - tokens.count(0)
        if not frames:
            return
        recorder = self._recorder
        recorder.sent(self._row, sent, now)
        if self._at_once:
            recorder.late(now - self.due, frames)
        if self._last < 0.0:
            recorder.first_token(self._row, now - self._arrival)
        else:
            recorder.gap(self._row, now - self._last)
        self._last = now
        if frames > 1:
            recorder.gap(self._row, 0.0, frames - 1)


def truncated_frames(
    turn: Turn,
    frames: Sequence[FrameBatch],
    stream_fault: StreamFault,
    render: Callable[[Fault, int], bytes],
) -> tuple[FrameBatch, ...]:
    """Return the frames that leave of a stream that fails.

    Args:
        turn: The response.
        frames: All of its frames.
        stream_fault: Its fault.
        render: Renders the end, given the fault and the number of frames that have left.
    """
    end = turn.truncated_after or 0
    kept = truncate(frames, end)
    sent = sum(len(batch.required_tokens) for batch in kept)
    data = b"" if stream_fault.disconnect else render(stream_fault.fault, sent)
    return (*kept, single(data, end))
