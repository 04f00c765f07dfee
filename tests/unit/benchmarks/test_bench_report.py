"""The report of a run: criteria, headline, tables, chart, ratios."""

import io
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from benchmarks import chart, markdown, report
from benchmarks.machine import Machine, split_cores
from benchmarks.results import Closed, Headroom, Paced, Results, compare, find_best_closed, find_problem
from benchmarks.sweep import _until_two_fail
from benchmarks.targets import TARGETS
from rich.console import Console

MACHINE = Machine(
    cpu="AMD <EPYC> & Co",
    cores=2,
    kernel="Linux 6",
    python="3.11.7",
    packages={"falcon": "4.4"},
    version="0.1.0",
    commit="abc1234+",
    load_average=0.1,
    client="client.c",
    pinned="one worker on core 0, the client on 1",
)


def closed(**fields: Any) -> Closed:
    """Return a row of throughput."""
    row: dict[str, Any] = {
        "part": "throughput",
        "target": "llmsim",
        "workers": 1,
        "connections": 32,
        "tokens": 16,
        "requests_per_second": 9123.0,
        "tokens_per_second": None,
        "p50_ms": 3.0,
        "p99_ms": 9.0,
        "error_share": 0.0,
        "server_us": 100.0,
        "client_share": 0.2,
        "shared": False,
        "foreign": 0.02,
        "problem": "",
    }
    return Closed(**(row | fields))


def paced(**fields: Any) -> Paced:
    """Return a row of pacing."""
    row: dict[str, Any] = {
        "target": "llmsim",
        "workers": 1,
        "streams": 1000,
        "offered": 24_000.0,
        "tokens_per_second": 23_990.0,
        "p50_ms": 2.0,
        "p99_ms": 11.4,
        "p999_ms": 20.0,
        "drift_ms": 2.1,
        "early": 0,
        "error_share": 0.0,
        "server_us": 20.0,
        "server_share": 0.5,
        "client_share": 0.2,
        "stream_kb": 17.0,
        "shared": False,
        "foreign": 0.02,
        "problem": "",
    }
    return Paced(**(row | fields))


def results(**fields: Any) -> Results:
    """Return a complete run."""
    run: dict[str, Any] = {
        "taken_at": "2026-11-23T12:00:00+00:00",
        "command": "scripts/bench",
        "machine": MACHINE,
        "seconds": 3,
        "pace_ms": (200, 40),
        "reply_tokens": 100,
        "closed": (
            closed(),
            closed(connections=128, requests_per_second=20_000.0, problem="p99 60 ms"),
            closed(workers=2, requests_per_second=17_000.0, shared=True),
            closed(part="streams", tokens=100, requests_per_second=6_000.0, tokens_per_second=600_000.0),
        ),
        "paced": (
            paced(),
            paced(
                streams=2000, offered=48_000.0, tokens_per_second=40_000.0, p99_ms=80.0, problem="p99 80 ms"
            ),
        ),
        "start_up": (1.0, 0.9, 1.4),
        "headroom": (
            Headroom(part="throughput", unit="requests/s", ceiling=90_000, measured=9_000),
            Headroom(
                part="pacing", unit="events/s", ceiling=180_000, measured=45_000, p99_ms=0.5, server_us=12.3
            ),
        ),
        "stolen": 0.01,
    }
    return Results(**(run | fields))


def printed(run: Results) -> str:
    """Return the printed report."""
    console = Console(file=io.StringIO(), width=160)
    report.print_report(run, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({}, ""),
        ({"error_share": 0.001}, "0.10% errors"),
        ({"p99_ms": 50.0}, "p99 50 ms"),
        ({"p99_ms": None}, "no replies"),
        ({"client_share": 0.99}, "the client's core is full"),
        ({"delivered": 0.98}, "98% delivered"),
    ],
)
def test_row_names_its_problem(seen: dict[str, Any], expected: str) -> None:
    """BENCH-2.1: A row names the criterion that it does not meet."""
    fine: dict[str, Any] = {"error_share": 0.0009, "p99_ms": 49.9, "client_share": 0.5}

    assert find_problem(**(fine | seen)) == expected


