"""The sums of all counters over all workers at one moment: plain integers, for any format of export.

Decisions:
* Each slot is copied out once, so that everything derived from it agrees.
* Nothing is rounded or named for a format here: `snapshot` renders the JSON from this value.
"""

import os
from array import array
from collections.abc import Sequence

import msgspec

from llmsim.stats import counters, histogram, layout
from llmsim.stats.block import Block
from llmsim.stats.counters import Outcome, Per
from llmsim.stats.health import WorkerHealth, read_health

RECENT_SECONDS = 60

_TRIES = 20
"""How often the counters of the endpoints are copied while they change, which they do more rarely than a copy takes."""

_REQUESTS = layout.ENDPOINT["requests"]
_STREAMING = layout.MODEL["streaming_requests"]
_NON_STREAMING = layout.MODEL["non_streaming_requests"]
_COMPLETION = layout.MODEL["completion_tokens"]


class EndpointTotals(msgspec.Struct, frozen=True):
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


class HistogramTotals(msgspec.Struct, frozen=True):
    """Observed latencies in microseconds.

    Attributes:
        buckets: Counts by bucket; `histogram.bounds` has their bounds.
        sum: Sum of all values.
        minimum: The lowest; of no meaning while nothing is counted.
        maximum: The highest; 0 while nothing is counted.
    """

    buckets: list[int]
    sum: int
    minimum: int
    maximum: int

    @property
    def count(self) -> int:
        """Observations."""
        return sum(self.buckets)

    @classmethod
    def merge(cls, rows: Sequence["HistogramTotals"]) -> "HistogramTotals":
        """Return the sum of histograms; an empty one of none."""
        return cls(
            _add([row.buckets for row in rows], histogram.BUCKETS),
            sum(row.sum for row in rows),
            min((row.minimum for row in rows), default=histogram.EMPTY_MIN),
            max((row.maximum for row in rows), default=0),
        )


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


class _Slot(msgspec.Struct, frozen=True):
    """A copy of one slot: its words, and the rows in them.

    PERF: sums are made of rows of integers, and named when they are done: naming each row doubles the time.

    Attributes:
        number: The number of the slot.
        words: Its words before the latencies.
        endpoints: A row for each endpoint.
        resources: A row for each resource.
        models: Name and row of each model.
        endpoint_latencies: The histograms of each endpoint by name; those that have counted anything.
        model_latencies: The same by the model's name.
    """

    number: int
    words: list[int]
    endpoints: list[list[int]]
    resources: list[list[int]]
    models: list[tuple[str, list[int]]]
    endpoint_latencies: list[dict[str, list[int]]]
    model_latencies: dict[str, dict[str, list[int]]]


def read_totals(block: Block, now: float) -> Totals:
    """Read the block, and add up its slots.

    Args:
        block: An instance's block, this process's or another's.
        now: `time.monotonic()`, in seconds.
    """
    slots = [_copy_slot(block, number) for number in range(block.layout.slots) if not block.is_unused(number)]
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
        endpoints={
            label: _endpoint([slot.endpoints[number] for slot in slots])
            for number, label in enumerate(block.endpoints)
        },
        models=models,
        counts={name: sum(worker.counts[name] for worker in workers) for name in layout.WORKER},
        histograms={
            name: HistogramTotals.merge([found[name] for found in by_endpoint.values() if name in found])
            for name in counters.REQUEST_HISTOGRAMS
        }
        | {
            name: _sum([slot.words[first : first + histogram.WORDS] for slot in slots])
            for name, first in layout.HISTOGRAM.items()
        },
        endpoint_histograms={label: found for label, found in by_endpoint.items() if found},
        model_histograms={
            model: found
            for model in {**models, layout.OTHER: None}
            if (found := _histograms([slot.model_latencies.get(model, {}) for slot in slots]))
        },
        recent=_recent(slots, int(now)),
        workers=workers,
        timeline=block.timeline(),
        resources={
            label: _endpoint([slot.resources[number] for slot in slots])
            for number, label in enumerate(block.resources)
        },
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


def _copy_slot(block: Block, number: int) -> _Slot:
    first = block.layout.slot(number)
    by_endpoint, by_row = _copy_latencies(block, first)
    # NOTE: `tolist` reads word by word, upwards; the order within a slot relies on it.
    words: list[int] = block.words[first : first + block.layout.count_words].tolist()
    rows = _copy_endpoints(block, first + layout.ENDPOINTS)
    endpoints, resources = rows[: block.layout.endpoints], rows[block.layout.endpoints :]
    models = [
        (_model_name(words, start), words[start : start + len(layout.MODEL)])
        for start in range(layout.MODELS, layout.ENDPOINTS, layout.MODEL_WORDS)
        if words[start + _STREAMING] or words[start + _NON_STREAMING]
    ]
    # A name is written before anything is counted under it.
    by_model = {
        layout.OTHER if row == layout.LATENCY_MODELS else _model_name(words, _model_row(row)): found
        for row, found in enumerate(by_row)
        if found
    }
    return _Slot(number, words, endpoints, resources, models, by_endpoint, by_model)


