"""How far each session has come in each script: one cursor for all hosts.

The decisions of `state/session_store.py` hold here too. What is different:
* The leases of a session and script are one sorted set of `OWNER|CURSOR|NUMBER`, so that the first of each owner is found at once;
  the owner of one that was released is `-`.
* Expiry is kept for each process, in the time of the server. Which processes of this host are dead only the host knows: owners of
  leases that are its own are returned with the cursor, and those that are dead are removed by a second step.
* An end of a lease that the server did not confirm is sent again with the renewals, and the lease is held until then. Whether a lease was
  given that was not confirmed is unknown, so it is released twice: what was sent before a stall may arrive after what was sent in it.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.errors import StoreError
from llmsim.state.ports import Failure, OutdatedError, SessionProgress, TurnLease
from llmsim.state.redis.client import Argument, RedisClient
from llmsim.state.redis.owners import HostOwners
from llmsim.state.redis.script import Script
from llmsim.state.session_store import LEASE_SECONDS, MAX_FAILURES

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

# ARGV: version, what the owners of this host begin with.
_FIND = """\
local version, prefix = tonumber(ARGV[5]), ARGV[6]
local function is_valid(owner, t)
  if owner == own then return true end
  local expires = redis.call('ZSCORE', owners, owner)
  return expires and tonumber(expires) > t
