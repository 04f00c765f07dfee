"""A channel that writes to uvicorn's transport.

Decisions:
* The timer wheel's callback writes what is due and spares each event the way through `send()`: 1.3 to 1.9 times the streams a
  core. A whole response leaves in one write, head and body, and so does a stream that has nothing to wait for.
* A disconnect wakes whatever waits: uvicorn sets the cycle's message event when the client is gone, and the wheel sets the same
  event when there is something to do, so one `await` sees both and no watcher task is needed (it would cost 20 % of the core).
* It relies on the internals of uvicorn's httptools protocol, which are tested at the start; without them plain ASGI serves.
"""

import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from uvicorn.protocols.utils import get_client_addr, get_path_with_query_string

from llmsim.domain import WireFaultKind
from llmsim.providers.storage import StoredResponse
from llmsim.server.active_request import ActiveRequest
from llmsim.server.paced_writes import AnyStream
from llmsim.server.pacing import TimerWheel
from llmsim.server.replies import EncodedReply, status_line
from llmsim.server.transport.cycle import sample_cycle

_PAUSED = 0.020
"""Seconds after which a connection whose reader is slow is tried again."""

_LARGE = 65_536
"""Bytes of a response whose end waits until the client has read it."""

_HALF_CLOSED = 10.0
"""Seconds after which the other half of a connection is closed too."""

Receive = Callable[[], Awaitable[Any]]

_REQUIRED = (
    "access_log",
    "body",
    "default_headers",
    "disconnected",
    "flow",
    "keep_alive",
    "message_event",
    "more_body",
    "on_response",
    "response_complete",
    "response_started",
    "scope",
    "transport",
    "waiting_for_100_continue",
)
"""Attributes of uvicorn's cycle that are read or set."""

_default: tuple[Any, bytes] = (None, b"")


