"""The terminal view of the counters.

Decisions:
* One view for 80 columns and up: tables are as wide as their content, and stand side by side
  where there is room, else one below the other.
* Colour adds nothing to the words: zeros are dim, errors are red; lateness, loop lag and the
  verdict turn yellow at 10 ms and red at 20 ms, the limit promised while the server is not
  overloaded, a worker's CPU at 75 and 90 % of its core, its waiting for one at 10 and 25 %.
* Model names come from the network, so characters that do not print are replaced before they reach a terminal.
"""

from collections.abc import Sequence

from rich import box
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmsim.stats import LATE_MS, TIGHT_MS, Snapshot
from llmsim.text import printable

_CPU = (75.0, 90.0)
_WAIT = (10.0, 25.0)
_BARS = "▁▂▃▄▅▆▇█"
_NONE = "–"  # noqa: RUF001 # a dash, not a minus
_MODELS_SHOWN = 12
_NAME_WIDTH = 34
_FIGURE_WIDTHS = {"": 9, "%": 4, "prompt": 9, "completion": 10}


def render_stats(stats: Snapshot, *, origin: str) -> RenderableType:
    """Render a snapshot.

    Args:
        stats: The snapshot.
        origin: The source that it was read from, e.g. `port 8080`.

    Returns:
        A renderable for a rich console of 80 columns or more.
    """
    parts: list[RenderableType] = [
        _headline(stats, origin),
        _verdict(stats),
        _activity(stats),
        _latencies(stats),
        *(
            [_breakdown(stats)]
            if max(len(stats.latency_by_endpoint), len(stats.latency_by_model)) > 1
            else []
        ),
        _outcomes(stats),
    ]
    if stats.workers:
        tables = [_models(stats), _workers(stats)] if stats.models else [_workers(stats)]
        parts.append(Columns(tables, padding=(1, 3)))
    return Padding(Group(*_spaced(parts)), (0, 1), expand=False)


