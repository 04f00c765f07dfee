"""The terminal view of the counters.

Decisions:
* One view for 80 columns and up: tables are as wide as their content, and stand side by side
  where there is room, else one below the other.
* Colour adds nothing to the words: zeros are dim, errors are red; lateness, loop lag and the
  verdict turn yellow at 10 ms and red at 20 ms, the limit promised while the server is not
  overloaded, a worker's CPU at 75 and 90 % of its core, its waiting for one at 10 and 25 %.
* Model names come from the network, so characters that do not print are replaced before they reach a terminal.
"""

import io
from collections.abc import Sequence

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmsim.cli.figures import (
    CPU,
    NONE,
    WAIT,
    chart,
    duration,
    figure_table,
    level,
    milliseconds,
    rate,
    short,
    truncated,
)
from llmsim.cli.hosts_view import render_hosts
from llmsim.cli.resources_view import render_resources
from llmsim.stats import Snapshot
from llmsim.text import printable

_MODELS_SHOWN = 12
_LOW = 26
"""Lines of a terminal up to which none is left blank between bars and tables."""

_FULL = 0.95
"""Share of a KV cache above which it is about to preempt."""


def render_stats(stats: Snapshot, *, origin: str) -> RenderableType:
    """Render a snapshot.

    Args:
        stats: The snapshot.
        origin: The source that it was read from, e.g. `port 8080`.

    Returns:
        A renderable for a rich console of 80 columns or more.
    """
    parts: list[RenderableType] = [
        render_headline(stats, origin),
        render_verdict(stats),
        _activity(stats),
        render_latencies(stats),
        *(
            [_breakdown(stats)]
            if max(len(stats.latency_by_endpoint), len(stats.latency_by_model)) > 1
            else []
        ),
        _outcomes(stats),
    ]
    if stats.workers or stats.hosts:
        tables = [_models(stats), _workers(stats)] if stats.models else [_workers(stats)]
        tables += [render_resources(stats)] if stats.resources else []
        parts.append(Columns(tables, padding=(1, 3)))
    return Padding(Group(*_spaced(parts)), (0, 1), expand=False)


def fit_stats(stats: Snapshot, *, origin: str, size: tuple[int, int], problem: str = "") -> RenderableType:
    """Render a snapshot so that it fits a terminal: what there is no room for is shortened or left out.

    Args:
        stats: The snapshot.
        origin: The source that it was read from.
        size: Columns and lines of the terminal.
        problem: What is wrong at the moment, for the first line.
    """
    columns, lines = size
    console = Console(width=max(1, columns - 2), height=lines, color_system=None, file=io.StringIO())
    parts: list[RenderableType] = [Text(printable(problem), "red")] if problem else []
    full = [*parts, *([""] if problem else []), render_stats(stats, origin=origin)]
    if len(console.render_lines(Group(*full))) <= lines:
        return Group(*full)
    parts += [
        render_headline(stats, origin),
        render_verdict(stats),
        _rates(stats),
        *([""] if lines > _LOW else []),
        _bars(stats),
        *([""] if lines > _LOW else []),
        render_latencies(stats, has_rule=False),
        "",
        _outcome_lines(stats),
    ]
    left = lines - len(console.render_lines(Group(*parts)))
    for rows, build in ((len(stats.hosts or stats.workers), _workers), (len(stats.models), _models)):
        # A blank line, the heading, and a row at least.
        if rows and left >= 3:
            shown = min(rows, left - 2)
            parts += ["", build(stats, shown, has_rule=False)]
            left -= shown + 2
    mix = _breakdown(stats, has_rule=False)
    if mix.row_count and left >= mix.row_count + 2:
        parts += ["", mix]
    return Padding(Group(*parts), (0, 1), expand=False)


