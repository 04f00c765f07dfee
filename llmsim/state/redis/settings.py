"""What is changed at run time, for all hosts.

Decisions:
* A process keeps what it knows, and requests read that: a change is published, and each process then reads it; each also looks once a
  second, for what it may have missed. So it knows of a change within 100 ms, and goes on with the last one while the server is gone.
* A change that was made elsewhere and is not known here yet is found when something is to be changed: the server compares its epoch.
* The epoch is the Unix time of the change in milliseconds, or one more than that of the change before. So no epoch comes twice, also
  where the server has lost what it knew, or everything began anew.
"""

import asyncio
from typing import Any

from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.pushes import Pushes
from llmsim.state.redis.script import Script
from llmsim.state.runtime_settings import MOST_BYTES
from llmsim.state.settings_port import NO_CHANGES, StoredChanges

_READ = Script("""\
local epoch = redis.call('HGET', KEYS[1], 'epoch') or '0'
if epoch == ARGV[2] then return {epoch} end
return {epoch, redis.call('HGET', KEYS[1], 'data') or ''}
""")

_REPLACE = Script("""\
local epoch = redis.call('HGET', KEYS[1], 'epoch') or '0'
if epoch ~= ARGV[2] then return {epoch, redis.call('HGET', KEYS[1], 'data') or '', 0} end
local new = string.format('%.0f', math.max(tonumber(epoch) + 1, math.floor(now() * 1000)))
redis.call('HSET', KEYS[1], 'epoch', new, 'data', ARGV[3])
redis.call('PUBLISH', KEYS[2], '')
return {new, ARGV[3], 1}
""")


class RedisSettings:
    """The changes for all hosts; see `RuntimeSettings`.

    Args:
        client: How the server is reached.
        pushes: The channels that this process follows.
        name: What is changed: a part of keys.
    """

    def __init__(self, client: RedisClient, pushes: Pushes, name: str) -> None:
        self._client = client
        self._key = client.key("changes", name)
        self._channel = client.key("changed", name)
        self._known = NO_CHANGES
        self._reading = asyncio.Lock()
        pushes.receive(self._channel, self.renew)

    @property
    def epoch(self) -> int:
        """See `RuntimeSettings`."""
        return self._known.epoch

    async def read(self) -> StoredChanges:
        """See `RuntimeSettings`."""
        return self._known

    async def replace(self, data: bytes, *, epoch: int) -> bool:
        """See `RuntimeSettings`."""
        if len(data) > MOST_BYTES:
            raise ValueError(f"{len(data)} bytes where {MOST_BYTES} fit")
        async with self._reading:
            reply = await _REPLACE.run(self._client, [self._key, self._channel], epoch, data)
            self._take(reply)
        return bool(reply[2])

    async def renew(self) -> None:
        """Read what has changed, if anything has; every worker calls it each second, and with each message.

        Raises:
            StoreError: The server cannot be reached.
        """
        async with self._reading:
            self._take(await _READ.run(self._client, [self._key], self._known.epoch))

    async def announce(self) -> None:
        """Have all processes read what is changed."""
        await self._client.run("PUBLISH", self._channel, b"")

    def _take(self, reply: list[Any]) -> None:
        if (epoch := int(reply[0])) != self._known.epoch:
            self._known = StoredChanges(epoch, reply[1])
