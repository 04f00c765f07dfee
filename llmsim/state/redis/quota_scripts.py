"""The scripts of the limits of accounts.

Decisions:
* The arithmetic is that of `quota_buckets`, to the microsecond. Lua counts in doubles, which are exact up to 2^53, and what is used goes
  beyond: it is kept as whole amounts and a rest less than the period, and time is multiplied by 16 bits at a time.
* A record is one value, which expires when nothing of it is used any more. The index has all records by that time; while requests are
  held it is a day after the last change, so that these go last.
* What is held is renewed, released and announced anew by a server that is full, too.
"""

from llmsim.domain.quota import PERIODS
from llmsim.state.quota_buckets import MOST_USED
from llmsim.state.redis.script import Script

HOLD_SECONDS = 5.0
"""Seconds after its last renewal at which a process loses what it holds."""

_HOLD = f"""\
local HOLD = {HOLD_SECONDS}
"""

_RECORD = """\
-- A record: time of the last change, time at which nothing is used any more, five pairs of amount and rest, then pairs of a process and
-- how many requests it holds. Times are in microseconds.
local FIRST = 13
local DAY = 86400000000

local function read(key, time)
  local text = redis.call('GET', key)
  if text then return cmsgpack.unpack(text), true end
  return {time, time, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, false
end

local function write(key, index, record, is_known, time, most)
  local last = record[2]
  if #record >= FIRST then last = math.max(last, time + DAY) end
  if last <= time then
    redis.call('DEL', key)
    redis.call('ZREM', index, key)
    return
  end
  if not is_known then
    local gone = redis.call('ZRANGEBYSCORE', index, '-inf', string.format('(%.0f', time), 'LIMIT', 0, 2)
    if #gone > 0 then
      redis.call('DEL', unpack(gone))
      redis.call('ZREM', index, unpack(gone))
    end
    while most > 0 and redis.call('ZCARD', index) >= most do
      redis.call('DEL', redis.call('ZPOPMIN', index)[1])
    end
  end
  local life = string.format('%.0f', math.ceil((last - time) / 1000) + 1000)
  redis.call('SET', key, cmsgpack.pack(record), 'PX', life)
  redis.call('ZADD', index, string.format('%.0f', last), key)
end

local function hold(record, holder, count)
  for at = FIRST, #record, 2 do
    if record[at] == holder then
      record[at + 1] = record[at + 1] + count
      if record[at + 1] <= 0 then
        table.remove(record, at)
        table.remove(record, at)
      end
      return
    end
  end
  if count > 0 then
    record[#record + 1] = holder
    record[#record + 1] = count
  end
end
"""