def render_headline(stats: Snapshot, origin: str) -> Text:
    """Render where the figures are from, the uptime and the number of living workers."""
    alive = sum(worker.alive for worker in stats.workers)
    hosts = sum(host.state in ("up", "draining") for host in stats.hosts or ())
    of_hosts = f" on {hosts} host{'' if hosts == 1 else 's'}" if stats.hosts is not None else ""
    line = Text()
    line.append("llmsim", "bold cyan")
    line.append(f" on {printable(origin)}")
    line.append(
        f"  ·  up {duration(stats.uptime_secs)}  ·  {alive} worker{'' if alive == 1 else 's'}{of_hosts}",
        "dim",
    )
    if stats.timeline is not None:
        line.append(f"  ·  {printable(str(stats.timeline))}", "yellow")
    return line


def render_verdict(stats: Snapshot) -> RenderableType:
    """Render the verdict, behind a mark of the same colour."""
    verdict = stats.verdict
    style = "dim" if verdict.state == "idle" else level(verdict.p99_lateness_ms) or "green"
    if verdict.state == "late":
        style = "red"
    line = Table.grid(padding=(0, 1))
    line.add_column(no_wrap=True)
    line.add_column()
    head, colon, rest = verdict.text.partition(":")
    text = Text.assemble(
        (head, f"bold {style}"), (f"{colon}{rest}", "" if verdict.state == "late" else "dim")
    )
    line.add_row(Text("○" if verdict.state == "idle" else "●", style), text)
    return line


def render_rates(stats: Snapshot) -> Text:
    """Render rates and requests in flight."""
    return Text("  ·  ").join(
        [
            Text.assemble((f"{rate(stats.requests_per_second)}", "bold"), " requests/s"),
            Text.assemble((f"{rate(stats.tokens_per_second)}", "bold"), " tokens/s"),
            Text.assemble((f"{stats.active_requests:,}", "bold"), " in flight"),
        ]
    )


def render_engines(stats: Snapshot) -> Text:
    """Render what runs and waits in engines, and the use of their KV caches; empty if there are none."""
    if not stats.worker_counts.get("engines"):
        return Text()
    parts = [
        Text.assemble("engine ", (f"{stats.engine_running:,}", "bold"), " running"),
        Text.assemble((f"{stats.engine_waiting:,}", "bold"), " waiting"),
    ]
    if stats.engine_kv_capacity:
        share = stats.engine_kv_tokens / stats.engine_kv_capacity
        parts.append(Text.assemble("KV cache ", (f"{share:.0%}", "bold red" if share > _FULL else "bold")))
        parts.append(Text.assemble((f"{stats.engine_preemptions:,}", "bold"), " preempted"))
    return Text("  ·  ").join(parts)


def render_bars(stats: Snapshot, *, width: int, height: int) -> Table:
    """Render the last 60 seconds as bars.

    Args:
        stats: The snapshot.
        width: Cells for the bars; where they are fewer than seconds, the oldest are left out.
        height: Lines of each row of bars.
    """
    recent = stats.last_60_seconds
    bars = Table.grid(padding=(0, 1))
    bars.add_column(no_wrap=True, vertical="bottom")
    bars.add_column(no_wrap=True, overflow="crop")
    bars.add_column(no_wrap=True, vertical="bottom", min_width=len("1.2k/s"))
    for name, values, style in (
        ("requests", recent.requests, "cyan"),
        ("tokens", recent.tokens, "green"),
        ("errors", recent.errors, "red"),
    ):
        top = max(values, default=0)
        lines = chart(values, width=width, height=height)
        bars.add_row(
            Text(name, "dim"),
            Text("\n".join(lines), style if top else "dim"),
            Text(f"{short(top)}/s", "dim"),
        )
    return bars


