"""What the dashboard's tables hold: columns, and rows of a snapshot.

Decisions:
* Columns have ranks: a narrow terminal shows those of low rank only, so that none is cut.
* Names come from the network: they become `Text` of printable characters, never markup.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from rich.text import Text

from llmsim.cli.figures import CPU, LARGE, NONE, WAIT, level, milliseconds, short, truncated
from llmsim.cli.resources_view import count_errors, count_unfinished
from llmsim.cli.stats_view import fault_counts, outcome_counts
from llmsim.stats import Snapshot
from llmsim.stats.snapshot import RequestLatencies

Value = str | int | float | None


class Column(msgspec.Struct, frozen=True):
    """A column of figures.

    Attributes:
        title: Its name where it stands alone.
        label: Its heading.
        width: Cells, with the blank before it.
        render: Formats a value.
        rank: 0 if it is always shown; the higher, the sooner it is left out.
    """

    title: str
    label: str
    width: int
    render: Callable[[Any], Text]
    rank: int = 0


class Row(msgspec.Struct, frozen=True):
    """A row.

    Attributes:
        name: What it is about, as it came from the stats.
        values: One for each column; None if unknown.
        style: Style of its name.
    """

    name: str
    values: tuple[Value, ...]
    style: str = ""


class TableSpec(msgspec.Struct, frozen=True):
    """A table.

    Attributes:
        name: Identifies it; also its title, in lower case.
        heading: Of the column of names.
        name_width: Cells of that column, at least and at most.
        columns: Those of figures.
        rows: Returns the rows of a snapshot, in the order in which they are shown unsorted.
    """

    name: str
    heading: str
    name_width: tuple[int, int]
    columns: tuple[Column, ...]
    rows: Callable[[Snapshot], list[Row]]


def fit_columns(spec: TableSpec, width: int) -> tuple[int, list[int]]:
    """Choose the columns for which there is room.

    Args:
        spec: The table.
        width: Cells of the table.

    Returns:
        The width of the names, and the places of the columns.
    """
    columns = spec.columns
    least, most = spec.name_width
    for rank in sorted({column.rank for column in columns}, reverse=True):
        places = [place for place, column in enumerate(columns) if column.rank <= rank]
        left = width - sum(columns[place].width for place in places)
        if left >= least or rank == 0:
            break
    return min(max(left, least), most), places


def sort_rows(rows: Sequence[Row], place: int | None, *, descending: bool) -> list[Row]:
    """Sort rows.

    Args:
        rows: As they come.
        place: Of the column; -1 for the name, None to leave the order as it is.
        descending: Whether the largest is first; unknown values are last in any case.
    """
    if place is None:
        return list(reversed(rows)) if descending else list(rows)
    if place < 0:
        return sorted(rows, key=lambda row: row.name, reverse=descending)
    known = [row for row in rows if row.values[place] is not None]
    known.sort(key=lambda row: row.values[place], reverse=descending)  # type: ignore[arg-type,return-value]  # of one type in a column
    return known + [row for row in rows if row.values[place] is None]


def render_name(name: str, width: int, style: str) -> Text:
    """Return a row's name as text that cannot control the terminal."""
    text = truncated(name, width)
    text.stylize(style)
    return text


def _figure(value: int) -> str:
    """Format a count in at most six characters."""
    return f"{value:,}" if value < LARGE else short(value)


def _count(value: int | None) -> Text:
    return Text(NONE if value is None else _figure(value), "" if value else "dim")


def _short(value: int) -> Text:
    return Text(short(value), "" if value else "dim")


def _error(value: int) -> Text:
    return Text(_figure(value), "red" if value else "dim")


def _ms(value: float | None) -> Text:
    return Text(milliseconds(value), "dim" if value is None else "")


def _lag(value: float | None) -> Text:
    text = _ms(value)
    text.stylize(level(value))
    return text


def _percent(limits: tuple[float, float]) -> Callable[[float | None], Text]:
    return lambda value: Text(NONE, "dim") if value is None else Text(f"{value:.0f}", level(value, *limits))


def _share(value: float) -> Text:
    return Text(f"{value:.1f}", "" if value else "dim")


def _number(value: int | None) -> Text:
    return Text("" if value is None else str(value), "dim")


_LATENCIES = (
    Column("TTFT p50", "TTFT p50", 9, _ms),
    Column("TTFT p99", "p99", 7, _ms, rank=1),
    Column("ITL p50", "ITL p50", 8, _ms),
    Column("ITL p99", "p99", 7, _ms, rank=1),
    Column("E2E p50", "E2E p50", 8, _ms),
    Column("E2E p99", "p99", 7, _ms, rank=1),
)


