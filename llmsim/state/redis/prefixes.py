"""The prompt cache of all hosts.

Decisions:
* `use` and `follow` are what `prefix_cache.py` and `prefix_chains.py` do, as one script each; what is kept is bounded alike, and what was
  used least recently goes first.
* Marked prefixes: `R:kept` has lifetime and expiry by key, `R:used` the keys by the order of use. Unmarked prompts: `R:row:N` is one
  prompt, `R:head:HEAD` the numbers of those with one beginning, `R:order` all of them, both by the order of use.
* PERF: in us of the worker and of the server: 40 and 25 for a prompt that is cached, 60 and 45 for one that is not.
"""

from collections.abc import Sequence

from llmsim.config import StoreSettings
from llmsim.domain import CacheUse, PrefixChain, PrefixMark
from llmsim.state.prefix_cache import PREFIX_BYTES
from llmsim.state.prefix_chains import CHAIN_BYTES, DIGEST_BYTES, FRESH, MOST_ALIKE, cached_tokens
from llmsim.state.record_format import encode_text
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.script import Script

_USE = Script(
    """
local R, most, minimum = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local at, marks = now(), {}
for index = 4, #ARGV, 3 do
  local mark = {key = ARGV[index], tokens = tonumber(ARGV[index + 1]), lifetime = tonumber(ARGV[index + 2])}
  local kept = redis.call('HGET', R .. ':kept', mark.key)
  if kept then
    local lifetime, expires = string.match(kept, '^(%S+) (%S+)$')
    if tonumber(expires) > at then mark.cached = lifetime end
  end
  marks[#marks + 1] = mark
end
local hit = 0
for index, mark in ipairs(marks) do if mark.cached then hit = index end end
local function keep(key, lifetime)
  redis.call('HSET', R .. ':kept', key, lifetime .. ' ' .. string.format('%.17g', at + lifetime))
  redis.call('ZADD', R .. ':used', redis.call('INCR', R .. ':uses'), key)
end
local read, is_written, reply = 0, false, {}
for index, mark in ipairs(marks) do
  if index <= hit then
    if index == hit then read = mark.tokens end
    if mark.cached and (index == hit or mark.lifetime) then keep(mark.key, mark.cached) end
  end
end
local last = read
for index = hit + 1, #marks do
  local mark = marks[index]
  if mark.lifetime and mark.tokens >= minimum then
    keep(mark.key, mark.lifetime)
    is_written = true
    reply[#reply + 1] = mark.lifetime
    reply[#reply + 1] = mark.tokens - last
    last = mark.tokens
  end
end
if is_written then
  local spare = redis.call('ZCARD', R .. ':used') - most
  if spare > 0 then
    local old = redis.call('ZPOPMIN', R .. ':used', spare + math.min(16, math.floor(most / 64)))
    for index = 1, #old, 2 do redis.call('HDEL', R .. ':kept', old[index]) end
  end
end
table.insert(reply, 1, read)
return reply
"""
)

_FOLLOW = Script(
    f"""
local WIDTH, ALIKE, FRESH, ROW = {DIGEST_BYTES}, {MOST_ALIKE}, {FRESH}, {CHAIN_BYTES}
local R, head, digests, lifetime, most, most_bytes = KEYS[1], unpack(ARGV, 2)
lifetime, most, most_bytes = tonumber(lifetime), tonumber(most), tonumber(most_bytes)
local at = now()
local function common(other)
  local low, high = 0, math.min(#other, #digests) / WIDTH
  while low < high do
    local middle = math.floor((low + high) / 2)
    local first = middle * WIDTH + 1
    if string.sub(other, first, first + WIDTH - 1) == string.sub(digests, first, first + WIDTH - 1) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end
local function remove(number)
  local old = redis.call('HMGET', R .. ':row:' .. number, 'head', 'digests')
  redis.call('DEL', R .. ':row:' .. number)
  redis.call('ZREM', R .. ':head:' .. old[1], number)
  redis.call('ZREM', R .. ':order', number)
  redis.call('INCRBY', R .. ':bytes', -#old[2] - ROW)
end
local function use(number)
  local order = redis.call('INCR', R .. ':uses')
  redis.call('ZADD', R .. ':head:' .. head, order, number)
  redis.call('ZADD', R .. ':order', order, number)
end
local longest, is_kept, renewed, alive, expires = 0, false, nil, 0, at + lifetime
for _, number in ipairs(redis.call('ZREVRANGE', R .. ':head:' .. head, 0, -1)) do
  local row = redis.call('HMGET', R .. ':row:' .. number, 'digests', 'expires')
  local row_expires = tonumber(row[2])
  if row_expires <= at or alive == ALIKE then
    remove(number)
  else
    local same = common(row[1])
    longest = math.max(longest, same)
    if same * WIDTH == #digests then
      if not is_kept and row_expires - at < FRESH * lifetime then renewed = number end
      is_kept = true
      alive = alive + 1
    elseif same * WIDTH == #row[1] then
      remove(number)
      expires = math.max(expires, row_expires)
    else
      alive = alive + 1
    end
  end
end
if renewed then
  redis.call('HSET', R .. ':row:' .. renewed, 'expires', string.format('%.17g', expires))
  use(renewed)
end
if not is_kept then
  local number = redis.call('INCR', R .. ':rows')
  redis.call('HSET', R .. ':row:' .. number, 'head', head, 'digests', digests, 'expires', string.format('%.17g', expires))
  use(number)
  local size = redis.call('INCRBY', R .. ':bytes', #digests + ROW)
  while true do
    local count = redis.call('ZCARD', R .. ':order')
    if count == 0 or (count <= most and size <= most_bytes) then break end
    local spare = math.max(1, count - most, math.min(16, math.floor(count / 64)))
    for _, old in ipairs(redis.call('ZRANGE', R .. ':order', 0, spare - 1)) do remove(old) end
    size = tonumber(redis.call('GET', R .. ':bytes'))
  end
end
return longest
"""
)


class RedisPrefixCache:
    """The prompt cache of all hosts; see `PrefixCache`.

    Args:
        client: How the server is reached.
        limits: How many records and bytes are stored; prefixes are bounded like records.
    """

    def __init__(self, client: RedisClient, limits: StoreSettings) -> None:
        self._client = client
        self._marks = [client.key("prefixes")]
        self._chains = [client.key("chains")]
        self._most_marks = min(limits.max_records, limits.max_bytes // PREFIX_BYTES)
        self._bounds = (limits.max_records, limits.max_bytes)

    async def use(self, marks: Sequence[PrefixMark], minimum: int, *, owner: str = "") -> CacheUse:
        """See `PrefixCache`."""
        lead = f"{owner}:" if owner else ""
        arguments = (
            argument
            for mark in marks
            for argument in (
                encode_text(lead + mark.key),
                mark.tokens,
                "" if mark.lifetime is None else mark.lifetime,
            )
        )
        read, *written = await _USE.run(self._client, self._marks, self._most_marks, minimum, *arguments)
        tokens: dict[int, int] = {}
        for lifetime, count in zip(written[::2], written[1::2], strict=True):
            tokens[lifetime] = tokens.get(lifetime, 0) + count
        return CacheUse(read, tokens)

    async def follow(self, chain: PrefixChain, *, owner: str = "") -> int:
        """See `PrefixCache`."""
        head = encode_text(f"{owner}:{chain.head}")
        longest = await _FOLLOW.run(
            self._client, self._chains, head, chain.digests, chain.lifetime, *self._bounds
        )
        return cached_tokens(chain, longest)
