"""Parts of a connection over HTTP or WebSocket that uvicorn's own do not do."""

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from llmsim.server.replies import EncodedReply, status_line
from llmsim.server.transport.cycle import WakeEvent, changed_attributes

RawHeaders = Sequence[tuple[bytes, bytes]]

_LINGER = 1.0
"""Seconds for which input is discarded after an error, so that the client can read it: unread input would reset the connection."""


class Flow:
    """uvicorn's flow control, which reads on only where the protocol may.

    Args:
        transport: The connection.
        may_read: Returns whether more may be read.
        loop: The event loop.

    Attributes:
        read_paused: Whether nothing is read.
        write_paused: Whether the client is to read first what was written.
    """

    __slots__ = ("_is_writable", "_may_read", "_transport", "read_paused", "write_paused")

    def __init__(
        self, transport: asyncio.Transport, may_read: Callable[[], bool], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._transport = transport
        self._may_read = may_read
        self.read_paused = self.write_paused = False
        self._is_writable = WakeEvent(loop)
        self._is_writable.set()

    async def drain(self) -> None:
        """Wait until the client has read what was written."""
        await self._is_writable.wait()

    def pause_reading(self) -> None:
        """Read nothing more."""
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on, if the protocol may."""
        if self.read_paused and self._may_read():
            self.read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """Have writers wait."""
        self.write_paused = True
        self._is_writable.clear()

    def resume_writing(self) -> None:
        """Have writers go on."""
        self.write_paused = False
        self._is_writable.set()

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


def encode_last(reply: EncodedReply, headers: RawHeaders) -> bytes:
    """Encode the last response of a connection, with further headers."""
    framing = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(reply.body)
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return status_line(reply.status) + lines + reply.head + framing + reply.body


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
    return missing + changed_attributes()
