"""Sequences of numbers over all hosts: one key each."""

from llmsim.state.counters import NAMES
from llmsim.state.redis.client import RedisClient


class RedisCounters:
    """The counters of all hosts; see `SharedCounters`.

    Args:
        client: How the server is reached.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._keys = {name: client.key("counter", name) for name in NAMES}

    async def next(self, name: str, count: int = 1) -> int:
        """See `SharedCounters`."""
        if name not in self._keys:
            raise ValueError(f"{name!r} is not in tuple {NAMES}")
        return int(await self._client.run("INCRBY", self._keys[name], count)) - count
