"""The report of a run as one HTML page: verdict, gates, charts, tables.

Decisions:
* The page is self-contained: no script and no request, which its policy also forbids. It can be mailed or archived.
* Every text is escaped: names and messages of failures come from the server under test.
"""

import html
from collections.abc import Iterable

from rich.text import Text

from loadtest.charts import Curve, render_chart
from loadtest.report import format_notes
from loadtest.series import Point
from loadtest.summary import Spread, Summary
from loadtest.target import describe_target

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2128;--dim:#5d6773;--line:#dfe3e8;--card:#f6f8fa;--good:#1a7f37;
--bad:#cf222e;--warn:#9a6700;--a:#0969da;--b:#bc4c00;--c:#8250df}
@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--fg:#e6edf3;--dim:#9aa4af;--line:#30363d;--card:#161b22;
--good:#3fb950;--bad:#ff7b72;--warn:#d29922;--a:#58a6ff;--b:#f0883e;--c:#bc8cff}}
*{box-sizing:border-box}
body{margin:0 auto;padding:24px;max-width:1240px;background:var(--bg);color:var(--fg);
font:15px/1.45 system-ui,"Segoe UI",Helvetica,Arial,sans-serif}
h1{font-size:24px;margin:0 0 4px}h2{font-size:17px;margin:28px 0 8px}
.dim{color:var(--dim)}.passed{color:var(--good)}.failed{color:var(--bad)}.warning{color:var(--warn)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin:18px 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 14px}
.card b{display:block;font-size:20px;white-space:nowrap;font-variant-numeric:tabular-nums}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:16px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 12px}
figcaption{display:flex;flex-wrap:wrap;gap:4px 8px;color:var(--dim);font-size:14px}figcaption b{color:var(--fg)}
.legend{margin-left:auto}.key{margin-left:10px;white-space:nowrap}
.key i{display:inline-block;width:12px;height:3px;margin-right:5px;vertical-align:middle;background:var(--a)}
.key i.b{background:var(--b)}.key i.c{background:var(--c)}.key i.bad{background:var(--bad)}
svg{display:block;width:100%;height:auto}svg text{fill:var(--dim);font-size:12px}
.grid{stroke:var(--line)}polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}
polyline.a{stroke:var(--a)}polyline.b{stroke:var(--b)}polyline.c{stroke:var(--c)}polyline.bad{stroke:var(--bad)}
circle.a{fill:var(--a)}circle.b{fill:var(--b)}circle.c{fill:var(--c)}circle.bad{fill:var(--bad)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:5px 10px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th{color:var(--dim);font-weight:600}th:first-child,td:first-child,td.text,th.text{text-align:left}
td.text{white-space:normal;overflow-wrap:anywhere}
"""


def render_page(summary: Summary) -> str:
    """Return the page."""
    verdict = "passed" if summary.passed else "failed"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(summary.suite)}: {verdict}</title><style>{STYLE}</style></head><body>"
        f"{_head(summary, verdict)}{_cards(summary)}{_gates(summary)}{_charts(summary.series)}"
        f"{_requests(summary)}{_failures(summary)}{_notes(summary)}</body></html>\n"
    )


def _head(summary: Summary, verdict: str) -> str:
    target = describe_target(summary.target)
    lines = [f'<div class="dim">{html.escape(target[0])}</div>']
    lines += [f'<div class="warning">{html.escape(line)}</div>' for line in target[1:]]
    if not summary.is_complete:
        lines.append('<div class="failed">The run was interrupted.</div>')
    return (
        f'<h1>{html.escape(summary.suite)}: <span class="{verdict}">{verdict}</span></h1>'
        f'<div class="dim">{html.escape(summary.host)} · {html.escape(summary.started_at)} · {summary.seconds:g} s</div>'
        + "".join(lines)
    )


def _cards(summary: Summary) -> str:
    figures = summary.figures
    cards = [
        ("requests", f"{summary.requests:,}"),
        ("failed", f"{summary.failed:,}"),
        ("requests/s", f"{summary.requests_per_second:,.1f}"),
        ("tokens/s", f"{summary.tokens_per_second:,.0f}"),
        *((f"{name.upper()} p95", _ms(figures.get(f"{name}_p95_ms"))) for name in ("ttft", "itl", "e2e")),
    ]
    return (
        '<div class="cards">'
        + "".join(
            f'<div class="card"><b>{value}</b><span class="dim">{name}</span></div>' for name, value in cards
        )
        + "</div>"
    )


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{_number(value)} ms"  # noqa: RUF001 - a dash


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]], text: frozenset[int] = frozenset()) -> str:
    """Return a table.

    Args:
        headings: Headings, escaped here.
        rows: Cells as HTML.
        text: Columns of text.
    """
    style = [f"{' class=text' if index in text else ''}" for index in range(20)]
    head = "".join(f"<th{style[index]}>{html.escape(name)}</th>" for index, name in enumerate(headings))
    body = "".join(
        f"<tr>{''.join(f'<td{style[index]}>{cell}</td>' for index, cell in enumerate(row))}</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _gates(summary: Summary) -> str:
    rows = []
    for gate in summary.gates:
        state = "passed" if gate.passed else "failed"
        found = "nothing measured" if gate.found is None else f"{gate.found:,.4g}"
        rows.append(
            (html.escape(gate.figure), f"{gate.at_most:,g}", found, f'<span class="{state}">{state}</span>')
        )
    table = _table(("figure", "at most", "found", ""), rows) if rows else '<p class="dim">none</p>'
    return f"<h2>Gates</h2>{table}"


def _charts(points: tuple[Point, ...]) -> str:
    if len(points) < 2:
        return ""
    times = [point.at for point in points]

    def curve(name: str, style: str, values: Iterable[float | None]) -> Curve:
        return Curve(name, style, tuple(values))

    def percentiles(measure: str) -> list[Curve]:
        found = [getattr(point, measure) for point in points]
        return [
            curve(name, style, (values[index] for values in found))
            for index, (name, style) in enumerate((("p50", "a"), ("p95", "b"), ("p99", "c")))
        ]

    charts = [
        (
            "Rate",
            "requests/s",
            [
                curve("all", "a", (point.requests_per_second for point in points)),
                curve("failed", "bad", (point.failures_per_second for point in points)),
            ],
        ),
        ("Tokens", "tokens/s", [curve("output", "a", (point.tokens_per_second for point in points))]),
        ("Time to first token", "ms", percentiles("ttft")),
        ("Inter-token latency", "ms", percentiles("itl")),
        ("End-to-end latency", "ms", percentiles("e2e")),
    ]
    if any(point.users is not None for point in points):
        charts.append(("Users", "users", [curve("users", "a", (point.users for point in points))]))
    return (
        '<h2>Over time</h2><div class="charts">'
        + "".join(render_chart(title, unit, times, curves) for title, unit, curves in charts)
        + "</div>"
    )


_COLUMNS = (
    ("ttft", ("p50", "p95", "p99")),
    ("itl", ("p50", "p95", "p99")),
    ("e2e", ("p50", "p95", "p99")),
)


def _requests(summary: Summary) -> str:
    headings = ["ms", "requests", "failed"]
    headings += [f"{measure.upper()} {part}" for measure, parts in _COLUMNS for part in parts]
    rows = []
    for line in summary.lines:
        failed = f'<span class="failed">{line.failures:,}</span>' if line.failures else "0"
        spreads: list[tuple[Spread, tuple[str, ...]]] = [
            (getattr(line, measure), parts) for measure, parts in _COLUMNS
        ]
        cells = [_number(getattr(spread, part)) for spread, parts in spreads for part in parts]
        rows.append((html.escape(line.name), f"{line.requests:,}", failed, *cells))
    return f"<h2>Requests</h2>{_table(headings, rows)}"


def _failures(summary: Summary) -> str:
    if not summary.failures:
        return ""
    rows = (
        (html.escape(failure.name), f"{failure.count:,}", html.escape(failure.message))
        for failure in summary.failures
    )
    return f"<h2>Failures</h2>{_table(('of', 'count', 'what happened'), rows, frozenset({2}))}"


def _notes(summary: Summary) -> str:
    lines = "".join(
        f"<div>{html.escape(Text.from_markup(line).plain)}</div>" for line in format_notes(summary)
    )
    return (
        f'<h2>Whose times are these?</h2>{lines}<p class="dim">All figures are in summary.json; '
        "Locust's own report is locust.html, its tables are the CSV files.</p>"
    )
