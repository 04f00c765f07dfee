"""One request of a connection and its response, as uvicorn has it, in less memory.

Decisions:
* PERF: an event of asyncio's has a deque, of 760 bytes, and a cycle had a dict. An open stream takes 12 kB with what is here, 17 without,
  and each of its tokens finds more of it in the processor's cache.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class WakeEvent:
    """What `asyncio.Event` is, for an event that hardly ever has more than one waiter.

    Args:
        loop: The event loop.
    """

    __slots__ = ("_is_set", "_loop", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_set = False
        self._waiters: tuple[asyncio.Future[bool], ...] = ()

    def is_set(self) -> bool:
        """Return whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Wake what waits, and have nothing wait until it is cleared."""
        self._is_set = True
        if self._waiters:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(True)
            self._waiters = ()

    def clear(self) -> None:
        """Have `wait` wait from now on."""
        self._is_set = False

    def wait(self) -> Awaitable[bool]:
        """Return what waits until it is set."""
        waiter: asyncio.Future[bool] = self._loop.create_future()
        if self._is_set:
            waiter.set_result(True)
        elif self._waiters:
            # Those that were cancelled wait no longer.
            self._waiters = (*[other for other in self._waiters if not other.done()], waiter)
        else:
            self._waiters = (waiter,)
        return waiter


class _Unbounded(int):
    """The length of a body that ends with its connection, as uvicorn counts it down."""

    def __sub__(self, other: int) -> "_Unbounded":
        return self

    def __lt__(self, other: int) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


_UNBOUNDED = _Unbounded()


class Cycle(RequestResponseCycle):
    """uvicorn's request and response, in slots.

    Source: uvicorn 0.54, protocols/http/httptools_impl.py, `RequestResponseCycle.__init__`.
    """

    __slots__ = (
        "access_log",
        "access_logger",
        "body",
        "chunked_encoding",
        "default_headers",
        "disconnected",
        "expected_content_length",
        "flow",
        "keep_alive",
        "logger",
        "message_event",
        "more_body",
        "on_response",
        "response_complete",
        "response_started",
        "scope",
        "transport",
        "waiting_for_100_continue",
    )

    def __init__(self, protocol: Any, *, keep_alive: bool) -> None:
        """Begin a request.

        Args:
            protocol: Of the connection; it has read the head.
            keep_alive: Whether the connection goes on after the response.
        """
        event: Any = WakeEvent(protocol.loop)
        self.scope = protocol.scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.access_logger = protocol.access_logger
        self.access_log = protocol.access_log
        self.default_headers = protocol.server_state.default_headers
        self.message_event = event
        self.on_response = protocol.on_response_complete
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.body = bytearray()
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding = None
        self.expected_content_length = 0


def do_nothing() -> None:
    """Do nothing, in place of what is called at the end of a response: that leads to the protocol, and would be a cycle of references."""


def sample_cycle() -> RequestResponseCycle:
    """Return a request of the installed uvicorn, to look at its attributes.

    Raises:
        TypeError: It is built otherwise.
    """
    nothing: Any = None
    return RequestResponseCycle(
        scope=nothing,
        transport=nothing,
        flow=FlowControl(nothing),
        logger=nothing,
        access_logger=nothing,
        access_log=False,
        default_headers=[],
        message_event=nothing,
        expect_100_continue=False,
        keep_alive=True,
        on_response=do_nothing,
    )


def changed_attributes() -> list[str]:
    """Return what a request of the installed uvicorn has that `Cycle` has not; see `sample_cycle`."""
    return [f"cycle without {name}" for name in vars(sample_cycle()) if name not in Cycle.__slots__]


def end_with_connection(cycle: Any) -> None:
    """Have the end of a response be that of its connection.

    Source: RFC 9112, 6.1: a client of HTTP/1.0 knows no chunks.
    """
    cycle.chunked_encoding = False
    cycle.expected_content_length = _UNBOUNDED
