"""What a run says: criteria, line, tables, drawing, ratios."""

import io
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from benchmarks import chart, markdown, report
from benchmarks.comparison import ratios
from benchmarks.machine import Machine, cores_for
from benchmarks.results import Closed, Headroom, Paced, Results, complaint
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
    """Give a row of throughput."""
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
    """Give a row of pacing."""
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
    """Give a whole run."""
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
        "headroom": (Headroom(part="throughput", unit="requests/s", ceiling=90_000, measured=9_000),),
        "stolen": 0.01,
    }
    return Results(**(run | fields))


def shown(run: Results) -> str:
    """Give what is printed."""
    console = Console(file=io.StringIO(), width=160)
    report.show(run, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({}, ""),
        ({"error_share": 0.001}, "0.10% errors"),
        ({"p99_ms": 50.0}, "p99 50 ms"),
        ({"p99_ms": None}, "no answers"),
        ({"client_share": 0.99}, "the client's core is full"),
        ({"delivered": 0.98}, "98% delivered"),
    ],
)
def test_row_says_why_it_is_not_to_be_quoted(seen: dict[str, Any], expected: str) -> None:
    """BENCH-2.1: Each criterion that is not met is named."""
    fine: dict[str, Any] = {"error_share": 0.0009, "p99_ms": 49.9, "client_share": 0.5}

    assert complaint(**(fine | seen)) == expected


def test_line_quotes_rows_that_may_be_quoted() -> None:
    """BENCH-3.1: The last line has the best row of each part that meets its criteria, of one worker."""
    line = (
        "llmsim 0.1.0 on 1 core of AMD <EPYC> & Co: 9,100 req/s, 6,000 streams/s of 100 tokens (0.6 M tok/s), "
        "1,000 streams of 25 tok/s at p99 11.4 ms late; start-up 1.0 s"
    )

    assert report.quotable(results()) == line
    assert shown(results()).rstrip().splitlines()[-1] == line


def test_line_without_good_rows_says_so() -> None:
    """BENCH-3.1: Where nothing meets its criteria nothing is quoted."""
    bad = results(closed=(closed(problem="5.00% errors"),), paced=(), start_up=())

    assert report.quotable(bad).endswith(": nothing within the criteria")


def test_report_tells_noise_headroom_and_sharing() -> None:
    """BENCH-2.2, BENCH-2.3: The tables say how much more the client could do, and which rows share a core."""
    text = shown(results())

    assert "the client did 90,000 requests/s with a trivial server, 10.0 times llmsim's" in text
    assert "shared core: the client took time" in text
    assert report.SHARED not in shown(results(closed=(closed(),)))
    assert report.CAVEAT in text


def test_environment_is_shown() -> None:
    """BENCH-2.4: Processor, commit, kernel, versions, load and pinning stand above the figures."""
    text = shown(results())

    for word in (
        *(MACHINE.cpu, "abc1234+", "Linux 6", "Python 3.11.7", "falcon 4.4"),
        *("load average before 0.1", "1.0% of the time stolen", MACHINE.pinned),
    ):
        assert word in text


def test_other_programs_are_told() -> None:
    """BENCH-2.6: Where others took a tenth of the server's core or more, the row, the report and the line say so."""
    busy = results(closed=(closed(foreign=0.45), closed(connections=1, foreign=0.02)), paced=())

    assert "ok, others 45%" in shown(busy)
    assert "others 2%" not in shown(busy)
    assert report.FOREIGN in shown(busy)
    assert "(while others took up to 45% of a core)" in report.quotable(busy)
    assert report.FOREIGN not in shown(results())


def test_cores_are_divided() -> None:
    """BENCH-2.3: Servers have the first cores, the client the others; with none left it shares the last, which is known."""
    assert cores_for(1, (0, 1)).server == (0,)
    assert cores_for(1, (0, 1)).client == (1,)
    assert not cores_for(1, (0, 1)).shared
    assert cores_for(2, (4, 5)).client == (5,)
    assert cores_for(2, (4, 5)).shared
    assert cores_for(1, (3,)).shared