end
-- Find the next turn; return the version that is played, the turn, the lease of it that was lost, and valid owners of this host.
local function find(t)
  local found = redis.call('HMGET', entry(id), 'version', 'cursor')
  if not found[1] then return nil, 0 end
  local played = tonumber(found[1])
  if played ~= version then return played, 0 end
  local cursor, lost, near, start = tonumber(found[2]), nil, {}, '-'
  while true do
    local first = redis.call('ZRANGEBYLEX', leases(id), start, '+', 'LIMIT', 0, 1)[1]
    if not first then return played, cursor, lost, near end
    local owner, turn = string.match(first, '^(.-)|(%d+)|')
    if not is_valid(owner, t) then
      if not lost or tonumber(turn) < cursor then cursor, lost = tonumber(turn), first end
    elseif owner ~= own and string.sub(owner, 1, #prefix) == prefix then
      near[#near + 1] = owner
    end
    start = '(' .. owner .. '|~'
  end
end
"""

_NEXT = Script(
    _COMMON
    + _FIND
    + """\
-- Writes only if it must, so that a full server goes on with this.
if #ARGV > 6 then redis.call('ZREM', owners, unpack(ARGV, 7)) end
local played, cursor, _, near = find(now())
if played and played > version then return false end
return {cursor, unpack(near or {})}
"""
)

# ARGV: the turn, sessions that are kept, how long leases are valid.
_BEGIN = """\
local wanted, most, valid = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local t = now()
local played, cursor, lost = find(t)
if played and played > version then return -1 end
if cursor ~= wanted then return 0 end
-- The first write is one that a full server refuses, so that nothing is done by halves.
redis.call('ZADD', owners, seconds(t + valid), own)
if played ~= version then
  if played then remove(id) end
  for _ = 1, math.min(redis.call('ZCARD', uses) - most + 1, 1000) do remove(redis.call('ZRANGE', uses, 0, 0)[1]) end
  redis.call('HSET', entry(id), 'version', ARGV[5], 'cursor', 0, 'begun', seconds(t))
  redis.call('ZADD', names, 0, 'N' .. id, 0, 'S' .. join(script, session))
end
redis.call('ZADD', uses, seconds(t), id)
"""

_LEASE = Script(
    _COMMON
    + _FIND
    + _BEGIN
    + """\
local lease, counted = ARGV[10], ARGV[11]
if lost then redis.call('ZREM', leases(id), lost) else redis.call('HINCRBY', entry(id), 'cursor', 1) end
if counted ~= '' then redis.call('HINCRBY', entry(id), counted, 1) end
redis.call('ZADD', leases(id), 0, lease)
return 1
"""
)

_MISMATCH = Script(
    _COMMON
    + _FIND
    + _BEGIN
    + """\
redis.call('HINCRBY', entry(id), 'failed', 1)
redis.call('RPUSH', failures(id), seconds(t) .. '\\n' .. ARGV[10])
redis.call('LTRIM', failures(id), -tonumber(ARGV[11]), -1)
return 1
"""
)

_TOUCH = Script(
    _COMMON
    + """\
redis.call('ZADD', uses, 'XX', seconds(now()), id)
"""
)

# ARGV: the lease, and what it becomes; nothing if its turn was played.
_END = Script(
    _COMMON
    + """\
if redis.call('ZREM', leases(id), ARGV[5]) == 0 then return end
if ARGV[6] == '' then redis.call('HINCRBY', entry(id), 'played', 1) else redis.call('ZADD', leases(id), 0, ARGV[6]) end
""",
    if_full=True,
)

# ARGV: how long leases are valid.
_RENEW = Script(
    """\
local t = now()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.17g', t))
redis.call('ZADD', KEYS[1], string.format('%.17g', t + tonumber(ARGV[3])), ARGV[2])
""",
    if_full=True,
)

# ARGV: whether a session is chosen, entries at most.
_PROGRESS = Script(
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
_FORGET = Script(
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

_BATCH = 10_000
"""Sessions that are reset at once: more would hold up all other operations."""

_MAX_UNCONFIRMED = 10_000
"""Ends of leases that are sent again; beyond them leases end by expiry."""

_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.Decoder(tuple[int, tuple[str, ...]]).decode


class _End(msgspec.Struct, frozen=True):
    """An end of a lease that is sent again.

    Attributes:
        lease: The lease.
        played: Whether its turn was played.
        times: How often it is sent.
    """

    lease: TurnLease
    played: bool
    times: int = 1


class RedisSessionStore:
    """The sessions of all hosts; see `SessionStore`.

    Args:
        client: How the server is reached.
        max_sessions: Sessions that are kept.
        owners: The processes of this host.
    """

    def __init__(self, client: RedisClient, max_sessions: int, owners: HostOwners) -> None:
        self._client = client
        self._max_sessions = max_sessions
        self._owners = owners
        self._numbers = itertools.count()
        self._held: set[int] = set()
        self._unconfirmed: dict[int, _End] = {}
        self._keys = [client.key("session", "")]

    async def next_cursor(self, session: str, script: str, version: int) -> int:
        """See `SessionStore`."""
        arguments = (session, script, self._owners.own(), version, self._owners.prefix)
        dead: list[bytes] = []
        while True:
            found = await self._run(_NEXT, *arguments, *dead)
            if found is None:
                raise OutdatedError
            cursor, *near = found
            dead = self._owners.find_dead(near)
            if not dead:
                return int(cursor)

    async def lease_turn(
        self, session: str, script: str, version: int, cursor: int, *, met: bool | None
    ) -> TurnLease | None:
        """See `SessionStore`."""
        lease = TurnLease(session, script, cursor, self._owners.own(), next(self._numbers))
        counted = {None: "", True: "met", False: "failed"}[met]
        try:
            is_given = await self._begin(_LEASE, session, script, version, cursor, _member(lease), counted)
        except StoreError:
            self._send_again(_End(lease, played=False, times=2))
            raise
        if not is_given:
            return None
        self._held.add(lease.number)
        return lease

    async def record_mismatch(
        self, session: str, script: str, version: int, cursor: int, unmet: Sequence[str]
    ) -> bool:
        """See `SessionStore`."""
        failure = _pack((cursor, tuple(unmet)))
        return await self._begin(_MISMATCH, session, script, version, cursor, failure, MAX_FAILURES)

    async def _begin(
        self, operation: Script, session: str, script: str, version: int, cursor: int, *arguments: Argument
    ) -> bool:
        owners = self._owners
        begun = await self._run(
            operation,
            session,
            script,
            owners.own(),
            version,
            owners.prefix,
            cursor,
            self._max_sessions,
            LEASE_SECONDS,
            *arguments,
        )
        if begun < 0:
            raise OutdatedError
        return bool(begun)

    async def touch(self, session: str, script: str) -> None:
        """See `SessionStore`."""
        await self._run(_TOUCH, session, script, "")

    async def commit(self, lease: TurnLease) -> None:
        """See `SessionStore`."""
        await self._end(_End(lease, played=True))

    async def release(self, lease: TurnLease) -> None:
        """See `SessionStore`."""
        await self._end(_End(lease, played=False))

    async def _end(self, end: _End) -> None:
        lease = end.lease
        becomes = "" if end.played else _member(lease, "-")
        try:
            await self._run(_END, lease.session, lease.script, lease.owner, _member(lease), becomes)
        except StoreError:
            self._send_again(end)
            raise
        finally:
            self._held.discard(lease.number)

    def _send_again(self, end: _End) -> None:
        if len(self._unconfirmed) < _MAX_UNCONFIRMED:
            self._unconfirmed[end.lease.number] = end

    async def renew(self) -> None:
        """See `SessionStore`."""
        if not self._held and not self._unconfirmed:
            return
        owners = self._client.key("session", "owners")
        await _RENEW.run(self._client, [owners], self._owners.own(), LEASE_SECONDS)
        for number, end in list(self._unconfirmed.items()):
            del self._unconfirmed[number]
            await self._end(end)
            if end.times > 1:
                self._send_again(msgspec.structs.replace(end, times=end.times - 1))

    async def list_progress(self, session: str | None = None, *, limit: int = 1000) -> list[SessionProgress]:
        """See `SessionStore`."""
        found = await self._run(_PROGRESS, session or "", "", "", int(session is not None), limit)
        return [_progress(fields) for fields in found]

    async def forget(self, session: str | None = None, *, script: str | None = None) -> int:
        """See `SessionStore`."""
        chosen = (session or "", script or "", "", int(session is not None), int(script is not None))
        forgotten = 0
        while True:
            count = int(await self._run(_FORGET, *chosen, _BATCH))
            forgotten += count
            if count < _BATCH:
                return forgotten

    async def _run(self, operation: Script, session: str, script: str, *arguments: Argument) -> Any:
        """Run an operation on a session and script."""
        names = [name.encode("utf-8", "surrogatepass") for name in (session, script)]
        return await operation.run(self._client, self._keys, *names, *arguments)


def _member(lease: TurnLease, owner: str = "") -> str:
    return f"{owner or lease.owner}|{lease.cursor:016}|{lease.number}"


def _progress(fields: list[Any]) -> SessionProgress:
    session, script, failures, used, cursor, played, met, failed, begun = fields
    return SessionProgress(
        session.decode("utf-8", "surrogatepass"),
        script.decode("utf-8", "surrogatepass"),
        int(cursor),
        int(played or 0),
        int(met or 0),
        int(failed or 0),
        tuple(map(_failure, failures)),
        float(begun),
        float(used),
    )


def _failure(stored: bytes) -> Failure:
    at, _, packed = stored.partition(b"\n")
    return Failure(float(at), *_unpack(packed))
