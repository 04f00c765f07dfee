"""The summary: figures from rows, load generator and server, and how it is printed."""

import io
import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from rich.console import Console

from loadtest.endpoints import build_requests
from loadtest.gates import parse_gate
from loadtest.report import encode_summary, format_notes, print_summary, shorten_line
from loadtest.settings import Settings
from loadtest.suites import SUITES
from loadtest.summary import (
    CPU,
    E2E,
    GENERATOR,
    ITL,
    LAG,
    SPEED,
    TTFT,
    Failure,
    Row,
    Server,
    Summary,
    add_worst_verdict,
    summarize,
)

CHAT = Settings(endpoints=("chat", "models"))


def row(kind: str, name: str, *values: float, failures: int = 0, size: int = 0) -> Row:
    return Row(
        kind=kind,
        name=name,
        count=len(values),
        failures=failures,
        total=sum(values),
        most=max(values, default=0),
        histogram=Counter(values),
        size=size,
    )


ROWS = (
    row("POST", "chat stream", 100, 200, 300, 900, failures=1, size=4000),
    row(TTFT, "chat stream", 10, 20, 30),
    row(ITL, "chat stream", 1, 2, 3, 0),
    row(E2E, "chat stream", 100, 200, 300),
    row(SPEED, "chat stream", 50, 60, 70, size=150),
    row("POST", "chat", 400, 500, size=900),
    row(E2E, "chat", 400, 500),
    row(SPEED, "chat", 40, 50, size=50),
    row("GET", "models", 2, 3, 4, 5, size=80),
    row(LAG, GENERATOR, 0.5, 1.5),
    row(CPU, GENERATOR, 10, 30),
)


def summary(*rows: Row, **changes: Any) -> Summary:
    fields = {
        "failures": [Failure(name="chat stream", message="truncated stream: no [DONE]", count=1)],
        "host": "http://example.test",
        "started_at": "2026-01-02T03:04:05+00:00",
        "seconds": 200.0,
        "elapsed": 210.0,
        "processes": 1,
        "cpu_warning": False,
        "server": Server(),
    }
    suite = changes.pop("suite", SUITES["load"])
    settings = changes.pop("settings", CHAT)
    return summarize(suite, build_requests(settings), rows or ROWS, **{**fields, **changes})


def test_requests_and_failures_are_those_of_requests() -> None:
    """LOAD-2.4: Rows of times do not count as requests."""
    found = summary()

    assert (found.requests, found.failed) == (10, 1)
    assert found.figures["error_percent"] == 10
    assert (found.requests_per_second, found.tokens_per_second) == (0.05, 1.0)


def test_figures_are_of_all_that_has_them() -> None:
    """LOAD-5.2: End-to-end latency is that of generated text, streamed or not, without lists."""
    figures = summary().figures

    assert (figures["ttft_mean_ms"], figures["ttft_p50_ms"], figures["ttft_max_ms"]) == (20, 20, 30)
    assert figures["itl_mean_ms"] == 1.5
    assert (figures["e2e_p50_ms"], figures["e2e_p99_ms"]) == (300, 500)


def test_each_request_has_a_line() -> None:
    """LOAD-2.4: Each kind of request has a line with its times; a list's time is that of its request."""
    stream, whole, models = summary().lines

    assert (stream.name, stream.requests, stream.failures, stream.tokens) == ("chat stream", 4, 1, 150)
    assert (stream.e2e.count, stream.e2e.max) == (3, 300)
    assert (whole.ttft.count, whole.ttft.p50, whole.e2e.p99) == (0, None, 500)
    assert (models.e2e.p50, models.tokens_per_second.p50) == (3, None)


def test_failed_responses_have_no_times() -> None:
    """LOAD-3.5: An endpoint that only fails has no end-to-end latency, though its requests took time."""
    found = summary(row("POST", "chat", 7, 7, failures=2))

    assert found.lines[1].e2e.count == 0
    assert found.figures["e2e_p50_ms"] is None


def test_gates_decide() -> None:
    """LOAD-5.2: A gate that failed fails the run."""
    assert not summary().passed
    assert summary(
        suite=msgspec.structs.replace(SUITES["load"], gates=(parse_gate("error_percent=10"),))
    ).passed


def test_an_interrupted_run_has_not_passed() -> None:
    """LOAD-5.5: An interrupted run has failed; iterations are complete when all requests were sent."""
    mild = msgspec.structs.replace(SUITES["load"], gates=())
    quick = msgspec.structs.replace(SUITES["quick-smoke"], gates=())

    assert summary(suite=mild, elapsed=209.0).passed
    assert not summary(suite=mild, elapsed=100.0).passed
    assert any("interrupted" in line for line in printed(summary(suite=mild, elapsed=100.0)).splitlines())
    assert summary(suite=quick, elapsed=2.0).passed
    assert not summary(row("POST", "chat", 1), suite=quick, elapsed=2.0).passed


def test_a_run_without_requests_has_failed() -> None:
    """LOAD-5.3: A run without requests has failed, even without gates."""
    assert not summary(row(LAG, GENERATOR, 1), suite=msgspec.structs.replace(SUITES["load"], gates=())).passed


def test_gates_on_streams_need_streams() -> None:
    """LOAD-5.3: Gates on streams do not apply to a run that only requests lists."""
    found = summary(row("GET", "models", 1, 2), settings=Settings(endpoints=("models",)))

    assert [gate.figure for gate in found.gates] == ["error_percent"]
    assert found.passed


