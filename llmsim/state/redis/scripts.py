"""Scripts by name, for all hosts: those of their files, and those that clients have sent.

The decisions of `state/script_registry.py` hold here too. What is different:
* A script of a file shows which hosts have it. One that is the same as before stays as it is, with its version, so that a host may start
  or reload while others play it; one that differs takes its place, and the last host to publish has its way. It is deleted when the last
  host that has it publishes without it.
* What a host has published it publishes again when the server has lost everything, or could not be reached at its start. The key
  of the last version shows that there is something.
"""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from llmsim.errors import ScriptError, StoreError
from llmsim.scripts import Script as PlayedScript
from llmsim.scripts import ScriptFormat, read
from llmsim.scripts.files import ScriptFile
from llmsim.state.ports import UPLOADED, ScriptInfo
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.pipeline import Argument
from llmsim.state.redis.script import Script

# KEYS: what all keys begin with.
_COMMON = """\
local root = KEYS[1]
local names, uploaded, last = root .. 'names', root .. 'uploaded', root .. 'last'
local function entry(name) return root .. 'entry:' .. name end
local function remove(name)
  redis.call('ZREM', names, name)
  redis.call('ZREM', uploaded, name)
  return redis.call('DEL', entry(name))
end
"""

# ARGV: name, host or nothing, scripts of clients that are kept, fields and their values; origin, format and source come first.
_PUT = Script(
    _COMMON
    + """\
local name, host, most = ARGV[2], ARGV[3], tonumber(ARGV[4])
local origin, form, source = ARGV[6], ARGV[8], ARGV[10]
local known = redis.call('HMGET', entry(name), 'source_format', 'source')
if host ~= '' and known[1] == form and known[2] == source then
  redis.call('HSET', entry(name), 'at ' .. host, '1')
  return {1, 0}
end
-- Higher than any version before, which is not known: scripts are put more rarely than once a microsecond.
redis.call('SET', last, string.format('%.0f', math.floor(now() * 1000000)), 'NX')
local version = redis.call('INCR', last)
redis.call('HSET', entry(name), 'version', version, 'at', string.format('%.17g', now()), unpack(ARGV, 5))
redis.call('ZADD', names, 0, name)
if host ~= '' then
  redis.call('HSET', entry(name), 'at ' .. host, '1')
  redis.call('ZREM', uploaded, name)
else
  redis.call('ZADD', uploaded, version, name)
  for _ = 1, math.min(redis.call('ZCARD', uploaded) - most, 1000) do remove(redis.call('ZRANGE', uploaded, 0, 0)[1]) end
end
return {known[1] and 1 or 0, 1}
"""
)

# ARGV: host, the names of its scripts.
_RETAIN = Script(
    _COMMON
    + """\
local field, kept, deleted = 'at ' .. ARGV[2], {}, {}
for number = 3, #ARGV do kept[ARGV[number]] = true end
for _, name in ipairs(redis.call('ZRANGE', names, 0, -1)) do
  if not kept[name] and redis.call('HDEL', entry(name), field) == 1 and not redis.call('ZSCORE', uploaded, name) then
    local is_held = false
    for _, other in ipairs(redis.call('HKEYS', entry(name))) do is_held = is_held or string.sub(other, 1, 3) == 'at ' end
    if not is_held then
      remove(name)
      deleted[#deleted + 1] = name
    end
  end
end
return deleted
"""
)

# ARGV: name, fields.
_READ = Script(
    _COMMON
    + """\
return {redis.call('EXISTS', last), redis.call('HMGET', entry(ARGV[2]), unpack(ARGV, 3))}
"""
)

# ARGV: fields.
_LIST = Script(
    _COMMON
    + """\
local found = {}
for _, name in ipairs(redis.call('ZRANGE', names, 0, -1)) do
  found[#found + 1] = {name, unpack(redis.call('HMGET', entry(name), unpack(ARGV, 2)))}
end
return {redis.call('EXISTS', last), found}
"""
)

_DELETE = Script(_COMMON + "return remove(ARGV[2])")

_FIELDS = tuple(field for field in ScriptInfo.__struct_fields__ if field != "name")
_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.Decoder(PlayedScript).decode


