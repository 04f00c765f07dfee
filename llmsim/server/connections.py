"""The line to one client: waiting until an instant or a hang-up, and writing what is due.

Decisions:
* Two ways to write, one interface. `DirectConnection` writes to uvicorn's transport from the wheel's
  callback and spares each event the way through generator, Falcon and `send()`: 1.3 to 1.9 times
  the streams a core. `AsgiConnection` is plain ASGI for any other server. The same tests run on both.
* A hang-up wakes whoever waits: uvicorn sets the cycle's message event when the client is gone, and
  the wheel sets the same event when there is something to do, so one `await` sees both and no
  watcher task is needed (it would cost 20 % of the core).
* What of an answer is there at once leaves in one write: head and body, and the end of a stream that has nothing to
  wait for. uvicorn makes a system call of each, and each wakes the client. While it sends, it is given a transport
  that collects.
* uvicorn's `send()` is a silent no-op once the client is gone, so nobody relies on it to notice.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from llmsim.server.pacing import PacedStream, TimerWheel

_PAUSED = 0.020
"""Seconds after which a connection whose reader is slow is tried again."""

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Connection(Protocol):
    """The line to one client, for the time of one request."""

    @property
    def gone(self) -> bool:
        """Whether the client has hung up."""
        ...

    async def until(self, instant: float) -> bool:
        """Wait until the clock shows `instant`; tell whether the client is still there then."""
        ...

    async def fly(self, flight: PacedStream) -> None:
        """Return when `flight` has something to take, is done, or the client is gone, having written what fell due."""
        ...

    def sender(self, send: Send) -> Send:
        """Give Falcon's way to send, in place of the server's `send`."""
        ...

    def ending(self) -> None:
        """Take note that the next part of the body is the last, and that the end follows at once."""
        ...

    async def flush(self) -> None:
        """Let what is held back leave."""
        ...

    def drop(self) -> bool:
        """Hang up on the client, and tell whether that can be done from here."""
        ...

    def close(self) -> None:
        """Let go of everything held for the request."""
        ...


class _Cork:
    """Stands in for a transport, and collects what is written until it is pulled."""

    __slots__ = ("_closes", "_parts", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._parts: list[bytes] = []
        self._closes = False

    def write(self, data: bytes) -> None:
        self._parts.append(data)

    def close(self) -> None:
        self._closes = True

    def is_closing(self) -> bool:
        return bool(self._transport.is_closing())

    def pull(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
        if self._closes:
            self._transport.close()


class DirectConnection:
    """A line over uvicorn's httptools protocol, written to directly."""

    __slots__ = (
        "_clock",
        "_closed",
        "_cycle",
        "_ending",
        "_failure",
        "_flight",
        "_held",
        "_receive",
        "_transport",
        "_wheel",
    )

    def __init__(
        self, cycle: Any, receive: Receive, wheel: TimerWheel, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cycle = cycle
        self._transport = cycle.transport
        self._receive = receive
        self._wheel = wheel
        self._clock = clock
        self._held: tuple[Any, ...] = ()
        self._ending = False
        self._flight: PacedStream | None = None
        self._failure: Exception | None = None
        self._closed = False

    @property
    def gone(self) -> bool:
        """Whether the client has hung up."""
        return bool(self._cycle.disconnected or self._transport.is_closing())

    def _wake(self) -> None:
        if not self._closed:
            self._cycle.message_event.set()

    async def until(self, instant: float) -> bool:
        """Wait until the clock shows `instant`; tell whether the client is still there then."""
        if self._clock() >= instant:
            return not self.gone
        while not self.gone:
            # Anew after each wake: the last bit of a float may have let the wheel turn too early.
            self._wheel.at(instant, self._wake)
            await self._receive()
            if self._clock() >= instant:
                return not self.gone
        return False

    async def fly(self, flight: PacedStream) -> None:
        """Write `flight` to its end from the wheel; return when it is done or the client is gone."""
        if not self._cycle.chunked_encoding:
            await self.until(flight.due)
            return
        self._flight = flight
        self._wheel.at(flight.due, self._write)
        while not flight.done and not self.gone:
            await self._receive()
            if self._failure is not None:
                raise self._failure

    def _write(self) -> None:
        """Write what is due, from the wheel's callback; a bug is handed to the request that waits in `fly`."""
        try:
            self._write_due()
        except Exception as error:
            self._failure = error
            self._cycle.message_event.set()

    def _write_due(self) -> None:
        flight = self._flight
        if self._closed or flight is None:
            return
        cycle = self._cycle
        if cycle.disconnected or self._transport.is_closing():
            cycle.message_event.set()
            return
        now = self._clock()
        if cycle.flow.write_paused:
            self._wheel.at(now + _PAUSED, self._write)
            return
        if data := flight.take(now):
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        if flight.done:
            cycle.message_event.set()
        else:
            self._wheel.at(flight.due, self._write)

    def sender(self, send: Send) -> Send:
        """Give Falcon a way to send that holds the head back until there is something of the body."""
        return self._send

    def ending(self) -> None:
        """Hold the next part of the body back until the end."""
        self._ending = True

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start" or (self._ending and message.get("more_body")):
            self._held += (message,)
            return
        cycle = self._cycle
        if not self._held or cycle.flow.write_paused:
            await self.flush()
            await cycle.send(message)
            return
        # PERF: 10 us and more for each write that is saved, and as much in the client.
        cycle.transport = cork = _Cork(self._transport)
        try:
            await self.flush()
            await cycle.send(message)
        finally:
            cycle.transport = self._transport
            cork.pull()

    async def flush(self) -> None:
        """Let what is held back leave."""
        held, self._held = self._held, ()
        for message in held:
            await self._cycle.send(message)

    def drop(self) -> bool:
        """Hang up on the client; uvicorn then has nothing to complain about."""
        self._cycle.disconnected = True
        self._transport.close()
        return True

    def close(self) -> None:
        """Make the wheel's outstanding callbacks harmless."""
        self._closed = True
        self._flight = None


class AsgiConnection:
    """A line over any ASGI server: `send()` is Falcon's, and a task watches for the hang-up."""

    __slots__ = ("_clock", "_gone", "_news", "_receive", "_watcher", "_wheel")

    def __init__(
        self, receive: Receive | None, wheel: TimerWheel, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the line over.

        Args:
            receive: Where a hang-up is told; None if `hang_up` is called instead.
            wheel: The worker's wheel.
            clock: `time.monotonic`.
        """
        self._receive = receive
        self._wheel = wheel
        self._clock = clock
        self._gone = False
        self._news = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    @property
    def gone(self) -> bool:
        """Whether the client has hung up."""
        return self._gone

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.hang_up()

    def hang_up(self) -> None:
        """Note that the client is gone, and wake who waits."""
        self._gone = True
        self._news.set()

    async def until(self, instant: float) -> bool:
        """Wait until the clock shows `instant`; tell whether the client is still there then."""
        if self._clock() >= instant:
            return not self._gone
        if self._watcher is None and self._receive is not None:
            self._watcher = asyncio.create_task(self._watch(self._receive))
        while not self._gone and self._clock() < instant:
            self._wheel.at(instant, self._news.set)
            await self._news.wait()
            self._news.clear()
        return not self._gone

    async def fly(self, flight: PacedStream) -> None:
        """Wait until `flight` has something to take."""
        await self.until(flight.due)

    def sender(self, send: Send) -> Send:
        """Give Falcon the server's own way to send."""
        return send

    def ending(self) -> None:
        """Leave it to the server when it writes."""

    async def flush(self) -> None:
        """Hold nothing back."""

    def drop(self) -> bool:
        """Leave it to the server, which hangs up when the call raises."""
        return False

    def close(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.cancel()


def direct_writes_problem() -> str | None:
    """Test whether the installed uvicorn is built as `DirectConnection` expects.

    Returns:
        What is missing; None when direct writes work.
    """
    try:
        from uvicorn.protocols.http.flow_control import FlowControl
        from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

        transport: Any = object()
        cycle = RequestResponseCycle(
            scope={},  # type: ignore[typeddict-item]  # only the attributes are looked at
            transport=transport,
            flow=FlowControl(transport),
            logger=None,  # type: ignore[arg-type]
            access_logger=None,  # type: ignore[arg-type]
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=lambda: None,
        )
    except (ImportError, TypeError) as error:
        return f"uvicorn's httptools protocol has changed: {error}"
    wanted = ("transport", "disconnected", "message_event", "chunked_encoding", "flow")
    missing = [name for name in wanted if not hasattr(cycle, name)]
    if not missing and not hasattr(cycle.flow, "write_paused"):
        missing.append("flow.write_paused")
    return f"uvicorn's RequestResponseCycle has no {', '.join(missing)}" if missing else None


def connector(wheel: TimerWheel, *, direct: bool) -> Callable[[Receive, Send], Connection]:
    """Give the function that makes the line of a request.

    Args:
        wheel: The worker's wheel.
        direct: Whether to write directly where the request came by uvicorn's httptools protocol.
    """
    if not direct:
        return lambda receive, send: AsgiConnection(receive, wheel)  # noqa: ARG005 - one shape for both
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    def connect(receive: Receive, send: Send) -> Connection:
        cycle = getattr(send, "__self__", None)
        if type(cycle) is RequestResponseCycle:
            return DirectConnection(cycle, receive, wheel)
        return AsgiConnection(receive, wheel)

    return connect
