"""Stored responses and documents of all hosts.

Decisions:
* A record is one hash, `R:r:ID`. `R:age` has all ids by the number of their put, the order of eviction; `R:list:KIND:OWNER` has those of one
  kind and owner by creation, and among equal times by that number. `R:totals` has what all of them count, exact after each script.
* Room is made as by the embedded store, with the bounds of the process that puts; each put also removes up to 16 expired records.
* A content goes with its record: `contents.py` keeps it under the same `R`.
* PERF: on one core of an AMD EPYC, in us of the server: a put of 3 KB 60, a get 15, a page of twenty 220; a page that finds nothing by
  its labels among 10,000 31,000.
"""

from collections.abc import Mapping
from typing import Any

from llmsim.config import StoreSettings
from llmsim.errors import StoreError
from llmsim.state.ports import Record
from llmsim.state.record_format import (
    EVICTED_BYTES,
    EVICTED_RECORDS,
    decode_record,
    encode_label,
    encode_metadata,
    encode_text,
    record_size,
)
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.script import Script

REMOVE = """
local R = KEYS[1]
local totals = R .. ':totals'
local function record_key(id) return R .. ':r:' .. id end
local function member(seq, id) return string.format('%016d', seq) .. id end
local function list_key(kind, owner) return R .. ':list:' .. kind .. '\\0' .. owner end
local function remove_content(id)
  local content = redis.call('HMGET', R .. ':c:' .. id, 'size', 'pieces')
  if not content[1] then return end
  for number = 0, content[2] - 1 do redis.call('UNLINK', R .. ':p:' .. number .. ':' .. id) end
  redis.call('DEL', R .. ':c:' .. id)
  redis.call('ZREM', R .. ':begun', id)
  redis.call('HINCRBY', totals, 'contents', -content[1])
end
local function remove(id)
  local old = redis.call('HMGET', record_key(id), 'kind', 'owner', 'seq', 'size')
  if not old[1] then return end
  redis.call('DEL', record_key(id))
  redis.call('ZREM', R .. ':age', id)
  redis.call('ZREM', list_key(old[1], old[2]), member(old[3], id))
  redis.call('HINCRBY', totals, 'records', -1)
  redis.call('HINCRBY', totals, 'bytes', -old[4])
  remove_content(id)
end
"""
"""Functions that remove a record, or a content, of the store `KEYS[1]`."""

_MAKE_ROOM = (
    REMOVE
    + f"""
local function make_room(most, most_bytes, max_age, records, size, keep)
  local held = redis.call('HMGET', totals, 'records', 'bytes')
  records, size = records + (held[1] or 0), size + (held[2] or 0)
  if records > most or size > most_bytes then
    most = most - math.min({EVICTED_RECORDS}, math.floor(most / 64))
    most_bytes = most_bytes - math.min({EVICTED_BYTES}, math.floor(most_bytes / 64))
  end
  local horizon, evicted, skipped = now() - max_age, 0, 0
  while true do
    local id = redis.call('ZRANGE', R .. ':age', skipped, skipped)[1]
    if not id then return evicted end
    if id == keep then
      skipped = 1
    else
      local old = redis.call('HMGET', record_key(id), 'kept', 'size')
      if records <= most and size <= most_bytes and (tonumber(old[1]) > horizon or evicted >= {EVICTED_RECORDS}) then
        return evicted
      end
      remove(id)
      records, size, evicted = records - 1, size - old[2], evicted + 1
    end
  end
end
"""
)

