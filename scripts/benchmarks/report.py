"""The results for people: tables, and one line to quote."""

import statistics

from rich.console import Console
from rich.table import Table

from .results import MUCH_FOREIGN, Closed, Paced, Results, best_closed, best_paced
from .targets import TARGETS

SHARED = "shared core: the client took time from the server, which can do more than that."
FOREIGN = "others: that share of the server's or the client's core went to other programs; it can do more than that."

CAVEAT = (
    "One run on one machine. Virtual machines differ by 1.5 times from hour to hour: compare within a run, "
    "and take 20 % for equal."
)

NONE = "\N{EN DASH}"


def milliseconds(value: float | None) -> str:
    """Write milliseconds with three digits that count."""
    if value is None:
        return NONE
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def number(value: float | None, digits: int = 0) -> str:
    """Write a number, or that there is none."""
    return NONE if value is None else f"{value:,.{digits}f}"


def _errors(share: float) -> str:
    return "0" if share == 0 else f"{share:.2%}"


def _verdict(row: Closed | Paced) -> str:
    verdicts = [f"[red]{row.problem}[/red]" if row.problem else "[green]ok[/green]"]
    if row.shared:
        verdicts.append("shared core")
    if disturbed(row):
        verdicts.append(f"others {row.foreign:.0%}")
    return ", ".join(verdicts)


