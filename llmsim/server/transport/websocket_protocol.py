"""uvicorn's WebSocket protocol, with a budget and a deadline for what a client sends.

Decisions:
* Messages count until their turn is over: the endpoint calls what the scope carries as `CONSUMED`. Reading stops while more than
  one largest body waits.
* Compression is not offered: a message of 20 KB could become 40 MB, and the clients of the API work without it.
* The fragments of a message are joined as they come: a list of them would be 40 times as large as what was sent.
* Where writing is paused, a few pings are still answered: a client on a slow network sends them, too.
"""

import asyncio
from collections import deque
from typing import Any

import uvicorn
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from llmsim.server.transport.body_budget import UNCOUNTED
from llmsim.server.transport.body_deadline import BodyDeadline
from llmsim.server.transport.connection import linger
from llmsim.server.websocket import CONSUMED

_MESSAGE = 1024
"""Bytes that a message counts beside its own."""

_SLICE = 4096
"""Bytes that are parsed at a time: some 600 of the smallest frames take 10 ms."""

_PAUSED_PINGS = 10
"""Pings that are answered while the client does not read."""

_NOT_UTF8 = 1007
_POLICY = 1008
_TRY_AGAIN = 1013


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One connection over WebSocket."""

    def __init__(self, config: uvicorn.Config, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        application: Any = config.app
        settings = application.settings
        self._max_waiting = settings.server.max_body_bytes
        self._max_pings = settings.budgets.max_pings_per_sec
        self._deadline = BodyDeadline(settings.budgets.body_timeout_secs, settings.budgets.room_timeout_secs)
        self._bodies = application.bodies
        self._input = bytearray()
        self._sizes: deque[int] = deque()
        self._waiting_bytes = 0
        self._is_counted = False
        self._is_full = False
        self._has_failed = False
        self._second = 0
        self._pings = 0
        self._paused_pings = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything held for the connection."""
        self._stop_timer()
        if self._is_counted:
            self._bodies.release(self)
        self._has_failed = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, and count it."""
        if self._has_failed:
            return
        if not self._input and len(data) <= _SLICE:
            super().data_received(data)
            if not self._has_failed:
                self._count()
            return
        if not self._input:
            self.loop.call_soon(self._take_slice)
        self._input += data
        self._apply()

    def _take_slice(self) -> None:
        """Parse a slice of the input, and let other connections go on before the next."""
        if self._has_failed:
            self._input.clear()
            return
        data = bytes(self._input[:_SLICE])
        del self._input[:_SLICE]
        super().data_received(data)
        if self._has_failed:
            self._input.clear()
            return
        if self._input:
            self.loop.call_soon(self._take_slice)
        self._count()

    def _partial_bytes(self) -> int:
        return len(self._input) + len(self.conn.reader.buffer) + (len(self.frames[0]) if self.frames else 0)

    def _count(self) -> None:
        partial = self._partial_bytes()
        held = self._waiting_bytes + partial
        if held > UNCOUNTED or (held and self._is_counted):
            self._is_counted = True
            expected = self._waiting_bytes + self._max_waiting if partial > UNCOUNTED else held
            self._bodies.hold(self, held, expected)
        elif self._is_counted:
            self._is_counted = False
            self._deadline.resume(self.loop.time())
            self._bodies.release(self)
        was_full, self._is_full = self._is_full, held > self._max_waiting and self._waiting_bytes > 0
        if was_full and not self._is_full:
            # The time in which nothing was read does not count.
            self._deadline.start(self.loop.time())
        self._apply()
        if not partial:
            self._stop_timer()
        elif self._timer is None:
            self._deadline.start(now := self.loop.time())
            self._timer = self.loop.call_later(self._deadline.left(now, 0), self._expire)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        now = self.loop.time()
        left = self._deadline.left(now, self._partial_bytes())
        if self._is_full or left > 0.01:
            self._timer = self.loop.call_later(max(1.0, left), self._expire)
        else:
            code = _TRY_AGAIN if self._deadline.is_waiting else _POLICY
            self._end(code, self._deadline.problem(now)[1].replace("body of the request", "message"))

    def pause(self) -> None:
        """Read no more until there is room."""
        self._deadline.pause(self.loop.time())
        self._apply()

    def resume(self) -> None:
        """Continue to read."""
        self._deadline.resume(self.loop.time())
        self._apply()

    def _apply(self) -> None:
        must_pause = bool(self._input or self._is_full or self._deadline.is_waiting) and not self._has_failed
        if must_pause != self.read_paused and not self.transport.is_closing():
            self.read_paused = must_pause
            (self.transport.pause_reading if must_pause else self.transport.resume_reading)()

    def consumed(self) -> None:
        """Count the first message no more."""
        if self._sizes:
            self._waiting_bytes -= self._sizes.popleft()
        if not self._has_failed:
            self._count()

    def handle_connect(self, event: Any) -> None:
        """Begin the handshake."""
        super().handle_connect(event)
        scope: Any = getattr(self, "scope", None)
        if scope is not None:
            scope[CONSUMED] = self.consumed

    def handle_text(self, event: Any) -> None:
        """Begin a text message."""
        self._begin("text", event)

    def handle_bytes(self, event: Any) -> None:
        """Begin a binary message."""
        self._begin("bytes", event)

    def _begin(self, kind: Any, event: Any) -> None:
        self.curr_msg_data_type = kind
        self.frames = [event.data if event.fin else bytearray(event.data)]  # type: ignore[list-item]
        if event.fin:
            self.send_receive_event_to_app()

    def handle_cont(self, event: Any) -> None:
        """Continue a message."""
        self.frames[0] += event.data
        if event.fin:
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        """Queue a message that is complete."""
        data = self.frames[0]
        self.frames = []
        if self.close_sent:
            return
        message: Any = {"type": "websocket.receive"}
        if self.curr_msg_data_type == "text":
            try:
                message["text"] = data.decode()
            except UnicodeDecodeError:
                self._end(_NOT_UTF8, "a text message must be UTF-8")
                return
        else:
            message["bytes"] = bytes(data)
        self._deadline.start(self.loop.time())
        self._sizes.append(len(data) + _MESSAGE)
        self._waiting_bytes += len(data) + _MESSAGE
        self.queue.put_nowait(message)

    async def receive(self) -> Any:
        """Return the next event."""
        return await self.queue.get()

    async def send(self, message: Any) -> None:
        """Send what the application sends; to close what is closed is no error.

        uvicorn does not take a refusal as the end of the handshake, and tries to answer the handshake of a client that has closed.
        """
        kind = message["type"]
        if kind == "websocket.http.response.body":
            self.handshake_complete = True
        if self.transport.is_closing():
            self.disconnected = self.handshake_complete = True
        try:
            await super().send(message)
        except ClientDisconnected:
            if kind != "websocket.close":
                raise

    def handle_ping(self) -> None:
        """Answer a ping, up to so many a second."""
        if self.close_sent:
            return
        second = int(self.loop.time())
        if second != self._second:
            self._second, self._pings = second, 0
        self._pings += 1
        self._paused_pings = 0 if self.writable.is_set() else self._paused_pings + 1
        if self._pings > self._max_pings or self._paused_pings > _PAUSED_PINGS:
            self._end(_POLICY, "too many pings")
        else:
            super().handle_ping()

    def keepalive_timeout(self) -> None:
        """Disconnect a client that does not answer pings, unless its answer may not have been read."""
        if not self.read_paused:
            super().keepalive_timeout()
            return
        self.pong_timer = None
        self.pending_ping_payload = None
        self.schedule_ping()

    def handle_parser_exception(self) -> None:
        """Close a connection whose input is no WebSocket."""
        self._end(1002, "")

    def _end(self, code: int, reason: str) -> None:
        """Close the connection, with a close frame unless the parser has prepared one."""
        if self._has_failed:
            return
        self._has_failed = True
        self._stop_timer()
        self.stop_keepalive()
        if self.conn.close_sent is None:
            self.conn.fail(code, reason)
        if (sent := self.conn.close_sent) is not None:
            code, reason = sent.code, sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self.disconnected = self.handshake_complete = True
        self._apply()
        linger(self.transport, self.loop, must_flush=False)
