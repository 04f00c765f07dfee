"""The command line of `scripts/bench`."""

import resource
import shlex
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from . import chart, clients, machine, markdown, report
from .endpoints import PATHS, BenchError, Endpoint, parse_endpoint
from .results import Closed, Headroom, Paced, Results, compare, find_best_closed, find_best_paced
from .results_file import json_option, write_results
from .sweep import Plan, Sweep, read_stolen_ticks

PARTS = ("throughput", "streams", "pacing", "start-up")

_EPILOG = """\b
Parts:
  throughput   unstreamed replies of 16 tokens: requests/s, time of a reply
  streams      streamed replies of 100 tokens, sent at once: streams/s, tokens/s
  pacing       open streams at a constant pace: how late tokens arrive, how much
               later than planned replies end, memory of a stream
  start-up     from the start of the process to its first reply
  cost         CPU time of a request and a token event without sockets, beside Falcon's
               own; not among "all parts", and with its own: scripts/bench cost --help
  machines     what state on Valkey or Redis costs, with one host and with several;
               likewise: scripts/bench machines --help

\b
Examples:
  scripts/bench                                 all parts, two to three minutes
  scripts/bench --quick                         all parts in some 20 seconds, as a check
  scripts/bench pacing --streams 1000,2000 --seconds 20
  scripts/bench streams --tokens 10,100,1000    what longer replies cost
  scripts/bench throughput --against aimock=http://127.0.0.1:4010/v1
  scripts/bench --json bench.json --chart bench.svg

Servers run on the first cores, the client on the others. A row is ok when less than 0.1 % of
the requests failed and p99 (of a reply, of a token's lateness) is below 50 ms. Close other programs first.
"""