def _table(title: str, note: str, *columns: str, left: int) -> Table:
    table = Table(
        title=f"[bold]{title}[/bold]  [dim]{note}[/dim]", title_justify="left", box=None, pad_edge=False
    )
    for place, column in enumerate(columns):
        words = place < left or column == ""
        table.add_column(column, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    return table


def _closed_table(results: Results, part: str) -> Table:
    streamed = part == "streams"
    what = "streamed replies at once" if streamed else "unstreamed replies of 16 tokens"
    columns = [
        "server",
        "workers",
        "conns",
        *(["tokens"] if streamed else []),
        "streams/s" if streamed else "requests/s",
    ]
    columns += [*(["tokens/s"] if streamed else []), "p50 ms", "p99 ms", "errors", "us each", ""]
    table = _table(part, what, *columns, left=1)
    for row in results.closed:
        if row.part == part:
            table.add_row(
                row.target,
                number(row.workers),
                number(row.connections),
                *([f"{row.tokens:g}"] if streamed else []),
                number(row.requests_per_second),
                *([number(row.tokens_per_second)] if streamed else []),
                milliseconds(row.p50_ms),
                milliseconds(row.p99_ms),
                _errors(row.error_share),
                number(row.server_us),
                _verdict(row),
            )
    return table


def _paced_table(results: Results) -> Table:
    ttft, gap = results.pace_ms
    note = f"first token {ttft:g} ms, then every {gap:g} ms, {results.reply_tokens} tokens; ms late at the client"
    columns = (
        "server",
        "workers",
        "streams",
        "tokens/s",
        "p50",
        "p99",
        "p99.9",
        "drift",
        "kB each",
        "us each",
        "errors",
        "",
    )
    table = _table("pacing", note, *columns, left=1)
    for row in results.paced:
        table.add_row(
            row.target,
            number(row.workers),
            number(row.streams),
            number(row.tokens_per_second),
            milliseconds(row.p50_ms),
            milliseconds(row.p99_ms),
            milliseconds(row.p999_ms),
            milliseconds(row.drift_ms),
            number(row.stream_kb, 1),
            number(row.server_us, 1),
            _errors(row.error_share),
            _verdict(row),
        )
    return table


def environment(results: Results) -> str:
    """Say in three lines on what the figures were obtained."""
    machine = results.machine
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return (
        f"llmsim {machine.version} ({machine.commit or 'no commit'}) on {machine.cpu}, {machine.cores} cores, "
        f"{machine.kernel}\nPython {machine.python}, {packages}\n"
        f"{machine.pinned}; measured by {machine.client}; load average before {machine.load_average:g}, "
        f"{results.stolen:.1%} of the time stolen by the host"
    )


def quotable(results: Results) -> str:
    """Put the run in one line: what one worker did within the criteria."""
    said = []
    quoted: list[Closed | Paced] = []
    if best := best_closed(results.closed, "throughput"):
        quoted.append(best)
        said.append(f"{_rounded(best.requests_per_second)} req/s")
    if best := best_closed(results.closed, "streams", tokens=results.reply_tokens):
        quoted.append(best)
        said.append(
            f"{_rounded(best.requests_per_second)} streams/s of {best.tokens:g} tokens "
            f"({(best.tokens_per_second or 0) / 1e6:.2g} M tok/s)"
        )
    if held := best_paced(results.paced):
        quoted.append(held)
        said.append(
            f"{held.streams:,} streams of {1000 / results.pace_ms[1]:.3g} tok/s at p99 {milliseconds(held.p99_ms)} ms late"
        )
    line = ", ".join(said)
    if results.start_up:
        line += "; " * bool(line) + f"start-up {statistics.median(results.start_up):.1f} s"
    if most := max((row.foreign or 0 for row in quoted if disturbed(row)), default=0):
        line += f" (while others took up to {most:.0%} of a core)"
    machine = results.machine
    return f"llmsim {machine.version} on 1 core of {machine.cpu}: {line or 'nothing within the criteria'}"


def _rounded(value: float) -> str:
    """Write a rate with two digits that count: the third is noise."""
    digits = 2 - len(str(int(value)))
    return f"{round(value, min(digits, 0)):,.0f}"


def _target_table(results: Results) -> Table:
    table = _table(
        "targets", "one worker on a core of its own", "", "measured", "target", "of it", " ", left=1
    )
    for target in TARGETS:
        figure = target.measured(results)
        if figure is not None:
            digits = 0 if target.wanted > 100 else 2
            table.add_row(
                target.what,
                number(figure, digits),
                ("≤ " if target.most else "≥ ") + f"{target.wanted:,g}",
                f"{figure / target.wanted:.0%}",
                "[green]reached[/green]" if target.reached(figure) else "[red]short[/red]",
            )
    return table


def notes(results: Results) -> list[str]:
    """Explain what stands beside some rows."""
    rows: list[Closed | Paced] = [*results.closed, *results.paced]
    found = [SHARED] if any(row.shared for row in rows) else []
    return found + ([FOREIGN] if any(disturbed(row) for row in rows) else [])


def disturbed(row: Closed | Paced) -> bool:
    """Tell whether other programs took much of the cores."""
    return row.foreign is not None and row.foreign >= MUCH_FOREIGN


def show(results: Results, console: Console) -> None:
    """Print everything."""
    console.print(environment(results), highlight=False)
    for part in ("throughput", "streams"):
        if any(row.part == part for row in results.closed):
            console.print()
            console.print(_closed_table(results, part))
    if results.paced:
        console.print()
        console.print(_paced_table(results))
    if results.start_up:
        each = ", ".join(f"{seconds:.2f}" for seconds in results.start_up)
        middle = statistics.median(results.start_up)
        console.print(
            f"\n[bold]start-up[/bold]  {middle:.2f} s to the first answer  [dim]({each})[/dim]",
            highlight=False,
        )
    for room in results.headroom:
        late = (
            f"; it sees p99 {milliseconds(room.p99_ms)} ms late of a trivial server"
            if room.p99_ms is not None
            else ""
        )
        console.print(
            f"\n[bold]headroom[/bold]  {room.part}: the client did {room.ceiling:,.0f} {room.unit} with a trivial server, "
            f"{room.times:.1f} times llmsim's{late}",
            highlight=False,
        )
    for ratio in results.ratios:
        console.print(
            f"\n[bold]ratio[/bold]  {ratio.part}: llmsim {ratio.llmsim:,.0f} {ratio.unit}, {ratio.target} {ratio.other:,.0f}: "
            f"{ratio.times:.2f} times",
            highlight=False,
        )
    if any(target.measured(results) is not None for target in TARGETS):
        console.print()
        console.print(_target_table(results))
    for note in notes(results):
        console.print(f"\n[dim]{note}[/dim]", highlight=False)
    console.print(f"\n[dim]{CAVEAT}[/dim]", highlight=False)
    console.print(quotable(results), highlight=False, soft_wrap=True)