_PUT = Script(
    _MAKE_ROOM
    + """
local most, most_bytes, max_age, id, kind, owner, created, model, metadata, size, data = unpack(ARGV, 2)
most, most_bytes, max_age, size = tonumber(most), tonumber(most_bytes), tonumber(max_age), tonumber(size)
remove(id)
if most == 0 or size > most_bytes then return make_room(most, most_bytes, max_age, 0, 0) + 1 end
local evicted = make_room(most, most_bytes, max_age, 1, size)
local seq = redis.call('HINCRBY', totals, 'writes', 1)
redis.call('HSET', record_key(id), 'kind', kind, 'owner', owner, 'created', created, 'model', model, 'metadata', metadata,
  'kept', string.format('%.17g', now()), 'size', size, 'seq', seq, 'version', seq, 'data', data)
redis.call('ZADD', R .. ':age', seq, id)
redis.call('ZADD', list_key(kind, owner), created, member(seq, id))
redis.call('HINCRBY', totals, 'records', 1)
redis.call('HINCRBY', totals, 'bytes', size)
return evicted
"""
)

_FIND = """
local function find(id, kind, owner, max_age)
  local one = redis.call('HMGET', record_key(id), 'kind', 'owner', 'kept', 'seq', 'size', 'version', 'created')
  if one[1] ~= kind or one[2] ~= owner or tonumber(one[3]) <= now() - max_age then return nil end
  return one
end
"""

_GET = Script(
    """
local kind, owner, max_age = unpack(ARGV, 2)
local one = redis.call('HMGET', KEYS[1], 'kind', 'owner', 'kept', 'created', 'model', 'metadata', 'data', 'version')
if one[1] ~= kind or one[2] ~= owner or tonumber(one[3]) <= now() - max_age then return false end
return {one[4], one[5], one[6], one[7], one[8]}
"""
)

_REPLACE = Script(
    _MAKE_ROOM
    + _FIND
    + """
local most, most_bytes, max_age, id, kind, owner, created, model, metadata, size, data, version = unpack(ARGV, 2)
most, most_bytes, max_age, size = tonumber(most), tonumber(most_bytes), tonumber(max_age), tonumber(size)
local old = find(id, kind, owner, max_age)
if not old or old[6] ~= version then return false end
if size > most_bytes then
  remove(id)
  return 1
end
local evicted = make_room(most, most_bytes, max_age, 0, size - old[5], id)
redis.call('HSET', record_key(id), 'created', created, 'model', model, 'metadata', metadata, 'size', size, 'data', data,
  'version', redis.call('HINCRBY', totals, 'writes', 1))
redis.call('ZADD', list_key(kind, owner), created, member(old[4], id))
redis.call('HINCRBY', totals, 'bytes', size - old[5])
return evicted
"""
)

_DELETE = Script(
    REMOVE
    + _FIND
    + """
local id, kind, owner, max_age = unpack(ARGV, 2)
if not find(id, kind, owner, max_age) then return 0 end
remove(id)
return 1
"""
)

_PAGE = Script(
    REMOVE
    + _FIND
    + """
local kind, owner, max_age, limit, after, before, ascending, by_model, model = unpack(ARGV, 2)
local list = list_key(kind, owner)
local function place(id)
  local one = find(id, kind, owner, max_age)
  if not one then return nil end
  return redis.call(ascending == '1' and 'ZRANK' or 'ZREVRANK', list, member(one[4], id))
end
local first, last = 0, redis.call('ZCARD', list) - 1
local is_backwards = false
if after ~= '' then
  local rank = place(string.sub(after, 2))
  if not rank then return 'after' end
  first = rank + 1
end
if before ~= '' then
  local rank = place(string.sub(before, 2))
  if not rank then return 'before' end
  last = rank - 1
  is_backwards = after == ''
end
local horizon, found, at = now() - max_age, {}, is_backwards and last or first
local step = is_backwards and -1 or 1
limit = limit + 1
while #found < limit and at >= first and at <= last do
  local span = math.min(limit, 200)
  local from, to = at, math.min(at + span - 1, last)
  if is_backwards then from, to = math.max(at - span + 1, first), at end
  local members = redis.call(ascending == '1' and 'ZRANGE' or 'ZREVRANGE', list, from, to)
  local number, stop = 1, #members
  if is_backwards then number, stop = #members, 1 end
  for index = number, stop, step do
    local id = string.sub(members[index], 17)
    local one = redis.call('HMGET', record_key(id), 'kept', 'model', 'metadata')
    local fits = tonumber(one[1]) > horizon and (by_model == '' or one[2] == model)
    for label = 11, #ARGV do fits = fits and string.find(one[3], ARGV[label], 1, true) end
    if fits then
      local rest = redis.call('HMGET', record_key(id), 'created', 'data', 'version')
      found[#found + 1] = {id, rest[1], one[2], one[3], rest[2], rest[3]}
      if #found == limit then break end
    end
  end
  at = at + step * span
end
return found
"""
)


