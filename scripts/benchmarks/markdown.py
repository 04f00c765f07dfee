"""The results as tables in a documentation page."""

import re
import statistics
from collections.abc import Iterable

from .report import (
    format_environment,
    format_errors,
    format_headline,
    format_milliseconds,
    format_number,
    is_disturbed,
    list_notes,
)
from .results import Closed, Paced, Results
from .targets import TARGETS

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
_PLACE = re.compile(rf"^{BEGIN}\n.*?^{END}$", re.MULTILINE | re.DOTALL)


def has_markers(page: str) -> bool:
    """Return whether a page has the markers between which results are put."""
    return _PLACE.search(page) is not None


def replace_tables(page: str, results: Results) -> str:
    """Return a page with these results instead of those it has."""
    return _PLACE.sub(lambda _: f"{BEGIN}\n{_render(results)}\n{END}", page, count=1)


def _table(head: str, rows: Iterable[Iterable[str]], *, words: int = 0) -> str:
    columns = [column.strip() for column in head.split("|")]
    # Figures are aligned to the right; verdicts at the end and the first `words` columns to the left.
    rules = ["---" if i < words or i == len(columns) - 1 else "---:" for i in range(len(columns))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rules, *rows))


def _format_verdict(row: Closed | Paced) -> str:
    verdict = (row.problem or "ok") + (", shared core" if row.shared else "")
    return verdict + (f", others {row.foreign:.0%}" if is_disturbed(row) else "")


def _format_server(row: Closed | Paced) -> str:
    return row.target if row.workers is None else format_number(row.workers)


def _closed(results: Results, part: str) -> list[str]:
    rows = [row for row in results.closed if row.part == part]
    if not rows:
        return []
    cells: list[tuple[str, ...]]
    if part == "throughput":
        title, head = (
            "Unstreamed replies of 16 tokens",
            "workers | open | requests/s | p50 ms | p99 ms | errors | us each |",
        )
        cells = [
            (_format_server(row), format_number(row.connections), format_number(row.requests_per_second))
            for row in rows
        ]
    else:
        title, head = (
            "Streamed replies at once",
            "workers | open | tokens | streams/s | tokens/s | p50 ms | p99 ms | errors | us each |",
        )
        cells = [
            (
                *(
                    _format_server(row),
                    format_number(row.connections),
                    f"{row.tokens:g}",
                    format_number(row.requests_per_second),
                ),
                format_number(row.tokens_per_second),
            )
            for row in rows
        ]
    tails = [
        (
            format_milliseconds(row.p50_ms),
            format_milliseconds(row.p99_ms),
            format_errors(row.error_share),
            format_number(row.server_us),
            _format_verdict(row),
        )
        for row in rows
    ]
    return [f"### {title}", _table(head, [(*one, *two) for one, two in zip(cells, tails, strict=True)])]


def _paced(results: Results) -> list[str]:
    if not results.paced:
        return []
    ttft, gap = results.pace_ms
    rows = [
        (
            *(
                _format_server(row),
                format_number(row.streams),
                format_number(row.tokens_per_second),
                format_milliseconds(row.p50_ms),
            ),
            *(
                format_milliseconds(row.p99_ms),
                format_milliseconds(row.p999_ms),
                format_milliseconds(row.drift_ms),
            ),
            *(format_number(row.stream_kb, 1), format_number(row.server_us, 1), _format_verdict(row)),
        )
        for row in results.paced
    ]
    head = "workers | streams | tokens/s | p50 late ms | p99 | p99.9 | drift ms | kB each | us a token |"
    note = f"First token after {ttft:g} ms, then one every {gap:g} ms, {results.reply_tokens} tokens a reply."
    return ["### Held streams", note, _table(head, rows)]


def _targets(results: Results) -> list[str]:
    rows = []
    for target in TARGETS:
        figure = target.measured(results)
        if figure is not None:
            wanted = ("≤ " if target.most else "≥ ") + f"{target.wanted:,g}"
            verdict = "reached" if target.reached(figure) else "short"
            rows.append(
                (target.what, format_number(figure, 0 if target.wanted > 100 else 2), wanted, verdict)
            )
    return (
        ["### Targets", _table("one worker on a core of its own | measured | target |", rows, words=1)]
        if rows
        else []
    )


def _render(results: Results) -> str:
    parts = [
        f"> {format_headline(results)}",
        f"```text\n{format_environment(results)}\n```",
        f"`{results.command}`, {results.taken_at[:10]}.",
    ]
    parts += _closed(results, "throughput") + _closed(results, "streams") + _paced(results)
    if results.start_up:
        parts += [
            "### Start",
            f"{statistics.median(results.start_up):.2f} s to the first reply, of {len(results.start_up)} starts.",
        ]
    if results.headroom:
        parts += ["### Headroom of the client"]
        rows = [
            (
                limit.part,
                f"{format_number(limit.ceiling)} {limit.unit}",
                f"{limit.times:.1f}",
                format_milliseconds(limit.p99_ms),
            )
            for limit in results.headroom
        ]
        parts += [_table("part | with a trivial server | times llmsim's | p99 late ms", rows, words=1)]
    parts += _targets(results)
    parts += [f"*{note}*" for note in list_notes(results)]
    return "\n\n".join(parts)
