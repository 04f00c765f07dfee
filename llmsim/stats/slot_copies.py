"""Copies of slots of the block, from which the totals are made.

Decisions:
* Each slot is copied out once, so that everything derived from it agrees.
* PERF: of a histogram only what lies between its extremes is copied.
"""

import msgspec

from llmsim.stats import histogram, layout
from llmsim.stats.block import Block
from llmsim.stats.histogram_totals import HistogramTotals

REQUESTS = layout.ENDPOINT["requests"]
"""Column of the requests in an endpoint's row."""

_TRIES = 20
"""How often the counters of the endpoints are copied while they change, which they do more rarely than a copy takes."""

_STREAMING = layout.MODEL["streaming_requests"]
_NON_STREAMING = layout.MODEL["non_streaming_requests"]

_NAMES = tuple(layout.LATENCY)
"""Names of the histograms of a set, in their order."""

_MODEL_STARTS = range(layout.MODELS, layout.ENDPOINTS, layout.MODEL_WORDS)
"""Offsets of the models' rows."""


class SlotCopy(msgspec.Struct, frozen=True):
    """A copy of one slot: its words, and the rows in them.

    PERF: sums are made of rows of integers, and named when they are done: naming each row doubles the time.

    Attributes:
        number: The number of the slot.
        words: Its words before the latencies.
        endpoints: The rows of all endpoints, one behind the other.
        resources: The rows of all resources, likewise.
        models: Name and row of each model.
        endpoint_latencies: The histograms of each endpoint by name; those that have counted anything.
        model_latencies: The same by the model's name.
    """

    number: int
    words: list[int]
    endpoints: list[int]
    resources: list[int]
    models: list[tuple[str, list[int]]]
    endpoint_latencies: list[dict[str, HistogramTotals]]
    model_latencies: dict[str, dict[str, HistogramTotals]]


def copy_slot(block: Block, number: int) -> SlotCopy:
    """Copy a slot."""
    first = block.layout.slot(number)
    by_endpoint, by_row = _copy_latencies(block, first)
    # NOTE: `tolist` reads word by word, upwards; the order within a slot relies on it.
    words: list[int] = block.words[first : first + block.layout.count_words].tolist()
    rows = _copy_endpoints(block, first + layout.ENDPOINTS)
    behind = block.layout.endpoints * layout.ENDPOINT_WORDS
    width, names = len(layout.MODEL), block.model_names
    models = [
        (names.get(first + start) or _model_name(block, words, first, start), words[start : start + width])
        for start in _MODEL_STARTS
        if words[start + _STREAMING] or words[start + _NON_STREAMING]
    ]
    # A name is written before anything is counted under it.
    by_model = {
        layout.OTHER
        if row == layout.LATENCY_MODELS
        else names.get(first + _MODEL_STARTS[row])
        or _model_name(block, words, first, _MODEL_STARTS[row]): found
        for row, found in enumerate(by_row)
        if found
    }
    return SlotCopy(number, words, rows[:behind], rows[behind:], models, by_endpoint, by_model)


def _copy_endpoints(block: Block, start: int) -> list[int]:
    """Copy the counters of all endpoints and resources at one instant: again if one of them has changed since the copy began."""
    end = start + block.layout.rows * layout.ENDPOINT_WORDS
    for _ in range(_TRIES):
        words: list[int] = block.words[start:end].tolist()
        if block.words[start:end].tolist() == words:
            break
    for row in range(0, len(words), layout.ENDPOINT_WORDS):
        ended = sum(words[row : row + layout.OUTCOMES])
        if ended > words[row + REQUESTS]:
            words[row + REQUESTS] = ended
    return words


def _copy_latencies(
    block: Block, slot: int
) -> tuple[list[dict[str, HistogramTotals]], list[dict[str, HistogramTotals]]]:
    """Copy the latencies of a slot that begins at a word: by endpoint, and by the place of the model's row."""
    words, shape = block.words, block.layout
    start, end = slot + shape.count_words, slot + shape.endpoint_latencies(shape.endpoints)
    totals, least, most = (
        slice(start + offset, end, histogram.WORDS)
        for offset in (histogram.SUM, histogram.MIN, histogram.MAX)
    )
    # PERF: a figure of all histograms at once, a tenth of the time of one by one; most have counted nothing.
    bucket, found = histogram.bucket, []
    extremes = zip(words[least].tolist(), words[most].tolist(), strict=True)
    for number, (minimum, maximum) in enumerate(extremes):
        if minimum != histogram.EMPTY_MIN:
            at, first = start + number * histogram.WORDS, bucket(minimum)
            found.append((number, first, words[at + first : at + bucket(maximum) + 1].tolist()))
    # The extremes once more: they are written before what is counted between them.
    sums, minima, maxima = words[totals].tolist(), words[least].tolist(), words[most].tolist()
    sets: list[dict[str, HistogramTotals]] = [{} for _ in range(start, end, layout.LATENCY_WORDS)]
    for number, first, counts in found:
        place, name = divmod(number, len(_NAMES))
        sets[place][_NAMES[name]] = HistogramTotals(
            first, counts, sums[number], minima[number], maxima[number]
        )
    return sets[layout.LATENCY_MODELS + 1 :], sets[: layout.LATENCY_MODELS + 1]


def copy_histogram(words: list[int], at: int) -> HistogramTotals | None:
    """Copy a histogram that begins at a word of a copy; None if it has counted nothing."""
    total, minimum, maximum = words[at + histogram.SUM : at + histogram.WORDS]
    if minimum == histogram.EMPTY_MIN:
        return None
    first = histogram.bucket(minimum)
    counts = words[at + first : at + histogram.bucket(maximum) + 1]
    return HistogramTotals(first, counts, total, minimum, maximum)


def _model_name(block: Block, words: list[int], slot: int, row: int) -> str:
    """Return the name in a model's row, and remember it: it never changes."""
    start = (slot + row + layout.MODEL_NAME) * layout.WORD_BYTES
    size = words[row + layout.MODEL_NAME_BYTES]
    name = bytes(block.octets[start : start + size]).decode("utf-8", "replace")
    if size:
        block.model_names[slot + row] = name
    return name
