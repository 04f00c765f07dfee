"""Heads of requests: what is found in one that was parsed, or in the bytes of one."""

from collections.abc import Sequence
from typing import Any

from llmsim.errors import TransportError

RawHeaders = Sequence[tuple[bytes, bytes]]

_HOP = (b"connection", b"upgrade", b"http2-settings")
"""Headers of an offer to change the protocol."""


def find_target(data: bytes) -> bytes:
    """Return the target of a request line, whatever its characters; empty if there is none."""
    parts = data.partition(b"\r\n")[0].split(b" ")
    return parts[1] if len(parts) > 1 else b""


def size_of(url: bytes, headers: RawHeaders) -> int:
    """Return about the bytes of a head that was parsed."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def body_size(headers: RawHeaders, largest: int) -> int:
    """Return the announced size of a body, at most the largest that is read; that one where none is announced."""
    for name, value in headers:
        if name == b"content-length":
            return min(int(value), largest)
    return largest


def find_problem(size: int, most_bytes: int, fields: int, most_fields: int) -> TransportError | None:
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


def without_offer(parser: Any, url: bytes, headers: RawHeaders) -> bytes:
    """Return the head that was parsed last without its offer to change the protocol."""
    lines = [b"%b %b HTTP/%b" % (parser.get_method(), url, parser.get_http_version().encode())]
    for name, value in headers:
        if name not in _HOP:
            lines.append(b"%b: %b" % (name, value))
        elif name == b"connection":
            options = (option.strip() for option in value.lower().split(b","))
            lines += [b"connection: %b" % option for option in options if option in (b"close", b"keep-alive")]
    return b"\r\n".join([*lines, b"", b""])
