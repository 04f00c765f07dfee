"""A connection to the Redis server on which operations follow each other without waiting for replies.

Decisions:
* The library connects, authenticates and knows the errors. From then on its transport is read and written here. PERF: 13 us of
  the worker for an operation with a kilobyte, where six are under way; with the library's streams and a timeout for each, 37.
* The server answers in order, so a reply is that of the first operation that waits. The reply to one that was given up is dropped.
* The first operation that waits is the first that is late, so one timer serves all.
* What is sent in one turn of the event loop leaves in one write: the transports of uvloop gather it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as LostConnectionError
from redis.exceptions import InvalidResponse

Argument = bytes | str | int | float

_NOTHING = object()
_SHORTEST_WAIT = 0.001
"""Seconds: timers of uvloop count whole milliseconds, and may fire early."""


class Pipeline(asyncio.Protocol):
    """Operations that are under way on one connection.

    Args:
        link: The connection, which the library has made.
        on_end: Called when it has ended.

    Attributes:
        ended: Done when it has ended.
    """

    def __init__(self, link: AbstractConnection, on_end: Callable[["Pipeline"], None]) -> None:
        assert link._writer is not None, "it is connected"
        self._link = link
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._replies = hiredis.Reader(
            protocolError=InvalidResponse, replyError=link._parser.parse_error, notEnoughData=_NOTHING
        )
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_retired = False
        self._failure: Exception | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._transport = link._writer.transport
        self._transport.set_protocol(self)

    def __len__(self) -> int:
        """Return how many operations are under way."""
        return len(self._waiting)

    def send(self, command: tuple[Argument, ...], deadline: float) -> asyncio.Future[Any]:
        """Send a command.

        Args:
            command: Its name and arguments.
            deadline: Time of the event loop until which there must be a reply; not before that of an earlier command.

        Returns:
            The reply to come: a value; ResponseError, ConnectionError, or TimeoutError, which ends the connection.
        """
        reply = self._loop.create_future()
        self._waiting.append((deadline, reply))
        # Its annotation is that of a tuple of one.
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._check_deadline)
        return reply

    def _check_deadline(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        deadline, _ = self._waiting[0]
        left = deadline - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(max(left, _SHORTEST_WAIT), self._check_deadline)
        else:
            self._fail(TimeoutError())

    def data_received(self, data: bytes) -> None:
        """Resolve the operations whose replies have arrived."""
        replies = self._replies
        replies.feed(data)
        try:
            while (reply := replies.gets()) is not _NOTHING:
                _, waiter = self._waiting.popleft()
                if waiter.done():
                    # It was given up.
                    continue
                if isinstance(reply, Exception):
                    waiter.set_exception(reply)
                else:
                    waiter.set_result(reply)
        except (InvalidResponse, IndexError) as error:
            self._fail(error)
        if self._is_retired:
            self.retire()

    def retire(self) -> None:
        """Close the connection once nothing is under way; nothing more is sent."""
        self._is_retired = True
        if not self._waiting:
            # Nothing is to be written, so nothing is lost; with TLS a close would wait for the server's.
            self._transport.abort()

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is under way."""
        self._on_end(self)
        if self._timer is not None:
            self._timer.cancel()
        failure = self._failure or LostConnectionError(str(exc or "the server has closed the connection"))
        for _, waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(failure)
        self._waiting.clear()
        abandon(self._link)
        self.ended.set_result(None)


def abandon(link: AbstractConnection) -> None:
    """Close a connection of the library's without waiting for it."""
    link._parser.on_disconnect()
    link._close()
