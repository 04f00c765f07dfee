"""The sums of all counters over all workers at one moment: plain integers, for any format of export.

Decisions:
* Everything is derived from one copy of each slot, see `slot_copies.py`.
* Nothing is rounded or named for a format here: `snapshot` renders the JSON from this value.
"""

import operator
import os
from collections.abc import Iterable, Sequence

import msgspec

from llmsim.stats import counters, layout
from llmsim.stats.block import Block
from llmsim.stats.counters import Outcome, Per
from llmsim.stats.health import WorkerHealth, read_health
from llmsim.stats.histogram_totals import HistogramTotals
from llmsim.stats.slot_copies import REQUESTS, SlotCopy, copy_histogram, copy_slot

RECENT_SECONDS = 60

_COMPLETION = layout.MODEL["completion_tokens"]


class EndpointTotals(msgspec.Struct, frozen=True, gc=False):
    """The requests to one endpoint.

    Attributes:
        outcomes: Requests that ended, by outcome.
        counts: Counters by endpoint, by name; `requests` are never fewer than what has ended.
    """

    outcomes: dict[Outcome, int]
    counts: dict[str, int]

    @property
    def in_flight(self) -> int:
        """Requests that began and have not ended."""
        return self.counts["requests"] - sum(self.outcomes.values())


