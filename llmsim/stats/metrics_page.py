"""A page in the text format of Prometheus: families of metrics, and their histograms.

Decisions:
* What does not change from page to page, names, labels and bounds, is prepared once for each family, and each series of a histogram.
* Of a histogram few bounds lie between its extremes. Those below and above have the same number each, and are copied as a piece.
"""

import functools
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from llmsim.stats import histogram
from llmsim.stats.histogram_totals import HistogramTotals

_MOST_SERIES = 512
"""Series of histograms whose lines are remembered."""

_MOST_FAMILIES = 256
"""Other families whose lines are remembered."""

Labels = str
"""Labels as they are written, without braces."""


class Bounds:
    """The bounds of the buckets of one histogram.

    Args:
        micros: In microseconds, ascending.
    """

    def __init__(self, micros: Sequence[float]) -> None:
        self.texts = tuple([repr(bound / 1e6) for bound in micros])
        self._places = [histogram.bucket(int(bound)) for bound in micros]
        # Of the bounds that lie within a bucket of ours: number, bucket, and which part of it is below.
        self._within = []
        for number, (bound, index) in enumerate(zip(micros, self._places, strict=True)):
            lower, upper = histogram.bounds(index)
            if bound != lower:
                self._within.append((number, index, (bound - lower) / (upper - lower)))

    def cumulate(self, row: HistogramTotals) -> list[int]:
        """Return how many values are below each bound, and how many there are."""
        first, counts = row.first, row.counts
        end = first + len(counts)
        sums = list(accumulate(counts, initial=0))
        # PERF: few bounds lie between the extremes; all values are above those before, and below those behind.
        skipped, last = bisect_left(self._places, first), bisect_left(self._places, end)
        between = [sums[place - first] for place in self._places[skipped:last]]
        for number, index, part in self._within:
            if first <= index < end:
                between[number - skipped] += int(counts[index - first] * part)
        return [0] * skipped + between + [sums[-1]] * (len(self._places) + 1 - last)


@functools.lru_cache(_MOST_SERIES)
def _series_lines(name: str, labels: Labels, bounds: Bounds) -> bytes:
    """Return the lines of a series of a histogram, with places for its numbers.

    PERF: bytes take their numbers in a sixth of the time of a string, and need not be encoded.
    """
    escaped = labels.replace("%", "%%")
    before = f"{name}_bucket{{{escaped},le=" if labels else f"{name}_bucket{{le="
    braces = f"{{{escaped}}}" if labels else ""
    lines = [f'{before}"{bound}"}} %d' for bound in (*bounds.texts, "+Inf")]
    return "\n".join([*lines, f"{name}_sum{braces} %b", f"{name}_count{braces} %d"]).encode()


class Page:
    """Lines of the text format."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def family(self, name: str, kind: str, text: str, values: Mapping[Labels, int | float]) -> None:
        """Add a counter or gauge."""
        lines = _family_lines(name, kind, text, tuple(values))
        self._parts.append((lines % tuple(values.values())).encode())

    def histogram(
        self, name: str, text: str, bounds: Bounds, values: Iterable[tuple[Labels, HistogramTotals]]
    ) -> None:
        """Add a histogram."""
        self._parts.append(_head(name, "histogram", text).encode())
        for labels, row in values:
            # Of one reading: buckets are counted from one copy, so they never contradict the count.
            lines, numbers = _series_lines(name, labels, bounds), bounds.cumulate(row)
            self._parts.append(lines % (*numbers, str(row.sum / 1e6).encode(), numbers[-1]))

    def render(self) -> bytes:
        """Return all of it."""
        return b"\n".join([*self._parts, b""])


@functools.lru_cache(_MOST_FAMILIES)
def _family_lines(name: str, kind: str, text: str, series: tuple[Labels, ...]) -> str:
    """Return the lines of a counter or gauge, with places for its numbers."""
    names = [f"{name}{{{labels}}}" if labels else name for labels in series]
    lines = [f"{each.replace('%', '%%')} %s" for each in names]
    return "\n".join([_head(name, kind, text).replace("%", "%%"), *lines])


def _head(name: str, kind: str, text: str) -> str:
    """Return the lines before those of a family."""
    return f"# HELP {name} {text}\n# TYPE {name} {kind}"