class RedisScriptRegistry:
    """The scripts of all hosts; see `ScriptRegistry`.

    Args:
        client: How the server is reached.
        max_uploaded: Scripts of clients that are kept.
        host: Name of this host.
    """

    def __init__(self, client: RedisClient, max_uploaded: int, host: str) -> None:
        self._client = client
        self._max_uploaded = max_uploaded
        self._host = host.encode("utf-8", "surrogatepass")
        self._files: Mapping[str, ScriptFile] = {}
        self._is_published = True
        self._keys = [client.key("script", "")]

    def entry_key(self, name: str) -> bytes:
        """Return the key of a script's fields."""
        return b"%bentry:%b" % (self._keys[0], _encode(name))

    async def put(self, name: str, source: bytes, source_format: ScriptFormat, script: PlayedScript) -> bool:
        """See `ScriptRegistry`."""
        existed, _ = await self._put(name, b"", UPLOADED, source_format, source, script)
        return bool(existed)

    async def publish(self, files: Mapping[str, ScriptFile]) -> list[str]:
        """See `ScriptRegistry`.

        A server that cannot be reached gets them later: a host starts without it.
        """
        self._files = files
        try:
            return await self._publish()
        except StoreError:
            self._is_published = False
            return []

    async def _publish(self) -> list[str]:
        deleted = await _RETAIN.run(self._client, self._keys, self._host, *map(_encode, self._files))
        changed = [_decode(name) for name in deleted]
        for name, file in self._files.items():
            _, is_new = await self._put(name, self._host, str(file.path), file.form, file.data, file.script)
            if is_new:
                changed.append(name)
        self._is_published = True
        return changed

    async def _put(
        self,
        name: str,
        host: bytes,
        origin: str,
        source_format: ScriptFormat,
        source: bytes,
        script: PlayedScript,
    ) -> tuple[int, int]:
        """Put a script; return whether there was one of its name, and whether it is new."""
        fields: dict[str, Argument] = {
            "origin": _encode(origin),
            "source_format": source_format,
            "source": source,
            "script": _pack(script),
            "description": _encode(script.description),
            "turns": len(script.turns),
            "length": script.length,
            "on_exhausted": script.on_exhausted.value,
        }
        pairs = [part for pair in fields.items() for part in pair]
        existed, is_new = await _PUT.run(
            self._client, self._keys, _encode(name), host, self._max_uploaded, *pairs
        )
        return existed, is_new

    async def get(self, name: str) -> ScriptInfo | None:
        """See `ScriptRegistry`."""
        values = await self._fields(name, *_FIELDS)
        return None if values[0] is None else _info(_encode(name), values)

    async def version(self, name: str) -> int | None:
        """See `ScriptRegistry`."""
        (version,) = await self._fields(name, "version")
        return None if version is None else int(version)

    async def script(self, name: str) -> tuple[int, PlayedScript] | None:
        """See `ScriptRegistry`."""
        version, packed = await self._fields(name, "version", "script")
        if version is None:
            return None
        try:
            return int(version), _unpack(packed)
        except msgspec.DecodeError:
            return await self._read_source(name)

    async def _read_source(self, name: str) -> tuple[int, PlayedScript] | None:
        """Parse a script that another version of llmsim has stored, in a way that this one does not know."""
        version, source_format, source = await self._fields(name, "version", "source_format", "source")
        if version is None:
            return None
        try:
            return int(version), read(source, cast(ScriptFormat, source_format.decode()), name)
        except ScriptError as error:
            raise StoreError(f"another version of llmsim has stored this script: {error}") from None

    async def source(self, name: str) -> bytes | None:
        """See `ScriptRegistry`."""
        (source,) = await self._fields(name, "source")
        found: bytes | None = source
        return found

    async def _fields(self, name: str, *fields: str) -> list[Any]:
        """Read fields of a script; each None if there is no such script."""
        return await self._read(_READ, _encode(name), *fields)

    async def list_scripts(self) -> list[ScriptInfo]:
        """See `ScriptRegistry`."""
        return [_info(name, values) for name, *values in await self._read(_LIST, *_FIELDS)]

    async def _read(self, operation: Script, *arguments: Argument) -> list[Any]:
        """Read; publish before that what the server does not have of this host's files."""
        if not self._is_published:
            await self._publish()
        is_kept, found = await operation.run(self._client, self._keys, *arguments)
        if not is_kept and self._files:
            await self._publish()
            _, found = await operation.run(self._client, self._keys, *arguments)
        values: list[Any] = found
        return values

    async def delete(self, name: str) -> bool:
        """See `ScriptRegistry`."""
        return bool(await _DELETE.run(self._client, self._keys, _encode(name)))


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogatepass")


def _info(name: bytes, values: list[Any]) -> ScriptInfo:
    """Return metadata of the values of `_FIELDS`."""
    texts = dict(zip(_FIELDS, map(_decode, values), strict=True))
    return msgspec.convert({"name": _decode(name), **texts}, ScriptInfo, strict=False)