def render_axis(stats: Snapshot, *, width: int) -> Text:
    """Render the line below the bars of `render_bars`."""
    seconds = min(len(stats.last_60_seconds.requests), width)
    start = f"{seconds} s ago"
    cells = seconds * max(1, width // max(1, seconds))
    return Text(" " * len("requests ") + start + "now".rjust(cells - len(start)) + " peak", "dim")


def _bars(stats: Snapshot) -> Table:
    return render_bars(stats, width=len(stats.last_60_seconds.requests), height=1)


def _activity(stats: Snapshot) -> RenderableType:
    axis = render_axis(stats, width=len(stats.last_60_seconds.requests))
    return Group(_rates(stats), "", _bars(stats), axis)


def _rates(stats: Snapshot) -> RenderableType:
    engines = render_engines(stats)
    return Group(render_rates(stats), engines) if engines.plain else render_rates(stats)


def outcome_counts(stats: Snapshot) -> list[tuple[str, int, str]]:
    """Return how requests ended, and those in flight: name, count and style of each."""
    return [
        ("finished", stats.finished_requests, "green"),
        ("in flight", stats.active_requests, "cyan"),
        ("refused", stats.refused_requests, "yellow"),
        ("abandoned", stats.abandoned_requests, "yellow"),
        ("aborted", stats.aborted_requests, "red"),
        ("failed", stats.failed_requests, "red"),
    ]


def fault_counts(stats: Snapshot) -> list[tuple[str, int]]:
    """Return simulated failures by kind."""
    return [
        ("rate limit", stats.rate_limit_errors),
        ("server error", stats.server_errors - stats.overloaded_errors),
        ("overloaded", stats.overloaded_errors),
        ("timeout", stats.timeout_errors),
        ("invalid request", stats.invalid_request_errors),
        ("authentication", stats.authentication_errors),
    ]


def _outcome_lines(stats: Snapshot) -> Text:
    """Render outcomes in a line, and in another those failures that there were."""
    counts = [(name, count, style if count else "dim") for name, count, style in outcome_counts(stats)]
    faults = [(name, count, "red") for name, count in fault_counts(stats) if count]
    lines = [
        Text(" · ", "dim").join(Text(f"{name} {short(count)}", style) for name, count, style in found)
        for found in (counts, faults)
        if found
    ]
    return Text("\n").join(lines)


def _outcomes(stats: Snapshot) -> RenderableType:
    ended = figure_table("Requests", "", "%")
    total = stats.total_requests
    for name, count, style in outcome_counts(stats):
        ended.add_row(*_share(name, count, total, style))
    ended.add_row("total", f"{total:,}", "", style="bold")
    faults = figure_table("Simulated faults", "", "%")
    for name, count in fault_counts(stats):
        faults.add_row(*_share(name, count, total, "red"))
    simulated = stats.total_errors - stats.failed_requests
    faults.add_row("total", f"{simulated:,}", "", style="bold")
    traffic = figure_table("Traffic", "")
    for name, count in (
        ("streamed", stats.streaming_requests),
        ("not streamed", stats.non_streaming_requests),
        *((printable(label), counts["requests"]) for label, counts in stats.endpoints.items()),
        ("prompt tokens", stats.prompt_tokens),
        ("completion tokens", stats.completion_tokens),
    ):
        traffic.add_row(name, f"{count:,}", style="" if count else "dim")
    return Columns([ended, faults, traffic], padding=(1, 4))


def render_latencies(stats: Snapshot, *, has_rule: bool = True) -> Table:
    """Render the observed distributions."""
    columns = ("count", "mean", "p50", "p90", "p99", "p99.9", "max")
    table = figure_table("Latency, ms", *columns, has_rule=has_rule)
    latency = stats.latency
    for name, row in (
        ("first token", latency.ttft_ms),
        ("inter-token", latency.inter_token_ms),
        ("end to end", latency.end_to_end_ms),
        ("lateness", latency.lateness_ms),
    ):
        late = row is latency.lateness_ms
        cells = [
            Text(milliseconds(value), level(value) if late else "")
            for value in (row.mean, row.p50, row.p90, row.p99, row.p99_9, row.max)
        ]
        table.add_row(name, short(row.count), *cells, style="" if row.count else "dim")
    return table


def _breakdown(stats: Snapshot, *, has_rule: bool = True) -> Table:
    """Render the latencies of each endpoint and of each model, where there are several."""
    columns = ("TTFT p50", "p99", "ITL p50", "p99", "E2E p50", "p99")
    table = figure_table("Latency by, ms", *columns, has_rule=has_rule)
    models = list(stats.latency_by_model.items())
    parts = [list(stats.latency_by_endpoint.items()), models[:_MODELS_SHOWN]]
    for found in parts:
        for name, latency in found if len(found) > 1 else ():
            rows = (latency.ttft_ms, latency.inter_token_ms, latency.end_to_end_ms)
            table.add_row(
                truncated(name, 24), *(milliseconds(value) for row in rows for value in (row.p50, row.p99))
            )
        if len(found) > 1:
            table.add_section()
    return table


def _models(stats: Snapshot, rows: int = _MODELS_SHOWN + 1, *, has_rule: bool = True) -> Table:
    """Render the models with most requests; those beyond `rows` are summed up in the last row."""
    table = figure_table("Model", "requests", "prompt", "completion", has_rule=has_rule)
    models = list(stats.models.items())
    first = len(models) if len(models) <= rows else rows - 1
    for name, counts in models[:first]:
        table.add_row(
            truncated(name),
            f"{counts['requests']:,}",
            f"{counts['prompt_tokens']:,}",
            f"{counts['completion_tokens']:,}",
        )
    hidden = [counts for _, counts in models[first:]]
    if hidden:
        table.add_row(
            f"{len(hidden)} more",
            f"{sum(counts['requests'] for counts in hidden):,}",
            f"{sum(counts['prompt_tokens'] for counts in hidden):,}",
            f"{sum(counts['completion_tokens'] for counts in hidden):,}",
            style="dim",
        )
    return table


def _workers(stats: Snapshot, rows: int | None = None, *, has_rule: bool = True) -> Table:
    """Render the workers, or the hosts if there are several; of those beyond `rows` there is only the number."""
    if stats.hosts:
        return render_hosts(stats, rows, has_rule=has_rule)
    columns = ("pid", "cpu %", "wait %", "lag ms", "streams", "requests", "in flight", "tokens")
    table = figure_table("Worker", *columns, has_rule=has_rule)
    hidden = 0 if rows is None or len(stats.workers) <= rows else len(stats.workers) - rows + 1
    for worker in stats.workers[: len(stats.workers) - hidden]:
        state = "" if worker.alive else " (gone)"
        cpu, wait, lag = worker.cpu_percent, worker.cpu_wait_percent, worker.loop_lag_ms
        table.add_row(
            f"{worker.slot}{state}",
            "" if worker.pid is None else str(worker.pid),
            Text(NONE if cpu is None else f"{cpu:.0f}", level(cpu, *CPU)),
            Text(NONE if wait is None else f"{wait:.0f}", level(wait, *WAIT)),
            Text(NONE if lag is None else milliseconds(lag.max), level(None if lag is None else lag.max)),
            NONE if worker.open_streams is None else f"{worker.open_streams:,}",
            f"{worker.requests:,}",
            f"{worker.active:,}",
            short(worker.tokens),
            style="" if worker.alive else "dim",
        )
    if hidden:
        table.add_row(f"{hidden} more", style="dim")
    return table


def _share(name: str, count: int, total: int, style: str) -> tuple[Text, Text, Text]:
    style = style if count else "dim"
    share = f"{100 * count / total:.1f}" if count else ""
    return Text(name, style), Text(f"{count:,}", style), Text(share, "dim")


def _spaced(parts: Sequence[RenderableType]) -> list[RenderableType]:
    spaced: list[RenderableType] = []
    for part in parts:
        spaced += [part, ""]
    return spaced[:-1]
