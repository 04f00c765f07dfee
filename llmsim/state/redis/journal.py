"""The journal of all hosts.

Decisions:
* An entry is a hash of its own; its number is in one list of all entries, and in one of its session.
* Each entry that comes removes those that are too old, up to a hundred: one, unless the bound was lowered.
* It is a convenience: while the server cannot be reached or is full, entries are dropped and counted by the caller.
"""

from typing import Any

from llmsim.state.journal import MAX_PAGE_BYTES
from llmsim.state.journal_port import JournalEntry
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.script import Script

# KEYS: what the keys begin with.
_COMMON = """\
local root = KEYS[1]
local function entry(number) return root .. 'entry:' .. number end
local function remove(number)
  local session = redis.call('HGET', entry(number), 'session')
  if session then redis.call('ZREM', root .. 'session:' .. session, number) end
  redis.call('ZREM', root .. 'all', number)
  return redis.call('UNLINK', entry(number))
end
"""

_APPEND = Script(
    _COMMON
    + """\
local session, at, host, data, most = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local number = redis.call('INCR', root .. 'last')
redis.call('HSET', entry(number), 'session', session, 'at', at, 'host', host, 'data', data)
redis.call('ZADD', KEYS[2], number, number)
redis.call('ZADD', KEYS[3], number, number)
for _, old in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', number - most, 'LIMIT', 0, 100)) do remove(old) end
return number
"""
)

_FINISH = Script(
    """\
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'outcome', ARGV[2], 'seconds', ARGV[3]) end
""",
    if_full=True,
)

_READ = Script(
    _COMMON
    + """\
local after, limit, left = '(' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5])
local found
if ARGV[4] == '1' then found = redis.call('ZREVRANGEBYSCORE', KEYS[2], '+inf', after, 'LIMIT', 0, limit + 1)
else found = redis.call('ZRANGEBYSCORE', KEYS[2], after, '+inf', 'LIMIT', 0, limit + 1) end
local entries = {}
for _, number in ipairs(found) do
  if #entries == limit or left < 0 then return {1, entries} end
  local fields = redis.call('HMGET', entry(number), 'session', 'at', 'outcome', 'seconds', 'data', 'host')
  left = left - string.len(fields[5] or '')
  entries[#entries + 1] = {number, unpack(fields, 1, 6)}
end
return {0, entries}
"""
)

_CLEAR = Script(
    _COMMON
    + """\
local numbers = redis.call('ZRANGE', KEYS[2], 0, tonumber(ARGV[2]) - 1)
for _, number in ipairs(numbers) do remove(number) end
return #numbers
"""
)

_BATCH = 10_000
"""Entries that are deleted at once: more would hold up all other operations."""


class RedisJournal:
    """The journal of all hosts; see `Journal`.

    Args:
        client: How the server is reached.
        max_entries: Entries that are kept.
        host: Name of this host, which its entries show.
    """

    def __init__(self, client: RedisClient, max_entries: int, host: str) -> None:
        self._client = client
        self._max_entries = max_entries
        self._host = host.encode("utf-8", "replace")
        self._root = client.key("journal", "")
        self._all = client.key("journal", "all")

    async def append(self, session: str, at: float, data: bytes) -> int:
        """See `Journal`."""
        keys = (self._root, self._all, self._list(session))
        name = keys[2].removeprefix(self._root + b"session:")
        return int(await _APPEND.run(self._client, keys, name, at, self._host, data, self._max_entries))

    async def finish(self, number: int, outcome: str, seconds: float) -> None:
        """See `Journal`."""
        await _FINISH.run(self._client, [self._client.key("journal", "entry", str(number))], outcome, seconds)

    async def read(
        self, session: str | None = None, *, after: int = 0, limit: int = 100, last: bool = False
    ) -> tuple[list[JournalEntry], bool]:
        """See `Journal`."""
        more, found = await _READ.run(
            self._client, (self._root, self._list(session)), after, limit, int(last), MAX_PAGE_BYTES
        )
        entries = [_entry(fields) for fields in found]
        return entries[::-1] if last else entries, bool(more)

    async def clear(self, session: str | None = None) -> int:
        """See `Journal`."""
        cleared = 0
        while True:
            count = int(await _CLEAR.run(self._client, (self._root, self._list(session)), _BATCH))
            cleared += count
            if count < _BATCH:
                return cleared

    def _list(self, session: str | None) -> bytes:
        """Return the key of the numbers of a session's entries, or of all."""
        return self._all if session is None else self._client.key("journal", "session", session)


def _entry(fields: list[Any]) -> JournalEntry:
    number, session, at, outcome, seconds, data, host = fields
    return JournalEntry(
        int(number),
        session.decode("utf-8", "surrogatepass"),
        float(at),
        None if outcome is None else outcome.decode(),
        None if seconds is None else float(seconds),
        data,
        host.decode(),
    )