def test_headline_has_the_best_rows() -> None:
    """BENCH-3.1: The last line has the best row of each part, of one worker, that meets its criteria."""
    line = (
        "llmsim 0.1.0 on 1 core of AMD <EPYC> & Co: 9,100 req/s, 6,000 streams/s of 100 tokens (0.6 M tok/s), "
        "1,000 streams of 25 tok/s at p99 11.4 ms late; start-up 1.0 s"
    )

    assert report.format_headline(results()) == line
    assert printed(results()).rstrip().splitlines()[-1] == line


def test_headline_without_good_rows() -> None:
    """BENCH-3.1: If no row meets its criteria, no figure is quoted."""
    bad = results(closed=(closed(problem="5.00% errors"),), paced=(), start_up=())

    assert report.format_headline(bad).endswith(": nothing within the criteria")


def test_report_has_headroom_and_shared_cores() -> None:
    """BENCH-2.2, BENCH-2.3: The report has the client's limit as a multiple, and marks rows that share a core."""
    text = printed(results())

    assert "the client did 90,000 requests/s with a trivial server, 10.0 times llmsim's" in text
    words = " ".join(text.split())
    assert "it measures p99 0.50 ms late of a trivial server, which takes 12.3 us an event" in words
    assert "shared core: the client took CPU time" in text
    assert report.SHARED not in printed(results(closed=(closed(),)))
    assert report.CAVEAT in text


def test_environment_is_shown() -> None:
    """BENCH-2.4: The report has processor, commit, kernel, versions, load and pinning."""
    text = printed(results())

    for word in (
        *(MACHINE.cpu, "abc1234+", "Linux 6", "Python 3.11.7", "falcon 4.4"),
        *("load average before 0.1", "1.0% of the time stolen", MACHINE.pinned),
    ):
        assert word in text


def test_use_by_other_programs_is_shown() -> None:
    """BENCH-2.6: If other programs used a tenth of the cores or more, row, report and headline show it."""
    busy = results(closed=(closed(foreign=0.45), closed(connections=1, foreign=0.02)), paced=())

    assert "ok, others 45%" in printed(busy)
    assert "others 2%" not in printed(busy)
    assert report.FOREIGN in printed(busy)
    assert "(while others used up to 45% of a core)" in report.format_headline(busy)
    assert report.FOREIGN not in printed(results())


def test_cores_are_divided() -> None:
    """BENCH-2.3: Servers have the first cores, the client the others; if there are none left, it shares the last one."""
    assert split_cores(1, (0, 1)).server == (0,)
    assert split_cores(1, (0, 1)).client == (1,)
    assert not split_cores(1, (0, 1)).shared
    assert split_cores(2, (4, 5)).client == (5,)
    assert split_cores(2, (4, 5)).shared
    assert split_cores(1, (3,)).shared


def test_targets_count_one_worker_on_its_own_core() -> None:
    """BENCH-4.6: Two workers that share a core with the client give no figure for a second one."""
    by_name = {target.what: target.measured(results()) for target in TARGETS}

    assert by_name["requests of two workers to those of one"] is None
    assert by_name["unstreamed replies of 16 tokens, 1/s"] == 9123.0
    assert by_name["paced events at most, 1/s"] == 40_000.0


def test_unfinished_sweep_has_no_maximum() -> None:
    """BENCH-4.4: Events per second are not the server's limit while more streams would raise them."""
    unfinished = results(paced=(paced(),))

    assert {target.measured(unfinished) for target in TARGETS if "paced" in target.what} == {None}


def test_chart_has_all_rows() -> None:
    """BENCH-3.3: The chart is well-formed, and has a point with its figures for each row."""
    run = results()
    root = ET.fromstring(chart.render_svg(run))
    names = {"svg": "http://www.w3.org/2000/svg"}
    titles = [title.text or "" for title in root.findall(".//svg:circle/svg:title", names)]
    words = {text.text for text in root.findall(".//svg:text", names)}

    for row in run.closed:
        assert any(
            f"{row.connections} connections, {row.requests_per_second:,.0f}" in text for text in titles
        )
    for held in run.paced:
        assert any(
            f"{held.streams:,} streams, p99 {report.format_milliseconds(held.p99_ms)} ms" in text
            for text in titles
        )
        assert any(
            f"{held.streams:,} streams, {held.tokens_per_second:,.0f} tokens/s" in text for text in titles
        )
    assert {"requests/s", "tokens/s", "lateness, ms", "open streams", "open requests"} <= words
    assert report.CAVEAT in words


