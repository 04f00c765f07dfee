"""The report as a page: figures over time, charts, and what the page may do."""

import re
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.charts import Curve, render_chart
from loadtest.gates import Verdict
from loadtest.page import render_page
from loadtest.series import POINTS, Series, Totals, choose_interval
from loadtest.summary import Failure, Generator, Line, Server, Spread, Summary
from loadtest.target import Target

NONE = Spread(count=0, mean=None, p50=None, p90=None, p95=None, p99=None, max=None)


def series(*looks: Totals) -> Series:
    found = Series()
    for number, totals in enumerate(looks, 1):
        found.add(2.0 * number, totals, 5)
    return found


def summary(**changes: object) -> Summary:
    points = series(
        Totals(requests=10, tokens=100, ttft={500: 4}, itl={20: 9}, e2e={900: 3}),
        Totals(requests=30, failures=4, tokens=500, ttft={500: 4, 700: 1}, itl={20: 9}, e2e={900: 3}),
    ).points
    plain = Summary(
        suite="load",
        host="http://example.test",
        passed=False,
        is_complete=True,
        started_at="2026-01-02T03:04:05+00:00",
        seconds=4,
        requests=30,
        failed=4,
        requests_per_second=7.5,
        tokens_per_second=125,
        figures={"ttft_p95_ms": 700.0, "itl_p95_ms": 20.0},
        gates=(Verdict(figure="ttft_p95_ms", at_most=600, found=700, passed=False),),
        lines=(
            Line(
                name="chat stream",
                requests=30,
                failures=4,
                tokens=500,
                ttft=NONE,
                itl=NONE,
                e2e=NONE,
                tokens_per_second=NONE,
            ),
        ),
        failures=(Failure(name="chat stream", message="truncated stream", count=4),),
        generator=Generator(processes=1, lag_p99_ms=1.0, cpu_percent=5, is_bottleneck=False),
        server=Server(),
        target=Target(version="1.2.3", workers=2, latency="fast", in_flight=0, recent_requests=0),
        series=points,
    )
    return msgspec.structs.replace(plain, **changes)


def test_points_are_of_their_own_interval() -> None:
    """LOAD-6.8: A point has what happened since the one before; nothing measured is no value."""
    first, second = summary().series

    assert (first.requests_per_second, second.requests_per_second) == (5, 10)
    assert (second.failures_per_second, second.tokens_per_second) == (2, 200)
    assert (first.ttft, second.ttft) == ((500,) * 3, (700,) * 3)
    assert second.itl == (None,) * 3


def test_long_runs_have_as_many_points_as_short_ones() -> None:
    """LOAD-6.8: The interval grows with the run, and is not shorter than Locust's own in a cluster."""
    assert choose_interval(10, distributed=False) == 1
    assert 1800 / choose_interval(1800, distributed=False) == POINTS
    assert choose_interval(10, distributed=True) == 3
    assert choose_interval(None, distributed=False) < 1


class Tags(HTMLParser):
    """Collects tags with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.found.append((tag, dict(attrs)))


def test_the_page_has_everything() -> None:
    """LOAD-6.7: Verdict, gates, the server, charts on their own axes, requests and failures."""
    page = render_page(summary())
    charts = re.findall(r"<figcaption><span><b>(.+?)</b>, (.+?)</span>", page)

    assert '<span class="failed">failed</span></h1>' in page
    assert "llmsim 1.2.3, 2 workers, latency: fast" in page
    assert charts == [
        ("Rate", "requests/s"),
        ("Tokens", "tokens/s"),
        ("Time to first token", "ms"),
        ("Inter-token latency", "ms"),
        ("End-to-end latency", "ms"),
        ("Users", "users"),
    ]
    for text in ("ttft_p95_ms", "chat stream", "truncated stream", "lag p99 1.0 ms", "locust.html"):
        assert text in page


def test_the_page_makes_no_request() -> None:
    """LOAD-6.7: No script, no link, no image; its policy forbids them, too."""
    tags = Tags(render_page(summary())).found

    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object", "a"}
    assert not [attributes for _, attributes in tags if attributes.keys() & {"src", "href", "onload"}]
    assert any("default-src 'none'" in str(attributes.get("content")) for _, attributes in tags)


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "[red]&"])
def test_texts_of_the_server_are_escaped(text: str) -> None:
    """LOAD-6.7: A server under test cannot put markup into the page."""
    page = render_page(
        summary(
            host=text,
            failures=(Failure(name=text, message=text, count=1),),
            server=Server(state="late", text=text, worst_text=text, worst_after_seconds=3),
            target=Target(version=text, workers=1, latency=text),
        )
    )

    assert not {tag for tag, _ in Tags(page).found} & {"script", "img"}
    assert "onerror=alert(1)>" not in page


def test_a_run_of_one_interval_has_no_charts() -> None:
    """LOAD-6.7: One point is no course over time; in the open model there are no users."""
    points = summary().series

    assert "<svg" not in render_page(summary(series=points[:1]))
    open_model = tuple(msgspec.structs.replace(point, users=None) for point in points)
    assert "<b>Users</b>" not in render_page(summary(series=open_model))


def test_lines_break_where_nothing_was_measured() -> None:
    """LOAD-6.7: A gap is a gap, not a fall to zero; a single value is a dot."""
    chart = render_chart("x", "ms", [1, 2, 3, 4, 5], [Curve("p50", "a", (1, 2, None, 3, None))])

    assert chart.count("<polyline") == 1
    assert chart.count("<circle") == 1


@given(st.lists(st.none() | st.floats(0, 1e9), max_size=20))
def test_charts_stay_within_their_frame(values: list[float | None]) -> None:
    """LOAD-6.7: Any values can be drawn."""
    chart = render_chart("x", "ms", [float(i) for i in range(len(values))], [Curve("p", "a", tuple(values))])
    places = [
        float(number)
        for points in re.findall(r'points="(.*?)"', chart)
        for point in points.split()
        for number in point.split(",")
    ]

    assert all(0 <= place <= 560 for place in places)
    assert "nan" not in chart


@pytest.mark.parametrize(
    ("end", "labels"),
    [
        (27.0, ["0 s", "5 s", "10 s", "15 s", "20 s", "25 s"]),
        (60.0, ["0 s", "10 s", "20 s", "30 s", "40 s", "50 s", "60 s"]),
        (1800.0, ["0 s", "500 s", "1,000 s", "1,500 s"]),
        (1.0, ["0 s", "0.2 s", "0.4 s", "0.6 s", "0.8 s", "1 s"]),
    ],
)
def test_times_are_round(end: float, labels: list[str]) -> None:
    """LOAD-6.7: The axis of times has ticks that can be read, whatever the length of the run."""
    chart = render_chart("Rate", "requests/s", [0.0, end], [Curve("all", "a", (1.0, 2.0))])

    assert re.findall(r">([\d.,]+ s)</text>", chart) == labels
