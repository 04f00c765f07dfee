"""The state of several hosts: the ports, each on the Redis server.

Decisions:
* A port that is not here is the embedded one, for what concerns one host only.
* A start clears nothing: other hosts may be using it.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

from llmsim.config import Settings
from llmsim.errors import StoreError
from llmsim.state.embedded import EmbeddedState, object_bounds
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.contents import RedisContentStore
from llmsim.state.redis.counters import RedisCounters
from llmsim.state.redis.hosts import RedisHostStore
from llmsim.state.redis.prefixes import RedisPrefixCache
from llmsim.state.redis.pushes import Pushes
from llmsim.state.redis.records import RedisRecordStore

_BATCH = 1000
"""Keys that are deleted at once."""


class RedisState(EmbeddedState):
    """All ports on the Redis server, for as many hosts as have its prefix; see `State`.

    Args:
        settings: Its bounds and its address.
        directory: The run directory, for what concerns one host only.
        clock: Returns the Unix time, in seconds, for that.

    Raises:
        ConfigError: The address, or the password's file, cannot be used.
    """

    def __init__(self, settings: Settings, directory: Path, clock: Callable[[], float]) -> None:
        super().__init__(settings, directory, clock)
        client = RedisClient(settings.state)
        self._client = client
        self._pushes = Pushes(client)
        self.counters = RedisCounters(client)
        self.hosts = RedisHostStore(client, self._pushes, host_name(settings))
        self.records = RedisRecordStore(client, "records", settings.store, is_optional=True)
        self.objects = RedisRecordStore(client, "objects", object_bounds(settings.files))
        self.contents = RedisContentStore(client, "objects", settings.files.max_bytes)
        self.prefix_cache = RedisPrefixCache(client, settings.store)

    async def renew(self) -> None:
        """See `State`."""
        for renew in (self.sessions.renew,):
            with contextlib.suppress(StoreError):
                await renew()

    async def follow(self) -> None:
        """See `State`."""
        await self._pushes.follow()

    async def clear(self) -> bool:
        """See `State`."""
        cursor = b"0"
        while True:
            cursor, keys = await self._client.run(
                "SCAN", cursor, "MATCH", _escape(self._client.key("")) + b"*", "COUNT", _BATCH
            )
            if keys:
                await self._client.run("UNLINK", *keys)
            if cursor == b"0":
                return True
            await asyncio.sleep(0)

    async def close(self) -> None:
        """See `State`."""
        await self._client.close()


def host_name(settings: Settings) -> str:
    """Return the name of this host among those of its prefix."""
    return settings.state.host or f"{socket.gethostname()}:{settings.server.port}"


def _escape(text: bytes) -> bytes:
    """Escape what has a meaning in a pattern."""
    return b"".join(b"\\" + bytes([byte]) if byte in b"*?[]\\^-" else bytes([byte]) for byte in text)
