"""The layout: every word has one meaning and one writer."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.stats import histogram, layout
from llmsim.stats.counters import Outcome
from llmsim.stats.layout import Layout

layouts = st.builds(Layout, slots=st.integers(1, 64), endpoints=st.integers(1, 20))


def _areas(shape: Layout) -> list[tuple[int, int]]:
    """Return first word and end of everything in a slot."""
    tables = [
        *((first, histogram.WORDS, 1) for first in layout.HISTOGRAM.values()),
        (layout.TAKEN, 1, 1),
        (layout.PID, 1, 1),
        *((word, 1, 1) for word in layout.WORKER.values()),
        (layout.PULSES, layout.PULSE_WORDS, layout.PULSE_ENTRIES),
        (layout.MARKS, layout.MARK_WORDS, layout.MARK_ENTRIES),
        (layout.RING, layout.RING_WORDS, layout.RING_SECONDS),
        (layout.MODELS, layout.MODEL_WORDS, layout.MODEL_ROWS),
        (layout.ENDPOINTS, layout.ENDPOINT_WORDS, shape.endpoints),
        *(
            (shape.model_latencies(row) + offset, histogram.WORDS, 1)
            for row in range(layout.LATENCY_MODELS + 1)
            for offset in layout.LATENCY.values()
        ),
        *(
            (shape.endpoint_latencies(endpoint) + offset, histogram.WORDS, 1)
            for endpoint in range(shape.endpoints)
            for offset in layout.LATENCY.values()
        ),
    ]
    return [
        (first + row * words, first + (row + 1) * words)
        for first, words, rows in tables
        for row in range(rows)
    ]


@given(layouts)
def test_nothing_overlaps_within_a_slot(shape: Layout) -> None:
    """STATS-1.2: No two counters of a slot share a word, and all of them are inside it."""
    areas = sorted(_areas(shape))

    assert all(end <= start for (_, end), (start, _) in pairwise(areas))
    assert areas[-1][1] <= shape.slot_words


@given(layouts)
def test_slots_share_no_cache_line(shape: Layout) -> None:
    """STATS-1.2: Header and slots begin on cache lines of their own, and end where the block ends."""
    starts = [shape.slot(slot) for slot in range(shape.slots)]

    assert all(start * layout.WORD_BYTES % 64 == 0 for start in starts)
    assert starts[0] >= layout.HEADER_LABELS + shape.endpoints * layout.LABEL_WORDS
    assert all(after - start == shape.slot_words for start, after in pairwise(starts))
    assert (starts[-1] + shape.slot_words) * layout.WORD_BYTES == shape.bytes


@given(layouts)
def test_a_slot_is_small(shape: Layout) -> None:
    """STATS-1.9: The size of a block depends on slots and endpoints only: some 141 KB a slot and 7 KB an endpoint."""
    assert shape.slot_words * layout.WORD_BYTES <= 142_000 + 6_800 * shape.endpoints


def test_there_is_no_slot_outside() -> None:
    """STATS-1.2: A slot that does not exist has no offset."""
    shape = Layout(slots=2, endpoints=1)

    with pytest.raises(IndexError, match="slot 2 of 2"):
        shape.slot(2)
    with pytest.raises(IndexError, match="slot -1 of 2"):
        shape.slot(-1)


def test_reading_order_is_the_reverse_of_writing_order() -> None:
    """STATS-3.3: In reading order, models precede endpoints, marks the histogram that they copy, counts the names."""
    assert layout.MODELS < layout.ENDPOINTS
    assert layout.HISTOGRAM["lateness"] > layout.MARKS
    assert all(outcome.column < layout.ENDPOINT["requests"] for outcome in Outcome)
    assert max(layout.MODEL.values()) < layout.MODEL_NAME_BYTES < layout.MODEL_NAME
    assert max(histogram.bucket(1 << 60), 0) < histogram.SUM < histogram.MAX
    assert layout.RING_SECOND == 0


def test_outcomes_have_a_column_each() -> None:
    """STATS-3.2: Each outcome has a counter of its own."""
    assert sorted(outcome.column for outcome in Outcome) == list(range(len(Outcome)))
