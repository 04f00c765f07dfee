"""Copies of slots of the block, from which the totals are made.

Decisions:
* Each slot is copied out once, so that everything derived from it agrees.
* PERF: where things are is computed once for each layout, and of a histogram only what lies between its extremes is copied.
"""

import functools

import msgspec

from llmsim.stats import histogram, layout
from llmsim.stats.block import Block
from llmsim.stats.layout import Layout

REQUESTS = layout.ENDPOINT["requests"]
"""Column of the requests in an endpoint's row."""

_TRIES = 20
"""How often the counters of the endpoints are copied while they change, which they do more rarely than a copy takes."""

_STREAMING = layout.MODEL["streaming_requests"]
_NON_STREAMING = layout.MODEL["non_streaming_requests"]

_MODEL_STARTS = range(layout.MODELS, layout.ENDPOINTS, layout.MODEL_WORDS)
"""Offsets of the models' rows."""


class HistogramPart(msgspec.Struct, frozen=True, gc=False):
    """A histogram of one slot, to be added.

    Attributes:
        first: The bucket of the first count.
        counts: Counts by bucket; those before and behind are zero.
        sum: Sum of all values.
        minimum: The lowest.
        maximum: The highest.
    """

    first: int
    counts: list[int]
    sum: int
    minimum: int
    maximum: int


class SlotCopy(msgspec.Struct, frozen=True):
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
    endpoint_latencies: list[dict[str, HistogramPart]]
    model_latencies: dict[str, dict[str, HistogramPart]]


def copy_slot(block: Block, number: int) -> SlotCopy:
    """Copy a slot."""
    first = block.layout.slot(number)
    by_endpoint, by_row = _copy_latencies(block, first)
    # NOTE: `tolist` reads word by word, upwards; the order within a slot relies on it.
    words: list[int] = block.words[first : first + block.layout.count_words].tolist()
    rows = _copy_endpoints(block, first + layout.ENDPOINTS)
    endpoints, resources = rows[: block.layout.endpoints], rows[block.layout.endpoints :]
    models = [
        (_model_name(block, words, first, start), words[start : start + len(layout.MODEL)])
        for start in _MODEL_STARTS
        if words[start + _STREAMING] or words[start + _NON_STREAMING]
    ]
    # A name is written before anything is counted under it.
    by_model = {
        layout.OTHER
        if row == layout.LATENCY_MODELS
        else _model_name(block, words, first, _MODEL_STARTS[row]): found
        for row, found in enumerate(by_row)
        if found
    }
    return SlotCopy(number, words, endpoints, resources, models, by_endpoint, by_model)


def _copy_endpoints(block: Block, start: int) -> list[list[int]]:
    """Copy the counters of all endpoints and resources at one instant: again if one of them has changed since the copy began."""
    end = start + block.layout.rows * layout.ENDPOINT_WORDS
    for _ in range(_TRIES):
        words: list[int] = block.words[start:end].tolist()
        if block.words[start:end].tolist() == words:
            break
    rows = [words[at : at + layout.ENDPOINT_WORDS] for at in range(0, len(words), layout.ENDPOINT_WORDS)]
    for row in rows:
        row[REQUESTS] = max(row[REQUESTS], sum(row[: layout.OUTCOMES]))
    return rows


@functools.lru_cache(8)
def _latency_places(shape: Layout) -> tuple[list[list[tuple[str, int]]], list[list[tuple[str, int]]]]:
    """Return names and offsets, in a slot, of the histograms of each endpoint, and of the model in each row."""
    endpoints = [shape.endpoint_latencies(number) for number in range(shape.endpoints)]
    models = [shape.model_latencies(row) for row in range(layout.LATENCY_MODELS + 1)]
    by_endpoint, by_model = (
        [[(name, first + offset) for name, offset in layout.LATENCY.items()] for first in places]
        for places in (endpoints, models)
    )
    return by_endpoint, by_model


def _copy_latencies(
    block: Block, slot: int
) -> tuple[list[dict[str, HistogramPart]], list[dict[str, HistogramPart]]]:
    """Copy the latencies of a slot that begins at a word: by endpoint, and by the place of the model's row."""
    words, empty, least = block.words, histogram.EMPTY_MIN, slot + histogram.MIN
    by_endpoint, by_model = (
        [
            {
                name: copy_histogram(words, slot + first)
                for name, first in places
                if words[least + first] != empty
            }
            for places in sets
        ]
        for sets in _latency_places(block.layout)
    )
    return by_endpoint, by_model


def copy_histogram(words: "memoryview[int] | list[int]", at: int) -> HistogramPart:
    """Copy a histogram that begins at a word, and has counted something."""
    first = histogram.bucket(words[at + histogram.MIN])
    counted = words[at + first : at + histogram.bucket(words[at + histogram.MAX]) + 1]
    counts = counted if isinstance(counted, list) else counted.tolist()
    # The extremes once more: they are written before what is counted between them.
    total, minimum, maximum = words[at + histogram.SUM : at + histogram.WORDS]
    return HistogramPart(first, counts, total, minimum, maximum)


def _model_name(block: Block, words: list[int], slot: int, row: int) -> str:
    """Return the name in a model's row, which never changes."""
    start = (slot + row + layout.MODEL_NAME) * layout.WORD_BYTES
    size = words[row + layout.MODEL_NAME_BYTES]
    return bytes(block.octets[start : start + size]).decode("utf-8", "replace")
