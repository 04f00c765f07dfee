"""Sequences of numbers over all hosts: one key each.

Decisions:
* Where failures are ignored each worker counts for itself meanwhile: numbers may come twice, and every request is answered.
"""

from llmsim.errors import StoreError
from llmsim.state.counters import NAMES
from llmsim.state.redis.client import RedisClient


class RedisCounters:
    """The counters of all hosts; see `SharedCounters`.

    Args:
        client: How the server is reached.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._own: dict[str, int] = {}
        self._keys = {name: client.key("counter", name) for name in NAMES}

    async def next(self, name: str, count: int = 1) -> int:
        """See `SharedCounters`."""
        if name not in self._keys:
            raise ValueError(f"{name!r} is not in tuple {NAMES}")
        try:
            return int(await self._client.run("INCRBY", self._keys[name], count)) - count
        except StoreError:
            if not self._client.ignores:
                raise
            first = self._own.get(name, 0)
            self._own[name] = first + count
            return first
