"""The scripts of sessions.

Decisions:
* All but that of renewals have the same first arguments, session, script and process, and what all keys begin with as their key.
* The leases of a session and script are members `OWNER|CURSOR|NUMBER` of a sorted set without scores.
"""

from llmsim.state.redis.script import Script

# KEYS: what all keys begin with. ARGV: session, script, this process.
_COMMON = """\
local root, session, script, own = KEYS[1], ARGV[2], ARGV[3], ARGV[4]
local uses, names, owners = root .. 'uses', root .. 'names', root .. 'owners'
local function entry(id) return root .. 'entry:' .. id end
local function leases(id) return root .. 'leases:' .. id end
local function failures(id) return root .. 'failures:' .. id end
local function join(session, script) return session .. '\\n' .. script end
local function split(id) return string.match(id, '^(.-)\\n(.*)$') end
local function seconds(t) return string.format('%.17g', t) end
local id = join(session, script)
local function remove(id)
  local session, script = split(id)
  redis.call('ZREM', names, 'N' .. id, 'S' .. join(script, session))
  redis.call('UNLINK', entry(id), leases(id), failures(id))
  return redis.call('ZREM', uses, id)
end
"""

# ARGV: version, what the owners of this host begin with, sessions that are kept, how long leases are valid.
_FIND = """\
local version, prefix, most, valid = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local t = now()
local function is_valid(owner)
  if owner == own then return true end
  local expires = redis.call('ZSCORE', owners, owner)
  return expires and tonumber(expires) > t
end
-- Find the next turn; return the version that is played, the turn, the lease of it that was lost, and valid owners of this host.
local function find()
  local found = redis.call('HMGET', entry(id), 'version', 'cursor')
  if not found[1] then return nil, 0, nil, {} end
  local played = tonumber(found[1])
  if played ~= version then return played, 0, nil, {} end
  local cursor, lost, near, start = tonumber(found[2]), nil, {}, '-'
  while true do
    local first = redis.call('ZRANGEBYLEX', leases(id), start, '+', 'LIMIT', 0, 1)[1]
    if not first then return played, cursor, lost, near end
    local owner, turn = string.match(first, '^(.-)|(%d+)|')
    if not is_valid(owner) then
      if not lost or tonumber(turn) < cursor then cursor, lost = tonumber(turn), first end
    elseif owner ~= own and string.sub(owner, 1, #prefix) == prefix then
      near[#near + 1] = owner
    end
    start = '(' .. owner .. '|~'
  end
end
-- Begin the session if it has not begun this version.
local function begin(played)
  -- The first write is one that a full server refuses, so that nothing is done by halves.
  redis.call('ZADD', owners, seconds(t + valid), own)
  if played ~= version then
    if played then remove(id) end
    for _ = 1, math.min(redis.call('ZCARD', uses) - most + 1, 1000) do remove(redis.call('ZRANGE', uses, 0, 0)[1]) end
    redis.call('HSET', entry(id), 'version', ARGV[5], 'cursor', 0, 'begun', seconds(t))
    redis.call('ZADD', names, 0, 'N' .. id, 0, 'S' .. join(script, session))
  end
  redis.call('ZADD', uses, seconds(t), id)
end
local function lease(cursor, lost, number)
  if lost then redis.call('ZREM', leases(id), lost) else redis.call('HINCRBY', entry(id), 'cursor', 1) end
  redis.call('ZADD', leases(id), 0, string.format('%s|%016d|%s', own, cursor, number))
end
"""

# KEYS: the script, if its version is checked. ARGV: before which turn one is leased, number of the lease, whether owners of this host are
# known to live, those that are known to be dead.
NEXT = Script(
    _COMMON
    + _FIND
    + """\
if KEYS[2] and redis.call('HGET', KEYS[2], 'version') ~= ARGV[5] then return false end
-- Writes only if it must, so that a full server goes on with this.
if #ARGV > 11 then redis.call('ZREM', owners, unpack(ARGV, 12)) end
local played, cursor, lost, near = find()
if played and played > version then return false end
if cursor >= tonumber(ARGV[9]) or (#near > 0 and ARGV[11] == '0') then return {cursor, 0, unpack(near)} end
begin(played)
lease(cursor, lost, ARGV[10])
return {cursor, 1}
"""
)

