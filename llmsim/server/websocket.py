"""An endpoint over WebSocket: several turns on one connection, one after the other.

Decisions:
* What arrives while a turn is in progress waits for its end: one response at a time.
* The connection remembers the last responses itself, so that those which are not stored for others can still be continued by the
  client that has them. It forgets the one whose continuation fails.
  Source: OpenAI WebSocket guide: "If a turn fails (4xx or 5xx), the service evicts the referenced previous_response_id".
* Whatever a client sends costs it an error event, never the connection, and never the worker.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, ClassVar

import falcon
from falcon.asgi import Request, WebSocket

from llmsim.errors import BodyTooLargeError, InvalidJsonError, RefusedError
from llmsim.providers.contract import IncomingRequest, Provider, Reply, WebSocketFormat
from llmsim.providers.storage import StoredResponse
from llmsim.server.access.guard import OWNER
from llmsim.server.active_request import ActiveRequest, OpenRequest
from llmsim.server.channels import Waker
from llmsim.server.generation import GenerationService
from llmsim.server.paced_writes import AnyStream
from llmsim.server.pacing import TimerWheel
from llmsim.server.replies import EncodedReply
from llmsim.server.request_headers import RequestHeaders
from llmsim.stats import Block, Outcome, Recorder

_MAX_REMEMBERED = 32
"""Responses that a connection remembers."""

_SUCCESSFUL = (Outcome.FINISHED, Outcome.ABANDONED)

_UNEXPECTED = 1011
"""Close code of a connection that is disconnected. Source: RFC 6455, 7.4.1: an unexpected condition."""

_TRY_AGAIN = 1013
_POLICY = 1008

_MAX_WAITING = 16
"""Messages that may wait for the turn in progress; then nothing more is read from the client."""

CONSUMED = "llmsim.consumed"
"""Where the ASGI scope carries the function that is called once for each message that needs no memory any more."""

_log = logging.getLogger(__name__)


def _consume_nothing() -> None:
    """Do nothing: the server does not count messages."""


async def _take_nothing(_arrival: float) -> None:
    """Do nothing: settings do not change."""


class WebSocketGeneration:
    """One generating endpoint over WebSocket.

    Attributes:
        service: Runs the requests that come from now on.
    """

    def __init__(
        self,
        provider: Provider,
        websocket_format: WebSocketFormat[Any],
        service: GenerationService[Any],
        number: int,
        *,
        wheel: TimerWheel,
        block: Block,
        recorder: Recorder,
        max_connections: int,
        lifetime: float,
        max_message_bytes: int,
        open_request: OpenRequest = ActiveRequest,
        take_changes: Callable[[float], Awaitable[None]] = _take_nothing,
    ) -> None:
        """Prepare to accept connections.

        Args:
            provider: The API.
            websocket_format: How the endpoint speaks over WebSocket.
            service: Runs the requests.
            number: The endpoint's number in the stats.
            wheel: The worker's wheel.
            block: The counters of all workers, for the limit.
            recorder: The worker's own.
            max_connections: Connections that may be open over all workers.
            lifetime: Seconds after which a connection is closed.
            max_message_bytes: Largest message that is read.
            open_request: Books the beginning of each request.
            take_changes: Takes in settings that have changed, at the arrival of a message.
        """
        self._provider = provider
        self._format = websocket_format
        self.service = service
        self._number = number
        self._wheel = wheel
        self._block = block
        self._recorder = recorder
        self._max_connections = max_connections
        self._lifetime = lifetime
        self._max_message_bytes = max_message_bytes
        self._open_request = open_request
        self._take_changes = take_changes

    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        """Serve one connection to its end."""
        await ws.accept()
        headers = RequestHeaders(req.scope["headers"])
        if self._block.open_websockets() >= self._max_connections:
            await self._turn_away(
                ws,
                self._format.render_limit(f"at most {self._max_connections} connections may be open"),
                _TRY_AGAIN,
            )
            return
        try:
            self.service.planner.read_controls(headers)
        except RefusedError as error:
            await self._turn_away(ws, self._format.messages.render_refusal(error), _POLICY)
            return
        self._recorder.websocket_opened()
        connection = _Connection(ws, self._wheel, self._lifetime)
        consumed: Callable[[], None] = req.scope.get(CONSUMED, _consume_nothing)
        try:
            async for message, arrival in connection.messages():
                request = IncomingRequest(
                    method="GET",
                    path=req.path.removeprefix(self._provider.prefix),
                    headers=headers,
                    body=message or b"",
                    scheme=req.scope.get("scheme", "ws"),
                    prefix=self._provider.prefix
                    if req.scope["path"].startswith(self._provider.prefix)
                    else "",
                    arrival=arrival,
                )
                await self._take_changes(arrival)
                active = self._open_request(arrival, self._recorder, self._number)
                active.owner = req.scope.get(OWNER, "")
                await self._answer(request, connection.channel(active), is_text=message is not None)
                consumed()
            if not connection.waker.disconnected:
                minutes = round(self._lifetime / 60)
                await self._turn_away(
                    ws, self._format.render_limit(f"a connection lasts at most {minutes} minutes"), 1000
                )
        except falcon.WebSocketDisconnected:
            pass
        except Exception:
            # The bug costs this connection only.
            _log.exception("GET %s failed", req.path)
            if not connection.waker.disconnected:
                await ws.close(_UNEXPECTED)
        finally:
            connection.close()
            self._recorder.websocket_closed()

    async def _answer(self, request: IncomingRequest, channel: "WebSocketChannel", *, is_text: bool) -> None:
        if not is_text:
            refusal: RefusedError = InvalidJsonError("a message must be text")
        elif len(request.body) > self._max_message_bytes:
            refusal = BodyTooLargeError(self._max_message_bytes)
        else:
            await self.service.run(request, channel)
            if channel.active.outcome in _SUCCESSFUL:
                return
            # A failed continuation must not be continued from what is remembered.
            if (previous := self._format.previous_id(request.body)) is not None:
                channel.forget(previous)
            return
        await self.service.refuse(refusal, channel)
        channel.active.finish()

    async def _turn_away(self, ws: WebSocket, reply: Reply, code: int) -> None:
        await ws.send_text(reply.body.decode())
        await ws.close(code)


class _Connection:
    """One connection: its messages, and what it remembers."""

    def __init__(self, ws: WebSocket, wheel: TimerWheel, lifetime: float) -> None:
        self.ws = ws
        self.waker = Waker(wheel, time.monotonic)
        self.remembered: OrderedDict[str, StoredResponse[Any]] = OrderedDict()
        self._messages: asyncio.Queue[tuple[bytes | None] | None] = asyncio.Queue(_MAX_WAITING)
        self._reader = asyncio.create_task(self._read())
        self._ends = time.monotonic() + lifetime

    async def _read(self) -> None:
        """Receive messages as they come; a disconnect is noticed at once, whatever is in progress."""
        try:
            while True:
                try:
                    message: bytes | None = (await self.ws.receive_text()).encode()
                except falcon.PayloadTypeError:
                    message = None
                await self._messages.put((message,))
        except falcon.WebSocketDisconnected:
            self.hang_up()

    def hang_up(self) -> None:
        """Note that the connection is over, and wake what waits."""
        self.waker.disconnect()
        while True:
            try:
                self._messages.put_nowait(None)
            except asyncio.QueueFull:
                self._messages.get_nowait()
            else:
                return

    async def messages(self) -> AsyncIterator[tuple[bytes | None, float]]:
        """Yield messages with their arrival until the client leaves or the connection's time is over; None for a binary one."""
        while True:
            try:
                async with asyncio.timeout(self._ends - time.monotonic()):
                    message = await self._messages.get()
            except TimeoutError:
                return
            if message is None:
                return
            yield message[0], time.monotonic()

    def channel(self, active: ActiveRequest) -> "WebSocketChannel":
        """Return the channel for one message."""
        return WebSocketChannel(self, active)

    def close(self) -> None:
        """Release everything held for the connection."""
        self._reader.cancel()


