"""The ways to one client: waiting for an instant or a disconnect, and sending what is due.

Decisions:
* One protocol, three implementations (the third is in `websocket`). `DirectChannel` writes to uvicorn's transport from the timer
  wheel's callback and spares each event the way through `send()`: 1.3 to 1.9 times the streams a core. `AsgiChannel` is plain
  ASGI for any other server. The same tests run on both.
* A disconnect wakes whatever waits: uvicorn sets the cycle's message event when the client is gone, and the wheel sets the same
  event when there is something to do, so one `await` sees both and no watcher task is needed (it would cost 20 % of the core).
* What exists of a response at once leaves in one write: head and body, and the end of a stream that has nothing to wait for.
  uvicorn makes a system call for each message, and each wakes the client. While it sends, it is given a transport that collects.
* uvicorn's `send()` is a silent no-op once the client is gone, so nothing relies on it to notice.
* A channel sends a response itself; what Falcon then sends in its place is dropped.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from llmsim.providers.contract import Headers, Reply
from llmsim.providers.storage import StoredResponse
from llmsim.server.active_request import ActiveRequest
from llmsim.server.pacing import PacedStream, TimerWheel

_PAUSED = 0.020
"""Seconds after which a connection whose reader is slow is tried again."""

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Channel(Protocol):
    """The way to one client, for the time of one request."""

    active: ActiveRequest
    """The request in flight."""

    @property
    def disconnected(self) -> bool:
        """Whether the client has disconnected."""
        ...

    async def wait_until(self, instant: float) -> bool:
        """Wait until the clock shows `instant`; return whether the client is still there then."""
        ...

    async def reply(self, reply: Reply) -> None:
        """Send a whole response, in one write."""
        ...

    async def stream(self, stream: PacedStream, headers: Headers) -> None:
        """Send a streamed response as it falls due; return when it has ended, or the client is gone."""
        ...

    async def abort(self) -> None:
        """Disconnect the client without an end of the response."""
        ...

    def remember(self, response_id: str, response: StoredResponse[Any]) -> None:
        """Remember a response, where the API lets a connection continue what it does not store."""
        ...

    def recall(self, response_id: str) -> StoredResponse[Any] | None:
        """Return a remembered response; None if it is not remembered."""
        ...


class HttpChannel(Channel, Protocol):
    """A channel of one HTTP request, which Falcon's own responses take too."""

    responded: bool
    """Whether a response has been sent, or begun."""

    async def send(self, message: Any) -> None:
        """Send an ASGI message of Falcon's; dropped once the channel has sent a response itself."""
        ...

    def disconnect(self) -> bool:
        """Close the connection, if that can be done from here; return whether it can."""
        ...

    def close(self) -> None:
        """Release everything held for the request."""
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


def _start(status: int, headers: Headers) -> dict[str, Any]:
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": encoded}


