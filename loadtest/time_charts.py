"""Charts of recorded times and what is compared with them: by arrival, and as cumulative distributions.

Decisions:
* Requests are dots: a line between two of them would show times that no request had.
"""

from collections.abc import Mapping, Sequence

from loadtest.charts import Chart, Curve

_GRID = 160
_NAMES = {"ttft": "Time to first token", "tpot": "Time per output token", "e2e": "End-to-end latency"}

Pairs = Sequence[tuple[float, tuple[float, float]]]
"""Arrival of each request, its recorded time, and the one beside it; s."""


def build_charts(found: Mapping[str, Pairs], name: str, *, by: str = "arrival") -> list[Chart]:
    """Return two charts for each kind of time.

    Args:
        found: The times by their kind.
        name: What is compared with the recording.
        by: What the first number of each request is.
    """
    charts = []
    for measure, pairs in found.items():
        if not pairs:
            continue
        sides = [[pair[side] for _, pair in pairs] for side in (0, 1)]
        times, dots = _dots([at for at, _ in pairs], sides)
        styles = (("recorded", "a"), (name, "b"))
        charts.append(
            Chart(
                f"{_NAMES[measure]} by {by}",
                "s",
                times,
                [Curve(label, style, values) for (label, style), values in zip(styles, dots, strict=True)],
                axis="s" if by == "arrival" else "",
            )
        )
        grid, curves = _cumulative(sides)
        charts.append(
            Chart(
                f"{_NAMES[measure]}: requests that took at most so long",
                "%",
                grid,
                [Curve(label, style, values) for (label, style), values in zip(styles, curves, strict=True)],
            )
        )
    return charts


def _dots(
    times: Sequence[float], sides: Sequence[Sequence[float]]
) -> tuple[list[float], list[tuple[float | None, ...]]]:
    """Return values with a gap behind each, so that no line joins them."""
    return [at for at in times for _ in range(2)], [
        tuple(one for value in side for one in (value, None)) for side in sides
    ]


def _cumulative(sides: Sequence[Sequence[float]]) -> tuple[list[float], list[tuple[float | None, ...]]]:
    """Return instants, and for each set of times the share of them, in percent, that are not above each instant."""
    top = max(max(side) for side in sides)
    grid = [top * step / _GRID for step in range(_GRID + 1)]
    return grid, [
        tuple(100 * sum(value <= at for value in side) / len(side) for at in grid) for side in sides
    ]
