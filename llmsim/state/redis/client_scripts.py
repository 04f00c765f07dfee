"""The scripts of the report on clients.

Decisions:
* All have the same keys: the clients and the requests by when they are of no use any more, the channel, and the root of the other keys:
  `c` with the digest of a client for its fields, `f` for what was found, `t` for its truncated streams; `r` with those of a client and
  a request for what happened with that.
* Of more than are kept those go first that are of use for the shortest time; the list of a request that goes is returned to be added up.
"""

from llmsim.state.redis.script import Script

_KNOW = """\
-- A client is known from now on, at least until an instant; its keys are those of the root, a letter, and its digest.
local function know(clients, channel, root, client, name, named_by, until_time, most)
  local time = string.format('%.17g', now())
  local known = redis.call('ZSCORE', clients, client)
  if not known or tonumber(known) < now() then redis.call('PUBLISH', channel, '') end
  if not known and redis.call('ZCARD', clients) >= most then
    local gone = redis.call('ZPOPMIN', clients)[1]
    redis.call('DEL', root .. 'c' .. gone, root .. 'f' .. gone, root .. 't' .. gone)
  end
  if not known or tonumber(known) < until_time then
    redis.call('ZADD', clients, string.format('%.17g', until_time), client)
  end
  if redis.call('HSETNX', root .. 'c' .. client, 'first', time) == 1 then
    redis.call('HSET', root .. 'c' .. client, 'name', name, 'by', named_by, 'last', time)
  end
  return time
end
local clients, calls, channel, root = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
"""
FAIL = Script(
    _KNOW
    + """\
local client, call, name, named_by, head, event = unpack(ARGV, 2, 7)
local until_time, most_clients, most_calls = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local time = know(clients, channel, root, client, name, named_by, until_time, most_clients)
redis.call('HINCRBY', root .. 'c' .. client, 'failures', 1)
redis.call('HSET', root .. 'c' .. client, 'last', time)
local key = root .. 'r' .. client .. call
local length, gone, events = redis.call('RPUSHX', key, event), '', {}
if length == 0 then
  length = redis.call('RPUSH', key, head, event)
  if redis.call('ZCARD', calls) >= most_calls then
    gone = redis.call('ZPOPMIN', calls)[1]
    events = redis.call('LRANGE', root .. 'r' .. gone, 0, -1)
    redis.call('DEL', root .. 'r' .. gone)
  end
end
redis.call('ZADD', calls, string.format('%.17g', until_time), client .. call)
return {length, gone, events}
"""
)

FIND = Script(
    _KNOW
    + """\
local client, name, named_by, until_time, most, finding, truncation = unpack(ARGV, 2, 8)
if truncation ~= '' and redis.call('LREM', root .. 't' .. client, 1, truncation) == 0 then return 0 end
local time = know(clients, channel, root, client, name, named_by, tonumber(until_time), tonumber(most))
redis.call('HSET', root .. 'c' .. client, 'last', time)
return redis.call('RPUSH', root .. 'f' .. client, finding)
"""
)

TRUNCATE = Script(
    _KNOW
    + """\
local client, name, named_by, until_time, most, truncation, kept = unpack(ARGV, 2, 8)
know(clients, channel, root, client, name, named_by, tonumber(until_time), tonumber(most))
redis.call('RPUSH', root .. 't' .. client, truncation)
redis.call('LTRIM', root .. 't' .. client, -tonumber(kept), -1)
"""
)

ADD = Script(
    _KNOW
    + """\
local client = ARGV[2]
if redis.call('ZSCORE', clients, client) then
  redis.call('HINCRBY', root .. 'c' .. client, 'retries', ARGV[3])
  redis.call('HINCRBY', root .. 'c' .. client, 'not_judged', ARGV[4])
  if #ARGV > 4 then return redis.call('RPUSH', root .. 'f' .. client, unpack(ARGV, 5)) end
end
return 0
"""
)

SHORTEN = Script("""\
local first, count = ARGV[2], tonumber(ARGV[3])
if redis.call('LINDEX', KEYS[1], 0) == first and redis.call('LLEN', KEYS[1]) >= count then
  redis.call('LTRIM', KEYS[1], count, -1)
  for at = #ARGV, 4, -1 do redis.call('LPUSH', KEYS[1], ARGV[at]) end
end
""")

WATCHED = Script(
    _KNOW
    + """\
local time = string.format('%.17g', now())
return {time, redis.call('ZRANGEBYSCORE', clients, time, '+inf', 'WITHSCORES')}
"""
)

REPORT = Script(
    _KNOW
    + """\
local reply = {{}, {}}
for _, client in ipairs(redis.call('ZRANGE', clients, 0, -1)) do
  local fields = redis.call('HMGET', root .. 'c' .. client, 'name', 'by', 'first', 'last', 'failures', 'retries', 'not_judged')
  table.insert(reply[1], {client, fields, redis.call('LRANGE', root .. 'f' .. client, 0, -1)})
end
for _, call in ipairs(redis.call('ZRANGE', calls, 0, -1)) do
  table.insert(reply[2], redis.call('LRANGE', root .. 'r' .. call, 0, -1))
end
return reply
"""
)

FORGET = Script(
    _KNOW
    + """\
local count = 0
for _, client in ipairs(redis.call('ZRANGE', clients, 0, -1)) do
  if ARGV[2] == '' or ARGV[2] == client then
    redis.call('ZREM', clients, client)
    redis.call('DEL', root .. 'c' .. client, root .. 'f' .. client, root .. 't' .. client)
    count = count + 1
  end
end
for _, call in ipairs(redis.call('ZRANGE', calls, 0, -1)) do
  if ARGV[2] == '' or ARGV[2] == string.sub(call, 1, 16) then
    redis.call('ZREM', calls, call)
    redis.call('DEL', root .. 'r' .. call)
  end
end
redis.call('PUBLISH', channel, '')
return count
"""
)
