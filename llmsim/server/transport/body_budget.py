"""The bytes of request bodies and messages that a worker holds at a time.

Decisions:
* Over the limit reading waits; the deadline of a body bounds the wait. One reader always goes on, so that bodies which together
  fill the budget before any of them is whole do not wait for each other.
* What a reader holds counts until its request is answered, because the request is kept that long.
* Bodies of up to `UNCOUNTED` bytes are not counted: a connection costs about as much without one, and no large body of another
  client delays them.
"""

import asyncio
from typing import Protocol

UNCOUNTED = 65_536
"""Bytes of a body that are not counted. uvicorn keeps as many for a request that is not read."""

_PIECE = 262_144
"""Bytes that a reader may receive before it can be paused: the buffer of uvloop."""


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
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._sizes: dict[Reader, int] = {}
        self._waiting: dict[Reader, int] = {}
        self._exempt: Reader | None = None

    def hold(self, reader: Reader, size: int, wanted: int = _PIECE) -> None:
        """Set how many bytes a reader holds, and pause it if what it wants next does not fit."""
        before = self._sizes.get(reader, 0)
        self._sizes[reader] = size
        self.held += size - before
        if not wanted:
            if self._waiting.pop(reader, None) is not None:
                reader.resume()
        elif reader is not self._exempt and self.held + wanted > self.limit:
            if self._exempt is None:
                self._exempt = reader
            elif reader not in self._waiting:
                self._waiting[reader] = wanted
                reader.pause()
        if size < before:
            self._wake()

    def release(self, reader: Reader) -> None:
        """Release what a reader holds."""
        self.held -= self._sizes.pop(reader, 0)
        self._waiting.pop(reader, None)
        if reader is self._exempt:
            self._exempt = None
        self._wake()

    def _wake(self) -> None:
        """Resume the readers for which there is room now, the first that waits first."""
        room = self.limit - self.held
        while self._waiting:
            reader, wanted = next(iter(self._waiting.items()))
            if wanted > room:
                if self._exempt is not None:
                    return
                self._exempt = reader
            del self._waiting[reader]
            room -= wanted
            reader.resume()

    async def reserve(self, size: int) -> "Reservation":
        """Wait until there is room for `size` bytes, and hold them until they are released."""
        reservation = Reservation(self, size)
        try:
            self.hold(reservation, 0, size)
            await reservation.wait()
        except BaseException:
            self.release(reservation)
            raise
        return reservation


class Reservation:
    """Bytes that are held in one piece.

    Args:
        budget: The budget.
        size: The bytes.
    """

    def __init__(self, budget: BodyBudget, size: int) -> None:
        self._budget = budget
        self._size = size
        self._resumed = asyncio.Event()
        self._resumed.set()

    async def wait(self) -> None:
        """Wait for room."""
        if self._resumed.is_set():
            self._budget.hold(self, self._size, 0)
        await self._resumed.wait()

    def pause(self) -> None:
        """Make `wait` wait."""
        self._resumed.clear()

    def resume(self) -> None:
        """Hold the bytes, and end the wait."""
        self._resumed.set()
        self._budget.hold(self, self._size, 0)

    def release(self) -> None:
        """Release the bytes."""
        self._budget.release(self)
