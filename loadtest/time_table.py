"""Tables of recorded times and what is compared with them, for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from loadtest.distances import PERCENTILES, Measure


def build_table(title: str, measures: Sequence[Measure], name: str) -> Table:
    """Return a table of three rows for each kind of time, which fits into 80 columns.

    Args:
        title: Heading.
        measures: The kinds of time.
        name: What is compared with the recording.
    """
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(" ms", no_wrap=True)
    for heading in (*(f"p{100 * share:g}" for share in PERCENTILES), "mean error", "median", "K-S"):
        table.add_column(heading, justify="right", no_wrap=True)
    for measure in measures:
        table.add_row(f" {measure.name.upper()} recorded", *map(format_ms, measure.recorded))
        errors = (format_share(measure.mean_error), format_share(measure.median_error))
        table.add_row(f"   {name}", *map(format_ms, measure.found), *errors, f"{measure.ks:.3f}")
        table.add_row("   error", *(f"{100 * error:+.1f} %" for error in measure.errors), end_section=True)
    return table


def format_ms(value: float) -> str:
    """Return milliseconds with as many digits as matter."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def format_share(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.1f} %"
