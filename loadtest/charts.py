"""Line charts as inline SVG, without scripts.

Decisions:
* Each chart has one unit on its axis, so a gap of 20 ms does not vanish beside a first token of 600 ms.
* Colours are CSS classes: the page decides about light and dark.
* A line breaks where nothing was measured; it does not fall to zero.
"""

import html
import math
from collections.abc import Sequence

import msgspec

_WIDTH, _HEIGHT = 560.0, 230.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 12.0, 14.0, 30.0
_TICKS = 4
_MOST_STEPS = 6

_EDGE = 0.97
"""Share of the axis behind which a label is not centred: it would be cut."""


class Curve(msgspec.Struct, frozen=True):
    """One line: its name, its class in the page, and its values, None where there is none."""

    name: str
    style: str
    values: tuple[float | None, ...]


class Chart(msgspec.Struct, frozen=True):
    """One chart.

    Attributes:
        title: Heading.
        unit: Unit of the values.
        times: Seconds of the values.
        curves: The lines; each has as many values as there are times.
        axis: Unit of the times, where they are something else.
    """

    title: str
    unit: str
    times: Sequence[float]
    curves: Sequence[Curve]
    axis: str = "s"


def render_chart(title: str, unit: str, times: Sequence[float], curves: Sequence[Curve]) -> str:
    """Return a figure with heading, legend and chart, for a page; see `Chart`."""
    legend = " ".join(
        f'<span class="key"><i class="{curve.style}"></i>{html.escape(curve.name)}</span>' for curve in curves
    )
    return (
        f'<figure><figcaption><span><b>{html.escape(title)}</b>, {html.escape(unit)}</span><span class="legend">{legend}</span>'
        f'</figcaption><svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{html.escape(title)}">'
        f"{_body(Chart(title, unit, times, curves))}</svg></figure>"
    )


_COLUMNS, _HEAD, _GAP = 2, 34.0, 16.0

# Colours of the page in its light form.
_FILE_STYLE = """
text{font:12px system-ui,Helvetica,Arial,sans-serif;fill:#5d6773}.title{font-size:14px;font-weight:600;fill:#1c2128}
.grid{stroke:#dfe3e8}polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}
polyline.a{stroke:#0969da}polyline.b{stroke:#bc4c00}circle.a,rect.a{fill:#0969da}circle.b,rect.b{fill:#bc4c00}
circle{fill-opacity:.6}
"""


def render_file(charts: Sequence[Chart]) -> str:
    """Return a file of its own with all charts, two in a row."""
    rows = math.ceil(len(charts) / _COLUMNS)
    columns = min(_COLUMNS, len(charts))
    width, height = columns * (_WIDTH + _GAP) + _GAP, rows * (_HEIGHT + _HEAD + _GAP) + _GAP
    parts = []
    for index, chart in enumerate(charts):
        x = _GAP + (index % _COLUMNS) * (_WIDTH + _GAP)
        y = _GAP + (index // _COLUMNS) * (_HEIGHT + _HEAD + _GAP)
        parts.append(f'<g transform="translate({x:g} {y:g})">{_file_head(chart)}')
        parts.append(f'<g transform="translate(0 {_HEAD:g})">{_body(chart)}</g></g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}">'
        f'<style>{_FILE_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def _file_head(chart: Chart) -> str:
    title = f"{html.escape(chart.title)}, {html.escape(chart.unit)}"
    parts = [f'<text class="title" x="8" y="16">{title}</text>']
    x = 8.0
    for curve in chart.curves:
        parts.append(f'<rect class="{curve.style}" x="{x:g}" y="27" width="12" height="3"/>')
        parts.append(f'<text x="{x + 17:g}" y="32">{html.escape(curve.name)}</text>')
        x += 40 + 7 * len(curve.name)
    return "".join(parts)


def _body(chart: Chart) -> str:
    """Return axes and lines."""
    values = (value for curve in chart.curves for value in curve.values if value is not None)
    top = _round_up(max(values, default=0))
    end = float(math.ceil(max(chart.times, default=0))) or 1.0
    lines = (_line(curve, chart.times, top, end) for curve in chart.curves)
    return "".join((_axes(top, end, chart.axis), *lines))


def _round_up(value: float) -> float:
    """Return the next value that divides well into ticks."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10)
    # Of the smallest and greatest numbers no step may reach the value, because they are rounded.
    return next((step * unit for step in steps if step * unit >= value), value)


def _round_step(end: float) -> float:
    """Return the distance of ticks from 0 to an end: 1, 2 or 5 times a power of ten, and no more than six of them."""
    unit = 10.0 ** math.floor(math.log10(end / _MOST_STEPS))
    return next(step * unit for step in (1, 2, 5, 10) if step * unit * _MOST_STEPS >= end)


def _x(at: float, end: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at / end


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top


def _axes(top: float, end: float, unit: str) -> str:
    parts = []
    for tick in range(_TICKS + 1):
        value = top * tick / _TICKS
        y = _y(value, top)
        parts.append(
            f'<line class="grid" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 8:g}" y="{y + 4:.1f}" text-anchor="end">{_label(value)}</text>'
        )
    step = _round_step(end)
    for tick in range(math.floor(end / step) + 1):
        at = tick * step
        anchor = "start" if not tick else "end" if at > _EDGE * end else "middle"
        parts.append(
            f'<text x="{_x(at, end):.1f}" y="{_HEIGHT - 8:g}" text-anchor="{anchor}">{_label(at)} {unit}</text>'
        )
    return "".join(parts)


def _label(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _line(curve: Curve, times: Sequence[float], top: float, end: float) -> str:
    parts: list[str] = []
    run: list[str] = []
    for at, value in [*zip(times, curve.values, strict=True), (0.0, None)]:
        if value is not None:
            run.append(f"{_x(at, end):.1f},{_y(value, top):.1f}")
            continue
        if len(run) == 1:
            x, y = run[0].split(",")
            parts.append(f'<circle class="{curve.style}" cx="{x}" cy="{y}" r="2"/>')
        elif run:
            parts.append(f'<polyline class="{curve.style}" points="{" ".join(run)}"/>')
        run = []
    return "".join(parts)
