"""The bytes of bodies and messages that a worker holds at a time: of all large requests, and of responses that are much larger.

Decisions:
* Room is reserved for a whole body before more of it is read: bodies that filled the budget together before any of them is whole
  would wait for each other. Where the size is not known, it is that of the largest body.
* Without room reading waits, and the first that waits is the first to go on. One reader always goes on: a body may be larger than
  the budget, and what is inflated needs room while its compressed form holds some. So a worker holds the limit and one body more.
* What a reader holds counts until its request is answered, because the request is kept that long.
* Bodies of up to `UNCOUNTED` bytes are not counted: a connection costs about as much without one, and no large body of another
  client delays them.
"""

import asyncio
from typing import Protocol

from llmsim.errors import TransportError
from llmsim.server.transport.body_deadline import no_room

UNCOUNTED = 65_536
"""Bytes of a body that are not counted. uvicorn keeps as many for a request that is not read."""


class Reader(Protocol):
    """What holds bytes, and can be paused."""

    def pause(self) -> None:
        """Read nothing more until `resume`."""
        ...

    def resume(self) -> None:
        """Continue to read."""
        ...


class BodyBudget:
    """The budget of one worker.

    Args:
        limit: Bytes that may be held.
        wait_seconds: Seconds for which `reserve` waits.

    Attributes:
        parsing: Held while a large request is parsed and analyzed.
    """

    def __init__(self, limit: int, wait_seconds: float) -> None:
        self.limit = limit
        self._wait_seconds = wait_seconds
        self.held = 0
        self.parsing = asyncio.Lock()
        self._sizes: dict[Reader, int] = {}
        self._waiting: dict[Reader, int] = {}
        self._exempt: Reader | None = None

    def hold(self, reader: Reader, size: int, expected: int = 0) -> None:
        """Set how many bytes a reader holds, and reserve room for those that it expects; pause it until there is some.

        Args:
            reader: The reader.
            size: Bytes that it holds.
            expected: Bytes that it will hold in all; at most `size` if it reads nothing more.
        """
        reserved = self._sizes.get(reader, 0)
        if expected <= size:
            self._set(reader, size)
            if self._waiting.pop(reader, None) is not None:
                reader.resume()
            if size < reserved:
                self._wake()
        elif reader in self._waiting:
            self._set(reader, size)
            self._waiting[reader] = expected
            self._wake()
        elif expected > reserved:
            if reader is self._exempt or (not self._waiting and self._has_room(reader, expected)):
                self._set(reader, expected)
            else:
                self._set(reader, size)
                self._waiting[reader] = expected
                reader.pause()

    def release(self, reader: Reader) -> None:
        """Release what a reader holds."""
        self.held -= self._sizes.pop(reader, 0)
        self._waiting.pop(reader, None)
        if reader is self._exempt:
            self._exempt = None
        self._wake()

    def _set(self, reader: Reader, size: int) -> None:
        self.held += size - self._sizes.get(reader, 0)
        self._sizes[reader] = size

    def _has_room(self, reader: Reader, expected: int) -> bool:
        """Return whether a reader may go on, if need be as the one that always does."""
        if self.held - self._sizes.get(reader, 0) + expected <= self.limit:
            return True
        if self._exempt is None:
            self._exempt = reader
        return reader is self._exempt

    def _wake(self) -> None:
        """Resume the readers for which there is room now."""
        while self._waiting:
            reader, expected = next(iter(self._waiting.items()))
            if not self._has_room(reader, expected):
                return
            del self._waiting[reader]
            self._set(reader, expected)
            reader.resume()

    async def reserve(self, size: int) -> "Reservation":
        """Wait until there is room for `size` bytes, and hold them until they are released.

        Raises:
            TransportError: There was none in time.
        """
        reservation = Reservation(self)
        try:
            self.hold(reservation, 0, size)
            async with asyncio.timeout(self._wait_seconds):
                await reservation.wait()
        except TimeoutError:
            self.release(reservation)
            raise TransportError(503, no_room(self._wait_seconds)) from None
        except BaseException:
            self.release(reservation)
            raise
        return reservation


class Reservation:
    """Bytes that are held in one piece.

    Args:
        budget: The budget.
    """

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._resumed = asyncio.Event()
        self._resumed.set()

    async def wait(self) -> None:
        """Wait for room."""
        await self._resumed.wait()

    def pause(self) -> None:
        """Make `wait` wait."""
        self._resumed.clear()

    def resume(self) -> None:
        """End the wait."""
        self._resumed.set()

    def release(self) -> None:
        """Release the bytes."""
        self._budget.release(self)