# ARGV: the turn.
_WANTED = """\
local played, cursor, lost = find()
if played and played > version then return -1 end
if cursor ~= tonumber(ARGV[9]) then return 0 end
begin(played)
"""

# ARGV: number of the lease, what it counts as.
LEASE = Script(
    _COMMON
    + _FIND
    + _WANTED
    + """\
if ARGV[11] ~= '' then redis.call('HINCRBY', entry(id), ARGV[11], 1) end
lease(cursor, lost, ARGV[10])
return 1
"""
)

# ARGV: what was not met, failures that are kept.
MISMATCH = Script(
    _COMMON
    + _FIND
    + _WANTED
    + """\
redis.call('HINCRBY', entry(id), 'failed', 1)
redis.call('RPUSH', failures(id), seconds(t) .. '\\n' .. ARGV[10])
redis.call('LTRIM', failures(id), -tonumber(ARGV[11]), -1)
return 1
"""
)

TOUCH = Script(
    _COMMON
    + """\
redis.call('ZADD', uses, 'XX', seconds(now()), id)
"""
)

# ARGV: number of the lease, its turn or nothing if that is not known, whether it was played.
END = Script(
    _COMMON
    + """\
local number, turn = ARGV[5], ARGV[6]
if turn == '' then
  for _, lease in ipairs(redis.call('ZRANGEBYLEX', leases(id), '[' .. own .. '|', '(' .. own .. '|~')) do
    local other, found = string.match(lease, '|(%d+)|(%d+)$')
    if found == number then turn = other end
  end
  if turn == '' then return end
end
local rest = string.format('|%016d|%s', turn, number)
if redis.call('ZREM', leases(id), own .. rest) == 0 then return end
if ARGV[7] == '1' then redis.call('HINCRBY', entry(id), 'played', 1) else redis.call('ZADD', leases(id), 0, '-' .. rest) end
""",
    if_full=True,
)

# ARGV: how long leases are valid.
RENEW = Script(
    """\
local t = now()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.17g', t))
redis.call('ZADD', KEYS[1], string.format('%.17g', t + tonumber(ARGV[3])), ARGV[2])
""",
    if_full=True,
)

# ARGV: whether a session is chosen, entries at most.
PROGRESS = Script(
    _COMMON
    + """\
local limit, ids = tonumber(ARGV[6]), {}
if ARGV[5] == '1' then
  local start = 'N' .. join(session, '')
  local use = {}
  for number, name in ipairs(redis.call('ZRANGEBYLEX', names, '[' .. start, '(' .. start .. '\\255')) do
    ids[number] = string.sub(name, 2)
    use[ids[number]] = tonumber(redis.call('ZSCORE', uses, ids[number]))
  end
  table.sort(ids, function(one, other) return use[one] > use[other] end)
else
  ids = redis.call('ZREVRANGE', uses, 0, limit - 1)
end
local found = {}
for number = 1, math.min(limit, #ids) do
  local id = ids[number]
  local session, script = split(id)
  local fields = redis.call('HMGET', entry(id), 'cursor', 'played', 'met', 'failed', 'begun')
  found[number] = {session, script, redis.call('LRANGE', failures(id), 0, -1), redis.call('ZSCORE', uses, id), unpack(fields, 1, 5)}
end
return found
"""
)

# ARGV: whether a session and a script are chosen, entries at most.
FORGET = Script(
    _COMMON
    + """\
local by_session, by_script, most = ARGV[5] == '1', ARGV[6] == '1', tonumber(ARGV[7])
if by_session and by_script then return remove(id) end
local ids
if not by_session and not by_script then
  ids = redis.call('ZRANGE', uses, 0, most - 1)
else
  local start = by_session and 'N' .. join(session, '') or 'S' .. join(script, '')
  ids = redis.call('ZRANGEBYLEX', names, '[' .. start, '(' .. start .. '\\255', 'LIMIT', 0, most)
  for number, name in ipairs(ids) do
    local first, second = split(string.sub(name, 2))
    ids[number] = by_session and join(first, second) or join(second, first)
  end
end
for _, id in ipairs(ids) do remove(id) end
return #ids
"""
)
