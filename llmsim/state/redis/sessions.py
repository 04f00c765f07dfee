"""How far each session has come in each script: one cursor for all hosts.

The decisions of `state/session_store.py` hold here too. What is different:
* The leases of a session and script are one sorted set of `OWNER|CURSOR|NUMBER`, so that the first of each owner is found at once;
  the owner of one that was released is `-`.
* Expiry is kept for each process, in the time of the server. Which processes of this host are dead only the host knows: owners of
  leases that are its own are returned with the cursor, and those that are dead are removed by a second step.
* A turn that expects nothing is found and leased in one step, which also shows whether the script was replaced. Where other processes
  of this host have leases of the session, it takes a second step: they may be dead.
* An end of a lease that the server did not confirm is sent again with the renewals, and the lease is held until then. Whether a lease was
  given that was not confirmed is unknown, so it is released twice: what was sent before a stall may arrive after what was sent in it.
"""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.errors import StoreError
from llmsim.state.ports import Failure, OutdatedError, SessionProgress, TurnLease
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.owners import HostOwners
from llmsim.state.redis.pipeline import Argument
from llmsim.state.redis.script import Script
from llmsim.state.redis.scripts import RedisScriptRegistry
from llmsim.state.redis.session_scripts import END, FORGET, LEASE, MISMATCH, NEXT, PROGRESS, RENEW, TOUCH
from llmsim.state.session_store import LEASE_SECONDS, MAX_FAILURES

_BATCH = 10_000
"""Sessions that are reset at once: more would hold up all other operations."""

_MAX_UNCONFIRMED = 10_000
"""Ends of leases that are sent again; beyond them leases end by expiry."""

_UNKNOWN = -1
"""Cursor of a lease of which no answer came."""

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
        scripts: The scripts that are played; None if every version is taken for the current one.
    """

    def __init__(
        self,
        client: RedisClient,
        max_sessions: int,
        owners: HostOwners,
        scripts: RedisScriptRegistry | None = None,
    ) -> None:
        self._client = client
        self._max_sessions = max_sessions
        self._owners = owners
        self._scripts = scripts
        self._numbers = itertools.count()
        self._held: set[int] = set()
        self._unconfirmed: dict[int, _End] = {}
        self._keys = [client.key("session", "")]

    async def next_turn(
        self, session: str, script: str, version: int, *, leasable: int = 0
    ) -> TurnLease | int:
        """See `SessionStore`."""
        lease = TurnLease(session, script, _UNKNOWN, self._owners.own(), next(self._numbers))
        has_looked, dead = False, list[bytes]()
        while True:
            found = await self._lease(NEXT, lease, version, leasable, lease.number, int(has_looked), *dead)
            if found is None:
                raise OutdatedError
            cursor, is_leased, *near = found
            if is_leased:
                self._held.add(lease.number)
                return msgspec.structs.replace(lease, cursor=cursor)
            dead = self._owners.find_dead(near)
            if not dead and cursor >= leasable:
                return int(cursor)
            has_looked = not dead

    async def lease_turn(
        self, session: str, script: str, version: int, cursor: int, *, met: bool | None
    ) -> TurnLease | None:
        """See `SessionStore`."""
        lease = TurnLease(session, script, cursor, self._owners.own(), next(self._numbers))
        counted = {None: "", True: "met", False: "failed"}[met]
        begun = await self._lease(LEASE, lease, version, cursor, lease.number, counted)
        if not _has_begun(begun):
            return None
        self._held.add(lease.number)
        return lease

    async def _lease(self, operation: Script, lease: TurnLease, version: int, *arguments: Argument) -> Any:
        """Run an operation that may give a lease, which is released if no answer comes."""
        try:
            return await self._find(operation, lease.session, lease.script, version, *arguments)
        except (StoreError, asyncio.CancelledError):
            self._send_again(_End(lease, played=False, times=2))
            raise

    async def record_mismatch(
        self, session: str, script: str, version: int, cursor: int, unmet: Sequence[str]
    ) -> bool:
        """See `SessionStore`."""
        failure = _pack((cursor, tuple(unmet)))
        return _has_begun(await self._find(MISMATCH, session, script, version, cursor, failure, MAX_FAILURES))

    async def _find(
        self, operation: Script, session: str, script: str, version: int, *arguments: Argument
    ) -> Any:
        """Run an operation that finds the next turn."""
        own, prefix = self._owners.own(), self._owners.prefix
        bounds = (self._max_sessions, LEASE_SECONDS)
        return await self._run(operation, session, script, own, version, prefix, *bounds, *arguments)

    async def touch(self, session: str, script: str) -> None:
        """See `SessionStore`."""
        await self._run(TOUCH, session, script, "")

    async def commit(self, lease: TurnLease) -> None:
        """See `SessionStore`."""
        await self._end(_End(lease, played=True))

    async def release(self, lease: TurnLease) -> None:
        """See `SessionStore`."""
        await self._end(_End(lease, played=False))

    async def _end(self, end: _End) -> None:
        lease = end.lease
        turn = "" if lease.cursor == _UNKNOWN else lease.cursor
        try:
            await self._run(
                END, lease.session, lease.script, lease.owner, lease.number, turn, int(end.played)
            )
        except (StoreError, asyncio.CancelledError):
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
        await RENEW.run(self._client, [owners], self._owners.own(), LEASE_SECONDS)
        for number, end in list(self._unconfirmed.items()):
            del self._unconfirmed[number]
            await self._end(end)
            if end.times > 1:
                self._send_again(msgspec.structs.replace(end, times=end.times - 1))

    async def list_progress(self, session: str | None = None, *, limit: int = 1000) -> list[SessionProgress]:
        """See `SessionStore`."""
        found = await self._run(PROGRESS, session or "", "", "", int(session is not None), limit)
        return [_progress(fields) for fields in found]

    async def forget(self, session: str | None = None, *, script: str | None = None) -> int:
        """See `SessionStore`."""
        chosen = (session or "", script or "", "", int(session is not None), int(script is not None))
        forgotten = 0
        while True:
            count = int(await self._run(FORGET, *chosen, _BATCH))
            forgotten += count
            if count < _BATCH:
                return forgotten

    async def _run(self, operation: Script, session: str, script: str, *arguments: Argument) -> Any:
        """Run an operation on a session and script."""
        names = [name.encode("utf-8", "surrogatepass") for name in (session, script)]
        keys = self._keys if self._scripts is None else [*self._keys, self._scripts.entry_key(script)]
        return await operation.run(self._client, keys, *names, *arguments)


def _has_begun(reply: int) -> bool:
    if reply < 0:
        raise OutdatedError
    return bool(reply)


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
