"""Figures as text: bars, durations, counts and latencies, as all views in the terminal show them."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from llmsim.stats import LATE_MS, TIGHT_MS
from llmsim.text import printable

CPU = (75.0, 90.0)
"""Percent of a core from which a worker's use of it is yellow, and red."""

WAIT = (10.0, 25.0)
"""The same for its waiting for one."""

NONE = "–"  # noqa: RUF001 # a dash, not a minus
"""Shown where nothing was measured."""

LARGE = 99_999.5
"""Figures from which they are shortened where there is little room: `99,999`, `100k`."""

_BARS = "▁▂▃▄▅▆▇█"
_NAME_WIDTH = 34
_FIGURE_WIDTHS = {"": 9, "%": 4, "prompt": 9, "completion": 10}


def chart(values: Sequence[int], *, width: int, height: int) -> list[str]:
    """Render values as bars of several lines, relative to the largest.

    Args:
        values: The oldest first; where there is no room for all, the oldest are left out.
        width: Cells of a line; each value gets the same whole number of them.
        height: Lines.

    Returns:
        The lines, the top one first.
    """
    shown = values[-width:] if width else ()
    cells = max(1, width // max(1, len(shown)))
    top = max(shown, default=0)
    steps = len(_BARS) * height - 1
    # The lowest bar stands for zero.
    fills = [1 + (-(-value * steps // top) if top else 0) for value in shown]
    lines = []
    for line in reversed(range(height)):
        filled = (min(max(fill - line * len(_BARS), 0), len(_BARS)) for fill in fills)
        lines.append("".join((f" {_BARS}"[count]) * cells for count in filled))
    return lines


def duration(seconds: int) -> str:
    """Format a duration in its two largest units: `2 d 3 h`, `5 min 12 s`, `7 s`."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    words = [
        f"{seconds // size % wrap} {unit}"
        for (unit, size), wrap in zip(units, (10**9, 24, 60, 60), strict=True)
    ]
    first = next((place for place, (_, size) in enumerate(units) if seconds >= size), 3)
    return " ".join(words[first : first + 2])


def level(value: float | None, yellow: float = TIGHT_MS, red: float = LATE_MS) -> str:
    """Return the style of a figure: none, yellow or red from the given values on."""
    if value is None or value < yellow:
        return ""
    return "red" if value >= red else "yellow"


def milliseconds(value: float | None) -> str:
    """Format a latency in at most six characters: `0.48`, `12.34`, `1,234`, `123k`."""
    if value is None:
        return NONE
    if value >= LARGE:
        return short(round(value))
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def rate(value: float) -> str:
    """Format a rate, with a decimal below 100."""
    return f"{value:,.1f}" if 0.0 < value < 100.0 else f"{value:,.0f}"


def short(count: int) -> str:
    """Format a count in at most five characters: `12`, `1.2k`, `340M`."""
    value, suffixes = float(count), "kMGTP"
    while value >= 999.5:
        value, suffixes = value / 1000, suffixes[1:]
    suffix = "kMGTP"[: 5 - len(suffixes)][-1:]
    return f"{value:.1f}{suffix}" if suffix and value < 9.95 else f"{value:.0f}{suffix}"


def truncated(name: str, width: int = _NAME_WIDTH) -> Text:
    """Return a name from outside as text of at most `width` cells that cannot control the terminal."""
    text = Text(printable(name))
    text.truncate(width, overflow="ellipsis")
    return text


def figure_table(title: str, *headings: str, has_rule: bool = True) -> Table:
    """Create a table: names on the left, figures on the right, wide enough that growing figures do not shift."""
    table = Table(
        box=box.SIMPLE_HEAD if has_rule else None,
        padding=(0, 1, 0, 0),
        show_edge=False,
        pad_edge=False,
        header_style="bold",
    )
    table.add_column(title, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True, min_width=_FIGURE_WIDTHS.get(heading, 6))
    return table
