"""The state of several hosts: the ports, each on the Redis server.

Decisions:
* A port that is not here is the embedded one, for what concerns one host only.
* A start clears nothing: other hosts may be using it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from llmsim.config import Settings
from llmsim.errors import StoreError
from llmsim.state.embedded import EmbeddedState, object_bounds
from llmsim.state.redis.attempts import RedisAttemptStore
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.clients import RedisClientRegistry
from llmsim.state.redis.contents import RedisContentStore
from llmsim.state.redis.counters import RedisCounters
from llmsim.state.redis.hosts import RedisHostStore
from llmsim.state.redis.journal import RedisJournal
from llmsim.state.redis.owners import HostOwners, host_name
from llmsim.state.redis.prefixes import RedisPrefixCache
from llmsim.state.redis.pushes import Pushes
from llmsim.state.redis.quotas import RedisQuotaStore
from llmsim.state.redis.records import RedisRecordStore
from llmsim.state.redis.scripts import RedisScriptRegistry
from llmsim.state.redis.sessions import RedisSessionStore
from llmsim.state.redis.settings import RedisSettings

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
        self.records = RedisRecordStore(client, "records", settings.store, is_optional=True)
        self.objects = RedisRecordStore(client, "objects", object_bounds(settings.files))
        self.contents = RedisContentStore(client, "objects", settings.files.max_bytes)
        self.prefix_cache = RedisPrefixCache(client, settings.store)
        host = host_name(settings)
        self.hosts = RedisHostStore(client, self._pushes, host)
        owners = HostOwners(host)
        self.quotas = quotas = RedisQuotaStore(client, settings.limits.max_buckets, owners)
        self.settings = changes = RedisSettings(client, self._pushes, "settings")
        self.rules = rules = RedisSettings(client, self._pushes, "rules")
        self._announced: list[RedisSettings | RedisClientRegistry] = [changes, rules]
        if settings.admin.enabled and settings.admin.client_report:
            self.clients = clients = RedisClientRegistry(client, self._pushes)
            self._announced.append(clients)
        self._renewed = (quotas, *self._announced)
        self.scripts = scripts = RedisScriptRegistry(client, settings.scripts.max_uploaded, host)
        self.sessions = RedisSessionStore(client, settings.scripts.max_sessions, owners, scripts)
        self.attempts = RedisAttemptStore(client)
        self.journal = RedisJournal(client, settings.admin.journal_entries, host)

    async def renew(self) -> None:
        """See `State`."""
        await self._client.renew()
        for port in (self.sessions, *self._renewed):
            with contextlib.suppress(StoreError):
                await port.renew()

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
                break
            await asyncio.sleep(0)
        for port in self._announced:
            await port.announce()
        return True

    async def close(self) -> None:
        """See `State`."""
        await self._client.close()


def _escape(text: bytes) -> bytes:
    """Escape what has a meaning in a pattern."""
    return b"".join(b"\\" + bytes([byte]) if byte in b"*?[]\\^-" else bytes([byte]) for byte in text)