def sparkline(values: Sequence[int]) -> str:
    """Render values as bars, a character each, relative to the largest; a value above zero never looks like zero."""
    top = max(values, default=0)
    if not top:
        return _BARS[0] * len(values)
    steps = len(_BARS) - 1
    return "".join(_BARS[-(-value * steps // top)] for value in values)


def duration(seconds: int) -> str:
    """Format a duration in its two largest units: `2 d 3 h`, `5 min 12 s`, `7 s`."""
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    words = [
        f"{seconds // size % wrap} {unit}"
        for (unit, size), wrap in zip(units, (10**9, 24, 60, 60), strict=True)
    ]
    first = next((place for place, (_, size) in enumerate(units) if seconds >= size), 3)
    return " ".join(words[first : first + 2])


def _headline(stats: Snapshot, origin: str) -> Text:
    alive = sum(worker.alive for worker in stats.workers)
    line = Text()
    line.append("llmsim", "bold cyan")
    line.append(f" on {printable(origin)}")
    line.append(f"  ·  up {duration(stats.uptime_secs)}  ·  {alive} worker{'' if alive == 1 else 's'}", "dim")
    return line


def _verdict(stats: Snapshot) -> RenderableType:
    """Render the verdict, behind a mark of the same colour."""
    verdict = stats.verdict
    style = "dim" if verdict.state == "idle" else _level(verdict.p99_lateness_ms) or "green"
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


def _activity(stats: Snapshot) -> RenderableType:
    """Render three figures, and a minute of each as bars."""
    recent = stats.last_60_seconds
    figures = Text("  ·  ").join(
        [
            Text.assemble((f"{_rate(stats.requests_per_second)}", "bold"), " requests/s"),
            Text.assemble((f"{_rate(stats.tokens_per_second)}", "bold"), " tokens/s"),
            Text.assemble((f"{stats.active_requests:,}", "bold"), " in flight"),
        ]
    )
    bars = Table.grid(padding=(0, 1))
    bars.add_column(no_wrap=True)
    bars.add_column(no_wrap=True, overflow="crop")
    bars.add_column(no_wrap=True)
    for name, values, style in (
        ("requests", recent.requests, "cyan"),
        ("tokens", recent.tokens, "green"),
        ("errors", recent.errors, "red"),
    ):
        top = max(values, default=0)
        bars.add_row(
            Text(name, "dim"),
            Text(sparkline(values), style if top else "dim"),
            Text(f"{_short(top)}/s", "dim"),
        )
    bars.add_row(
        "", Text("60 s ago" + "now".rjust(len(recent.requests) - len("60 s ago")), "dim"), Text("peak", "dim")
    )
    return Group(figures, "", bars)


def _outcomes(stats: Snapshot) -> RenderableType:
    ended = _table("Requests", "", "%")
    total = stats.total_requests
    for name, count, style in (
        ("finished", stats.finished_requests, "green"),
        ("in flight", stats.active_requests, "cyan"),
        ("refused", stats.refused_requests, "yellow"),
        ("abandoned", stats.abandoned_requests, "yellow"),
        ("aborted", stats.aborted_requests, "red"),
        ("failed", stats.failed_requests, "red"),
    ):
        ended.add_row(*_share(name, count, total, style))
    ended.add_row("total", f"{total:,}", "", style="bold")
    faults = _table("Simulated faults", "", "%")
    for name, count in (
        ("rate limit", stats.rate_limit_errors),
        ("server error", stats.server_errors - stats.overloaded_errors),
        ("overloaded", stats.overloaded_errors),
        ("timeout", stats.timeout_errors),
        ("invalid request", stats.invalid_request_errors),
        ("authentication", stats.authentication_errors),
    ):
        faults.add_row(*_share(name, count, total, "red"))
    simulated = stats.total_errors - stats.failed_requests
    faults.add_row("total", f"{simulated:,}", "", style="bold")
    traffic = _table("Traffic", "")
    for name, count in (
        ("streamed", stats.streaming_requests),
        ("not streamed", stats.non_streaming_requests),
        *((printable(label), counts["requests"]) for label, counts in stats.endpoints.items()),
        ("prompt tokens", stats.prompt_tokens),
        ("completion tokens", stats.completion_tokens),
    ):
        traffic.add_row(name, f"{count:,}", style="" if count else "dim")
    return Columns([ended, faults, traffic], padding=(1, 4))


def _latencies(stats: Snapshot) -> Table:
    table = _table("Latency, ms", "count", "mean", "p50", "p90", "p99", "p99.9", "max")
    latency = stats.latency
    for name, row in (
        ("first token", latency.ttft_ms),
        ("inter-token", latency.inter_token_ms),
        ("end to end", latency.end_to_end_ms),
        ("lateness", latency.lateness_ms),
    ):
        late = row is latency.lateness_ms
        cells = [
            Text(_ms(value), _level(value) if late else "")
            for value in (row.mean, row.p50, row.p90, row.p99, row.p99_9, row.max)
        ]
        table.add_row(name, _short(row.count), *cells, style="" if row.count else "dim")
    return table


def _breakdown(stats: Snapshot) -> Table:
    """Render the latencies of each endpoint and of each model, where there are several."""
    table = _table("Latency by, ms", "TTFT p50", "p99", "ITL p50", "p99", "E2E p50", "p99")
    models = list(stats.latency_by_model.items())
    parts = [list(stats.latency_by_endpoint.items()), models[:_MODELS_SHOWN]]
    for found in parts:
        for name, latency in found if len(found) > 1 else ():
            rows = (latency.ttft_ms, latency.inter_token_ms, latency.end_to_end_ms)
            table.add_row(_truncated(name, 24), *(_ms(value) for row in rows for value in (row.p50, row.p99)))
        if len(found) > 1:
            table.add_section()
    return table


def _models(stats: Snapshot) -> Table:
    table = _table("Model", "requests", "prompt", "completion")
    models = list(stats.models.items())
    for name, counts in models[:_MODELS_SHOWN]:
        table.add_row(
            _truncated(name),
            f"{counts['requests']:,}",
            f"{counts['prompt_tokens']:,}",
            f"{counts['completion_tokens']:,}",
        )
    hidden = [counts for _, counts in models[_MODELS_SHOWN:]]
    if hidden:
        table.add_row(
            f"{len(hidden)} more",
            f"{sum(counts['requests'] for counts in hidden):,}",
            f"{sum(counts['prompt_tokens'] for counts in hidden):,}",
            f"{sum(counts['completion_tokens'] for counts in hidden):,}",
            style="dim",
        )
    return table


def _workers(stats: Snapshot) -> Table:
    table = _table("Worker", "pid", "cpu %", "wait %", "lag ms", "streams", "requests", "in flight", "tokens")
    for worker in stats.workers:
        state = "" if worker.alive else " (gone)"
        cpu, wait, lag = worker.cpu_percent, worker.cpu_wait_percent, worker.loop_lag_ms
        table.add_row(
            f"{worker.slot}{state}",
            "" if worker.pid is None else str(worker.pid),
            Text(_NONE if cpu is None else f"{cpu:.0f}", _level(cpu, *_CPU)),
            Text(_NONE if wait is None else f"{wait:.0f}", _level(wait, *_WAIT)),
            Text(_NONE if lag is None else _ms(lag.max), _level(None if lag is None else lag.max)),
            _NONE if worker.open_streams is None else f"{worker.open_streams:,}",
            f"{worker.requests:,}",
            f"{worker.active:,}",
            _short(worker.tokens),
            style="" if worker.alive else "dim",
        )
    return table


def _table(title: str, *headings: str) -> Table:
    """Create a table: names on the left, figures on the right, wide enough that growing figures do not shift."""
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False, header_style="bold"
    )
    table.add_column(title, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True, min_width=_FIGURE_WIDTHS.get(heading, 6))
    return table


def _share(name: str, count: int, total: int, style: str) -> tuple[Text, Text, Text]:
    style = style if count else "dim"
    share = f"{100 * count / total:.1f}" if count else ""
    return Text(name, style), Text(f"{count:,}", style), Text(share, "dim")


def _level(value: float | None, yellow: float = TIGHT_MS, red: float = LATE_MS) -> str:
    if value is None or value < yellow:
        return ""
    return "red" if value >= red else "yellow"


def _ms(value: float | None) -> str:
    if value is None:
        return _NONE
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def _rate(value: float) -> str:
    return f"{value:,.1f}" if 0.0 < value < 100.0 else f"{value:,.0f}"


def _short(count: int) -> str:
    """Format a count in at most five characters: `12`, `1.2k`, `340M`."""
    value, suffixes = float(count), "kMGTP"
    while value >= 999.5:
        value, suffixes = value / 1000, suffixes[1:]
    suffix = "kMGTP"[: 5 - len(suffixes)][-1:]
    return f"{value:.1f}{suffix}" if suffix and value < 9.95 else f"{value:.0f}{suffix}"


def _truncated(name: str, width: int = _NAME_WIDTH) -> Text:
    text = Text(printable(name))
    text.truncate(width, overflow="ellipsis")
    return text


def _spaced(parts: Sequence[RenderableType]) -> list[RenderableType]:
    spaced: list[RenderableType] = []
    for part in parts:
        spaced += [part, ""]
    return spaced[:-1]
