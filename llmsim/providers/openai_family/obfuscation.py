"""Padding that hides the length of each piece of a stream from an eavesdropper.

Decisions:
* Characters come from a fixed table: padding is a function of the piece's length and position, so that
  rendering stays pure.

Source: openai SDK, docstring of `stream_options.include_obfuscation`; recorded streams pad to multiples of 16.
"""

_NOISE = b"q7Xb0LkTz4Rn9Ws2YcVf5HgJm8PdQx1ByUa6EtKo3CiNwZrSvDhGlFjMpAeOuI" * 2
_BLOCK = 16


def padding(length: int, position: int) -> bytes:
    """Return the padding for a piece of `length` bytes at `position`: at least one byte, up to a multiple of 16."""
    start = position * 7 % 62
    return _NOISE[start : start + _BLOCK - length % _BLOCK]