class Numbers(click.ParamType[tuple[int, ...]]):
    """A list like 1,8,32."""

    name = "N,N,…"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Parse the list."""
        try:
            numbers = tuple(int(word) for word in str(value).split(","))
        except ValueError:
            numbers = ()
        if not numbers or min(numbers) < 1:
            self.fail(f"{value!r} is not a list like 1,8,32", param, ctx)
        return numbers


def _default_workers() -> tuple[int, ...]:
    cores = len(machine.available_cores())
    return tuple(sorted({1, *(power for power in (2, 4, 8, 16, 32, 64) if power < cores), cores}))


@click.command(
    epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.argument("parts", nargs=-1, type=click.Choice(PARTS), metavar="[PART]...")
@click.option("--quick", is_flag=True, help="Few and short rows, as in CI.")
@click.option("--workers", type=Numbers(), help="Worker processes. [default: 1, 2, 4, … all cores]")
@click.option(
    "--connections", type=Numbers(), help="Open requests of throughput and streams. [default: 1,8,32,128]"
)
@click.option(
    "--streams",
    type=Numbers(),
    help="Open streams of pacing; when two rows fail, it goes on to the last. [default: 250,500,1000,1500,2000,2500,3000,4000]",
)
@click.option(
    "--tokens", type=Numbers(), help="Length of streamed replies; pacing takes the first. [default: 100]"
)
@click.option(
    "--ttft",
    type=click.FloatRange(0),
    default=200,
    show_default=True,
    help="Time to first token of pacing, ms.",
)
@click.option(
    "--gap", type=click.FloatRange(0.1), default=40, show_default=True, help="Time between its tokens, ms."
)
@click.option(
    "--seconds", type=click.FloatRange(0.2), help="Length of a row, after the warm-up. [default: 3]"
)
@click.option("--model", default="gpt-4o", show_default=True, help="Model of the requests.")
@click.option(
    "--path",
    default="/openai/v1/chat/completions",
    show_default=True,
    help="Path of llmsim's endpoint.",
)
@click.option(
    "--against",
    multiple=True,
    metavar="NAME=URL",
    help="Measure this OpenAI-compatible server too; repeatable. In pacing only if that is named, because the server "
    "must have the same --ttft and --gap.",
)
@click.option(
    "--client",
    type=click.Choice(("auto", "compiled")),
    default="auto",
    show_default=True,
    help="auto: wrk for throughput if it is installed, else client.c; compiled: client.c for all parts.",
)
@json_option
@click.option(
    "--chart",
    "chart_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a chart to this file, as SVG.",
)
@click.option(
    "--markdown",
    "page",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Write the tables into this page, between its lines <!-- bench --> and <!-- /bench -->.",
)
def main(
    parts: tuple[str, ...],
    quick: bool,
    workers: tuple[int, ...] | None,
    connections: tuple[int, ...] | None,
    streams: tuple[int, ...] | None,
    tokens: tuple[int, ...] | None,
    ttft: float,
    gap: float,
    seconds: float | None,
    model: str,
    path: str,
    against: tuple[str, ...],
    client: str,
    json_file: Path | None,
    chart_file: Path | None,
    page: Path | None,
) -> None:
    """Measure how much load a simulator on this machine can take: all parts, or those that are named."""
    if page is not None and not markdown.has_markers(page.read_text(encoding="utf-8")):
        raise click.BadParameter(
            f"{page} has no line {markdown.BEGIN} before {markdown.END}", param_hint="--markdown"
        )
    try:
        peers = tuple(_parse_peer(word) for word in against)
        if not path.endswith(PATHS):
            raise click.BadParameter(
                f"{path} does not end with one of {', '.join(PATHS)}", param_hint="--path"
            )
        console = Console(stderr=True, highlight=False)
        compiled = clients.compile_client()
        plan = Plan(
            model=model,
            path=path,
            workers=workers or ((1,) if quick else _default_workers()),
            connections=connections or ((1, 32) if quick else (1, 8, 32, 128)),
            streams=streams or ((100,) if quick else (250, 500, 1000, 1500, 2000, 2500, 3000, 4000)),
            tokens=tokens or ((25,) if quick else (100,)),
            ttft=ttft / 1000,
            gap=gap / 1000,
            seconds=seconds or (1 if quick else 3),
            starts=1 if quick else 5,
            peers=peers,
            wrk=client == "auto" and shutil.which("wrk") is not None,
        )
        results = _measure(plan, compiled, parts, lambda step: console.print(f"[dim]{step}[/dim]"))
    except BenchError as problem:
        click.echo(f"Error: {problem}", err=True)
        sys.exit(problem.exit_code)
    report.print_report(results, Console(width=None if sys.stdout.isatty() else 120))
    write_results(json_file, results)
    if chart_file is not None:
        chart_file.write_text(chart.render_svg(results), encoding="utf-8")
    if page is not None:
        page.write_text(markdown.replace_tables(page.read_text(encoding="utf-8"), results), encoding="utf-8")


def _parse_peer(word: str) -> Endpoint:
    name, _, url = word.partition("=")
    if not name or not url:
        raise click.BadParameter(
            f"{word}: write NAME=URL, as aimock=http://127.0.0.1:4010/v1", param_hint="--against"
        )
    return parse_endpoint(name, url)


def _measure(
    plan: Plan, client: clients.Client, named: tuple[str, ...], on_progress: Callable[[str], None]
) -> Results:
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    parts = named or PARTS
    taken_at = datetime.now(UTC).isoformat(timespec="seconds")
    names = f"wrk (throughput), {client.name}" if plan.wrk else client.name
    described = machine.describe_machine(version=machine.read_version(), client=names)
    sweep, stolen = Sweep(plan, client, on_progress), read_stolen_ticks()
    sweep.check_peers(streamed="streams" in parts or "pacing" in named)

    closed: list[Closed] = []
    paced: list[Paced] = []
    headroom: list[Headroom] = []
    for part, rows in (("throughput", sweep.throughput), ("streams", sweep.streams)):
        if part in parts:
            closed += rows()
            tokens = plan.tokens[0] if part == "streams" else None
            # The client's limit matters most where it may be the reason why no row can be quoted.
            best = find_best_closed(tuple(closed), part, tokens=tokens) or find_best_closed(
                tuple(closed), part, tokens=tokens, workers=plan.workers[0], quotable=False
            )
            if best is not None and best.requests_per_second:
                headroom.append(sweep.closed_headroom(best))
    if "pacing" in parts:
        paced += sweep.pacing(peers="pacing" in named)
        if held := find_best_paced(tuple(paced)):
            headroom.append(sweep.paced_headroom(held))
    start_up = tuple(sweep.start_up()) if "start-up" in parts else ()
    ticks = read_stolen_ticks()
    return Results(
        taken_at=taken_at,
        command=_format_command(sys.argv[1:]),
        machine=described,
        seconds=plan.seconds,
        pace_ms=(plan.ttft * 1000, plan.gap * 1000),
        reply_tokens=plan.tokens[0],
        closed=tuple(closed),
        paced=tuple(paced),
        start_up=tuple(round(seconds, 3) for seconds in start_up),
        headroom=tuple(headroom),
        ratios=compare(tuple(closed), tuple(paced), tokens=plan.tokens[0]),
        stolen=round((ticks[0] - stolen[0]) / max(1, ticks[1] - stolen[1]), 4),
    )


def _format_command(words: list[str]) -> str:
    """Return the command line without the files that results are written to."""
    kept = ["scripts/bench"]
    rest = iter(words)
    for word in rest:
        name, given, _ = word.partition("=")
        if name not in ("--json", "--chart", "--markdown"):
            kept.append(word)
        elif not given:
            next(rest, None)
    return shlex.join(kept)


def run() -> None:
    """Run the parts `cost` and `machines`, which have options of their own, or the other parts."""
    if sys.argv[1:2] == ["cost"]:
        # Imported here: the other parts use nothing of llmsim.
        from . import cost

        cost.main(sys.argv[2:], prog_name="scripts/bench cost")
    if sys.argv[1:2] == ["machines"]:
        from . import machines

        machines.main(sys.argv[2:], prog_name="scripts/bench machines")
    main(prog_name="scripts/bench")


if __name__ == "__main__":
    run()