@pytest.mark.parametrize("most", [0.0, 1e-3, 0.9, 1, 7, 99, 100, 12_345, 2_000_000])
def test_axis_has_round_ticks(most: float) -> None:
    """BENCH-3.3: An axis begins at 0, ends at the greatest value or a step further, and has a handful of ticks."""
    ticks = chart.round_ticks(most)

    assert ticks[0] == 0
    assert most <= ticks[-1] * 1.0001
    assert ticks[-2] < most or most == 0
    assert 3 <= len(ticks) <= 8


def test_peers_are_compared_with_as_many_connections() -> None:
    """BENCH-3.4: A ratio compares a peer's best row with llmsim's at the same number of connections."""
    rows = (
        closed(requests_per_second=9_000.0),
        closed(connections=8, requests_per_second=8_000.0),
        closed(target="mock", workers=None, connections=8, requests_per_second=4_000.0),
        closed(target="mock", workers=None, requests_per_second=5_000.0, problem="1.00% errors"),
    )
    [ratio] = compare(rows, (paced(), paced(target="mock", workers=None, streams=250))[:1], tokens=100)

    assert (ratio.target, ratio.times) == ("mock", 2.0)
    assert "throughput: llmsim 8,000 requests/s, mock 4,000: 2.00 times" in printed(results(ratios=(ratio,)))


def test_fastest_row_may_have_a_problem() -> None:
    """BENCH-2.2: Where no row may be quoted, the client's limit is compared with the fastest one."""
    rows = (closed(problem="p99 60 ms"), closed(requests_per_second=1.0, problem="p99 70 ms"))

    assert find_best_closed(rows, "throughput") is None
    assert find_best_closed(rows, "throughput", quotable=False) == rows[0]


def test_page_gets_the_tables() -> None:
    """BENCH-3.6: The figures of a page are replaced between its two markers, and nothing else."""
    page = f"before\n{markdown.BEGIN}\nold figures\n{markdown.END}\nafter {markdown.END}\n"
    once = markdown.replace_tables(page, results())

    assert once.startswith(f"before\n{markdown.BEGIN}\n")
    assert once.endswith(f"\n{markdown.END}\nafter {markdown.END}\n")
    assert "old figures" not in once
    assert "| 1 | 32 | 9,123 | 3.00 | 9.00 | 0 | 100 | ok |" in once
    assert "| 1 | 1,000 | 23,990 | 2.00 | 11.4 | 20.0 | 2.10 | 17.0 | 20.0 | ok |" in once
    assert report.format_headline(results()) in once
    assert markdown.replace_tables(once, results()) == once


@pytest.mark.parametrize(
    "page", ["", f"{markdown.END}\n{markdown.BEGIN}\n", f"x {markdown.BEGIN}\n{markdown.END}\n"]
)
def test_page_without_markers_is_refused(page: str) -> None:
    """BENCH-3.6: A page needs both markers, each on a line of its own and in order."""
    assert not markdown.has_markers(page)


def test_peers_are_compared_by_streams_held() -> None:
    """BENCH-3.4: In pacing the ratio compares the open streams within the criteria."""
    [ratio] = compare((), (paced(), paced(target="mock", workers=None, streams=250)), tokens=100)

    assert (ratio.part, ratio.times) == ("pacing", 4.0)


@pytest.mark.parametrize(
    ("failing", "measured"),
    [((), (1, 2, 3, 4, 5)), ((2, 3), (1, 2, 3, 5)), ((2, 4), (1, 2, 3, 4, 5)), ((3, 4), (1, 2, 3, 4, 5))],
)
def test_a_sweep_that_fails_goes_on_to_its_last_row(
    failing: tuple[int, ...], measured: tuple[int, ...]
) -> None:
    """BENCH-1.8: Two rows in a row that fail end the rise; the last one shows what a full core does."""

    def measure(streams: int) -> Paced:
        return paced(streams=streams, problem="late" if streams in failing else "")

    rows = list(_until_two_fail(measure, (1, 2, 3, 4, 5)))

    assert tuple(row.streams for row in rows) == measured
