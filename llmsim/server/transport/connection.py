"""Parts of a connection over HTTP or WebSocket that uvicorn's own do not do."""

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from llmsim.errors import TransportError
from llmsim.server.replies import EncodedReply, status_line

RawHeaders = Sequence[tuple[bytes, bytes]]

_LINGER = 1.0
"""Seconds for which input is discarded after an error, so that the client can read it: unread input would reset the connection."""

_HOP = (b"connection", b"upgrade", b"http2-settings")
"""Headers of an offer to change the protocol."""


class _Unbounded(int):
    """The length of a body that ends with its connection, as uvicorn counts it down."""

    def __sub__(self, other: int) -> "_Unbounded":
        return self

    def __lt__(self, other: int) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


UNBOUNDED = _Unbounded()
"""See `_Unbounded`."""


class Flow(FlowControl):
    """uvicorn's flow control, which reads on only where the protocol may.

    Args:
        transport: The connection.
        may_read: Returns whether more may be read.
    """

    def __init__(self, transport: asyncio.Transport, may_read: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._may_read = may_read

    def resume_reading(self) -> None:
        """Read on, if the protocol may."""
        if self.read_paused and self._may_read():
            super().resume_reading()

    def release(self) -> None:
        """Forget the protocol, at the end of the connection."""
        self._may_read = _never


def _never() -> bool:
    return False


def linger(transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, *, must_flush: bool = True) -> None:
    """Close a connection whose last bytes are written, once the client has had time to read them.

    Args:
        transport: The connection.
        loop: The event loop.
        must_flush: Whether to wait for a client that reads slowly.
    """
    if transport.is_closing():
        return
    if transport.can_write_eof():
        transport.write_eof()
    loop.call_later(_LINGER, transport.close if must_flush else transport.abort)


class _OpenTransport:
    """The transport of a response at whose end uvicorn does not close the connection."""

    def __init__(self, cycle: Any) -> None:
        self._transport = cycle.transport
        self._cycle = weakref.proxy(cycle)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """Close the connection, unless it is the end of the response: the protocol then does, once the client has read it."""
        if not self._cycle.response_complete:
            self._transport.close()


def announce_close(cycle: Any) -> None:
    """Have a response say that it is the last of its connection, but leave the connection open at its end."""
    cycle.default_headers = [*cycle.default_headers, (b"connection", b"close")]
    cycle.keep_alive = True
    cycle.transport = _OpenTransport(cycle)


def target_of(data: bytes) -> bytes:
    """Return the target of a request line, whatever its characters; empty if there is none."""
    parts = data.partition(b"\r\n")[0].split(b" ")
    return parts[1] if len(parts) > 1 else b""


def head_size(url: bytes, headers: RawHeaders) -> int:
    """Return about the bytes of a head that was parsed."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def body_size(headers: RawHeaders, largest: int) -> int:
    """Return the announced size of a body, at most the largest that is read; that one where none is announced."""
    for name, value in headers:
        if name == b"content-length":
            return min(int(value), largest)
    return largest


def head_problem(size: int, most_bytes: int, fields: int, most_fields: int) -> TransportError | None:
    """Return which bound a head of `size` bytes with so many fields is over; None if it is within both."""
    if size > most_bytes:
        return TransportError(431, f"the head of the request is larger than {most_bytes} bytes")
    if fields > most_fields:
        return TransportError(431, f"the request has more than {most_fields} headers")
    return None


def is_handshake(parser: Any, headers: RawHeaders, offer: bytes | None) -> bool:
    """Return whether a head that offers another protocol may change to WebSocket: a GET of HTTP/1.1 without a body."""
    return (
        offer == b"websocket"
        and parser.get_method() == b"GET"
        and parser.get_http_version() == "1.1"
        and not any(
            name in (b"content-length", b"transfer-encoding") and value != b"0" for name, value in headers
        )
    )


def is_streamed(headers: RawHeaders) -> bool:
    """Return whether a body is read piece by piece, and so not held: forms are."""
    return any(name == b"content-type" and b"multipart/form-data" in value.lower() for name, value in headers)


def encode_last(reply: EncodedReply, headers: RawHeaders) -> bytes:
    """Encode the last response of a connection, with further headers."""
    framing = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(reply.body)
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return status_line(reply.status) + lines + reply.head + framing + reply.body


def head_without_offer(parser: Any, url: bytes, headers: RawHeaders) -> bytes:
    """Return the head that was parsed last without its offer to change the protocol."""
    lines = [b"%b %b HTTP/%b" % (parser.get_method(), url, parser.get_http_version().encode())]
    for name, value in headers:
        if name not in _HOP:
            lines.append(b"%b: %b" % (name, value))
        elif name == b"connection":
            options = (option.strip() for option in value.lower().split(b","))
            lines += [b"connection: %b" % option for option in options if option in (b"close", b"keep-alive")]
    return b"\r\n".join([*lines, b"", b""])


_HTTP = (
    *("cycle", "flow", "headers", "loop", "parser", "pipeline", "server_state"),
    *("timeout_keep_alive", "timeout_keep_alive_handler"),
    *(
        "access_log",
        "access_logger",
        "app",
        "expect_100_continue",
        "limit_concurrency",
        "logger",
        "root_path",
    ),
    *("tasks", "transport", "ws_protocol_class", "_get_upgrade", "_should_upgrade", "_start_asgi_task"),
    *("connection_lost", "connection_made", "data_received", "handle_websocket_upgrade", "on_body"),
    *(
        "expect_100_continue",
        "on_header",
        "on_headers_complete",
        "on_message_begin",
        "on_message_complete",
        "on_response_complete",
    ),
    *("resume_writing", "shutdown"),
)
"""Attributes of uvicorn's protocols that ours use or replace."""

_WEBSOCKET = (
    *("close_sent", "conn", "curr_msg_data_type", "disconnected", "frames", "loop", "queue", "read_paused"),
    *("transport", "writable", "connection_lost", "data_received", "handle_bytes", "handle_connect"),
    *("handle_cont", "handle_events", "handle_parser_exception", "handle_ping", "handle_text"),
    *(
        "handshake_complete",
        "keepalive_timeout",
        "pending_ping_payload",
        "pong_timer",
        "receive",
        "schedule_ping",
    ),
    "send",
    "send_receive_event_to_app",
)


def missing_attributes() -> list[str]:
    """Return what the installed uvicorn's protocols lack of what ours rely on.

    Raises:
        TypeError: A protocol is built otherwise.
    """
    config = uvicorn.Config("", lifespan="off", log_config=None, interface="asgi3")
    config.loaded = True
    config.loaded_app = None
    config.ws_protocol_class = None
    loop: Any = object()
    http = HttpToolsProtocol(config, ServerState(), {}, loop)
    websocket = WebSocketsSansIOProtocol(config, ServerState(), {}, loop)
    missing = [name for name in _HTTP if not hasattr(http, name)]
    missing += [f"{name} (WebSocket)" for name in _WEBSOCKET if not hasattr(websocket, name)]
    if not hasattr(getattr(websocket.conn, "reader", None), "buffer"):
        missing.append("conn.reader.buffer (WebSocket)")
    return missing