class RedisRecordStore:
    """The records of all hosts; see `RecordStore`.

    Args:
        client: How the server is reached.
        part: The store's name in the keys.
        limits: The bounds that this process keeps to.
        is_optional: Whether a put that fails counts as evicted, where the client ignores failures.
    """

    def __init__(
        self, client: RedisClient, part: str, limits: StoreSettings, *, is_optional: bool = False
    ) -> None:
        self._client = client
        self._keys = [client.key(part)]
        self._record_key = client.key(part, "r", "")
        self._bounds = (limits.max_records, limits.max_bytes, limits.max_age_secs)
        self._ignores = is_optional and client.ignores

    async def put(self, record: Record) -> int:
        """See `RecordStore`."""
        try:
            return int(await _PUT.run(self._client, self._keys, *self._bounds, *_row(record)))
        except StoreError:
            if self._ignores:
                return 1
            raise

    async def get(self, kind: str, id: str, owner: str = "") -> Record | None:  # noqa: A002 - the field's name
        """See `RecordStore`."""
        key = encode_text(id)
        row = await _GET.run(
            self._client, [self._record_key + key], encode_text(kind), encode_text(owner), self._bounds[2]
        )
        return None if row is None else _record(kind, encode_text(owner), key, *row)

    async def replace(self, record: Record, *, version: int) -> int | None:
        """See `RecordStore`."""
        found = await _REPLACE.run(self._client, self._keys, *self._bounds, *_row(record), version)
        return None if found is None else int(found)

    async def delete(self, kind: str, id: str, owner: str = "") -> bool:  # noqa: A002 - the field's name
        """See `RecordStore`."""
        arguments = map(encode_text, (id, kind, owner))
        return bool(await _DELETE.run(self._client, self._keys, *arguments, self._bounds[2]))

    async def page(
        self,
        kind: str,
        *,
        limit: int,
        after: str | None = None,
        before: str | None = None,
        ascending: bool = True,
        model: str | None = None,
        metadata: Mapping[str, str] = {},
        owner: str = "",
    ) -> tuple[list[Record], bool]:
        """See `RecordStore`."""
        ends = [b"" if end is None else b":" + encode_text(end) for end in (after, before)]
        found = await _PAGE.run(
            self._client,
            self._keys,
            encode_text(kind),
            encode_text(owner),
            self._bounds[2],
            limit,
            *ends,
            int(ascending),
            "" if model is None else 1,
            encode_text(model or ""),
            *(b"\n%b\n" % encode_label(*label) for label in metadata.items()),
        )
        if isinstance(found, bytes):
            raise KeyError(after if found == b"after" else before)
        records = [_record(kind, encode_text(owner), *row) for row in found[:limit]]
        is_backwards = before is not None and after is None
        return records[::-1] if is_backwards else records, len(found) > limit


def _row(record: Record) -> tuple[Any, ...]:
    """Return what a script writes of a record, in its order."""
    key, kind, model = encode_text(record.id), encode_text(record.kind), encode_text(record.model)
    owner, metadata = encode_text(record.owner), encode_metadata(record.metadata)
    size = record_size(key, kind, owner, model, metadata, record.data)
    return key, kind, owner, repr(record.created), model, metadata, size, record.data


def _record(
    kind: str,
    owner: bytes,
    key: bytes,
    created: bytes,
    model: bytes,
    metadata: bytes,
    data: bytes,
    version: bytes,
) -> Record:
    return decode_record(kind, key, owner, float(created), model, metadata, data, int(version))
