"""The part `cost`: CPU time of a request and of a token event without sockets, beside that of the framework alone.

Decisions:
* What the other parts measure from outside is explained from inside, by `cost_driver`: what Python code costs, without the kernel.
* The CPU time of the same code varies by half with what else the host does. So each row has many short laps, one in each
  group, and its figure is the median of its ratios to Falcon's constant reply in the same group.
* Held streams run in real time and need laps of a second, so they have groups of their own.
"""

import cProfile
import pstats
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from . import machine
from .cost_driver import Calls, Driver
from .endpoints import BenchError
from .report import NONE, format_number
from .results_file import json_option, write_results
from .rows import CHAT, ROWS, YARDSTICK, Row

Group = Mapping[str, float]
"""Microseconds of one lap of each row, by the row's name."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a row costs.

    Attributes:
        name: Name of the row.
        us: CPU time of a request or a token event in microseconds, the median of its laps.
        least_us: That of the fastest lap.
        ratio: Ratio to Falcon's constant reply in the same group, the median.
        limit: Target of `target_ratio`; None if there is no target.
        of: Row that `target_ratio` is to.
        target_ratio: Ratio to that row in the same group, the median.
        more_us: Microseconds more than that row in the same group, the median.
        laps: Number of laps.
    """

    name: str
    us: float
    least_us: float
    ratio: float
    limit: float | None
    of: str
    target_ratio: float
    more_us: float
    laps: int


class CallCount(msgspec.Struct, frozen=True, kw_only=True):
    """What a request meets between its route and the end of its response.

    Attributes:
        name: Name of the row.
        calls: Python calls into llmsim.
        modules: Modules that they are in.
        classes: Classes whose methods they are.
        server_classes: Those of the package `server`.
    """

    name: str
    calls: int
    modules: int
    classes: int
    server_classes: int


class CostResults(msgspec.Struct, frozen=True, kw_only=True):
    """A run.

    Attributes:
        taken_at: Time of the run, ISO 8601.
        command: The command line.
        machine: The environment.
        rows: What each row costs; empty for `--calls`.
        calls: What plain chats meet.
    """

    taken_at: str
    command: str
    machine: machine.Machine
    rows: tuple[Cost, ...]
    calls: tuple[CallCount, ...]


def summarize(row: Row, groups: Iterable[Group]) -> Cost:
    """Summarize the laps of a row; its ratios are those within a group."""
    mine = [group for group in groups if row.name in group]

    def ratio(of: str) -> float:
        return round(statistics.median(group[row.name] / group[of] for group in mine), 3)

    return Cost(
        name=row.name,
        us=round(statistics.median(group[row.name] for group in mine), 2),
        least_us=round(min(group[row.name] for group in mine), 2),
        ratio=ratio(YARDSTICK),
        limit=row.limit,
        of=row.of,
        target_ratio=ratio(row.of),
        more_us=round(statistics.median(group[row.name] - group[row.of] for group in mine), 2),
        laps=len(mine),
    )


def count_calls(name: str, calls: Calls) -> CallCount:
    """Count what a request met."""
    return CallCount(
        name=name,
        calls=len(calls.made),
        modules=len({module for _, module, _ in calls.made}),
        classes=len(calls.classes),
        server_classes=sum(owner.startswith("llmsim.server.") for owner in calls.classes),
    )


def select(names: Sequence[str]) -> list[Row]:
    """Return the named rows, all if there are no names, and those that their ratios are to."""
    named = [row for row in ROWS if not names or row.name in names]
    wanted = {YARDSTICK, *(row.name for row in named), *(row.of for row in named)}
    return [row for row in ROWS if row.name in wanted]


async def measure_groups(driver: Driver, rows: list[Row], seconds: float, laps: int = 1) -> list[Group]:
    """Measure rows in turn for that time, at least once; each group begins with another row.

    Args:
        driver: Measures the laps.
        rows: Rows, which have been prepared.
        seconds: Time after which no group begins.
        laps: Laps of requests in a group, of which the median counts; held streams have one.
    """
    groups: list[Group] = []
    until = time.monotonic() + seconds
    while not groups or time.monotonic() < until:
        first = len(groups) % len(rows)
        groups.append(
            {
                row.name: statistics.median([await driver.lap(row) for _ in range(1 if row.held else laps)])
                for row in rows[first:] + rows[:first]
            }
        )
    return groups


async def _measure(driver: Driver, rows: list[Row], seconds: float) -> list[Cost]:
    requests, held = [row for row in rows if not row.held], [row for row in rows if row.held]
    yardstick = [row for row in requests if row.name == YARDSTICK]
    groups, events = [], []
    if requests != yardstick or not held:
        groups = await measure_groups(driver, requests, seconds)
    if held:
        events = await measure_groups(driver, yardstick + held, seconds, laps=10)
    return [summarize(row, events if row.held or not groups else groups) for row in rows]


async def _run(
    only: Sequence[str], seconds: float, profile: str | None, calls_only: bool
) -> tuple[list[Cost], dict[str, Calls], cProfile.Profile | None]:
    """Measure, profile or count, in the event loop."""
    rows = select(only)
    plain = [row for row in ROWS if row.name in (CHAT, "chat-new")]
    with tempfile.TemporaryDirectory(prefix="llmsim-bench-") as folder:
        driver = Driver(folder)
        if profile:
            rows = [row for row in ROWS if row.name == profile]
        await driver.prepare(row for row in ROWS if row in rows or row in plain)
        if profile:
            driver.profiler = cProfile.Profile()
            await measure_groups(driver, rows, seconds)
            return [], {}, driver.profiler
        costs = [] if calls_only else await _measure(driver, rows, seconds)
        return costs, {row.name: await driver.count_calls(row) for row in plain}, None