@pytest.mark.parametrize(
    ("rows", "warning", "is_bottleneck"),
    [
        ((row(LAG, GENERATOR, 1.0), row(CPU, GENERATOR, 50)), False, False),
        ((row(LAG, GENERATOR, 40.0), row(CPU, GENERATOR, 50)), False, True),
        ((row(LAG, GENERATOR, 1.0), row(CPU, GENERATOR, 96)), False, True),
        ((row(LAG, GENERATOR, 1.0), row(CPU, GENERATOR, 50)), True, True),
    ],
)
def test_the_load_generator_may_be_the_bottleneck(
    rows: tuple[Row, ...], warning: bool, is_bottleneck: bool
) -> None:
    """LOAD-2.7: The load generator is checked by its lag, its processor time, and Locust's own warning."""
    found = summary(*ROWS[:-2], *rows, cpu_warning=warning)

    assert found.generator.is_bottleneck is is_bottleneck
    assert any("late or busy" in line for line in format_notes(found)) is is_bottleneck


def test_the_servers_verdict_is_shown() -> None:
    """LOAD-6.3: An llmsim's verdict is shown as it is; other servers have none."""
    late = summary(server=Server(state="late", text="late: p99 40 ms", lateness_p99_ms=40.0))

    assert any("late: p99 40 ms" in line for line in format_notes(late))
    assert not any("server" in line for line in format_notes(summary()))


def test_the_worst_verdict_is_shown() -> None:
    """LOAD-6.3: A peak that is over at the end is shown with its time, and one that continues only once."""
    peak = Server(state="late", text="simulator-limited: p99 lateness 90 ms", recent_p99_ms=90.0)
    calm = Server(state="on_time", text="on time", recent_p99_ms=2.0, lateness_p99_ms=60.0)
    late = Server(state="late", text="simulator-limited: p99 lateness 80 ms", recent_p99_ms=80.0)

    found = add_worst_verdict(calm, peak, 60.04)
    text = printed(summary(server=found))

    assert (found.state, found.worst_text, found.worst_after_seconds) == ("on_time", peak.text, 60.0)
    assert "on time; since its start 60.0 ms" in text
    assert "after 60 s: simulator-limited: p99 lateness 90 ms" in text
    assert add_worst_verdict(late, peak, 60) == late
    assert (
        add_worst_verdict(msgspec.structs.replace(late, recent_p99_ms=30.0), peak, 60).worst_text == peak.text
    )
    assert add_worst_verdict(calm, calm, 60) == calm
    assert add_worst_verdict(calm, None, 0) == calm


def test_messages_are_not_markup() -> None:
    """LOAD-3.4: Brackets in a message are printed as they are."""
    message = "HTTP 404: nothing at [/v1/chat], see [bold]"

    assert message in printed(summary(failures=[Failure(name="chat", message=message, count=1)]))
    assert message in printed(summary(server=Server(state="late", text=message)))


@pytest.mark.parametrize("width", [80, 120, 160])
def test_no_figure_is_cut(width: int) -> None:
    """LOAD-6.2: Figures are printed in full, whatever their length and the width of the terminal."""
    long = (
        row("POST", "chat stream", *[54321] * 1000),
        *(row(kind, "chat stream", 54321, 65432) for kind in (TTFT, ITL, E2E, SPEED)),
    )
    text = printed(summary(*long), width=width)

    assert "65,432" in text
    assert "…" not in text
    assert ("ITL p50" in text) == (width == 160)


@pytest.mark.parametrize(
    ("width", "expected"),
    [(0, "  5 of 40 s  ·  0 failed"), (25, "  5 of 40 s  ·  0 failed"), (24, "  5 of 40 s"), (5, "  5 ")],
)
def test_progress_stays_on_its_line(width: int, expected: str) -> None:
    """LOAD-6.5: A line that is too long for the terminal loses its last parts."""
    assert shorten_line("  5 of 40 s  ·  0 failed", width) == expected


def test_the_summary_is_json() -> None:
    """LOAD-6.2: The summary has every part as JSON, and is the same when it is read again."""
    found = summary(server=Server(state="on_time", text="on time", lateness_p99_ms=1.5))
    read = json.loads(encode_summary(found))

    assert msgspec.json.decode(encode_summary(found), type=Summary) == found
    assert read["failures"] == [{"name": "chat stream", "message": "truncated stream: no [DONE]", "count": 1}]
    assert read["gates"][0] == {"figure": "error_percent", "at_most": 0.1, "found": 10.0, "passed": False}
    assert read["server"]["state"] == "on_time"


def test_the_summary_is_printed() -> None:
    """LOAD-6.2: Every kind of request, every failure and every gate is printed, and the result last."""
    text = printed(summary())

    assert all(request.name in text for request in build_requests(CHAT))
    assert "truncated stream: no [DONE]" in text
    assert all(gate.figure in text for gate in summary().gates)
    assert text.rstrip().endswith("load: failed")


def test_the_summary_fits_into_a_narrow_terminal() -> None:
    """LOAD-6.2: A narrow terminal gets fewer columns, none of them cut."""
    text = printed(summary(), width=80)

    assert "TTFT p95" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def printed(summary: Summary, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_summary(summary, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]
