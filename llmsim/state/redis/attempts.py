"""Attempts of the steps of scenarios, over all hosts.

Decisions:
* Two tables, by step: how many, and until when they count. What has expired is removed a few at a time, as new steps come.
* While the server cannot be reached and requests go on without it, each attempt is the first.
"""

import hashlib

from llmsim.errors import StoreError
from llmsim.state.attempts import LIFETIME, MOST_STEPS
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.script import Script

_BEGIN = Script("""\
local counts, expiry, step, lifetime, most = KEYS[1], KEYS[2], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local t = now()
local function forget(steps)
  if #steps > 0 then
    redis.call('HDEL', counts, unpack(steps))
    redis.call('ZREM', expiry, unpack(steps))
  end
end
forget(redis.call('ZRANGEBYSCORE', expiry, '-inf', string.format('%.17g', t), 'LIMIT', 0, 100))
local expires = redis.call('ZSCORE', expiry, step)
if expires and tonumber(expires) <= t then redis.call('HDEL', counts, step) end
local attempts = redis.call('HINCRBY', counts, step, 1)
redis.call('ZADD', expiry, string.format('%.17g', t + lifetime), step)
local excess = redis.call('ZCARD', expiry) - most
if excess > 0 then forget(redis.call('ZRANGE', expiry, 0, math.min(excess, 100) - 1)) end
-- What is no longer played leaves nothing behind.
redis.call('EXPIRE', counts, lifetime)
redis.call('EXPIRE', expiry, lifetime)
return attempts - 1
""")

_RELEASE = Script("""\
if redis.call('HGET', KEYS[1], ARGV[2]) == ARGV[3] then redis.call('HINCRBY', KEYS[1], ARGV[2], -1) end
""")


class RedisAttemptStore:
    """The attempts of all hosts; see `AttemptStore`.

    Args:
        client: How the server is reached.
        most_steps: Steps that are kept.
    """

    def __init__(self, client: RedisClient, most_steps: int = MOST_STEPS) -> None:
        self._client = client
        self._most_steps = most_steps
        self._keys = [client.key("attempts", "counts"), client.key("attempts", "expiry")]

    async def begin(self, key: str) -> int:
        """See `AttemptStore`."""
        try:
            return int(
                await _BEGIN.run(self._client, self._keys, _digest(key), int(LIFETIME), self._most_steps)
            )
        except StoreError:
            if self._client.ignores:
                return 0
            raise

    async def release(self, key: str, attempt: int) -> None:
        """See `AttemptStore`."""
        await _RELEASE.run(self._client, self._keys[:1], _digest(key), attempt + 1)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:16]