def _latency_values(latencies: Mapping[str, RequestLatencies], name: str) -> tuple[float | None, ...]:
    found = latencies.get(name)
    if found is None:
        return (None,) * len(_LATENCIES)
    rows = (found.ttft_ms, found.inter_token_ms, found.end_to_end_ms)
    return tuple(value for row in rows for value in (row.p50, row.p99))


def _models(stats: Snapshot) -> list[Row]:
    return [
        Row(
            name,
            (
                *(counts[each] for each in ("requests", "prompt_tokens", "completion_tokens")),
                *_latency_values(stats.latency_by_model, name),
            ),
        )
        for name, counts in stats.models.items()
    ]


def _endpoints(stats: Snapshot) -> list[Row]:
    return [
        Row(
            name,
            (
                counts["requests"],
                counts["active"],
                count_errors(counts),
                count_unfinished(counts),
                *_latency_values(stats.latency_by_endpoint, name),
            ),
        )
        for name, counts in (stats.endpoints | stats.resources).items()
        if counts["requests"]
    ]


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _hosts(stats: Snapshot) -> list[Row]:
    rows = []
    for host in stats.hosts or ():
        workers = [worker for worker in stats.workers if worker.host == host.host]
        lags = [worker.loop_lag_ms.max for worker in workers if worker.loop_lag_ms is not None]
        values = (
            None,
            _total([worker.cpu_percent for worker in workers]),
            _total([worker.cpu_wait_percent for worker in workers]),
            max(lags, default=None),
            sum(worker.open_streams or 0 for worker in workers),
            host.requests,
            host.active,
            host.tokens,
        )
        is_up = host.state == "up"
        rows.append(
            Row(host.host if is_up else f"{host.host} ({host.state})", values, "bold" if is_up else "dim")
        )
    return rows


def _workers(stats: Snapshot) -> list[Row]:
    return _hosts(stats) + [
        Row(
            (f"{worker.host}/" if worker.host else "")
            + (f"{worker.slot}" if worker.alive else f"{worker.slot} (gone)"),
            (
                worker.pid,
                worker.cpu_percent,
                worker.cpu_wait_percent,
                None if worker.loop_lag_ms is None else worker.loop_lag_ms.max,
                worker.open_streams,
                worker.requests,
                worker.active,
                worker.tokens,
            ),
            "" if worker.alive else "dim",
        )
        for worker in stats.workers
    ]


def _outcomes(stats: Snapshot) -> list[Row]:
    total = stats.total_requests
    counts = [
        *((name, count, style) for name, count, style in outcome_counts(stats)),
        *((name, count, "red") for name, count in fault_counts(stats)),
    ]
    return [
        Row(name, (count, 100 * count / total if total else 0.0), style if count else "dim")
        for name, count, style in counts
        if name not in ("finished", "in flight")
    ]


TABLES = (
    TableSpec(
        "models",
        "model",
        (16, 64),
        (
            Column("requests", "requests", 9, _count),
            Column("prompt tokens", "prompt", 8, _short, rank=3),
            Column("completion tokens", "compl.", 8, _short, rank=2),
            *_LATENCIES,
        ),
        _models,
    ),
    TableSpec(
        "endpoints",
        "endpoint",
        (14, 32),
        (
            Column("requests", "requests", 9, _count),
            Column("in flight", "in flight", 10, _count, rank=2),
            Column("errors", "errors", 7, _error),
            Column("refused, abandoned, aborted", "unfinished", 11, _count, rank=3),
            *_LATENCIES,
        ),
        _endpoints,
    ),
    TableSpec(
        "workers",
        "worker",
        (9, 32),
        (
            Column("pid", "pid", 9, _number, rank=2),
            Column("cpu %", "cpu %", 7, _percent(CPU)),
            Column("wait %", "wait %", 7, _percent(WAIT), rank=1),
            Column("lag ms", "lag ms", 8, _lag),
            Column("streams", "streams", 8, _count),
            Column("requests", "requests", 9, _count, rank=1),
            Column("in flight", "in flight", 10, _count, rank=2),
            Column("tokens", "tokens", 7, _short),
        ),
        _workers,
    ),
    TableSpec(
        "errors",
        "outcome",
        (16, 32),
        (
            Column("requests", "requests", 9, _count),
            Column("% of all", "%", 6, _share),
        ),
        _outcomes,
    ),
)
