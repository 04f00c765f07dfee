"""Operations that are one atomic step and one round trip: Lua that the Redis server runs.

Decisions:
* A script is named by its digest; only a server that does not know it, after a restart or a failover, gets its text.
* `now()` is the server's time, which is the same for all hosts; a client with a clock, in tests, sends that.
* One that arrives after the deadline of its operation does nothing: who sent it was refused. So a server that stalled does not do later
  what it finds waiting.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError

from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.pipeline import Argument

_IF_FULL = "#!lua flags=allow-oom\n"
"""Source: Redis documentation, Lua scripting, script flags; since Redis 7."""

# ARGV: the time in tests; else the negative of the last instant at which the script may begin, or nothing if that is not known.
_PRELUDE = """\
local time = redis.call('TIME')
local instant = tonumber(time[1]) + tonumber(time[2]) / 1000000
local limit = tonumber(ARGV[1]) or 0
if limit > 0 then instant = limit elseif limit < 0 and instant > -limit then return redis.error_reply('LATE it was not done in time') end
local function now() return instant end
"""


class Script:
    """A script, which may be run by any client.

    In it `KEYS` are the keys, `ARGV[2]` and so on the arguments, and `now()` is the Unix time in seconds. Numbers that it returns lose
    their fraction: it returns them as texts, `string.format('%.17g', x)`.

    Args:
        body: Its Lua.
        if_full: Whether it is run by a server that is full, too: for what takes next to no room and must not be lost.
    """

    def __init__(self, body: str, *, if_full: bool = False) -> None:
        self._text = (_IF_FULL * if_full + _PRELUDE + body).encode()
        self._digest = hashlib.sha1(self._text, usedforsecurity=False).hexdigest()

    async def run(self, client: RedisClient, keys: Sequence[bytes], *arguments: Argument) -> Any:
        """Run it; return its reply: bytes, int, a list of these, or None.

        Raises:
            StoreError: See `RedisClient.run`.
        """
        rest = (len(keys), *keys, client.time_limit(), *arguments)
        try:
            return await client.run("EVALSHA", self._digest, *rest)
        except NoScriptError:
            return await client.run("EVAL", self._text, *rest)