def _default_lines(headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return uvicorn's own headers as they are sent: `date`, which it replaces each second."""
    global _default
    known, lines = _default
    if known is not headers:
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        _default = (headers, lines)
    return lines


class DirectChannel:
    """A channel over uvicorn's httptools protocol, written to directly."""

    __slots__ = (
        "_clock",
        "_closed",
        "_cycle",
        "_failure",
        "_is_chunked",
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
        self.responded = False
        self._cycle = cycle
        self._transport = cycle.transport
        self._receive = receive
        self._wheel = wheel
        self._clock = clock
        self._is_chunked = True
        self._stream: AnyStream | None = None
        self._failure: Exception | None = None
        self._closed = False

    @property
    def disconnected(self) -> bool:
        """Whether the client has disconnected."""
        cycle = self._cycle
        if not cycle.disconnected and self._transport.is_closing():
            # uvicorn does not know yet, and would log a response without an end as an error.
            cycle.disconnected = True
        return bool(cycle.disconnected)

    def _wake(self) -> None:
        if not self._closed:
            self._cycle.message_event.set()

    def _woken(self) -> Awaitable[Any]:
        """Return what waits for `_wake` or the client's disconnect.

        PERF: an open stream takes 0.5 kB more where it waits in `receive`.
        """
        cycle = self._cycle
        if cycle.more_body or cycle.waiting_for_100_continue:
            return self._receive()
        cycle.flow.resume_reading()
        cycle.message_event.clear()
        return cycle.message_event.wait()  # type: ignore[no-any-return] # uvicorn's

    async def wait_until(self, instant: float) -> bool:
        """Wait until the clock shows `instant`; return whether the client is still there then."""
        if self._clock() >= instant:
            return not self.disconnected
        while not self.disconnected:
            # Again after each wake: the last bit of a float may have let the wheel turn too early.
            self._wheel.at(instant, self._wake)
            await self._woken()
            if self._clock() >= instant:
                return not self.disconnected
        return False

    def reply_at_once(self, reply: EncodedReply) -> bool:
        """Send a whole response if it is short and no earlier one is unread; return whether it is sent."""
        body, cycle = reply.body, self._cycle
        if len(body) > _LARGE or cycle.flow.write_paused or cycle.scope["method"] == "HEAD":
            return False
        self._end(self._begin(reply, b"content-length: %d\r\n" % len(body)) + body)
        return True

    @property
    def is_writable(self) -> bool:
        """Whether `stream_at_once` can be called."""
        return not (self._cycle.flow.write_paused or self.disconnected)

    def stream_at_once(self, parts: Sequence[bytes], reply: EncodedReply) -> None:
        """Send all of a streamed response in one write, as one chunk."""
        cycle = self._cycle
        if cycle.scope["http_version"] == "1.0":
            cycle.keep_alive = False
            self._end(b"".join((self._begin(reply, b""), *parts)))
            return
        head = self._begin(reply, b"transfer-encoding: chunked\r\n")
        self._end(b"".join((head, b"%x\r\n" % sum(map(len, parts)), *parts, b"\r\n0\r\n\r\n")))

    async def reply(self, reply: EncodedReply) -> None:
        """Send a whole response, in one write."""
        body = reply.body
        head = self._begin(reply, b"content-length: %d\r\n" % len(body))
        if self._cycle.scope["method"] == "HEAD":
            body = b""
        if self._cycle.flow.write_paused:
            await self._drain()
        if len(body) > _LARGE and not self._cycle.disconnected:
            # Not joined with its head, which would copy it; and what is held for it is not released before it is read.
            self._transport.write(head)
            self._transport.write(body)
            await self._cycle.flow.drain()
            head = body = b""
        self._end(head + body)

    async def stream(self, stream: AnyStream, reply: EncodedReply) -> None:
        """Send a streamed response as it falls due, from the wheel; return when it has ended, or the client is gone."""
        # Source: RFC 9112, 6.1: a client of HTTP/1.0 knows no chunks; the end of the connection ends the body.
        self._is_chunked = chunked = self._cycle.scope["http_version"] != "1.0"
        if not chunked:
            self._cycle.keep_alive = False
        # PERF: a stream of 100 tokens is joined once, with its head and its end: 30 us of 100 were copies of its 32 KB. The head, which is
        # not referred to any longer then, is 0.5 kB of an open stream.
        pending = [self._begin(reply, b"transfer-encoding: chunked\r\n" if chunked else b"")]
        del reply
        while not stream.done:
            if self.disconnected:
                return
            if parts := stream.take_parts(self._clock()):
                self._add_chunk(pending, parts)
                if stream.done and not stream.ends_abruptly:
                    break
            if pending:
                await self._write(b"".join(pending))
                pending.clear()
            if not parts and not stream.done:
                self._stream = stream
                self._wheel.at(stream.due, self._write_next)
                while not stream.done and not self.disconnected:
                    await self._woken()
                    if self._failure is not None:
                        raise self._failure
        if stream.ends_abruptly:
            await self._write(b"".join(pending))
            self._break_off(stream.ending)
        else:
            if self._cycle.flow.write_paused:
                await self._drain()
            if chunked:
                pending.append(b"0\r\n\r\n")
            self._end(b"".join(pending))

    def _break_off(self, ending: WireFaultKind) -> None:
        """End the connection without an end of the response."""
        if self.disconnected:
            return
        match ending:
            case WireFaultKind.RESET:
                # A socket that does not linger is reset when it is closed, and closed when its last descriptor is.
                with socket.socket(fileno=os.dup(self._transport.get_extra_info("socket").fileno())) as own:
                    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._cycle.disconnected = True
                self._transport.abort()
            case WireFaultKind.HALF_CLOSE:
                self._cycle.disconnected = True
                self._transport.write_eof()
                self._wheel.at(self._clock() + _HALF_CLOSED, self._transport.close)
            case _:
                self.disconnect()

    def _begin(self, reply: EncodedReply, framing: bytes) -> bytes:
        """Begin a response; return its head.

        PERF: 2 us. uvicorn checks and joins the headers one by one for 7 us more, and makes a system call each of head and body.
        """
        self.responded = True
        cycle = self._cycle
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        if cycle.access_log:
            cycle.access_logger.info(
                '%s - "%s %s HTTP/%s" %d',
                get_client_addr(cycle.scope),
                cycle.scope["method"],
                get_path_with_query_string(cycle.scope),
                cycle.scope["http_version"],
                reply.status,
            )
        return b"%b%b%b%b%b\r\n" % (
            status_line(reply.status),
            _default_lines(cycle.default_headers),
            reply.head,
            framing,
            b"" if cycle.keep_alive else b"connection: close\r\n",
        )

    def _add_chunk(self, pending: list[bytes], parts: list[bytes]) -> None:
        if not self._is_chunked:
            pending.extend(parts)
        elif size := sum(map(len, parts)):
            pending.append(b"%x\r\n" % size)
            pending.extend(parts)
            pending.append(b"\r\n")

    async def _drain(self) -> None:
        """Wait until the client has read what was written before."""
        if not self._cycle.disconnected:
            if self._cycle.flow.write_paused:
                self.active.recorder.count("waited_writes")
            await self._cycle.flow.drain()

    async def _write(self, data: bytes) -> None:
        """Write once the client has read what was written before."""
        await self._drain()
        if data and not self._cycle.disconnected:
            self._transport.write(data)

    def _end(self, data: bytes) -> None:
        """Write the end of a response; the connection then goes on to its next request, or is closed."""
        cycle = self._cycle
        if cycle.disconnected:
            return
        self._transport.write(data)
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self._transport.close()
        cycle.on_response()

    def _write_next(self) -> None:
        """Write what is due, from the wheel's callback; a bug is raised in the request that waits in `stream`."""
        stream, cycle = self._stream, self._cycle
        if self._closed or stream is None:
            return
        try:
            if cycle.disconnected or self._transport.is_closing():
                cycle.message_event.set()
                return
            now = self._clock()
            if cycle.flow.write_paused:
                self._wheel.at(now + _PAUSED, self._write_next)
                return
            if data := stream.take(now):
                chunk = b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data
                self._wheel.write(self._transport, chunk)
            if stream.done:
                cycle.message_event.set()
            else:
                self._wheel.at(stream.due, self._write_next)
        except Exception as error:
            self._failure = error
            cycle.message_event.set()

    async def abort(self) -> None:
        """Disconnect the client without an end of the response."""
        self.responded = True
        self.disconnect()

    def remember(self, response_id: str, response: StoredResponse[Any]) -> None:
        """Remember nothing: another request may come by another connection."""

    def recall(self, response_id: str) -> StoredResponse[Any] | None:
        """Return None; see `remember`."""
        return None

    def take_body(self, limit: int) -> bytes | None:
        """Return the body if all of it has come and is no longer than `limit` bytes; None if it is to be received."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or len(cycle.body) > limit:
            return None
        body = bytes(cycle.body)
        cycle.body = bytearray()
        cycle.message_event.clear()
        return body

    async def send(self, message: Any) -> None:
        """Send an ASGI message of Falcon's."""
        if not self.responded:
            await self._cycle.send(message)

    def disconnect(self) -> bool:
        """Close the connection; uvicorn then expects nothing more."""
        self._cycle.disconnected = True
        self._transport.close()
        return True

    def close(self) -> None:
        """Make the wheel's outstanding callbacks harmless."""
        self._closed = True
        self._stream = None


def missing_attributes() -> list[str]:
    """Return what the installed uvicorn's cycle lacks of what `DirectChannel` relies on.

    Raises:
        TypeError: The cycle is built otherwise.
    """
    cycle = sample_cycle()
    missing = [name for name in _REQUIRED if not hasattr(cycle, name)]
    if not missing and not hasattr(cycle.flow, "write_paused"):
        missing.append("flow.write_paused")
    return missing
