"""The port of the journal; see `ports`, whose rules hold for it."""

from typing import Protocol

import msgspec


class JournalEntry(msgspec.Struct, frozen=True):
    """One request in the journal.

    Attributes:
        number: Counts the entries of all workers, from 1.
        session: Name of the session.
        at: Unix time of its arrival, in seconds.
        outcome: How it ended; None while it is in flight, and forever if its worker was killed.
        seconds: How long it took; None until it has ended.
        data: Request and response, as JSON.
        host: Name of the host that got it, if several share the journal; else empty.
    """

    number: int
    session: str
    at: float
    outcome: str | None
    seconds: float | None
    data: bytes
    host: str = ""


class Journal(Protocol):
    """The last requests and their responses."""

    async def append(self, session: str, at: float, data: bytes) -> int:
        """Add an entry; return its number."""

    async def finish(self, number: int, outcome: str, seconds: float) -> None:
        """Complete an entry, if it is still there."""

    async def read(
        self, session: str | None = None, *, after: int = 0, limit: int = 100, last: bool = False
    ) -> tuple[list[JournalEntry], bool]:
        """Read entries, the oldest first; return them and whether more follow.

        Args:
            session: Only entries of this session; None for all.
            after: Number of the entry after which to begin.
            limit: Maximum number of entries; fewer are read if they are large.
            last: Whether to read the last entries instead of the first.
        """

    async def clear(self, session: str | None = None) -> int:
        """Delete the entries of one session, or all; return how many there were."""
