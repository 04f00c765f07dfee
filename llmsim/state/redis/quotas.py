"""The limits of accounts over all hosts: one script books a request.

Decisions:
* What was booked is forgotten when nothing of it is used any more. Of more keys than are kept those that are soonest so go first.
* Requests at a time are counted for each process, and count as long as it renews its lease. A process of the same machine that is dead
  loses them at once: it is looked for when a request would be refused.
* A process counts for itself what it holds. Where no answer came, or the server has lost what it knew, it says anew what it holds, under
  another name: what was booked without its knowledge expires.
* While the server cannot be reached and is ignored, requests are admitted, and those in progress count as soon as it is back.
"""

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any

from llmsim.domain.quota import PERIODS, Amounts, ExceededLimit, Limits, QuotaStatus
from llmsim.errors import StoreError
from llmsim.state.quota_buckets import find_exceeded
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.owners import HostOwners
from llmsim.state.redis.pipeline import Argument
from llmsim.state.redis.quota_scripts import BOOK, HOLD_ANEW, HOLD_SECONDS, RELEASE, RENEW

_NOTHING = (0, 0, 0, 0, 0)

_names = itertools.count()


class RedisQuotaStore:
    """The limits for all hosts; see `QuotaStore`.

    Args:
        client: How the server is reached.
        most_buckets: Keys and models that are kept.
        owners: The processes of this host.
    """

    prepare_admit = None

    def __init__(self, client: RedisClient, most_buckets: int, owners: HostOwners) -> None:
        self._client = client
        self._most = most_buckets
        self._owners = owners
        self._leases = client.key("quota-leases")
        self._index = client.key("quota-index")
        self._root = client.key("quota", "")
        self._held: dict[bytes, int] = {}
        self._name = ""
        self._formers: dict[str, float] = {}
        self._is_unsure = False
        self._naming = asyncio.Lock()

    async def admit(self, key: bytes, limits: Limits, amounts: Amounts, output: int = 0) -> QuotaStatus:
        """See `QuotaStore`."""
        self._name = self._name or self._new_name()
        try:
            while True:
                name = self._name
                reply = await self._book(b"admit", key, limits, amounts, output)
                dead = self._find_dead(reply[13:])
                if not dead:
                    break
                await self._client.run("ZREM", self._leases, *dead)
        except asyncio.CancelledError:
            self._is_unsure |= limits.concurrency > 0
            raise
        except StoreError:
            self._is_unsure |= limits.concurrency > 0
            if not self._client.ignores:
                raise
            self._add(key, limits)
            return self._all_left(limits)
        used, exceeded = _used(reply), None
        if reply[0]:
            self._add(key, limits)
            if limits.concurrency and name != self._name:
                # What is held was announced anew while this was on its way.
                await self._hold_anew((), {key: 1})
        elif limits.concurrency and reply[1] >= limits.concurrency:
            exceeded = ExceededLimit("concurrency", limits.concurrency, reply[1], 1, None)
        else:
            exceeded = find_exceeded(used, limits, amounts)
        return QuotaStatus(reply[2], limits, limits.select(used), exceeded)

    async def charge(self, key: bytes, limits: Limits, amounts: Amounts) -> None:
        """See `QuotaStore`."""
        try:
            await self._book(b"charge", key, limits, amounts)
        except StoreError:
            if not self._client.ignores:
                raise

    async def status(self, key: bytes, limits: Limits) -> QuotaStatus:
        """See `QuotaStore`."""
        try:
            reply = await self._book(b"status", key, limits, _NOTHING)
        except StoreError:
            if not self._client.ignores:
                raise
            return self._all_left(limits)
        return QuotaStatus(reply[2], limits, limits.select(_used(reply)))

    async def release(self, key: bytes) -> None:
        """See `QuotaStore`."""
        count = self._held.pop(key, 0) - 1
        if count < 0:
            return
        if count:
            self._held[key] = count
        if self._is_unsure:
            # The next renewal says what is held.
            return
        async with self._naming:
            try:
                await RELEASE.run(self._client, [self._root + key, self._index], self._name)
            except (StoreError, asyncio.CancelledError):
                self._is_unsure = True
                raise

    async def renew(self) -> None:
        """Renew the lease of this process, if it holds anything; every worker calls it each second.

        Raises:
            StoreError: The server cannot be reached.
        """
        if not (self._held or self._is_unsure):
            return
        if not self._is_unsure and await RENEW.run(self._client, [self._leases], self._name):
            return
        async with self._naming:
            # What is done under a name ends 5 s after its last renewal, so older ones have nothing.
            now = time.monotonic()
            formers = {name: left for name, left in self._formers.items() if now < left + HOLD_SECONDS}
            self._formers = formers | {self._name: now}
            self._name = self._new_name()
            self._is_unsure = False
            await self._hold_anew(tuple(self._formers), dict(self._held))
            self._formers.clear()

    async def _hold_anew(self, formers: Sequence[str], held: Mapping[bytes, int]) -> None:
        keys = [self._leases, self._index, *(self._root + key for key in held)]
        try:
            await HOLD_ANEW.run(self._client, keys, self._name, self._most, *held.values(), *formers)
        except (StoreError, asyncio.CancelledError):
            self._is_unsure = True
            raise

    async def _book(
        self, mode: bytes, key: bytes, limits: Limits, amounts: Amounts, output: int = 0
    ) -> list[Any]:
        arguments: list[Argument] = [mode, self._name, limits.concurrency, self._most, output]
        for index, limit, _, _ in limits.rates:
            arguments += (index, limit, amounts[index])
        keys = [self._root + key, self._leases, self._index]
        reply: list[Any] = await BOOK.run(self._client, keys, *arguments)
        return reply

    def _new_name(self) -> str:
        """Return a name of this process that it has not had before."""
        return f"{self._owners.own()} {next(_names)}"

    def _find_dead(self, names: Sequence[bytes]) -> list[bytes]:
        """Return the names whose process was on this host, and has ended."""
        owners = [name.partition(b" ")[0] for name in names]
        dead = self._owners.find_dead(owners) if owners else []
        return [name for name, owner in zip(names, owners, strict=True) if owner in dead]

    def _add(self, key: bytes, limits: Limits) -> None:
        """Count a request that this process holds."""
        if limits.concurrency:
            self._held[key] = self._held.get(key, 0) + 1

    @staticmethod
    def _all_left(limits: Limits) -> QuotaStatus:
        return QuotaStatus(int(time.time() * 1e6), limits, limits.select(_NOTHING))


def _used(reply: list[Any]) -> list[int]:
    """Return what is used of each rate, times its period."""
    return [reply[3 + 2 * index] * period + reply[4 + 2 * index] for index, period in enumerate(PERIODS)]
