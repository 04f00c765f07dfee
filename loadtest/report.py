"""The summary as tables for the terminal, and as JSON."""

import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loadtest.summary import Summary

_MOST_FAILURES = 10
_WIDTH = 160

SEPARATOR = "  ·  "
"""Separator between the parts of a progress line."""


def encode_summary(summary: Summary) -> bytes:
    """Return the summary as JSON."""
    return msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"


def shorten_line(line: str, width: int) -> str:
    """Drop the last parts of a progress line that is too long; one that wraps cannot be overwritten.

    Args:
        line: The line.
        width: Columns of the terminal; 0 if unknown.
    """
    while 0 < width <= len(line):
        shorter = line.rpartition(SEPARATOR)[0]
        if not shorter:
            return line[: width - 1]
        line = shorter
    return line


def print_summary(summary: Summary, console: Console | None = None) -> None:
    """Print the summary."""
    # Without a terminal, the width would be 80 columns, and tables would be folded.
    wide = Console(highlight=False)
    console = console or (wide if wide.is_terminal else Console(highlight=False, width=_WIDTH))
    console.print()
    console.print(_fitting_table(summary, console))
    if summary.failures:
        console.print(_failures(summary))
    console.print(_gates(summary))
    for line in format_notes(summary):
        console.print(line, soft_wrap=True)
    if not summary.is_complete:
        console.print(" [bold red]The run was interrupted.[/]")
    verdict = "[bold green]passed[/]" if summary.passed else "[bold red]failed[/]"
    console.print(f"\n {summary.suite}: {verdict}\n")


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def _fitting_table(summary: Summary, console: Console) -> Table:
    """Return the table with all columns if it fits; how wide it is depends on the figures."""
    table = _requests(summary, _WIDE)
    fits = console.measure(table, options=console.options.update(width=10 * _WIDTH)).maximum <= console.width
    return table if fits else _requests(summary, _NARROW)


# Measure, quantile, heading; those of the second tuple fit into 80 columns.
_WIDE = (
    ("ttft", "p50", "TTFT p50"),
    ("ttft", "p95", "p95"),
    ("ttft", "p99", "p99"),
    ("itl", "p50", "ITL p50"),
    ("itl", "p99", "p99"),
    ("e2e", "p50", "E2E p50"),
    ("e2e", "p95", "p95"),
    ("e2e", "p99", "p99"),
    ("tokens_per_second", "p50", "tokens/s"),
)
_NARROW = (("ttft", "p95", "TTFT p95"), ("itl", "p99", "ITL p99"), ("e2e", "p95", "E2E p95"))


def _requests(summary: Summary, columns: tuple[tuple[str, str, str], ...]) -> Table:
    table = _table(
        f"{summary.requests:,} requests in {summary.seconds:g} s  ·  {summary.requests_per_second:,.1f} requests/s  ·  "
        f"{summary.tokens_per_second:,.0f} tokens/s"
    )
    table.add_column(" ms", no_wrap=True)
    for heading in ("requests", "failed", *(heading for _, _, heading in columns)):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in summary.lines:
        failed = f"[red]{line.failures:,}[/]" if line.failures else "0"
        cells = (_number(getattr(getattr(line, measure), part)) for measure, part, _ in columns)
        table.add_row(f" {line.name}", f"{line.requests:,}", failed, *cells)
    return table


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _failures(summary: Summary) -> Table:
    table = _table(" Failures")
    table.add_column(" count", justify="right")
    table.add_column("of")
    table.add_column("what happened", overflow="fold")
    for failure in summary.failures[:_MOST_FAILURES]:
        table.add_row(f"{failure.count:,}", failure.name, escape(failure.message))
    if more := len(summary.failures) - _MOST_FAILURES:
        table.caption = f"and {more} more, in summary.json" if more > 0 else None
    return table


def _gates(summary: Summary) -> Table:
    table = _table(" Gates")
    table.add_column(" figure")
    table.add_column("at most", justify="right")
    table.add_column("found", justify="right")
    table.add_column("")
    for gate in summary.gates:
        found = "nothing measured" if gate.found is None else f"{gate.found:,.4g}"
        verdict = "[green]passed[/]" if gate.passed else "[bold red]failed[/]"
        table.add_row(f" {gate.figure}", f"{gate.at_most:,g}", found, verdict)
    return table


def format_notes(summary: Summary) -> list[str]:
    """Return lines on the load generator and the server, which show whose times these are."""
    generator, server = summary.generator, summary.server
    lag = "not measured" if generator.lag_p99_ms is None else f"{generator.lag_p99_ms:.1f} ms"
    busy = "" if generator.cpu_percent is None else f", {generator.cpu_percent:.0f} % of a core"
    many = "" if generator.processes == 1 else f" in each of {generator.processes} processes"
    lines = [f" load generator  lag p99 {lag}{busy}{many}"]
    if generator.is_bottleneck:
        lines.append(
            " [bold yellow]                The load generator was late or busy: part of these times is its own.[/]"
        )
    if server.text is not None:
        colour = "red" if server.state == "late" else "green"
        lines.append(
            f" server verdict  [{colour}]{escape(server.text)}[/]{_since_start(server.lateness_p99_ms)}"
        )
    elif server.lateness_p99_ms is not None:
        lines.append(f" server verdict  lateness p99 {server.lateness_p99_ms:.1f} ms")
    if server.worst_text is not None:
        lines.append(
            f"                 after {server.worst_after_seconds:.0f} s: [red]{escape(server.worst_text)}[/]"
        )
    return lines


def _since_start(p99: float | None) -> str:
    return "" if p99 is None else f"; since its start {p99:.1f} ms"
