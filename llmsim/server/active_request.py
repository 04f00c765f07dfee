"""One HTTP request from arrival to end, and its booking.

Decisions:
* Both ends are booked in one place: the beginning before the call is handed on, the end when it
  returns, whatever happened in between: done, refused, hang-up, drain, bug. Handlers only say what
  the outcome is. So a client that hangs up before anyone has looked at its request counts too.
"""

import asyncio
import time
from collections.abc import Callable

from llmsim.server.connections import Connection
from llmsim.stats import Outcome, Recorder

KEY = "llmsim.visit"
"""Where the ASGI scope carries the visit."""


class ActiveRequest:
    """One HTTP request.

    Attributes:
        arrived: Instant of arrival, on `time.monotonic()`.
        connection: The line to the client.
        recorder: The worker's counters.
        outcome: How it ended, once that is known.
        ended: Told how it ended, and how many seconds it took; None if nobody wants to know.
        left: Instant at which the last byte was handed over; None to take the end of the call.
    """

    __slots__ = ("_endpoint", "_streams", "arrived", "connection", "ended", "left", "outcome", "recorder")

    def __init__(
        self, arrived: float, connection: Connection, recorder: Recorder, endpoint: int | None = None
    ) -> None:
        """Book the beginning.

        Args:
            arrived: Instant of arrival.
            connection: The line to the client.
            recorder: The worker's counters.
            endpoint: Number of the generating endpoint that is asked; None for any other path, which is not counted.
        """
        self.arrived = arrived
        self.connection = connection
        self.recorder = recorder
        self.outcome: Outcome | None = None
        self.left: float | None = None
        self.ended: Callable[[Outcome, float], None] | None = None
        self._endpoint = endpoint
        self._streams = False
        if endpoint is not None:
            recorder.began(endpoint, arrived)

    def stream(self) -> None:
        """Book that the answer is a stream and about to leave; once at most."""
        self._streams = True
        self.recorder.stream_opened()

    def close(self, error: BaseException | None = None) -> None:
        """Book the end.

        Args:
            error: What the call was left by, if by an exception.
        """
        self.connection.close()
        if self._streams:
            self.recorder.stream_closed()
        if self._endpoint is None:
            return
        outcome = self.outcome or _unsaid(error)
        now = time.monotonic()
        seconds = (now if self.left is None else self.left) - self.arrived
        self.recorder.ended(self._endpoint, outcome, seconds, now)
        if self.ended is not None:
            self.ended(outcome, seconds)


def _unsaid(error: BaseException | None) -> Outcome:
    """Tell the outcome that no handler has said."""
    if error is None:
        # Falcon returns without a word when the client was gone before its request was looked at.
        return Outcome.ABANDONED
    return Outcome.ABORTED if isinstance(error, asyncio.CancelledError) else Outcome.FAILED
