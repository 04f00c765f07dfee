"""The ways to one client: waiting for an instant or a disconnect, and sending what is due.

Decisions:
* One protocol, three implementations: `AsgiChannel` here is plain ASGI for any server, `direct_channel.DirectChannel` writes to
  uvicorn's transport, and `websocket.WebSocketChannel` sends messages. The same tests run on the first two.
* uvicorn's `send()` is a silent no-op once the client is gone, so nothing relies on it to notice.
* A channel sends a response itself; what Falcon then sends in its place is dropped.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Protocol

from llmsim.providers.storage import StoredResponse
from llmsim.server.active_request import ActiveRequest
from llmsim.server.paced_writes import AnyStream
from llmsim.server.pacing import TimerWheel
from llmsim.server.replies import EncodedReply

CHANNEL = "llmsim.channel"
"""Where the ASGI scope carries the channel."""

_WAITED = 0.005
"""Seconds after which a write that has returned has waited for its client."""

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

    def reply_at_once(self, reply: EncodedReply) -> bool:
        """Send a whole response if that need not wait; return whether it is sent, and if it is not, `reply` has to."""
        ...

    @property
    def is_writable(self) -> bool:
        """Whether a stream can be sent at once, by `stream_at_once`; such a channel remembers no responses."""
        ...

    def stream_at_once(self, parts: Sequence[bytes], reply: EncodedReply) -> None:
        """Send a streamed response that has nothing to wait for; only while `is_writable`.

        Args:
            parts: All of its frames, in parts to be joined.
            reply: Its head.
        """
        ...

    async def reply(self, reply: EncodedReply) -> None:
        """Send a whole response, in one write."""
        ...

    async def stream(self, stream: AnyStream, reply: EncodedReply) -> None:
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

    def take_body(self, limit: int) -> bytes | None:
        """Return the body if all of it has come and is no longer than `limit` bytes; None if it is to be received."""
        ...

    async def send(self, message: Any) -> None:
        """Send an ASGI message of Falcon's; dropped once the channel has sent a response itself."""
        ...

    def disconnect(self) -> bool:
        """Close the connection, if that can be done from here; return whether it can."""
        ...

    def close(self) -> None:
        """Release everything held for the request."""
        ...


class Waker:
    """Lets a channel wait for an instant or its client's disconnect, whichever comes first.

    Attributes:
        disconnected: Whether the client has disconnected.
    """

    __slots__ = ("_clock", "_event", "_wheel", "disconnected")

    def __init__(self, wheel: TimerWheel, clock: Callable[[], float]) -> None:
        self.disconnected = False
        self._wheel = wheel
        self._clock = clock
        self._event = asyncio.Event()

    def disconnect(self) -> None:
        """Note that the client has disconnected, and wake what waits."""
        self.disconnected = True
        self._event.set()

    async def wait_until(self, instant: float) -> bool:
        """Wait until the clock shows `instant`; return whether the client is still there then."""
        while not self.disconnected and self._clock() < instant:
            self._wheel.at(instant, self._event.set)
            await self._event.wait()
            self._event.clear()
        return not self.disconnected


def _body(data: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


class AsgiChannel:
    """A channel over any ASGI server; a task watches for the disconnect."""

    __slots__ = (
        "_clock",
        "_receive",
        "_send",
        "_waker",
        "_watcher",
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
        self._clock = clock
        self.responded = False
        self._waker = Waker(wheel, clock)
        self._watcher: asyncio.Task[None] | None = None

    @property
    def disconnected(self) -> bool:
        """Whether the client has disconnected."""
        return self._waker.disconnected

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._waker.disconnect()

    async def wait_until(self, instant: float) -> bool:
        """Wait until the clock shows `instant`; return whether the client is still there then."""
        if self._watcher is None and self._clock() < instant:
            self._watcher = asyncio.create_task(self._watch())
        return await self._waker.wait_until(instant)

    is_writable: ClassVar = False
    """Each message is awaited."""

    def reply_at_once(self, reply: EncodedReply) -> bool:
        """Return False: each message is awaited."""
        return False

    def stream_at_once(self, parts: Sequence[bytes], reply: EncodedReply) -> None:
        """Not to be called: each message is awaited."""
        raise NotImplementedError

    async def reply(self, reply: EncodedReply) -> None:
        """Send a whole response."""
        await self._begin(reply, (b"content-length", b"%d" % len(reply.body)))
        await self._send(_body(reply.body, more=False))

    async def stream(self, stream: AnyStream, reply: EncodedReply) -> None:
        """Send a streamed response as it falls due; return when it has ended, or the client is gone."""
        await self._begin(reply)
        while not stream.done:
            if self.disconnected:
                return
            now = self._clock()
            if data := stream.take(now):
                await self._send(_body(data, more=True))
                if self._clock() - now > _WAITED:
                    self.active.recorder.count("waited_writes")
            elif not stream.done:
                await self.wait_until(stream.due)
        if not stream.ends_abruptly:
            await self._send(_body(b"", more=False))

    async def _begin(self, reply: EncodedReply, *headers: tuple[bytes, bytes]) -> None:
        self.responded = True
        lines = [tuple(line.split(b": ", 1)) for line in reply.head.split(b"\r\n")[:-1]]
        await self._send(
            {"type": "http.response.start", "status": reply.status, "headers": [*lines, *headers]}
        )

    async def abort(self) -> None:
        """Begin a response that never ends: the server then disconnects the client; without a head it would answer 500."""
        await self._begin(EncodedReply(200, b"content-type: application/json\r\n"))

    def remember(self, response_id: str, response: StoredResponse[Any]) -> None:
        """Remember nothing: another request may come by another connection."""

    def recall(self, response_id: str) -> StoredResponse[Any] | None:
        """Return None; see `remember`."""
        return None

    def take_body(self, limit: int) -> bytes | None:
        """Return None: a body can only be received."""
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
        from llmsim.server.direct_channel import missing_attributes

        missing = missing_attributes()
    except (ImportError, TypeError) as error:
        return f"uvicorn's httptools protocol has changed: {error}"
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

    from llmsim.server.direct_channel import DirectChannel

    def open_channel(receive: Receive, send: Send, active: ActiveRequest) -> HttpChannel:
        cycle = getattr(send, "__self__", None)
        if isinstance(cycle, RequestResponseCycle):
            return DirectChannel(cycle, receive, wheel, active)
        return AsgiChannel(receive, send, wheel, active)

    return open_channel
