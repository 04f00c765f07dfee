"""The results as tables in a documentation page."""

import re
import statistics

from .report import (
    ResultTable,
    format_environment,
    format_headline,
    format_milliseconds,
    format_number,
    list_notes,
    list_tables,
    list_targets,
)
from .results import Results

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
_PLACE = re.compile(rf"^{BEGIN}\n.*?^{END}$", re.MULTILINE | re.DOTALL)


def has_markers(page: str) -> bool:
    """Return whether a page has the markers between which results are put."""
    return _PLACE.search(page) is not None


def replace_tables(page: str, results: Results) -> str:
    """Return a page with these results instead of those it has."""
    return _PLACE.sub(lambda _: f"{BEGIN}\n{_render(results)}\n{END}", page, count=1)


def _section(table: ResultTable) -> list[str]:
    # Figures are aligned to the right; verdicts at the end and the first columns of text to the left.
    last = len(table.columns) - 1
    rules = ["---" if place < table.words or place == last else "---:" for place in range(last + 1)]
    lines = "\n".join(f"| {' | '.join(cells)} |" for cells in (table.columns, rules, *table.rows))
    return [f"### {table.title}", *([table.note] if table.note else []), lines] if table.rows else []


def _render(results: Results) -> str:
    parts = [
        f"> {format_headline(results)}",
        f"```text\n{format_environment(results)}\n```",
        f"`{results.command}`, {results.taken_at[:10]}.",
    ]
    for table in list_tables(results):
        parts += _section(table)
    if results.start_up:
        parts += [
            "### Start",
            f"{statistics.median(results.start_up):.2f} s to the first reply, of {len(results.start_up)} starts.",
        ]
    rows = [
        (
            limit.part,
            f"{format_number(limit.ceiling)} {limit.unit}",
            f"{limit.times:.1f}",
            format_milliseconds(limit.p99_ms),
            format_number(limit.server_us, 1),
        )
        for limit in results.headroom
    ]
    columns = ("part", "with a trivial server", "times llmsim's", "p99 late ms", "its us an event")
    parts += _section(ResultTable("Headroom of the client", "", columns, rows, words=1))
    parts += _section(list_targets(results))
    parts += [f"*{note}*" for note in list_notes(results)]
    return "\n\n".join(parts)
