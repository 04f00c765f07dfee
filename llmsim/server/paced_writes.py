"""The pace of a response with a fault on the wire: single writes along a schedule, each as it is given.

Decisions:
* It is taken from like a `PacedStream`, so that channels send both by the same code; but never more than one write at a time.
* The pauses of a fault add up: what comes behind one is later by it.
"""

from collections.abc import Sequence

from llmsim.domain import Turn, WireFaultKind
from llmsim.server.pacing import PacedStream
from llmsim.stats import Recorder, Row
from llmsim.wire.faulty_writes import Write


class PacedWrites:
    """One response in progress.

    Attributes:
        due: Instant at which the next write may leave; meaningless once done.
        done: Whether everything was taken.
        ends_abruptly: Whether the connection ends behind the last write.
        ending: How it ends then.
    """

    __slots__ = (
        "_arrival",
        "_last",
        "_next",
        "_owed",
        "_paused",
        "_planned",
        "_recorder",
        "_row",
        "_schedule",
        "_tokens",
        "_writes",
        "done",
        "due",
        "ending",
        "ends_abruptly",
    )

    def __init__(
        self,
        turn: Turn,
        writes: Sequence[Write],
        *,
        arrival: float,
        recorder: Recorder,
        row: Row,
        tokens: int,
        ending: WireFaultKind | None = None,
    ) -> None:
        """Prepare to send.

        Args:
            turn: The response.
            writes: What is sent of it.
            arrival: Instant of the request's arrival; the schedule counts from it.
            recorder: Counts what is observed.
            row: Where it is counted in the stats.
            tokens: Completion tokens that are generated, whether a write carries them or not.
            ending: How the connection ends behind the last write; None if it goes on.
        """
        self.ends_abruptly = ending is not None
        self.ending = ending or WireFaultKind.CLOSE
        self._schedule = turn.schedule
        self._writes = writes
        self._arrival = arrival
        self._recorder = recorder
        self._row = row
        self._owed = tokens
        self._next = 0
        self._tokens = 0
        self._planned = arrival
        self._paused = 0.0
        self._last = -1.0
        self.done = not writes
        self.due = arrival
        self._plan_next()

    def _plan_next(self) -> None:
        """Find the instant of the next write; there is none behind the last one."""
        if self._next == len(self._writes):
            self.done = True
            self._recorder.sent(self._row, self._owed, max(self.due, self._last))
            return
        write = self._writes[self._next]
        while self._tokens < write.required_tokens:
            if self._tokens == 0:
                self._planned = self._arrival + self._schedule.ttft
            else:
                self._planned += self._schedule.gap(self._tokens)
            self._tokens += 1
        self._paused += write.pause
        self.due = self._planned + self._paused

    def take(self, now: float) -> bytes:
        """Return the next write if it is due at `now`; empty if it is not, or if it is a pause only."""
        due = self.due
        if self.done or due > now:
            return b""
        write = self._writes[self._next]
        if write.tokens:
            self._observe(write.tokens, due, now)
        self._next += 1
        self._plan_next()
        return write.data

    def take_parts(self, now: float) -> list[bytes]:
        """Return the same as a list, empty where there is nothing to write."""
        data = self.take(now)
        return [data] if data else []

    def _observe(self, tokens: int, due: float, now: float) -> None:
        recorder, row = self._recorder, self._row
        sent = min(tokens, self._owed)
        self._owed -= sent
        recorder.sent(row, sent, now)
        recorder.late(now - due)
        if self._last < 0.0:
            recorder.first_token(row, now - self._arrival)
        else:
            recorder.gap(row, now - self._last)
        self._last = now


AnyStream = PacedStream | PacedWrites
"""What a channel sends as it falls due."""
