"""The results as a chart: one SVG of up to four panels, without a library.

Decisions:
* Each point has its figures as a title, which a browser shows under the pointer: the chart has all the data.
* The background is drawn in white, so that the chart can be read in a dark page as well.
"""

import math
from html import escape

import msgspec

from .report import CAVEAT, format_headline, format_milliseconds
from .results import MOST_LATE_MS, Results

# Okabe and Ito's colours, which colour-blind people can distinguish.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666")
_WIDTH, _PLOT, _TOP, _BOTTOM = 560, 228, 64, 52
_LEFT_MARGIN, _RIGHT_MARGIN, _UPPER_MARGIN, _LOWER_MARGIN, _LEGEND_LINE = 74, 24, 44, 66, 19

_STYLE = """<style>
text { font-family: system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #222 }
.head { font-size: 19px; font-weight: 600 }
.title { font-size: 15px; font-weight: 600 }
.label { font-size: 12.5px; fill: #444 }
.tick { font-size: 12px; fill: #444 }
.note { font-size: 11.5px; fill: #666 }
.grid { stroke: #e4e4e4 }
.axis { stroke: #888 }
.limit { stroke: #b00020; stroke-dasharray: 2 3 }
.limit-label { font-size: 11.5px; fill: #b00020 }
</style>"""


class Point(msgspec.Struct, frozen=True):
    """One measurement: its position and its title."""

    x: float
    y: float
    title: str


