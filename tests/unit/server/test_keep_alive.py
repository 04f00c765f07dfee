"""The time for which a connection may be idle."""

from collections.abc import Callable
from typing import Any

from llmsim.server.transport.keep_alive import KeepAlive


class Connection:
    """A protocol whose idle time is tested."""

    timeout_keep_alive = 75

    def __init__(self) -> None:
        self.loop: Any = Loop()
        self.busy = False
        self.closed: list[float] = []

    def is_busy(self) -> bool:
        """Return what the test has set."""
        return self.busy

    def timeout_keep_alive_handler(self) -> None:
        """Note when it was closed."""
        self.closed.append(self.loop.now)


class Loop:
    """An event loop whose time the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        """Return the time."""
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        """Remember a timer, and return its handle."""
        self.timers.append((self.now + delay, callback))
        return object()

    def advance(self, now: float) -> None:
        """Go to a time, and call what is due."""
        while due := [one for one in self.timers if one[0] <= now]:
            self.timers.remove(due[0])
            self.now = due[0][0]
            due[0][1]()
        self.now = now


def test_an_idle_connection_is_closed_in_time_after_its_last_response() -> None:
    """TRAN-1.13: The time starts anew with each response; a request in progress outlasts it; one timer is enough."""
    connection = Connection()
    loop = connection.loop
    keep_alive = KeepAlive(connection)

    keep_alive.start()
    loop.advance(70)
    keep_alive.start()
    assert len(loop.timers) == 1
    loop.advance(140)
    assert connection.closed == []

    connection.busy = True
    loop.advance(300)
    assert (connection.closed, loop.timers) == ([], [])

    connection.busy = False
    keep_alive.start()
    loop.advance(500)
    assert connection.closed == [375]


def test_a_connection_that_has_ended_is_released() -> None:
    """TRAN-1.14: Behind its end nothing refers to the protocol, and no timer begins."""
    connection = Connection()
    keep_alive = KeepAlive(connection)
    keep_alive.stop()
    keep_alive.start()

    assert connection.loop.timers == []
    assert keep_alive._protocol is None
