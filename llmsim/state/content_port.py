"""The port of uploaded contents; see `ports`, whose rules hold for it."""

from collections.abc import Sequence
from typing import Protocol

PIECE_BYTES = 262_144
"""Most bytes of a piece."""


class ContentStore(Protocol):
    """Contents by the id of their object, in pieces; a content goes with its object's record.

    A content is written before its record is put. One whose record never came is removed after an hour.
    """

    async def append(self, content: str, data: bytes) -> bool:
        """Append a piece; return whether there was room for it. If not, nothing was written."""

    async def piece(self, content: str, number: int) -> bytes | None:
        """Return one piece, counted from 0; None beyond the last."""

    async def join(self, content: str, parts: Sequence[str]) -> None:
        """Make a content of the pieces of others, in their order, which are empty then."""

    async def delete(self, content: str) -> None:
        """Delete a content whose record was not put."""
