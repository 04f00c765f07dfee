"""The stats of several hosts: what each publishes, and their sums.

Decisions:
* A host that is gone counts with its last totals, its requests in flight as aborted. Every start of a host is an instance with totals of
  its own, so that they add up; a host's row has the sum of its instances.
* Hosts judge themselves: their cores are known only there. The verdict of all is the worst.
* Hosts whose llmsim counts other things are shown and not added: there are no sums of different things.
"""

import zlib
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from llmsim.stats import layout
from llmsim.stats.host_stats import HostStats, State
from llmsim.stats.snapshot import Snapshot, render
from llmsim.stats.sums import Part, add_totals, close_totals
from llmsim.stats.totals import Totals
from llmsim.stats.verdict import Verdict, judge, p99_of

_MOST_BYTES = 16 << 20
"""Bytes to which a publication may be inflated."""

_RANKS = {"idle": 0, "on_time": 1, "late": 2}

FORMER = "former hosts"
"""Name of the row of instances that were folded into one."""


class Publication(msgspec.Struct, frozen=True):
    """What one instance of a host has counted.

    Attributes:
        totals: Its totals.
        verdict: Its verdict on itself.
        is_draining: Whether it is about to stop.
    """

    totals: Totals
    verdict: Verdict
    is_draining: bool = False


class Published(msgspec.Struct, frozen=True):
    """A publication as it was found.

    Attributes:
        host: Name of the host; empty for the sum of instances that were folded.
        age: Seconds since it was published.
        is_gone: Whether the instance has ended, or publishes no more.
        found: What it published; None if it is that of another llmsim, which counts other things.
    """

    host: str
    age: float
    is_gone: bool
    found: Publication | None


class Fleet(msgspec.Struct, frozen=True):
    """All hosts at one moment.

    Attributes:
        totals: Their sums.
        stats: The same as the stats' JSON has them, with a row for each host.
        is_ready: Whether any takes requests.
    """

    totals: Totals
    stats: Snapshot
    is_ready: bool


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Publication)


def encode(publication: Publication) -> bytes:
    """Encode a publication: a few kilobytes."""
    # PERF: a quarter is left of it at the fastest level, in 0.1 ms with 64 models.
    return layout.VERSION.to_bytes(8, "big") + zlib.compress(_encoder.encode(publication), 1)


def decode(data: bytes) -> Publication | None:
    """Decode a publication; None if it is not one of this llmsim."""
    if data[:8] != layout.VERSION.to_bytes(8, "big"):
        return None
    try:
        return _decoder.decode(zlib.decompressobj().decompress(data[8:], _MOST_BYTES))
    except (zlib.error, msgspec.DecodeError):
        return None


def fold(publications: Sequence[Publication]) -> Publication:
    """Return the sum of instances that are gone, as one that is gone."""
    parts = [Part(close_totals(each.totals)) for each in publications]
    return Publication(close_totals(add_totals(parts, 0.0)), judge((), cores=1))


def add_hosts(published: Sequence[Published], *, read: float, wall: float) -> Fleet:
    """Return the sums of all hosts.

    Args:
        published: What each instance has published.
        read: `time.monotonic()`, in seconds.
        wall: Unix time, in seconds.
    """
    published = sorted(published, key=lambda each: (not each.host, each.host))
    living = [each for each in published if not each.is_gone and each.found is not None]
    totals = add_totals(_parts(published), read)
    if living:
        # Those that are gone run no longer.
        running = add_totals(_parts(living), read)
        totals = replace(totals, started=running.started, started_at=running.started_at)
    names = dict.fromkeys(each.host for each in published)
    hosts = tuple(_row([each for each in published if each.host == name], wall) for name in names)
    stats = replace(
        render(totals, wall=wall),
        verdict=_worst(living),
        requests_per_second=round(sum(host.requests_per_second for host in hosts), 3),
        tokens_per_second=round(sum(host.tokens_per_second for host in hosts), 3),
        hosts=hosts,
    )
    is_ready = any(each.found is not None and not each.found.is_draining for each in living)
    return Fleet(totals, stats, is_ready)


def _parts(published: Sequence[Published]) -> list[Part]:
    return [
        Part(close_totals(each.found.totals) if each.is_gone else each.found.totals, each.host, each.age)
        for each in published
        if each.found is not None
    ]


def _row(instances: Sequence[Published], wall: float) -> HostStats:
    """Return the row of one host."""
    parts = _parts(instances)
    stats = render(add_totals(parts, 0.0), wall=wall)
    living = [render(each.found.totals, wall=wall) for each in instances if each.found and not each.is_gone]
    last = min(instances, key=lambda each: (each.is_gone, each.age))
    found, state = last.found, _state(last)
    return HostStats(
        host=last.host or FORMER,
        state=state,
        age_secs=round(last.age, 3),
        started_at=round(found.totals.started_at, 3) if found is not None and last.host else None,
        starts=len(instances) if last.host else None,
        workers=sum(worker.alive for each in living for worker in each.workers),
        requests=stats.total_requests,
        active=stats.active_requests,
        errors=stats.total_errors,
        aborted=stats.aborted_requests,
        tokens=stats.completion_tokens,
        requests_per_second=sum(each.requests_per_second for each in living),
        tokens_per_second=sum(each.tokens_per_second for each in living),
        verdict=found.verdict if found is not None and state != "gone" else None,
    )


def _state(last: Published) -> State:
    """Return the state of a host by the publication that is its last."""
    if last.found is None:
        return "unknown"
    if last.is_gone:
        return "gone"
    return "draining" if last.found.is_draining else "up"


def _worst(living: Sequence[Published]) -> Verdict:
    """Return the worst verdict of living hosts, and whose it is; the p99 is that of the tokens of all."""
    found = [(each.host, each.found.verdict) for each in living if each.found is not None]
    workers = [worker for each in living if each.found is not None for worker in each.found.totals.workers]
    health = [worker.health for worker in workers if worker.health is not None]
    if not found:
        return judge((), cores=1)
    host, worst = max(found, key=lambda pair: (_RANKS[pair[1].state], pair[1].p99_lateness_ms or 0.0))
    text = f"{worst.text} (the worst of {len(found)} hosts: {host})" if len(found) > 1 else worst.text
    return Verdict(worst.state, text, p99_of(health))
