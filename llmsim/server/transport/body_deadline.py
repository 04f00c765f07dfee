"""How long a client may take for a body, or for a message over WebSocket.

Decisions:
* Only the time in which the client may send counts. The wait for room among the bodies that the worker holds is no fault of
  the client, and has a bound of its own.
"""

_MB = 1_000_000


class BodyDeadline:
    """The deadline of one body after the other.

    Attributes:
        is_waiting: Whether the body waits for room.
    """

    __slots__ = ("_began", "_seconds", "_wait_seconds", "_waits_since", "is_waiting")

    def __init__(self, seconds: int, wait_seconds: int) -> None:
        """Prepare for the first body.

        Args:
            seconds: Seconds in which the client may send, besides one more for each MB.
            wait_seconds: Seconds for which it may wait for room.
        """
        self.is_waiting = False
        self._seconds = seconds
        self._wait_seconds = wait_seconds
        self._began = self._waits_since = 0.0

    def start(self, now: float) -> None:
        """Begin a body, or its whole time anew."""
        self._began = self._waits_since = now

    def pause(self, now: float) -> None:
        """Begin to wait."""
        self.is_waiting = True
        self._waits_since = now

    def resume(self, now: float) -> None:
        """End the wait."""
        if self.is_waiting:
            self.is_waiting = False
            self._began += now - self._waits_since

    def left(self, now: float, size: int) -> float:
        """Return the seconds that are left.

        Args:
            now: The time of the event loop.
            size: Bytes that have come.
        """
        if self.is_waiting:
            return self._wait_seconds - (now - self._waits_since)
        return self._seconds + size / _MB - (now - self._began)

    def problem(self, now: float) -> tuple[int, str]:
        """Return the HTTP status and the problem of a body whose time is over."""
        if self.is_waiting:
            return 503, no_room(self._wait_seconds)
        return 408, f"the body of the request was not complete within {now - self._began:.0f} s"


def no_room(seconds: float) -> str:
    """Return the problem of a request that has waited for room in vain."""
    return f"there was no room for the request within {seconds:.0f} s, as others are being read and answered"