BOOK = Script(
    _HOLD
    + _RECORD
    + f"""\
local PERIODS = {{{", ".join(map(str, PERIODS))}}}
local MOST = {{{", ".join(str(MOST_USED // period) for period in PERIODS)}}}
local MOST_REST = {{{", ".join(str(MOST_USED % period) for period in PERIODS)}}}
"""
    + """\
-- Return the quotient and the rest of an amount of time, times a limit, by a period.
local function times(elapsed, limit, period)
  local quotient, rest = 0, 0
  for _, unit in ipairs({281474976710656, 4294967296, 65536, 1}) do
    local part = rest * 65536 + math.floor(elapsed / unit) % 65536 * limit
    quotient, rest = quotient * 65536 + math.floor(part / period), part % period
  end
  return quotient, rest
end

local mode, holder, concurrency = ARGV[2], ARGV[3], tonumber(ARGV[4])
local most, output = tonumber(ARGV[5]), tonumber(ARGV[6])
local clock = now()
local time = math.floor(clock * 1000000)
local record, is_known = read(KEYS[1], time)
local elapsed, is_set_back = time - record[1], false
if elapsed < 0 then
  -- As at the last change, unless the clock was set.
  if elapsed > -1000000 then time = record[1] else is_set_back = true end
  elapsed = 0
end

for at = 7, #ARGV, 3 do
  local rate, limit = tonumber(ARGV[at]) + 1, tonumber(ARGV[at + 1])
  local amount, rest = record[2 * rate + 1], record[2 * rate + 2]
  if elapsed > 0 and (amount > 0 or rest > 0) then
    local free, free_rest = times(elapsed, limit, PERIODS[rate])
    amount, rest = amount - free, rest - free_rest
    if rest < 0 then amount, rest = amount - 1, rest + PERIODS[rate] end
    if amount < 0 then amount, rest = 0, 0 end
  end
  record[2 * rate + 1], record[2 * rate + 2] = amount, rest
end

local held, holders = 0, {}
local is_admitted = 1
if mode == 'admit' then
  if concurrency > 0 then
    redis.call('ZADD', KEYS[2], string.format('%.17g', clock + HOLD), holder)
    for at = #record - 1, FIRST, -2 do
      local expires = redis.call('ZSCORE', KEYS[2], record[at])
      if expires and tonumber(expires) > clock then
        held = held + record[at + 1]
        holders[#holders + 1] = record[at]
      else
        table.remove(record, at)
        table.remove(record, at)
      end
    end
    if held >= concurrency then is_admitted = 0 end
  end
  for at = 7, #ARGV, 3 do
    local rate, limit, requested = tonumber(ARGV[at]) + 1, tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    -- Of what a request takes nothing of, something must be left.
    local total = record[2 * rate + 1] + math.max(requested, 1)
    if total > limit or (total == limit and record[2 * rate + 2] > 0) then is_admitted = 0 end
  end
end

local reply = {is_admitted, held, time}
local function book(rate, requested)
  local total = record[2 * rate + 1] + requested
  record[2 * rate + 1] = total
  if total > MOST[rate] or (total == MOST[rate] and record[2 * rate + 2] >= MOST_REST[rate]) then
    record[2 * rate + 1], record[2 * rate + 2] = MOST[rate], MOST_REST[rate]
  end
end
if is_admitted == 1 and mode ~= 'status' then
  for at = 7, #ARGV, 3 do book(tonumber(ARGV[at]) + 1, tonumber(ARGV[at + 2])) end
end
for at = 3, 12 do reply[at + 1] = record[at] end
if is_admitted == 1 and mode ~= 'status' then
  local longest = 0
  for at = 7, #ARGV, 3 do
    local rate, limit = tonumber(ARGV[at]) + 1, tonumber(ARGV[at + 1])
    if output > 0 and (rate == 2 or rate == 4) then book(rate, output) end
    local duration = (record[2 * rate + 1] * PERIODS[rate] + record[2 * rate + 2]) / limit
    longest = math.max(longest, math.floor(duration) + 1)
  end
  if concurrency > 0 and mode == 'admit' then hold(record, holder, 1) end
  record[1], record[2] = time, time + longest
  write(KEYS[1], KEYS[3], record, is_known, time, most)
elseif is_set_back then
  record[1] = time
  write(KEYS[1], KEYS[3], record, is_known, time, most)
end
if is_admitted == 0 and held >= concurrency then
  for _, name in ipairs(holders) do reply[#reply + 1] = name end
end
return reply
"""
)
"""KEYS: the record, the leases, and the index of records by the time at which nothing is used any more."""

RELEASE = Script(
    _RECORD
    + """\
local time = math.floor(now() * 1000000)
local record, is_known = read(KEYS[1], time)
if is_known then
  hold(record, ARGV[2], -1)
  write(KEYS[1], KEYS[2], record, true, time, 0)
end
""",
    if_full=True,
)
"""KEYS: the record, and the index."""

RENEW = Script(
    _HOLD
    + """\
local expires = redis.call('ZSCORE', KEYS[1], ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.17g', now()))
redis.call('ZADD', KEYS[1], string.format('%.17g', now() + HOLD), ARGV[2])
return expires and tonumber(expires) > now() and 1 or 0
""",
    if_full=True,
)
"""KEYS: the leases. Returns whether the process had one."""

HOLD_ANEW = Script(
    _HOLD
    + _RECORD
    + """\
local time = math.floor(now() * 1000000)
local formers = #KEYS + 2
if #ARGV >= formers then redis.call('ZREM', KEYS[1], unpack(ARGV, formers)) end
redis.call('ZADD', KEYS[1], string.format('%.17g', now() + HOLD), ARGV[2])
for at = 3, #KEYS do
  local record, is_known = read(KEYS[at], time)
  for former = formers, #ARGV do hold(record, ARGV[former], -math.huge) end
  hold(record, ARGV[2], tonumber(ARGV[at + 1]))
  write(KEYS[at], KEYS[2], record, is_known, time, tonumber(ARGV[3]))
end
""",
    if_full=True,
)
"""KEYS: the leases, the index, and the records. ARGV: the name, most records, a count for each record, and former names."""
