"""The port of what the hosts of one simulator publish about themselves."""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec


class HostEntry(msgspec.Struct, frozen=True):
    """What one instance of a host, from a start of its server to the end, has published last.

    Attributes:
        host: Name of the host; empty for the sum of instances that were folded.
        instance: Distinguishes the starts of a host.
        age: Seconds since it was published.
        is_final: Whether the instance has ended, and nothing will follow.
        data: What it published.
    """

    host: str
    instance: str
    age: float
    is_final: bool
    data: bytes


class HostStore(Protocol):
    """The last publication of each instance of each host.

    Attributes:
        host: Name of this host.
    """

    host: str

    async def requested(self) -> int:
        """Return the number of the last request to publish; to be read before what is published."""

    async def publish(self, instance: str, data: bytes, *, number: int) -> list[tuple[str, str]]:
        """Publish for this host; has no effect once the instance has ended.

        Args:
            instance: The instance.
            data: What it publishes.
            number: By `requested`.

        Returns:
            Hosts and instances that have not ended, and published nothing for 5 s.
        """

    async def finish(self, host: str, instance: str, data: bytes) -> bool:
        """Publish for the last time for an instance that has published before; return whether it has."""

    async def refresh(self) -> None:
        """Ask all hosts to publish at once, and wait for them, 400 ms at most."""

    async def read(self) -> list[HostEntry]:
        """Return what all have published."""

    async def fold(self, entries: Sequence[HostEntry], former: HostEntry | None, data: bytes) -> bool:
        """Replace entries, and the sum of those folded before, by a new sum, if none of them has changed; return whether they were."""

    def on_request(self, receiver: Callable[[], None]) -> None:
        """Have a receiver called when hosts are asked to publish; to be called before `State.follow`."""
