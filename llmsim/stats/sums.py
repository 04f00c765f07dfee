"""The sums of the totals of several hosts, and what is left of a host that is gone.

Decisions:
* Everything is added under its name: hosts need not have the same endpoints and models.
* Seconds are those before the reading, so that clocks of hosts need not agree; one that was read earlier is moved by its age.
* Sums of the same publications are the same, in whatever order they are added: a former host may be folded into the sum of all.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from llmsim.stats.counters import COUNTERS, HISTOGRAMS, Outcome, Per, names
from llmsim.stats.histogram_totals import HistogramTotals
from llmsim.stats.totals import RECENT_SECONDS, EndpointTotals, Recent, Totals

_GAUGES = tuple(counter.name for counter in COUNTERS if counter.is_gauge)
_NOTHING = Recent(*((0,) * RECENT_SECONDS for _ in range(3)))

_NO_COUNTS = dict.fromkeys(names(Per.WORKER), 0)
_NO_HISTOGRAMS = {name: HistogramTotals.merge([]) for name in HISTOGRAMS}

Key = TypeVar("Key")
Value = TypeVar("Value")


class Part(msgspec.Struct, frozen=True):
    """The totals of one host, to be added.

    Attributes:
        totals: As they were read there.
        host: Its name.
        age: Seconds since they were read.
    """

    totals: Totals
    host: str = ""
    age: float = 0.0


def close_totals(totals: Totals) -> Totals:
    """Return what is left of a host that is gone: requests in flight count as aborted, and gauges are 0."""
    return replace(
        totals,
        endpoints={label: _close(row) for label, row in totals.endpoints.items()},
        resources={label: _close(row) for label, row in totals.resources.items()},
        counts=_closed_counts(totals.counts),
        recent=_NOTHING,
        workers=(),
        timeline=(0, 0, ""),
    )


def add_totals(parts: Sequence[Part], read: float) -> Totals:
    """Return the sums over hosts, histograms bucket by bucket.

    Args:
        parts: Those of each.
        read: `time.monotonic()` of the reading here; the start is that of the host which has run longest.
    """
    found = [part.totals for part in parts]
    return Totals(
        started=read - max((each.read - each.started for each in found), default=0.0),
        started_at=min((each.started_at for each in found), default=0.0),
        read=read,
        endpoints=_combine([each.endpoints for each in found], _add_endpoints),
        resources=_combine([each.resources for each in found], _add_endpoints),
        models=_combine([each.models for each in found], _add_counts),
        counts=_add_counts([_NO_COUNTS, *(each.counts for each in found)]),
        histograms=_add_histograms([_NO_HISTOGRAMS, *(each.histograms for each in found)]),
        endpoint_histograms=_combine([each.endpoint_histograms for each in found], _add_histograms),
        model_histograms=_combine([each.model_histograms for each in found], _add_histograms),
        recent=_add_recent(parts),
        workers=tuple(
            replace(worker, host=part.host) for part in parts for worker in part.totals.workers if worker.pid
        ),
        timeline=next((each.timeline for each in found if each.timeline[1]), (0, 0, "")),
    )


def _close(row: EndpointTotals) -> EndpointTotals:
    outcomes = dict(row.outcomes)
    outcomes[Outcome.ABORTED] += row.in_flight
    return EndpointTotals(outcomes, row.counts)


def _closed_counts(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: 0 if name in _GAUGES else count for name, count in counts.items()}


def _combine(
    tables: Sequence[Mapping[str, Value]], add: Callable[[Sequence[Value]], Value]
) -> dict[str, Value]:
    """Return a table of the sums of what tables have under the same name."""
    rows: dict[str, list[Value]] = {}
    for table in tables:
        for name, value in table.items():
            rows.setdefault(name, []).append(value)
    return {name: add(values) for name, values in rows.items()}


def _add_counts(tables: Sequence[Mapping[Key, int]]) -> dict[Key, int]:
    sums: dict[Key, int] = {}
    for table in tables:
        for name, count in table.items():
            sums[name] = sums.get(name, 0) + count
    return sums


def _add_endpoints(rows: Sequence[EndpointTotals]) -> EndpointTotals:
    return EndpointTotals(
        _add_counts([row.outcomes for row in rows]), _add_counts([row.counts for row in rows])
    )


def _add_histograms(tables: Sequence[Mapping[str, HistogramTotals]]) -> dict[str, HistogramTotals]:
    return _combine(tables, HistogramTotals.merge)


def _add_recent(parts: Sequence[Part]) -> Recent:
    sums = []
    for name in Recent.__struct_fields__:
        column = [0] * RECENT_SECONDS
        for part in parts:
            moved = getattr(part.totals.recent, name)[min(RECENT_SECONDS, round(part.age)) :]
            for place, count in enumerate(moved):
                column[place] += count
        sums.append(tuple(column))
    return Recent(*sums)