def render_table(costs: Iterable[Cost]) -> Table:
    """Render what rows cost, beside their targets."""
    table = Table(
        title="[bold]cost[/bold]  [dim]CPU time of a request or a token event, without sockets[/dim]"
    )
    table.title_justify, table.box, table.pad_edge = "left", None, False
    for column in ("name", "", "us", "least", f"x {YARDSTICK}", "target", " ", "laps"):
        words = column in ("name", "", " ")
        # A name is what `--only` takes: it is never cut short, whatever else is.
        least = max(len(row.name) for row in ROWS) if column == "name" else None
        table.add_column(column, justify="left" if words else "right", no_wrap=True, min_width=least)
    rows = {row.name: row for row in ROWS}
    for cost in costs:
        row, target, verdict = rows[cost.name], NONE, ""
        if row.limit_us is not None:
            target, verdict = f"≤ {row.limit_us:,g} us", "with the kernel's share"
            if not row.held:
                verdict = "[green]reached[/green]" if cost.us <= row.limit_us else "[red]short[/red]"
        if row.more_us is not None:
            target = f"{cost.of} + {row.more_us:g} us"
            reached = cost.more_us <= row.more_us
            verdict = (
                "[green]reached[/green]" if reached else "[red]short[/red]"
            ) + f", + {cost.more_us:.1f}"
        if cost.limit is not None:
            target = f"≤ {cost.limit:g} x {cost.of}"
            reached = cost.target_ratio <= cost.limit
            verdict = "[green]reached[/green]" if reached else "[red]short[/red]"
            if cost.of != YARDSTICK:
                verdict += f", {cost.target_ratio:.2f}"
        table.add_row(
            *(cost.name, row.what, format_number(cost.us, 1), format_number(cost.least_us, 1)),
            *(f"{cost.ratio:.2f}", target, verdict, format_number(cost.laps)),
        )
    return table


def print_report(results: CostResults, console: Console) -> None:
    """Print the results."""
    found = results.machine
    packages = ", ".join(f"{name} {version}" for name, version in found.packages.items())
    console.print(
        f"llmsim {found.version} ({found.commit or 'no commit'}) on {found.cpu}, {found.cores} cores, "
        f"load average before {found.load_average:g}\nPython {found.python}, {packages}",
        highlight=False,
    )
    if results.rows:
        console.print()
        console.print(render_table(results.rows))
    for count in results.calls:
        console.print(
            f"\n[bold]calls[/bold]  {count.name}: {count.calls} calls into {count.modules} modules, methods of {count.classes} "
            f"classes, {count.server_classes} of them in llmsim.server  [dim](target: 60, 15 and 5 in llmsim.server)[/dim]",
            highlight=False,
            soft_wrap=True,
        )


def _parse_names(_context: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    names = tuple(value.split(",")) if value else ()
    known = [row.name for row in ROWS]
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"no row {unknown[0]!r}; one of {', '.join(known)}")
    return names


_EPILOG = (
    "\b\nRows:\n"
    + "\n".join(f"  {row.name:15} {row.what}" for row in ROWS)
    + """

\b
us is the median of many short laps, least the fastest of them. Ratios are to laps of Falcon's constant reply
(or of the row in the target) within the same tenths of a second: compare ratios, not microseconds. With
sockets ratios are smaller, because the kernel's share is about the same on both sides. A run of all rows
takes less than half a minute.

\b
Examples:
  scripts/bench cost                             all rows
  scripts/bench cost --only chat,chat-new --seconds 3
  scripts/bench cost --profile chat              where the time of a chat goes
  scripts/bench cost --calls                     what a chat calls, from route to bytes
"""
)


@click.command(
    "cost",
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "--only",
    metavar="NAME,…",
    callback=_parse_names,
    help="Measure these rows, and those that they are compared with.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=10,
    show_default=True,
    help="Time for all rows of requests, and again for those of token events.",
)
@click.option(
    "--profile",
    type=click.Choice([row.name for row in ROWS]),
    metavar="NAME",
    help="Print the 40 functions that take most of a row's time, instead.",
)
@click.option(
    "--calls", "calls_only", is_flag=True, help="Print each call that a plain chat takes in llmsim, instead."
)
@json_option
def main(
    only: tuple[str, ...], seconds: float, profile: str | None, calls_only: bool, json_file: Path | None
) -> None:
    """Measure the CPU time of requests and token events without sockets, beside constant replies of Falcon and ASGI."""
    if profile and (only or calls_only or json_file):
        raise click.UsageError("--profile prints a profile only; give it no other option than --seconds")
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    described = msgspec.structs.replace(
        machine.describe_machine(version=machine.read_version(), client="none"), pinned="no process pinned"
    )
    try:
        costs, calls, profiled = uvloop.run(_run(only, seconds, profile, calls_only))
    except BenchError as problem:
        click.echo(f"Error: {problem}", err=True)
        sys.exit(problem.exit_code)
    if profiled:
        pstats.Stats(profiled, stream=sys.stdout).sort_stats("tottime").print_stats(40)
        return
    results = CostResults(
        taken_at=taken_at,
        command=shlex.join(["scripts/bench", *sys.argv[1:]]),
        machine=described,
        rows=tuple(costs),
        calls=tuple(count_calls(name, made) for name, made in calls.items()),
    )
    if calls_only:
        for depth, module, name in calls[CHAT].made:
            click.echo(f"{'  ' * depth}{module.removeprefix('llmsim.')} {name}")
        click.echo()
    print_report(results, Console(width=None if sys.stdout.isatty() else 120))
    write_results(json_file, results)
