"""The comparison as a table, as a page with charts, and as files for programs."""

import html
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from loadtest.charts import render_chart
from loadtest.distances import PERCENTILES, Measure
from loadtest.page import STYLE
from loadtest.replay.comparison import Comparison, Part, pairs
from loadtest.replay.schedule import Outcome
from loadtest.time_charts import build_charts
from loadtest.time_table import build_table, format_ms, format_share

LATE_MS = 20.0
"""From here on the client itself distorts what it measures."""

_WIDTH = 120


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print the tables and the notes."""
    wide = Console(highlight=False)
    console = console or (wide if wide.is_terminal else Console(highlight=False, width=_WIDTH))
    for part in comparison.parts:
        console.print(build_table(_heading(part), part.measures, "replay"))
    for line in describe_run(comparison):
        console.print(f" {line}", soft_wrap=True)


def describe_run(comparison: Comparison) -> list[str]:
    """Return what is to be known about the run besides its times."""
    done = comparison.requests - comparison.failed
    mean, high, most = comparison.late_ms
    counts = f"{comparison.requests:,} requests, {comparison.failed:,} failed"
    lengths = f"prompt as long as recorded in {comparison.exact_prompts:,} of {done:,}, output in {comparison.exact_completions:,}"
    lateness = f"sent {mean:.1f} ms late in the mean, p99 {high:.1f} ms, at most {most:.1f} ms"
    lines = [
        f"{counts}; {lengths}",
        f"client: {lateness}; its event loop lagged {comparison.lag_p99_ms:.1f} ms (p99)",
    ]
    if max(high, comparison.lag_p99_ms) >= LATE_MS:
        lines.append(
            f"warning: the client was {LATE_MS:g} ms late and more: free its cores and repeat, the times are not the "
            "server's alone"
        )
    if not comparison.parts:
        lines.append("the recording has no times to compare with")
    lines += [f"failed {count:,} times: {reason}" for reason, count in comparison.failures.items()]
    return lines


def write_files(
    folder: Path, title: str, target: str, comparison: Comparison, outcomes: Sequence[Outcome]
) -> None:
    """Write the page, the figures, and what was measured as a trace of the same format."""
    (folder / "report.html").write_text(
        render_page(title, target, comparison, outcomes), encoding="utf-8", newline="\n"
    )
    encoded = msgspec.json.format(msgspec.json.encode(comparison), indent=2)
    (folder / "comparison.json").write_bytes(encoded + b"\n")
    (folder / "measured.jsonl").write_bytes(b"".join(_encode_row(outcome) for outcome in outcomes))


def render_page(title: str, target: str, comparison: Comparison, outcomes: Sequence[Outcome]) -> str:
    """Return the page; it makes no request and runs no script."""
    found = {
        measure: [
            (outcome.request.arrival, pair) for outcome in outcomes for pair in pairs([outcome], measure)
        ]
        for measure in ("ttft", "e2e")
    }
    charts = "".join(
        render_chart(chart.title, chart.unit, chart.times, chart.curves)
        for chart in build_charts(found, "replay")
    )
    notes = "".join(f"<div>{html.escape(line)}</div>" for line in describe_run(comparison))
    tables = "".join(_html_table(part) for part in comparison.parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<h1>{html.escape(title)}</h1><div class="dim">{html.escape(target)}</div>{tables}'
        f'<h2>Charts</h2><div class="charts">{charts}</div><h2>The run</h2>{notes}</body></html>\n'
    )


_HEADINGS = ("ms", *(name for share in PERCENTILES for name in (f"p{100 * share:g}", "replay", "")))
_ERRORS = ("mean error", "median", "K-S")


def _cells(measure: Measure) -> list[str]:
    cells = [measure.name.upper()]
    for recorded, measured, error in zip(measure.recorded, measure.found, measure.errors, strict=True):
        cells += [format_ms(recorded), format_ms(measured), f"{100 * error:+.1f} %"]
    return [*cells, format_share(measure.mean_error), format_share(measure.median_error), f"{measure.ks:.3f}"]


def _heading(part: Part) -> str:
    return f"{part.name}: {max((measure.count for measure in part.measures), default=0):,} requests"


def _html_table(part: Part) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in (*_HEADINGS, *_ERRORS))
    rows = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in _cells(measure))}</tr>"
        for measure in part.measures
    )
    return (
        f'<h2>{html.escape(_heading(part))}</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


class _Row(msgspec.Struct):
    arrival_ms: float
    prompt_tokens: int
    completion_tokens: int
    ttft_ms: float | msgspec.UnsetType = msgspec.UNSET
    e2e_ms: float | msgspec.UnsetType = msgspec.UNSET


def _encode_row(outcome: Outcome) -> bytes:
    request = outcome.request
    row = _Row(
        round(1000 * request.arrival, 2),
        outcome.prompt_tokens or request.prompt_tokens,
        outcome.completion_tokens or request.completion_tokens,
    )
    if outcome.ttft is not None and outcome.e2e is not None:
        row.ttft_ms, row.e2e_ms = round(1000 * outcome.ttft, 2), round(1000 * outcome.e2e, 2)
    return msgspec.json.encode(row) + b"\n"