class WorkerTotals(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted in one slot, by its worker and its predecessors there.

    Attributes:
        slot: Number of the slot.
        pid: Process that writes it; None if it is free, or its worker has not set it yet.
        requests: Requests that began.
        in_flight: Requests that have not ended.
        completion_tokens: Completion tokens sent.
        counts: Counters by worker, by name.
        health: How the worker did lately; None if its process does not exist.
        host: Name of its host, in the totals of several; empty otherwise.
    """

    slot: int
    pid: int | None
    requests: int
    in_flight: int
    completion_tokens: int
    counts: dict[str, int]
    health: WorkerHealth | None
    host: str = ""


class Recent(msgspec.Struct, frozen=True):
    """The last 60 complete seconds, oldest first.

    Attributes:
        requests: Requests that began in each.
        tokens: Completion tokens sent in each.
        errors: Requests that ended in a simulated failure or a bug in each.
    """

    requests: tuple[int, ...]
    tokens: tuple[int, ...]
    errors: tuple[int, ...]


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """All counters at one moment, over all workers.

    Attributes:
        started: `time.monotonic()` of the start, in seconds.
        started_at: Unix time of the start, in seconds.
        read: `time.monotonic()` of the reading.
        endpoints: By stats label.
        models: Counters by model: model id, then counter.
        counts: Counters by worker, summed, by name.
        histograms: By the name of the latency.
        endpoint_histograms: By stats label, then by the name of the latency; only those of endpoints that have any.
        model_histograms: By model id, likewise; models beyond the first of each worker are part of `layout.OTHER`.
        recent: The last 60 seconds.
        workers: By slot; those that are taken, or have counted anything.
        timeline: Step of the timeline, from 1, number of its steps, and name of the step; 0 steps if there is none.
        resources: Requests to resources, which generate nothing, by stats label; they are part of no other figure.
    """

    started: float
    started_at: float
    read: float
    endpoints: dict[str, EndpointTotals]
    models: dict[str, dict[str, int]]
    counts: dict[str, int]
    histograms: dict[str, HistogramTotals]
    endpoint_histograms: dict[str, dict[str, HistogramTotals]]
    model_histograms: dict[str, dict[str, HistogramTotals]]
    recent: Recent
    workers: tuple[WorkerTotals, ...]
    timeline: tuple[int, int, str] = (0, 0, "")
    resources: dict[str, EndpointTotals] = {}

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """Requests that ended, by outcome, over all endpoints."""
        rows = self.endpoints.values()
        return {outcome: sum(row.outcomes[outcome] for row in rows) for outcome in Outcome}

    @property
    def model_counts(self) -> dict[str, int]:
        """Counters by model, summed over all models, by name."""
        rows = self.models.values()
        return {name: sum(row[name] for row in rows) for name in counters.names(Per.MODEL)}


def read_totals(block: Block, now: float) -> Totals:
    """Read the block, and add up its slots.

    Args:
        block: An instance's block, this process's or another's.
        now: `time.monotonic()`, in seconds.
    """
    slots = [copy_slot(block, number) for number in range(block.layout.slots) if not block.is_unused(number)]
    workers = tuple(_worker(slot, now) for slot in slots)
    by_endpoint = {
        label: _histograms([slot.endpoint_latencies[number] for slot in slots])
        for number, label in enumerate(block.endpoints)
    }
    models = _models(slots)
    return Totals(
        started=block.started,
        started_at=block.started_at,
        read=now,
        endpoints=_endpoints(block.endpoints, [slot.endpoints for slot in slots]),
        models=models,
        counts={name: sum(worker.counts[name] for worker in workers) for name in layout.WORKER},
        histograms={
            name: HistogramTotals.merge([found[name] for found in by_endpoint.values() if name in found])
            for name in counters.REQUEST_HISTOGRAMS
        }
        | {
            name: HistogramTotals.merge(
                [row for slot in slots if (row := copy_histogram(slot.words, first)) is not None]
            )
            for name, first in layout.HISTOGRAM.items()
        },
        endpoint_histograms={label: found for label, found in by_endpoint.items() if found},
        model_histograms={
            model: found
            for model in {**models, layout.OTHER: None}
            if (
                found := _histograms(
                    [slot.model_latencies[model] for slot in slots if model in slot.model_latencies]
                )
            )
        },
        recent=_recent(slots, int(now)),
        workers=workers,
        timeline=block.timeline(),
        resources=_endpoints(block.resources, [slot.resources for slot in slots]),
    )


def is_alive(pid: int) -> bool:
    """Return whether a process of this machine exists, of any user."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _named(words: Sequence[int], offsets: dict[str, int]) -> dict[str, int]:
    return {name: words[offset] for name, offset in offsets.items()}


def _add(rows: Sequence[list[int]], width: int) -> list[int]:
    """Return the sum of rows, column by column; zeros of no rows."""
    if not rows:
        return [0] * width
    # PERF: a third of the time of the sums of a `zip`; many a row is that of one worker.
    sums: Iterable[int] = rows[0]
    for row in rows[1:]:
        sums = map(operator.add, sums, row)
    return list(sums)


def _endpoints(labels: Sequence[str], slots: Sequence[list[int]]) -> dict[str, EndpointTotals]:
    """Return the sums of the rows of endpoints over slots, by label."""
    sums = _add(slots, len(labels) * layout.ENDPOINT_WORDS)
    rows = [sums[at : at + layout.ENDPOINT_WORDS] for at in range(0, len(sums), layout.ENDPOINT_WORDS)]
    return {
        label: EndpointTotals(dict(zip(Outcome, row, strict=False)), _named(row, layout.ENDPOINT))
        for label, row in zip(labels, rows, strict=True)
    }


def _models(slots: Sequence[SlotCopy]) -> dict[str, dict[str, int]]:
    rows: dict[str, list[list[int]]] = {}
    for slot in slots:
        for name, row in slot.models:
            rows.setdefault(name, []).append(row)
    return {name: _named(_add(each, len(layout.MODEL)), layout.MODEL) for name, each in rows.items()}


def _worker(slot: SlotCopy, now: float) -> WorkerTotals:
    pid = (slot.words[layout.PID] or None) if slot.words[layout.TAKEN] else None
    requests, *ended = (
        sum(slot.endpoints[column :: layout.ENDPOINT_WORDS]) for column in (REQUESTS, *range(layout.OUTCOMES))
    )
    return WorkerTotals(
        slot=slot.number,
        pid=pid,
        requests=requests,
        in_flight=requests - sum(ended),
        completion_tokens=sum(row[_COMPLETION] for _, row in slot.models),
        counts=_named(slot.words, layout.WORKER),
        health=read_health(slot.number, slot.words, now) if pid is not None and is_alive(pid) else None,
    )


def _histograms(parts: Sequence[dict[str, HistogramTotals]]) -> dict[str, HistogramTotals]:
    """Return the sums of the histograms of one endpoint or model over slots, by name."""
    if len(parts) == 1:
        return parts[0]
    return {
        name: HistogramTotals.merge(rows)
        for name in layout.LATENCY
        if (rows := [part[name] for part in parts if name in part])
    }


def _recent(slots: Sequence[SlotCopy], second: int) -> Recent:
    requests, tokens, errors = ([0] * RECENT_SECONDS for _ in range(3))
    for slot in slots:
        for entry in range(layout.RING, layout.MODELS, layout.RING_WORDS):
            place = slot.words[entry + layout.RING_SECOND] - (second - RECENT_SECONDS)
            if 0 <= place < RECENT_SECONDS:
                requests[place] += slot.words[entry + layout.RING_REQUESTS]
                tokens[place] += slot.words[entry + layout.RING_TOKENS]
                errors[place] += slot.words[entry + layout.RING_ERRORS]
    return Recent(tuple(requests), tuple(tokens), tuple(errors))