class Series(msgspec.Struct, frozen=True):
    """Points joined by a line."""

    name: str
    points: tuple[Point, ...]
    dashed: bool = False
    colour: int = 0


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One diagram.

    Attributes:
        title: Its title.
        x: Label of the horizontal axis, with its unit.
        y: Label of the vertical axis, with its unit.
        series: The lines.
        doubling: Whether the x axis is logarithmic with the points' x as ticks; else linear from 0.
        decades: Whether the y axis is logarithmic with powers of ten as ticks; else linear from 0.
        limit: A horizontal line, and its label.
    """

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    doubling: bool = False
    decades: bool = False
    limit: tuple[float, str] | None = None


def round_ticks(most: float, *, about: int = 5) -> list[float]:
    """Return round numbers from 0 to the first one that is not below `most`."""
    most = most if most > 0 else 1.0
    rough = most / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    return [step * number for number in range(math.ceil(most / step - 1e-9) + 1)]


def format_tick(value: float) -> str:
    """Format a number on an axis: 12k, 1.5M."""
    for unit, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{suffix}"
    return f"{value:g}"


class _Axis:
    """Maps values to positions."""

    def __init__(self, values: list[float], start: float, end: float, kind: str) -> None:
        self._kind = kind
        if kind == "linear":
            self.ticks = round_ticks(max(values, default=1))
        elif kind == "doubling":
            self.ticks = sorted(set(values)) or [1]
        else:
            low, high = math.log10(min(values, default=1)), math.log10(max(values, default=1))
            self.ticks = [
                10.0**power for power in range(math.floor(low), max(math.ceil(high), math.floor(low) + 1) + 1)
            ]
        first, last = self._scaled(self.ticks[0]), self._scaled(self.ticks[-1])
        if kind == "doubling":
            first, last = first - 0.3, last + 0.3
        self._start, self._first = start, first
        self._slope = (end - start) / (last - first)

    def _scaled(self, value: float) -> float:
        return value if self._kind == "linear" else math.log10(value)

    def at(self, value: float) -> float:
        """Return the position of a value."""
        return self._start + (self._scaled(value) - self._first) * self._slope


def _text(x: float, y: float, words: str, style: str = "", anchor: str = "middle", turn: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{style}"{turn}>{escape(words)}</text>'
    )


def _draw(panel: Panel, left: float, top: float) -> list[str]:
    begin, upper = left + _LEFT_MARGIN, top + _UPPER_MARGIN
    right, bottom = left + _WIDTH - _RIGHT_MARGIN, upper + _PLOT
    points = [point for series in panel.series for point in series.points]
    heights = [point.y for point in points] + ([panel.limit[0]] if panel.limit else [])
    across = _Axis([point.x for point in points], begin, right, "doubling" if panel.doubling else "linear")
    up = _Axis(heights, bottom, upper, "decades" if panel.decades else "linear")

    drawn = [_text(begin, top + 24, panel.title, "title", "start")]
    for tick in up.ticks:
        y = up.at(tick)
        drawn.append(f'<line x1="{begin:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}" class="grid"/>')
        drawn.append(_text(begin - 8, y + 4, format_tick(tick), "tick", "end"))
    for tick in across.ticks:
        x = across.at(tick)
        drawn.append(
            f'<line x1="{x:.1f}" y1="{bottom:.1f}" x2="{x:.1f}" y2="{bottom + 5:.1f}" class="axis"/>'
        )
        drawn.append(_text(x, bottom + 19, format_tick(tick), "tick"))
    drawn.append(
        f'<line x1="{begin:.1f}" y1="{bottom:.1f}" x2="{right:.1f}" y2="{bottom:.1f}" class="axis"/>'
    )
    drawn.append(_text((begin + right) / 2, bottom + 39, panel.x, "label"))
    middle = (upper + bottom) / 2
    turn = f' transform="rotate(-90 {left + 16:.1f} {middle:.1f})"'
    drawn.append(_text(left + 16, middle, panel.y, "label", turn=turn))
    if panel.limit:
        y = up.at(panel.limit[0])
        drawn.append(f'<line x1="{begin:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}" class="limit"/>')
        drawn.append(_text(begin + 6, y - 6, panel.limit[1], "limit-label", "start"))
    for series in panel.series:
        drawn += _line(series, across, up)
    return drawn + _legend(panel, begin, bottom + 62)


def _line(series: Series, across: _Axis, up: _Axis) -> list[str]:
    colour = _COLOURS[series.colour % len(_COLOURS)]
    places = [(across.at(point.x), up.at(point.y)) for point in series.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dashes = ' stroke-dasharray="6 4"' if series.dashed else ""
    drawn = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.2"{dashes}/>']
    for point, (x, y) in zip(series.points, places, strict=True):
        fill = "white" if series.dashed else colour
        drawn.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}" stroke-width="2">'
            f"<title>{escape(f'{series.name}: {point.title}')}</title></circle>"
        )
    return drawn


def _legend_lines(panel: Panel) -> list[list[Series]]:
    """Split a legend into lines that fit below the panel."""
    lines: list[list[Series]] = [[]]
    for series in panel.series:
        width = sum(map(_legend_width, [*lines[-1], series]))
        if lines[-1] and width > _WIDTH - _LEFT_MARGIN:
            lines.append([])
        lines[-1].append(series)
    return lines


def _legend_width(series: Series) -> float:
    return 30 + 6.6 * len(series.name) + 20


def _legend(panel: Panel, left: float, y: float) -> list[str]:
    drawn = []
    for line in _legend_lines(panel):
        x = left
        for series in line:
            colour = _COLOURS[series.colour % len(_COLOURS)]
            dashes = ' stroke-dasharray="6 4"' if series.dashed else ""
            drawn.append(
                f'<line x1="{x:.1f}" y1="{y - 4:.1f}" x2="{x + 24:.1f}" y2="{y - 4:.1f}" '
                f'stroke="{colour}" stroke-width="2.2"{dashes}/>'
            )
            drawn.append(_text(x + 30, y, series.name, "tick", "start"))
            x += _legend_width(series)
        y += _LEGEND_LINE
    return drawn


def _name(target: str, workers: int | None) -> str:
    return target if workers is None else f"{workers} worker{'s' * (workers != 1)}"


def _closed_panel(results: Results, part: str) -> Panel | None:
    rows = [row for row in results.closed if row.part == part and row.requests_per_second]
    streamed = part == "streams"
    several = len({row.tokens for row in rows if row.workers}) > 1
    lines: dict[str, list[Point]] = {}
    for row in rows:
        name = _name(row.target, row.workers) + (f", {row.tokens:g} tokens" if streamed and several else "")
        y = row.tokens_per_second if streamed else row.requests_per_second
        rate = f"{row.requests_per_second:,.0f} {'streams/s' if streamed else 'requests/s'}"
        title = f"{row.connections} connections, {rate}, p99 {format_milliseconds(row.p99_ms)} ms"
        lines.setdefault(name, []).append(Point(row.connections, y or 0.0, title))
    if not rows:
        return None
    return Panel(
        title="Streamed replies at once" if streamed else "Unstreamed replies of 16 tokens",
        x="open requests",
        y="tokens/s" if streamed else "requests/s",
        series=tuple(Series(name, tuple(points), colour=i) for i, (name, points) in enumerate(lines.items())),
        doubling=True,
    )


def _paced_panels(results: Results) -> list[Panel]:
    late: list[Series] = []
    rates: list[Series] = []
    names = dict.fromkeys(_name(row.target, row.workers) for row in results.paced)
    for colour, name in enumerate(names):
        rows = [row for row in results.paced if _name(row.target, row.workers) == name]
        for quantile, dashed in (("p99", False), ("p50", True)):
            points = []
            for row in rows:
                value = row.p99_ms if quantile == "p99" else row.p50_ms
                if value:
                    points.append(
                        Point(
                            row.streams,
                            value,
                            f"{row.streams:,} streams, {quantile} {format_milliseconds(value)} ms",
                        )
                    )
            if points:
                late.append(Series(f"{name}, {quantile}", tuple(points), dashed, colour))
        arrived = [
            Point(
                row.streams,
                row.tokens_per_second,
                f"{row.streams:,} streams, {row.tokens_per_second:,.0f} tokens/s",
            )
            for row in rows
        ]
        rates.append(Series(name, tuple(arrived), colour=colour))
    if not late:
        return []
    offered = {row.streams: row.offered for row in results.paced}
    planned = sorted({0: 0.0, **offered}.items())
    plan = tuple(Point(x, y, f"{x:,} streams, {y:,.0f} tokens/s") for x, y in planned)
    rates.insert(0, Series("if all are on time", plan, dashed=True, colour=len(_COLOURS) - 1))
    gap = results.pace_ms[1]
    limit = (MOST_LATE_MS, f"{MOST_LATE_MS:g} ms")
    return [
        Panel(
            title=f"How late tokens arrive, one every {gap:g} ms",
            x="open streams",
            y="lateness, ms",
            series=tuple(late),
            decades=True,
            limit=limit,
        ),
        Panel(title="Tokens that arrive", x="open streams", y="tokens/s", series=tuple(rates)),
    ]


def render_svg(results: Results) -> str:
    """Return the results as SVG."""
    closed = (_closed_panel(results, part) for part in ("throughput", "streams"))
    panels = [panel for panel in closed if panel] + _paced_panels(results)
    columns = min(2, max(1, len(panels)))
    rows = math.ceil(len(panels) / columns)
    legend = max((len(_legend_lines(panel)) for panel in panels), default=1)
    panel_height = _UPPER_MARGIN + _PLOT + _LOWER_MARGIN + legend * _LEGEND_LINE
    width, height = columns * _WIDTH + 20, _TOP + rows * panel_height + _BOTTOM
    machine = results.machine
    title = f"llmsim {machine.version} on {machine.cpu}"
    under = f"{machine.cores} cores, {machine.pinned}; Python {machine.python}; {results.taken_at[:10]}"
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        _STYLE,
        f"<title>{escape(format_headline(results))}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(24, 30, title, "head", "start"),
        _text(24, 50, under, "note", "start"),
    ]
    for place, panel in enumerate(panels):
        drawn += _draw(panel, 10 + place % columns * _WIDTH, _TOP + place // columns * panel_height)
    drawn.append(_text(24, height - 34, format_headline(results).partition(": ")[2], "note", "start"))
    drawn.append(_text(24, height - 16, CAVEAT, "note", "start"))
    return "\n".join([*drawn, "</svg>\n"])
