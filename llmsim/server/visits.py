"""One HTTP request from arrival to end, and its booking.

Decisions:
* The end is booked in one place, when the ASGI call returns, whatever happened in between: done,
  refused, hang-up, drain, bug. Handlers only say what the outcome is.
"""

import asyncio
import time

from llmsim.server.connections import Connection
from llmsim.stats import Outcome, Recorder

KEY = "llmsim.visit"
"""Where the ASGI scope carries the visit."""


class Visit:
    """One HTTP request.

    Attributes:
        arrived: Instant of arrival, on `time.monotonic()`.
        connection: The line to the client.
        recorder: The worker's counters.
        outcome: How it ended, once that is known.
        left: Instant at which the last byte was handed over; None to take the end of the call.
    """

    __slots__ = ("_endpoint", "arrived", "connection", "left", "outcome", "recorder")

    def __init__(self, arrived: float, connection: Connection, recorder: Recorder) -> None:
        self.arrived = arrived
        self.connection = connection
        self.recorder = recorder
        self.outcome: Outcome | None = None
        self.left: float | None = None
        self._endpoint = -1

    def began(self, endpoint: int) -> None:
        """Count it as a request to generating endpoint number `endpoint`."""
        self._endpoint = endpoint
        self.recorder.began(endpoint, self.arrived)

    def close(self, error: BaseException | None = None) -> None:
        """Book the end.

        Args:
            error: What the call was left by, if by an exception.
        """
        self.connection.close()
        if self._endpoint < 0:
            return
        outcome = self.outcome
        if outcome is None:
            outcome = Outcome.ABORTED if isinstance(error, asyncio.CancelledError) else Outcome.FAILED
        now = time.monotonic()
        left = now if self.left is None else self.left
        self.recorder.ended(self._endpoint, outcome, left - self.arrived, now)
