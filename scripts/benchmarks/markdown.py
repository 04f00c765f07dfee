"""The results as a part of a documentation page."""

import re
import statistics
from collections.abc import Iterable

from .report import disturbed, environment, milliseconds, notes, number, quotable
from .results import Closed, Paced, Results
from .targets import TARGETS

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
_PLACE = re.compile(rf"^{BEGIN}\n.*?^{END}$", re.MULTILINE | re.DOTALL)


def has_place(page: str) -> bool:
    """Tell whether a page has a place for results."""
    return _PLACE.search(page) is not None


def put(page: str, results: Results) -> str:
    """Give a page with these results in place of those it has."""
    return _PLACE.sub(lambda _: f"{BEGIN}\n{_part(results)}\n{END}", page, count=1)


def _table(head: str, rows: Iterable[Iterable[str]], *, words: int = 0) -> str:
    columns = [column.strip() for column in head.split("|")]
    # Figures are to the right, verdicts at the end and `words` columns in front to the left.
    rules = ["---" if i < words or i == len(columns) - 1 else "---:" for i in range(len(columns))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rules, *rows))


def _verdict(row: Closed | Paced) -> str:
    said = (row.problem or "ok") + (", shared core" if row.shared else "")
    return said + (f", others {row.foreign:.0%}" if disturbed(row) else "")


def _who(row: Closed | Paced) -> str:
    return row.target if row.workers is None else number(row.workers)


def _errors(share: float) -> str:
    return "0" if share == 0 else f"{share:.2%}"


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
        cells = [(_who(row), number(row.connections), number(row.requests_per_second)) for row in rows]
    else:
        title, head = (
            "Streamed replies at once",
            "workers | open | tokens | streams/s | tokens/s | p50 ms | p99 ms | errors | us each |",
        )
        cells = [
            (
                *(_who(row), number(row.connections), f"{row.tokens:g}", number(row.requests_per_second)),
                number(row.tokens_per_second),
            )
            for row in rows
        ]
    tails = [
        (
            milliseconds(row.p50_ms),
            milliseconds(row.p99_ms),
            _errors(row.error_share),
            number(row.server_us),
            _verdict(row),
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
            *(_who(row), number(row.streams), number(row.tokens_per_second), milliseconds(row.p50_ms)),
            *(milliseconds(row.p99_ms), milliseconds(row.p999_ms), milliseconds(row.drift_ms)),
            *(number(row.stream_kb, 1), number(row.server_us, 1), _verdict(row)),
        )
        for row in results.paced
    ]
    head = "workers | streams | tokens/s | p50 late ms | p99 | p99.9 | drift ms | kB each | us a token |"
    said = f"First token after {ttft:g} ms, then one every {gap:g} ms, {results.reply_tokens} tokens a reply."
    return ["### Held streams", said, _table(head, rows)]


def _targets(results: Results) -> list[str]:
    rows = []
    for target in TARGETS:
        figure = target.measured(results)
        if figure is not None:
            wanted = ("≤ " if target.most else "≥ ") + f"{target.wanted:,g}"
            verdict = "reached" if target.reached(figure) else "short"
            rows.append((target.what, number(figure, 0 if target.wanted > 100 else 2), wanted, verdict))
    return (
        ["### Targets", _table("one worker on a core of its own | measured | target |", rows, words=1)]
        if rows
        else []
    )


def _part(results: Results) -> str:
    parts = [
        f"> {quotable(results)}",
        f"```text\n{environment(results)}\n```",
        f"`{results.command}`, {results.taken_at[:10]}.",
    ]
    parts += _closed(results, "throughput") + _closed(results, "streams") + _paced(results)
    if results.start_up:
        parts += [
            "### Start",
            f"{statistics.median(results.start_up):.2f} s to the first answer, of {len(results.start_up)} starts.",
        ]
    if results.headroom:
        parts += ["### Headroom of the client"]
        rows = [
            (room.part, f"{number(room.ceiling)} {room.unit}", f"{room.times:.1f}", milliseconds(room.p99_ms))
            for room in results.headroom
        ]
        parts += [_table("part | with a trivial server | times llmsim's | p99 late ms", rows, words=1)]
    parts += _targets(results)
    parts += [f"*{note}*" for note in notes(results)]
    return "\n\n".join(parts)