class WebSocketChannel:
    """A channel for one message of a connection: a response is a message, or one for each event of a stream."""

    def __init__(self, connection: _Connection, active: ActiveRequest) -> None:
        self.active = active
        self._connection = connection

    @property
    def disconnected(self) -> bool:
        """Whether the client has disconnected."""
        return self._connection.waker.disconnected

    async def wait_until(self, instant: float) -> bool:
        """Wait until the clock shows `instant`; return whether the client is still there then."""
        return await self._connection.waker.wait_until(instant)

    async def _send(self, event: bytes) -> None:
        try:
            await self._connection.ws.send_text(event.decode())
        except falcon.WebSocketDisconnected:
            self._connection.hang_up()

    is_writable: ClassVar = False
    """Each message is awaited."""

    def reply_at_once(self, reply: EncodedReply) -> bool:
        """Return False: each message is awaited."""
        return False

    def stream_at_once(self, parts: Sequence[bytes], reply: EncodedReply) -> None:
        """Not to be called: each message is awaited."""
        raise NotImplementedError

    async def reply(self, reply: EncodedReply) -> None:
        """Send a whole response as one message."""
        await self._send(reply.body)

    async def stream(self, stream: AnyStream, reply: EncodedReply) -> None:
        """Send the events of a stream as they fall due; return when it has ended, or the client is gone."""
        while not stream.done:
            if self.disconnected:
                return
            if events := stream.take(time.monotonic()):
                for event in events.splitlines():
                    await self._send(event)
            else:
                await self.wait_until(stream.due)
        if stream.ends_abruptly:
            await self.abort()

    async def abort(self) -> None:
        """Close the connection without an end of the response."""
        self._connection.hang_up()
        await self._connection.ws.close(_UNEXPECTED)

    def remember(self, response_id: str, response: StoredResponse[Any]) -> None:
        """Remember a response for the next messages of the connection."""
        remembered = self._connection.remembered
        remembered[response_id] = response
        while len(remembered) > _MAX_REMEMBERED:
            remembered.popitem(last=False)

    def forget(self, response_id: str) -> None:
        """Remember a response no longer."""
        self._connection.remembered.pop(response_id, None)

    def recall(self, response_id: str) -> StoredResponse[Any] | None:
        """Return a remembered response; None if it is not remembered."""
        return self._connection.remembered.get(response_id)
