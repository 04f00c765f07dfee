"""The port of settings that are changed at run time."""

from typing import Protocol

import msgspec


class StoredChanges(msgspec.Struct, frozen=True):
    """What is changed at run time.

    Attributes:
        epoch: Number of the last change, which no other has had; 0 for none.
        data: What is changed, in a format that only its reader knows; empty for nothing.
    """

    epoch: int
    data: bytes = b""


NO_CHANGES = StoredChanges(0)


class RuntimeSettings(Protocol):
    """What is changed at run time, the same for all workers; see `State`."""

    @property
    def epoch(self) -> int:
        """Number of the last change, as far as this process knows: it knows of each within 100 ms.

        It is read for every request, so it waits for nothing.
        """
        ...

    async def read(self) -> StoredChanges:
        """Return what is changed."""
        ...

    async def replace(self, data: bytes, *, epoch: int) -> bool:
        """Change it, if nothing else has been changed since it was read.

        Args:
            data: What is changed from now on.
            epoch: That of what was read.

        Returns:
            Whether it was changed.

        Raises:
            ValueError: There is no room for so much data.
        """
        ...
