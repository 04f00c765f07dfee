"""An HTTP client that stamps content when it arrives.

Decisions:
* asyncio and httptools, no client library: what lies between the socket and the stamp is one callback.
* A connection is opened before its request is due, so that the handshake is not part of the time to first token.
"""

import asyncio
import ssl
import time
from collections import deque
from urllib.parse import SplitResult

import httptools

from loadtest.response_checks import BrokenResponseError, ChatCheck, error_for_status
from loadtest.sse import EventParser
from loadtest.target import unverified_context

_MAX_ERROR_BODY = 65_536


class StreamedReply:
    """One streamed response of chat completions, stamped while it arrives.

    Attributes:
        first: When the first content came, on `time.perf_counter`; None before that.
        last: When the latest content came.
        deltas: Events with content.
        check: What the stream was found to be.
        done: Ends with the response, or with the error that ended it.
    """

    def __init__(self) -> None:
        self.first: float | None = None
        self.last = 0.0
        self.deltas = 0
        self.check = ChatCheck()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._events = EventParser()
        self._status = 0
        self._error = b""

    def start(self, status: int) -> None:
        """Begin with the response's head."""
        self._status = status

    def feed(self, data: bytes, now: float) -> None:
        """Take the next bytes of the body."""
        if self._status != 200:
            self._error += data[: _MAX_ERROR_BODY - len(self._error)]
            return
        for name, payload in self._events.feed(data):
            if self.check.check_event(name, payload):
                self.first = now if self.first is None else self.first
                self.last = now
                self.deltas += 1

    def finish(self) -> None:
        """Check that all has come."""
        if self._status != 200:
            raise error_for_status(self._status, self._error)
        self.check.check_end()
        if self.first is None:
            raise BrokenResponseError("a stream without content")
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: BrokenResponseError) -> None:
        """End with an error; the first one counts."""
        if not self.done.done():
            self.done.set_exception(error)


class Connection(asyncio.Protocol):
    """One connection; carries one request at a time.

    Attributes:
        is_open: Whether another request can be sent on it.
        active_at: When something was last sent on it, either way; on `time.perf_counter`.
    """

    def __init__(self) -> None:
        self.is_open = False
        self.active_at = 0.0
        self._transport: asyncio.Transport | None = None
        self._reply: StreamedReply | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._now = 0.0

    def send(self, request: bytes) -> StreamedReply:
        """Send a request; return what will be its response."""
        assert self._transport is not None
        reply = self._reply = StreamedReply()
        self.active_at = time.perf_counter()
        self._transport.write(request)
        return reply

    def close(self) -> None:
        """Close it."""
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that it is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._now = self.active_at = time.perf_counter()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._fail(error.__context__)
        except httptools.HttpParserError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request that is under way."""
        self.is_open = False
        self._fail(BrokenResponseError("the connection closed in mid-response"))

    # httptools' side

    def on_headers_complete(self) -> None:
        """Pass the status on."""
        if self._reply is not None:
            self._reply.start(self._parser.get_status_code())

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on."""
        if self._reply is not None:
            self._reply.feed(body, self._now)

    def on_message_complete(self) -> None:
        """End the request."""
        if not self._parser.should_keep_alive():
            self.is_open = False
        reply, self._reply = self._reply, None
        if reply is None:
            return
        try:
            reply.finish()
        except BrokenResponseError as error:
            reply.fail(error)

    def _fail(self, error: BaseException | None) -> None:
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.fail(
                error if isinstance(error, BrokenResponseError) else BrokenResponseError("invalid HTTP")
            )
            self.close()


class Client:
    """Sends requests to one server, on as many connections as there are requests in flight.

    Args:
        url: The server's URL, split.
        headers: Headers of every request.
    """

    def __init__(self, url: SplitResult, headers: dict[str, str]) -> None:
        assert url.hostname is not None
        self._host = url.hostname
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._tls: ssl.SSLContext | None = unverified_context() if url.scheme == "https" else None
        lines = {"host": url.netloc.rpartition("@")[2], **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._idle: deque[Connection] = deque()

    def encode(self, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        """Return the bytes of a POST request."""
        extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\r\n{self._head}{extra}content-length: {len(body)}\r\n\r\n"
        return head.encode("latin-1") + body

    async def connect(self) -> Connection:
        """Return a connection that carries no request."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(Connection, self._host, self._port, ssl=self._tls)
        except OSError as error:
            raise BrokenResponseError(f"no connection: {error.strerror or error}") from error
        return connection

    async def wait(self, connection: Connection, reply: StreamedReply, most_silence: float) -> None:
        """Wait for the end of a response.

        Args:
            connection: What the request was sent on; it is used again afterwards.
            reply: The response.
            most_silence: Most seconds without a byte.

        Raises:
            BrokenResponseError: The response is not what it should be, or the server was silent for too long.
        """
        while not reply.done.done():
            silence = time.perf_counter() - connection.active_at
            if silence >= most_silence:
                connection.close()
                raise BrokenResponseError(f"no byte from the server for {most_silence:g} s")
            await asyncio.wait([reply.done], timeout=most_silence - silence)
        reply.done.result()
        if connection.is_open:
            self._idle.append(connection)

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()
