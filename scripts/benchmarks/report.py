"""The results as tables for the terminal, and as one line to quote."""

import statistics
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from .results import MUCH_FOREIGN, Closed, Paced, Results, find_best_closed, find_best_paced
from .targets import TARGETS

SHARED = "shared core: the client took CPU time from the server, which can do more than that."
FOREIGN = (
    "others: other programs used that share of the server's or the client's core; it can do more than that."
)

CAVEAT = (
    "One run on one machine. Virtual machines differ by 1.5 times from hour to hour: compare within a run, "
    "and take 20 % for equal."
)

NONE = "\N{EN DASH}"


def format_milliseconds(value: float | None) -> str:
    """Format milliseconds with three significant digits."""
    if value is None:
        return NONE
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def format_number(value: float | None, digits: int = 0) -> str:
    """Format a number; a dash for None."""
    return NONE if value is None else f"{value:,.{digits}f}"


def format_errors(share: float) -> str:
    """Format the share of failed requests."""
    return "0" if share == 0 else f"{share:.2%}"


class ResultTable(msgspec.Struct, frozen=True):
    """A table of results; the last column is a verdict, the first `words` ones are text, the others figures.

    Attributes:
        title: What was measured.
        note: How it was measured; empty if the title says it.
        columns: Their headings.
        rows: Their cells.
        words: Number of columns of text at the beginning.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    words: int = 0


def list_tables(results: Results) -> list[ResultTable]:
    """Return the tables of a run that have rows, but for that of the targets."""
    ttft, gap = results.pace_ms
    tables = [
        ResultTable(
            "Unstreamed replies of 16 tokens",
            "",
            tuple("workers,open,requests/s,p50 ms,p99 ms,errors,us each,".split(",")),
            [_closed_row(row) for row in results.closed if row.part == "throughput"],
        ),
        ResultTable(
            "Streamed replies at once",
            "",
            tuple("workers,open,tokens,streams/s,tokens/s,p50 ms,p99 ms,errors,us each,".split(",")),
            [_closed_row(row) for row in results.closed if row.part == "streams"],
        ),
        ResultTable(
            "Held streams",
            f"First token after {ttft:g} ms, then one every {gap:g} ms, {results.reply_tokens} tokens a reply.",
            tuple("workers,streams,tokens/s,p50 late ms,p99,p99.9,drift ms,kB each,us a token,".split(",")),
            [_paced_row(row) for row in results.paced],
        ),
    ]
    return [table for table in tables if table.rows]


def _closed_row(row: Closed) -> tuple[str, ...]:
    streamed = row.part == "streams"
    return (
        _format_server(row),
        format_number(row.connections),
        *([f"{row.tokens:g}"] if streamed else []),
        format_number(row.requests_per_second),
        *([format_number(row.tokens_per_second)] if streamed else []),
        format_milliseconds(row.p50_ms),
        format_milliseconds(row.p99_ms),
        format_errors(row.error_share),
        format_number(row.server_us),
        _format_verdict(row),
    )


def _paced_row(row: Paced) -> tuple[str, ...]:
    return (
        _format_server(row),
        format_number(row.streams),
        format_number(row.tokens_per_second),
        *(format_milliseconds(value) for value in (row.p50_ms, row.p99_ms, row.p999_ms, row.drift_ms)),
        format_number(row.stream_kb, 1),
        format_number(row.server_us, 1),
        _format_verdict(row),
    )


def list_targets(results: Results) -> ResultTable:
    """Return the targets that were measured."""
    rows = []
    for target in TARGETS:
        figure = target.measured(results)
        if figure is not None:
            wanted = ("≤ " if target.most else "≥ ") + f"{target.wanted:,g}"
            verdict = "reached" if target.reached(figure) else "short"
            rows.append(
                (target.what, format_number(figure, 0 if target.wanted > 100 else 2), wanted, verdict)
            )
    return ResultTable(
        "Targets", "", ("one worker on a core of its own", "measured", "target", ""), rows, words=1
    )


def _format_server(row: Closed | Paced) -> str:
    return row.target if row.workers is None else format_number(row.workers)


def _format_verdict(row: Closed | Paced) -> str:
    verdict = (row.problem or "ok") + (", shared core" if row.shared else "")
    return verdict + (f", others {row.foreign:.0%}" if is_disturbed(row) else "")


def _as_rich(table: ResultTable) -> Table:
    shown = Table(
        title=f"[bold]{table.title}[/bold]  [dim]{table.note}[/dim]",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for place, column in enumerate(table.columns):
        is_text = place < table.words or column == ""
        shown.add_column(column, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    for *cells, verdict in table.rows:
        style = "green" if verdict.startswith(("ok", "reached")) else "red"
        shown.add_row(*cells, f"[{style}]{verdict}[/{style}]")
    return shown


def format_environment(results: Results) -> str:
    """Return the machine and the software of the run, in three lines."""
    machine = results.machine
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return (
        f"llmsim {machine.version} ({machine.commit or 'no commit'}) on {machine.cpu}, {machine.cores} cores, "
        f"{machine.kernel}\nPython {machine.python}, {packages}\n"
        f"{machine.pinned}; measured by {machine.client}; load average before {machine.load_average:g}, "
        f"{results.stolen:.1%} of the time stolen by the host"
    )


def format_headline(results: Results) -> str:
    """Return the run in one line: the figures of one worker that meet the criteria."""
    figures = []
    quoted: list[Closed | Paced] = []
    if best := find_best_closed(results.closed, "throughput"):
        quoted.append(best)
        figures.append(f"{_format_rate(best.requests_per_second)} req/s")
    if best := find_best_closed(results.closed, "streams", tokens=results.reply_tokens):
        quoted.append(best)
        figures.append(
            f"{_format_rate(best.requests_per_second)} streams/s of {best.tokens:g} tokens "
            f"({(best.tokens_per_second or 0) / 1e6:.2g} M tok/s)"
        )
    if held := find_best_paced(results.paced):
        quoted.append(held)
        figures.append(
            f"{held.streams:,} streams of {1000 / results.pace_ms[1]:.3g} tok/s at p99 {format_milliseconds(held.p99_ms)} ms late"
        )
    line = ", ".join(figures)
    if results.start_up:
        line += "; " * bool(line) + f"start-up {statistics.median(results.start_up):.1f} s"
    if most := max((row.foreign or 0 for row in quoted if is_disturbed(row)), default=0):
        line += f" (while others used up to {most:.0%} of a core)"
    machine = results.machine
    return f"llmsim {machine.version} on 1 core of {machine.cpu}: {line or 'nothing within the criteria'}"


def _format_rate(value: float) -> str:
    """Format a rate with two significant digits: the third is noise."""
    digits = 2 - len(str(int(value)))
    return f"{round(value, min(digits, 0)):,.0f}"


def list_notes(results: Results) -> list[str]:
    """Return explanations of the marks beside rows."""
    rows: list[Closed | Paced] = [*results.closed, *results.paced]
    found = [SHARED] if any(row.shared for row in rows) else []
    return found + ([FOREIGN] if any(is_disturbed(row) for row in rows) else [])


def is_disturbed(row: Closed | Paced) -> bool:
    """Return whether other programs used much of the cores."""
    return row.foreign is not None and row.foreign >= MUCH_FOREIGN


def print_report(results: Results, console: Console) -> None:
    """Print the results."""
    console.print(format_environment(results), highlight=False)
    for table in list_tables(results):
        console.print()
        console.print(_as_rich(table))
    if results.start_up:
        each = ", ".join(f"{seconds:.2f}" for seconds in results.start_up)
        middle = statistics.median(results.start_up)
        console.print(
            f"\n[bold]start-up[/bold]  {middle:.2f} s to the first reply  [dim]({each})[/dim]",
            highlight=False,
        )
    for limit in results.headroom:
        late = (
            f"; it measures p99 {format_milliseconds(limit.p99_ms)} ms late of a trivial server, which takes {limit.server_us:.1f} us an event"
            if limit.p99_ms is not None and limit.server_us is not None
            else ""
        )
        console.print(
            f"\n[bold]headroom[/bold]  {limit.part}: the client did {limit.ceiling:,.0f} {limit.unit} with a trivial server, "
            f"{limit.times:.1f} times llmsim's{late}",
            highlight=False,
        )
    for ratio in results.ratios:
        console.print(
            f"\n[bold]ratio[/bold]  {ratio.part}: llmsim {ratio.llmsim:,.0f} {ratio.unit}, {ratio.target} {ratio.other:,.0f}: "
            f"{ratio.times:.2f} times",
            highlight=False,
        )
    if (targets := list_targets(results)).rows:
        console.print()
        console.print(_as_rich(targets))
    for note in list_notes(results):
        console.print(f"\n[dim]{note}[/dim]", highlight=False)
    console.print(f"\n[dim]{CAVEAT}[/dim]", highlight=False)
    console.print(format_headline(results), highlight=False, soft_wrap=True)