def _copy_endpoints(block: Block, start: int) -> list[list[int]]:
    """Copy the counters of all endpoints and resources at one instant: again if one of them has changed since the copy began."""
    end = start + block.layout.rows * layout.ENDPOINT_WORDS
    for _ in range(_TRIES):
        words: list[int] = block.words[start:end].tolist()
        if block.words[start:end].tolist() == words:
            break
    rows = [words[at : at + layout.ENDPOINT_WORDS] for at in range(0, len(words), layout.ENDPOINT_WORDS)]
    for row in rows:
        row[_REQUESTS] = max(row[_REQUESTS], sum(row[: layout.OUTCOMES]))
    return rows


def _copy_latencies(block: Block, slot: int) -> tuple[list[dict[str, list[int]]], list[dict[str, list[int]]]]:
    """Copy the latencies of a slot that begins at a word: by endpoint, and by the place of the model's row."""
    shape = block.layout

    def copy(first: int) -> dict[str, list[int]]:
        found = {}
        for name, offset in layout.LATENCY.items():
            start = first + offset
            # PERF: most are empty: 5 us are spared for each.
            if block.words[start + histogram.MIN] != histogram.EMPTY_MIN:
                found[name] = block.words[start : start + histogram.WORDS].tolist()
        return found

    endpoints = [copy(slot + shape.endpoint_latencies(number)) for number in range(shape.endpoints)]
    return endpoints, [copy(slot + shape.model_latencies(row)) for row in range(layout.LATENCY_MODELS + 1)]


def _model_row(row: int) -> int:
    return layout.MODELS + row * layout.MODEL_WORDS


def _model_name(words: list[int], row: int) -> str:
    encoded = array("q", words[row + layout.MODEL_NAME : row + layout.MODEL_WORDS]).tobytes()
    return encoded[: words[row + layout.MODEL_NAME_BYTES]].decode("utf-8", "replace")


def _named(words: Sequence[int], offsets: dict[str, int]) -> dict[str, int]:
    return {name: words[offset] for name, offset in offsets.items()}


def _add(rows: Sequence[list[int]], width: int) -> list[int]:
    """Return the sum of rows, column by column; zeros of no rows."""
    if not rows:
        return [0] * width
    # PERF: 10 us a row less than a comprehension; many a histogram is that of one worker.
    return list(rows[0]) if len(rows) == 1 else list(map(sum, zip(*rows, strict=True)))


def _endpoint(rows: Sequence[list[int]]) -> EndpointTotals:
    row = _add(rows, layout.ENDPOINT_WORDS)
    return EndpointTotals({outcome: row[outcome.column] for outcome in Outcome}, _named(row, layout.ENDPOINT))


def _models(slots: Sequence[_Slot]) -> dict[str, dict[str, int]]:
    rows: dict[str, list[list[int]]] = {}
    for slot in slots:
        for name, row in slot.models:
            rows.setdefault(name, []).append(row)
    return {name: _named(_add(each, len(layout.MODEL)), layout.MODEL) for name, each in rows.items()}


def _worker(slot: _Slot, now: float) -> WorkerTotals:
    pid = (slot.words[layout.PID] or None) if slot.words[layout.TAKEN] else None
    requests = sum(row[_REQUESTS] for row in slot.endpoints)
    return WorkerTotals(
        slot=slot.number,
        pid=pid,
        requests=requests,
        in_flight=requests - sum(sum(row[: layout.OUTCOMES]) for row in slot.endpoints),
        completion_tokens=sum(row[_COMPLETION] for _, row in slot.models),
        counts=_named(slot.words, layout.WORKER),
        health=read_health(slot.number, slot.words, now) if pid is not None and is_alive(pid) else None,
    )


def _histograms(parts: Sequence[dict[str, list[int]]]) -> dict[str, HistogramTotals]:
    """Return the sums of the histograms of one endpoint or model over slots, by name."""
    return {
        name: _sum(copies)
        for name in layout.LATENCY
        if (copies := [part[name] for part in parts if name in part])
    }


def _sum(copies: Sequence[list[int]]) -> HistogramTotals:
    """Return the sum of histograms, of which each is a copy of its words."""
    minimum = min((words[histogram.MIN] for words in copies), default=histogram.EMPTY_MIN)
    maximum = max((words[histogram.MAX] for words in copies), default=0)
    if len(copies) == 1:
        words = copies[0]
        return HistogramTotals(words[: histogram.BUCKETS], words[histogram.SUM], minimum, maximum)
    # PERF: only buckets between the extremes, which are written first, have counted anything: half the time.
    first, end = histogram.bucket(minimum), histogram.bucket(maximum) + 1
    counted = _add([words[first:end] for words in copies], end - first) if first < end else []
    buckets = [0] * first + counted + [0] * (histogram.BUCKETS - first - len(counted))
    return HistogramTotals(buckets, sum(words[histogram.SUM] for words in copies), minimum, maximum)


def _recent(slots: Sequence[_Slot], second: int) -> Recent:
    requests, tokens, errors = ([0] * RECENT_SECONDS for _ in range(3))
    for slot in slots:
        for entry in range(layout.RING, layout.MODELS, layout.RING_WORDS):
            place = slot.words[entry + layout.RING_SECOND] - (second - RECENT_SECONDS)
            if 0 <= place < RECENT_SECONDS:
                requests[place] += slot.words[entry + layout.RING_REQUESTS]
                tokens[place] += slot.words[entry + layout.RING_TOKENS]
                errors[place] += slot.words[entry + layout.RING_ERRORS]
    return Recent(tuple(requests), tuple(tokens), tuple(errors))