def _body(data: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def _with_length(reply: Reply) -> Headers:
    return (*reply.headers, ("content-length", str(len(reply.body))))


class DirectChannel:
    """A channel over uvicorn's httptools protocol, written to directly."""

    __slots__ = (
        "_clock",
        "_closed",
        "_cycle",
        "_failure",
        "_held",
        "_receive",
        "_stream",
        "_transport",
        "_wheel",
        "active",
        "responded",
    )

    def __init__(
        self,
        cycle: Any,
        receive: Receive,
        wheel: TimerWheel,
        active: ActiveRequest,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.active = active
        self._cycle = cycle
        self._transport = cycle.transport
        self._receive = receive
        self._wheel = wheel
        self._clock = clock
        self._held: dict[str, Any] | None = None
        self.responded = False
        self._stream: PacedStream | None = None
        self._failure: Exception | None = None
        self._closed = False

    @property
    def disconnected(self) -> bool:
        """Whether the client has disconnected."""
        return bool(self._cycle.disconnected or self._transport.is_closing())

    def _wake(self) -> None:
        if not self._closed:
            self._cycle.message_event.set()

    async def wait_until(self, instant: float) -> bool:
        """Wait until the clock shows `instant`; return whether the client is still there then."""
        if self._clock() >= instant:
            return not self.disconnected
        while not self.disconnected:
            # Again after each wake: the last bit of a float may have let the wheel turn too early.
            self._wheel.at(instant, self._wake)
            await self._receive()
            if self._clock() >= instant:
                return not self.disconnected
        return False

    async def reply(self, reply: Reply) -> None:
        """Send a whole response, in one write."""
        self.responded = True
        self._held = _start(reply.status, _with_length(reply))
        await self._write(_body(reply.body, more=False))

    async def stream(self, stream: PacedStream, headers: Headers) -> None:
        """Send a streamed response as it falls due, from the wheel; return when it has ended, or the client is gone."""
        self.responded = True
        self._held = _start(200, headers)
        while not stream.done:
            if self.disconnected:
                return
            if data := stream.take(self._clock()):
                if stream.done and not stream.ends_abruptly:
                    await self._write(_body(data, more=False))
                    return
                await self._write(_body(data, more=True))
            elif not stream.done:
                await self._pace(stream)
        if stream.ends_abruptly:
            await self._flush()
            self.disconnect()
        else:
            await self._write(_body(b"", more=False))

    async def _pace(self, stream: PacedStream) -> None:
        """Write `stream` to its end from the wheel; return when it is done or the client is gone."""
        await self._flush()
        if not self._cycle.chunked_encoding:
            await self.wait_until(stream.due)
            return
        self._stream = stream
        self._wheel.at(stream.due, self._write_next)
        while not stream.done and not self.disconnected:
            await self._receive()
            if self._failure is not None:
                raise self._failure

    def _write_next(self) -> None:
        """Write what is due, from the wheel's callback; a bug is raised in the request that waits in `_pace`."""
        try:
            self._write_due()
        except Exception as error:
            self._failure = error
            self._cycle.message_event.set()

    def _write_due(self) -> None:
        stream = self._stream
        if self._closed or stream is None:
            return
        cycle = self._cycle
        if cycle.disconnected or self._transport.is_closing():
            cycle.message_event.set()
            return
        now = self._clock()
        if cycle.flow.write_paused:
            self._wheel.at(now + _PAUSED, self._write_next)
            return
        if data := stream.take(now):
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        if stream.done:
            cycle.message_event.set()
        else:
            self._wheel.at(stream.due, self._write_next)

    async def abort(self) -> None:
        """Disconnect the client without an end of the response."""
        self.responded = True
        self.disconnect()

    def remember(self, response_id: str, response: StoredResponse[Any]) -> None:
        """Remember nothing: another request may come by another connection."""

    def recall(self, response_id: str) -> StoredResponse[Any] | None:
        """Return None; see `remember`."""
        return None

    async def send(self, message: Any) -> None:
        """Send an ASGI message of Falcon's; its head waits for the body."""
        if self.responded:
            return
        if message["type"] == "http.response.start":
            self._held = message
            return
        await self._write(message)

    async def _write(self, message: dict[str, Any]) -> None:
        """Send a part of the body, with the head if that has not left."""
        cycle, head = self._cycle, self._held
        if head is None or cycle.flow.write_paused:
            await self._flush()
            await cycle.send(message)
            return
        self._held = None
        # PERF: 10 us and more for each write that is saved, and as much in the client.
        cycle.transport = cork = _Cork(self._transport)
        try:
            await cycle.send(head)
            await cycle.send(message)
        finally:
            cycle.transport = self._transport
            cork.pull()

    async def _flush(self) -> None:
        """Send the head if it has not left."""
        head, self._held = self._held, None
        if head is not None:
            await self._cycle.send(head)

    def disconnect(self) -> bool:
        """Close the connection; uvicorn then expects nothing more."""
        self._cycle.disconnected = True
        self._transport.close()
        return True

    def close(self) -> None:
        """Make the wheel's outstanding callbacks harmless."""
        self._closed = True
        self._stream = None


class AsgiChannel:
    """A channel over any ASGI server; a task watches for the disconnect."""

    __slots__ = (
        "_clock",
        "_disconnected",
        "_receive",
        "_send",
        "_waker",
        "_watcher",
        "_wheel",
        "active",
        "responded",
    )

    def __init__(
        self,
        receive: Receive,
        send: Send,
        wheel: TimerWheel,
        active: ActiveRequest,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.active = active
        self._receive = receive
        self._send = send
        self._wheel = wheel
        self._clock = clock
        self._disconnected = False
        self.responded = False
        self._waker = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    @property
    def disconnected(self) -> bool:
        """Whether the client has disconnected."""
        return self._disconnected

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._disconnected = True
        self._waker.set()

    async def wait_until(self, instant: float) -> bool:
        """Wait until the clock shows `instant`; return whether the client is still there then."""
        if self._clock() >= instant:
            return not self._disconnected
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())
        while not self._disconnected and self._clock() < instant:
            self._wheel.at(instant, self._waker.set)
            await self._waker.wait()
            self._waker.clear()
        return not self._disconnected

    async def reply(self, reply: Reply) -> None:
        """Send a whole response."""
        self.responded = True
        await self._send(_start(reply.status, _with_length(reply)))
        await self._send(_body(reply.body, more=False))

    async def stream(self, stream: PacedStream, headers: Headers) -> None:
        """Send a streamed response as it falls due; return when it has ended, or the client is gone."""
        self.responded = True
        await self._send(_start(200, headers))
        while not stream.done:
            if self._disconnected:
                return
            if data := stream.take(self._clock()):
                await self._send(_body(data, more=True))
            elif not stream.done:
                await self.wait_until(stream.due)
        if not stream.ends_abruptly:
            await self._send(_body(b"", more=False))

    async def abort(self) -> None:
        """Begin a response that never ends: the server then disconnects the client; without a head it would answer 500."""
        self.responded = True
        await self._send(_start(200, (("content-type", "application/json"),)))

    def remember(self, response_id: str, response: StoredResponse[Any]) -> None:
        """Remember nothing: another request may come by another connection."""

    def recall(self, response_id: str) -> StoredResponse[Any] | None:
        """Return None; see `remember`."""
        return None

    async def send(self, message: Any) -> None:
        """Send an ASGI message of Falcon's."""
        if not self.responded:
            await self._send(message)

    def disconnect(self) -> bool:
        """Leave it to the server, which disconnects when the call raises."""
        return False

    def close(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.cancel()


def direct_writes_problem() -> str | None:
    """Test whether the installed uvicorn is built as `DirectChannel` expects.

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


OpenChannel = Callable[[Receive, Send, ActiveRequest], HttpChannel]


def channel_opener(wheel: TimerWheel, *, direct: bool) -> OpenChannel:
    """Return the function that opens the channel of an HTTP request.

    Args:
        wheel: The worker's wheel.
        direct: Whether to write directly where the request came by uvicorn's httptools protocol.
    """
    if not direct:
        return lambda receive, send, active: AsgiChannel(receive, send, wheel, active)
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    def open_channel(receive: Receive, send: Send, active: ActiveRequest) -> HttpChannel:
        cycle = getattr(send, "__self__", None)
        if type(cycle) is RequestResponseCycle:
            return DirectChannel(cycle, receive, wheel, active)
        return AsgiChannel(receive, send, wheel, active)

    return open_channel
