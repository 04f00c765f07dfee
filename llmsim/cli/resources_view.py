"""The table of resources in the terminal view of the counters."""

from rich.table import Table

from llmsim.cli.figures import figure_table, truncated
from llmsim.stats import Outcome, Snapshot

UNFINISHED = (Outcome.REFUSED, Outcome.ABANDONED, Outcome.ABORTED)


def count_errors(counts: dict[str, int]) -> int:
    """Return the simulated failures and bugs among the requests to an endpoint or resource."""
    return sum(counts.get(outcome.value, 0) for outcome in Outcome if outcome.is_error)


def count_unfinished(counts: dict[str, int]) -> int:
    """Return those that were refused, or had no end, likewise."""
    return sum(counts.get(outcome.value, 0) for outcome in UNFINISHED)


def render_resources(stats: Snapshot) -> Table:
    """Render the resources that were asked for."""
    table = figure_table("Resource", "requests", "in flight", "refused", "errors")
    for name, counts in stats.resources.items():
        table.add_row(
            truncated(name, 26),
            f"{counts['requests']:,}",
            f"{counts['active']:,}",
            f"{counts['refused']:,}",
            f"{count_errors(counts):,}",
        )
    return table
