"""What a host publishes of its stats for the other hosts of the same state, and how the sums of all are read.

Decisions:
* One worker of a host publishes: the one in the lowest slot that has given a sign of life lately. Two at once do no harm.
* An instance is named by its machine, port, master and start. So who finds that it publishes no more knows whether it died on the same
  machine: then its counters, which are still in shared memory, are read to the last request.
* A start takes what a killed predecessor on its port has left before it is overwritten.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from llmsim.errors import StatsError, StoreError
from llmsim.server.worker_context import compute_in_thread
from llmsim.state.host_port import HostEntry, HostStore
from llmsim.state.ports import State
from llmsim.stats import PULSE_SECONDS, Block, block_name, is_alive, read_totals
from llmsim.stats.hosts import Fleet, Publication, Published, add_hosts, decode, encode, fold
from llmsim.stats.verdict import available_cores, judge

_PERIOD = 1.0
_GONE_SECONDS = 5.0
_SILENCE = 3 * PULSE_SECONDS
"""Seconds without a sign of life after which the next worker publishes."""

_LOOK_PERIOD = 30.0
"""Seconds between two looks at what all instances have published."""

_MOST_ENDED = 64
_KEPT_ENDED = 32
"""Instances that have ended, from which the oldest are folded into one, and how many are left."""

_LOST_SECONDS = 3600.0
"""Seconds without a publication after which an instance is treated as one that has ended."""

_log = logging.getLogger(__name__)


class HostPublisher:
    """Publishes the stats of this host, once a second and when it is asked to; every worker runs one.

    Args:
        block: The counters of all workers.
        slot: This worker's slot.
        port: Port of the server.
        store: Where they are published.
    """

    def __init__(self, block: Block, slot: int, port: int, store: HostStore) -> None:
        self._block = block
        self._slot = slot
        self._store = store
        self._instance = _instance(block, port)
        self._requested = asyncio.Event()
        # Once what a killed predecessor has published is old.
        self._looks_at = time.monotonic() + _GONE_SECONDS + _PERIOD
        self._has_warned = False
        store.on_request(self._requested.set)

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            self._requested.clear()
            if self._is_first():
                with contextlib.suppress(StoreError):
                    await self._publish()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PERIOD):
                    await self._requested.wait()

    def _is_first(self) -> bool:
        since = time.monotonic() - _SILENCE
        return not any(self._block.is_beating(slot, since) for slot in range(self._slot))

    async def _publish(self) -> None:
        number = await self._store.requested()
        data = await compute_in_thread(_encode_block, self._block)
        silent = await self._store.publish(self._instance, data, number=number)
        for host, instance in silent:
            found = await compute_in_thread(_read_dead, instance)
            if found is not None:
                await self._store.finish(host, instance, found)
        if time.monotonic() >= self._looks_at:
            self._looks_at = time.monotonic() + _LOOK_PERIOD
            entries = await self._store.read()
            self._warn_of_namesake(entries)
            await _fold_ended(self._store, entries)

    def _warn_of_namesake(self, entries: Sequence[HostEntry]) -> None:
        """Warn once of another host that has the same name, which makes one host of both in the stats."""
        name = self._store.host
        if not self._has_warned and any(
            entry.host == name
            and entry.instance != self._instance
            and not entry.is_final
            and entry.age < _GONE_SECONDS
            for entry in entries
        ):
            self._has_warned = True
            _log.warning(
                "another host publishes its stats as %r, too: set state.host to another name on one of them",
                name,
            )


def read_former(port: int) -> tuple[str, bytes] | None:
    """Return instance and counters of the killed server whose block is still there; None if there is none, or it runs."""
    try:
        block = Block.attach(block_name(port))
    except StatsError:
        return None
    try:
        return None if is_alive(block.master) else (_instance(block, port), _encode_block(block))
    finally:
        block.close()


async def finish_former(state: State, former: tuple[str, bytes] | None) -> None:
    """Publish what a predecessor has left, if it has published before."""
    if state.hosts is not None and former is not None:
        await _finish(state, *former)


async def finish_host(state: State, block: Block, port: int) -> None:
    """Publish the counters of a host whose workers have ended, for the last time."""
    if state.hosts is not None:
        await _finish(state, _instance(block, port), _encode_block(block))


async def _finish(state: State, instance: str, data: bytes) -> None:
    # NOTE: without the server the last second of an instance is not in the sums; there is no one to wait for it.
    with contextlib.suppress(StoreError):
        assert state.hosts is not None
        await state.hosts.finish(state.hosts.host, instance, data)
    await state.close()


async def read_fleet(store: HostStore) -> Fleet:
    """Return the sums of all hosts, each as it was a moment ago.

    Raises:
        StoreError: The server cannot be reached.
    """
    with contextlib.suppress(StoreError):
        # What there is can be read, even if no host can be asked.
        await store.refresh()
    entries = await store.read()
    return await compute_in_thread(_add_entries, entries)


def _add_entries(entries: list[HostEntry]) -> Fleet:
    found = [
        Published(each.host, each.age, each.is_final or each.age > _GONE_SECONDS, decode(each.data))
        for each in entries
    ]
    return add_hosts(found, read=time.monotonic(), wall=time.time())


def _encode_block(block: Block) -> bytes:
    totals = read_totals(block, time.monotonic())
    health = [worker.health for worker in totals.workers if worker.health is not None]
    return encode(Publication(totals, judge(health, cores=available_cores()), block.is_draining))


async def _fold_ended(store: HostStore, entries: Sequence[HostEntry]) -> None:
    """Fold the oldest instances that have ended into one, if there are many; those of another llmsim are dropped."""
    former = next((each for each in entries if not each.host), None)
    ended = [each for each in entries if each.host and (each.is_final or each.age > _LOST_SECONDS)]
    if len(ended) <= _MOST_ENDED:
        return
    ended.sort(key=lambda each: -each.age)
    oldest = ended[: len(ended) - _KEPT_ENDED]
    found = [decode(each.data) for each in ([former] if former is not None else []) + oldest]
    await store.fold(oldest, former, encode(fold([each for each in found if each is not None])))


def _machine() -> str:
    """Return what identifies this machine since its start; empty if unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _instance(block: Block, port: int) -> str:
    return f"{_machine()}/{port}/{block.master}/{block.started_at:.3f}"


def _read_dead(instance: str) -> bytes | None:
    """Return the counters of an instance that died on this machine; None of any other."""
    machine, port, *_ = instance.split("/")
    if not machine or machine != _machine():
        return None
    try:
        block = Block.attach(block_name(int(port)))
    except StatsError:
        return None
    try:
        if is_alive(block.master) or _instance(block, int(port)) != instance:
            return None
        totals = read_totals(block, time.monotonic())
        # Its workers may be about to end their last requests.
        return None if any(worker.health is not None for worker in totals.workers) else _encode_block(block)
    finally:
        block.close()
