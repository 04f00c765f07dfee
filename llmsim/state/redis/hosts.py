"""What hosts publish about themselves: a hash of their last publications, and when those were.

Decisions:
* An instance is a field of the hash. It is in one of two sets by the time of its publication: those that live, and those that have
  ended. An entry of the first that is old is a host that is gone, or that cannot reach the server: it may come back.
* Scripts begin with a write that needs no room: then a server that is full lets them write, and what they write is bounded.
* Who reads asks all hosts to publish first: else sums would be a second old. Such requests have numbers, which a host reads before its
  counters: a publication that was under way is no answer. A host that does not answer in time is read as it is.
"""

import asyncio
from collections.abc import Callable, Sequence

from llmsim.state.host_port import HostEntry
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.pushes import Pushes
from llmsim.state.redis.script import Script

GONE_SECONDS = 5.0
"""Seconds without a publication from which a host is gone."""

_LOOKS = 40
_STEP = 0.01
"""How often a reader looks whether hosts have published, and seconds between two looks."""

_FORMER = b"\0"
"""Field of the sum of instances that were folded."""

_PUBLISH = Script(
    """\
local at, member = now(), ARGV[2]
if redis.call('ZSCORE', KEYS[3], member) then return {} end
redis.call('HDEL', KEYS[1], member)
redis.call('HSET', KEYS[1], member, ARGV[3])
redis.call('ZADD', KEYS[2], at, member)
redis.call('HSET', KEYS[4], member, ARGV[4])
return redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. string.format('%.17g', at - tonumber(ARGV[5])))
"""
)

_FINISH = Script(
    """\
if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then return 0 end
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('ZADD', KEYS[3], now(), ARGV[2])
return 1
"""
)

_READ = Script(
    """\
local at, found = now(), {}
local fields = redis.call('HGETALL', KEYS[1])
for index = 1, #fields, 2 do
  local member = fields[index]
  local seen, final = redis.call('ZSCORE', KEYS[2], member), 0
  if not seen then seen, final = redis.call('ZSCORE', KEYS[3], member), 1 end
  found[#found + 1] = {member, string.format('%.17g', at - tonumber(seen or at)), final, fields[index + 1]}
end
return found
"""
)

_ASK = Script(
    """\
local number = tonumber(redis.call('GET', KEYS[1]) or '0') + 1
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], number)
redis.call('PUBLISH', KEYS[2], '')
return number
"""
)

_MISSING = Script(
    """\
if redis.call('ZCARD', KEYS[2]) == 0 then return 1 end
local count = 0
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], string.format('%.17g', now() - tonumber(ARGV[3])), '+inf')) do
  if tonumber(redis.call('HGET', KEYS[4], member) or '0') < tonumber(ARGV[2]) then count = count + 1 end
end
return count
"""
)

_FOLD = Script(
    """\
if (redis.call('HGET', KEYS[1], ARGV[2]) or '') ~= ARGV[3] then return 0 end
for index = 5, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[index]) ~= ARGV[index + 1] then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
for index = 5, #ARGV, 2 do
  redis.call('HDEL', KEYS[1], ARGV[index])
  redis.call('ZREM', KEYS[2], ARGV[index])
  redis.call('ZREM', KEYS[3], ARGV[index])
  redis.call('HDEL', KEYS[4], ARGV[index])
end
return 1
"""
)


class RedisHostStore:
    """The publications of all hosts; see `HostStore`.

    Args:
        client: How the server is reached.
        pushes: The channels that this process follows.
        host: Name of this host.
    """

    def __init__(self, client: RedisClient, pushes: Pushes, host: str) -> None:
        self.host = host
        self._client = client
        self._keys = [client.key("hosts", part) for part in ("totals", "live", "ended", "answered")]
        self._asked = client.key("hosts", "requests")
        self._channel = client.key("hosts", "asked")
        self._pushes = pushes

    async def requested(self) -> int:
        """See `HostStore`."""
        return int(await self._client.run("GET", self._asked) or 0)

    async def publish(self, instance: str, data: bytes, *, number: int) -> list[tuple[str, str]]:
        """See `HostStore`."""
        member = _member(self.host, instance)
        found = await _PUBLISH.run(self._client, self._keys, member, data, number, GONE_SECONDS)
        return [_names(each) for each in found]

    async def finish(self, host: str, instance: str, data: bytes) -> bool:
        """See `HostStore`."""
        return bool(await _FINISH.run(self._client, self._keys, _member(host, instance), data))

    async def refresh(self) -> None:
        """See `HostStore`."""
        number = await _ASK.run(self._client, [self._asked, self._channel])
        for _ in range(_LOOKS):
            if not await _MISSING.run(self._client, self._keys, number, GONE_SECONDS):
                return
            await asyncio.sleep(_STEP)

    async def read(self) -> list[HostEntry]:
        """See `HostStore`."""
        found = await _READ.run(self._client, self._keys)
        return [
            HostEntry(*_names(member), max(0.0, float(age)), member == _FORMER or bool(final), data)
            for member, age, final, data in found
        ]

    async def fold(self, entries: Sequence[HostEntry], former: HostEntry | None, data: bytes) -> bool:
        """See `HostStore`."""
        pairs = [part for each in entries for part in (_member(each.host, each.instance), each.data)]
        old = b"" if former is None else former.data
        return bool(await _FOLD.run(self._client, self._keys, _FORMER, old, data, *pairs))

    def on_request(self, receiver: Callable[[], None]) -> None:
        """See `HostStore`."""

        async def call() -> None:
            receiver()

        self._pushes.receive(self._channel, call)


def _member(host: str, instance: str) -> bytes:
    return f"{host}\0{instance}".encode("utf-8", "surrogatepass")


def _names(member: bytes) -> tuple[str, str]:
    host, _, instance = member.decode("utf-8", "surrogatepass").partition("\0")
    return host, instance
