"""Bytes of an answer as they arrive.

Decisions:
* geventhttpclient's own `read(n)` waits for `n` bytes, which would time blocks and not tokens. So the socket
  is read here, and its parser fed: the same loop without the waiting.
"""

from collections.abc import Iterator
from typing import Any

# Most bytes taken at once.
_BLOCK = 65536


def arriving(raw: Any) -> Iterator[bytes]:
    """Give a body piece by piece, each as soon as it is there.

    Args:
        raw: The answer of geventhttpclient, its body unread.

    Raises:
        OSError: The connection broke or was silent for too long.
        HTTPParseError: It closed before the body was whole.
    """
    # NOTE: `_body_buffer` and `_sock` are not public; a test reads a real stream, so a version of
    # geventhttpclient that is built otherwise is noticed there.
    buffer = raw._body_buffer
    try:
        while True:
            if buffer:
                data = bytes(buffer)
                del buffer[:]
                yield data
            if raw.message_complete or raw._sock is None:
                break
            raw.feed(raw._sock.recv(_BLOCK))
    finally:
        # Closes the connection unless the body was read to its end.
        raw.release()
