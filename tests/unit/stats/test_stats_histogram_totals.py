"""Sums of histograms, and the lines of a page, against a plain computation of each."""

from hypothesis import given
from hypothesis import strategies as st

from llmsim.stats import histogram
from llmsim.stats.histogram_totals import HistogramTotals
from llmsim.stats.metrics_page import Bounds, Page

_BOUNDS = (1, 2, 1 << 10, 3 << 9, 1 << 20, 10_000_000, 1 << 30)
"""In microseconds; one of them lies within a bucket."""

_histograms = st.lists(st.integers(0, 1 << 37), max_size=8).map(
    lambda values: _count(values) if values else HistogramTotals.merge([])
)


def _count(values: list[int]) -> HistogramTotals:
    """Count values, as a worker's slot is copied."""
    first = histogram.bucket(min(values))
    counts = [0] * (histogram.bucket(max(values)) - first + 1)
    for value in values:
        counts[histogram.bucket(value) - first] += 1
    return HistogramTotals(first, counts, sum(values), min(values), max(values))


@given(st.lists(_histograms, max_size=5))
def test_a_sum_of_histograms_is_that_of_all_buckets(rows: list[HistogramTotals]) -> None:
    """METRICS-1.3: Whatever buckets the parts have, apart or overlapping, each bucket of the sum is the sum of theirs."""
    merged = HistogramTotals.merge(rows)

    assert merged.buckets == [
        sum(counts) for counts in zip(*(row.buckets for row in rows), [0] * histogram.BUCKETS, strict=True)
    ]
    assert len(merged.buckets) == histogram.BUCKETS
    assert merged.sum == sum(row.sum for row in rows)
    assert merged.maximum == max((row.maximum for row in rows), default=0)
    assert merged.minimum == min((row.minimum for row in rows), default=histogram.EMPTY_MIN)
    assert merged == HistogramTotals.merge(rows[::-1])


@given(_histograms, st.text('a"\\% 0\n{}', max_size=6))
def test_lines_of_a_histogram_are_those_of_a_plain_loop(row: HistogramTotals, name: str) -> None:
    """METRICS-1.4: Each line has the counts below its bound; of a bound within a bucket those of an even spread."""
    label = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    labels = f'model="{label}"' if name else ""
    expected = ["# HELP latency What 100% took.", "# TYPE latency histogram"]
    for bound in _BOUNDS:
        below = 0
        for index, count in enumerate(row.buckets):
            lower, upper = histogram.bounds(index)
            below += int(count * min(1.0, max(0.0, (bound - lower) / (upper - lower))))
        expected.append(f'latency_bucket{{{labels}{"," if labels else ""}le="{bound / 1e6!r}"}} {below}')
    braces = f"{{{labels}}}" if labels else ""
    expected.append(f'latency_bucket{{{labels}{"," if labels else ""}le="+Inf"}} {row.count}')
    expected += [f"latency_sum{braces} {row.sum / 1e6}", f"latency_count{braces} {row.count}"]

    page = Page()
    page.histogram("latency", "What 100% took.", Bounds(_BOUNDS), [(labels, row)])
    page.family("held", "gauge", "50% of it.", {labels: 1.5, "": 3})

    head = ["# HELP held 50% of it.", "# TYPE held gauge"]
    values = ["held 3"] if not labels else [f"held{braces} 1.5", "held 3"]
    assert page.render().decode().split("\n") == [*expected, *head, *values, ""]