def test_targets_count_one_worker_on_its_own_core() -> None:
    """BENCH-4.6: Two workers that share a core with the client say nothing about a second one."""
    by_name = {target.what: target.measured(results()) for target in TARGETS}

    assert by_name["requests of two workers to those of one"] is None
    assert by_name["unstreamed replies of 16 tokens, 1/s"] == 9123.0
    assert by_name["paced events at most, 1/s"] == 40_000.0


def test_sweep_that_has_not_ended_says_nothing_of_the_most() -> None:
    """BENCH-4.4: Events a second are no limit of the server while more streams would raise them."""
    unfinished = results(paced=(paced(),))

    assert {target.measured(unfinished) for target in TARGETS if "paced" in target.what} == {None}


def test_drawing_has_all_rows() -> None:
    """BENCH-3.3: The drawing is well-formed, and has a point with its figures for each row."""
    run = results()
    root = ET.fromstring(chart.svg(run))
    names = {"svg": "http://www.w3.org/2000/svg"}
    said = [title.text or "" for title in root.findall(".//svg:circle/svg:title", names)]
    words = {text.text for text in root.findall(".//svg:text", names)}

    for row in run.closed:
        assert any(f"{row.connections} connections, {row.requests_per_second:,.0f}" in text for text in said)
    for held in run.paced:
        assert any(
            f"{held.streams:,} streams, p99 {report.milliseconds(held.p99_ms)} ms" in text for text in said
        )
        assert any(
            f"{held.streams:,} streams, {held.tokens_per_second:,.0f} tokens/s" in text for text in said
        )
    assert {"requests/s", "tokens/s", "lateness, ms", "open streams", "open requests"} <= words
    assert report.CAVEAT in words


@pytest.mark.parametrize("most", [0.0, 1e-3, 0.9, 1, 7, 99, 100, 12_345, 2_000_000])
def test_axis_is_marked_with_round_numbers(most: float) -> None:
    """BENCH-3.3: An axis begins at 0, goes to what is drawn or a step further, and has a handful of marks."""
    marks = chart.ticks(most)

    assert marks[0] == 0
    assert most <= marks[-1] * 1.0001
    assert marks[-2] < most or most == 0
    assert 3 <= len(marks) <= 8


def test_peers_are_compared_with_as_many_connections() -> None:
    """BENCH-3.4: A ratio is that of a peer's best row and ours with the same connections."""
    rows = (
        closed(requests_per_second=9_000.0),
        closed(connections=8, requests_per_second=8_000.0),
        closed(target="mock", workers=None, connections=8, requests_per_second=4_000.0),
        closed(target="mock", workers=None, requests_per_second=5_000.0, problem="1.00% errors"),
    )
    [ratio] = ratios(rows, (paced(), paced(target="mock", workers=None, streams=250))[:1], tokens=100)

    assert (ratio.target, ratio.times) == ("mock", 2.0)


def test_page_gets_the_tables() -> None:
    """BENCH-3.6: A page's figures are replaced between its two marks, and nothing else of it."""
    page = f"before\n{markdown.BEGIN}\nold figures\n{markdown.END}\nafter {markdown.END}\n"
    once = markdown.put(page, results())

    assert once.startswith(f"before\n{markdown.BEGIN}\n")
    assert once.endswith(f"\n{markdown.END}\nafter {markdown.END}\n")
    assert "old figures" not in once
    assert "| 1 | 32 | 9,123 | 3.00 | 9.00 | 0 | 100 | ok |" in once
    assert "| 1 | 1,000 | 23,990 | 2.00 | 11.4 | 20.0 | 2.10 | 17.0 | 20.0 | ok |" in once
    assert report.quotable(results()) in once
    assert markdown.put(once, results()) == once


@pytest.mark.parametrize(
    "page", ["", f"{markdown.END}\n{markdown.BEGIN}\n", f"x {markdown.BEGIN}\n{markdown.END}\n"]
)
def test_page_without_a_place_is_refused(page: str) -> None:
    """BENCH-3.6: A page without the marks, each on a line of its own and in order, has no place for figures."""
    assert not markdown.has_place(page)


def test_peers_are_compared_by_streams_held() -> None:
    """BENCH-3.4: In pacing the ratio is that of the streams held within the criteria."""
    [ratio] = ratios((), (paced(), paced(target="mock", workers=None, streams=250)), tokens=100)

    assert (ratio.part, ratio.times) == ("pacing", 4.0)
