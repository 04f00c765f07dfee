"""Uploaded contents of all hosts, under the key of their objects' records.

Decisions:
* A piece is one key, so that a join only renames; `R:c:ID` has the size and the number of the pieces.
* A content goes with its record in the script that removes it; see `records.REMOVE`.
* A full store refuses, and evicts nothing: so do the real APIs, and what a client has uploaded it goes on to use.
"""

from collections.abc import Sequence

from llmsim.state.record_format import encode_text
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.records import REMOVE
from llmsim.state.redis.script import Script

_ORPHAN_SECS = 3600

_BEGIN = (
    REMOVE
    + f"""
local function begin(id)
  if redis.call('HSETNX', R .. ':c:' .. id, 'size', 0) == 0 then return end
  redis.call('HSET', R .. ':c:' .. id, 'pieces', 0)
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', R .. ':begun', '-inf', '(' .. string.format('%.17g', now() - {_ORPHAN_SECS}))) do
    if redis.call('EXISTS', record_key(old)) == 1 then redis.call('ZREM', R .. ':begun', old) else remove_content(old) end
  end
  redis.call('ZADD', R .. ':begun', now(), id)
end
"""
)

_APPEND = Script(
    _BEGIN
    + """
local id, data, most = unpack(ARGV, 2)
begin(id)
local held = tonumber(redis.call('HGET', totals, 'contents') or 0)
if held + #data > tonumber(most) then return 0 end
local pieces = redis.call('HINCRBY', R .. ':c:' .. id, 'pieces', 1)
redis.call('SET', R .. ':p:' .. (pieces - 1) .. ':' .. id, data)
redis.call('HINCRBY', R .. ':c:' .. id, 'size', #data)
redis.call('HINCRBY', totals, 'contents', #data)
return 1
"""
)

_JOIN = Script(
    _BEGIN
    + """
local id = ARGV[2]
begin(id)
for index = 3, #ARGV do
  local part = ARGV[index]
  local one = redis.call('HMGET', R .. ':c:' .. part, 'size', 'pieces')
  if one[1] then
    local first = redis.call('HINCRBY', R .. ':c:' .. id, 'pieces', one[2]) - one[2]
    redis.call('HINCRBY', R .. ':c:' .. id, 'size', one[1])
    for number = 0, one[2] - 1 do
      redis.call('RENAME', R .. ':p:' .. number .. ':' .. part, R .. ':p:' .. (first + number) .. ':' .. id)
    end
    redis.call('DEL', R .. ':c:' .. part)
    redis.call('ZREM', R .. ':begun', part)
  end
end
"""
)

_DELETE = Script(REMOVE + "remove_content(ARGV[2])")


class RedisContentStore:
    """The contents of all hosts; see `ContentStore`.

    Args:
        client: How the server is reached.
        part: Name of the records' store in the keys.
        max_bytes: Most bytes of all contents.
    """

    def __init__(self, client: RedisClient, part: str, max_bytes: int) -> None:
        self._client = client
        self._keys = [client.key(part)]
        self._pieces = client.key(part, "p")
        self._max_bytes = max_bytes

    async def append(self, content: str, data: bytes) -> bool:
        """See `ContentStore`."""
        return bool(await _APPEND.run(self._client, self._keys, encode_text(content), data, self._max_bytes))

    async def piece(self, content: str, number: int) -> bytes | None:
        """See `ContentStore`."""
        found: bytes | None = await self._client.run(
            "GET", b"%b:%d:%b" % (self._pieces, number, encode_text(content))
        )
        return found

    async def join(self, content: str, parts: Sequence[str]) -> None:
        """See `ContentStore`."""
        await _JOIN.run(self._client, self._keys, encode_text(content), *map(encode_text, parts))

    async def delete(self, content: str) -> None:
        """See `ContentStore`."""
        await _DELETE.run(self._client, self._keys, encode_text(content))
