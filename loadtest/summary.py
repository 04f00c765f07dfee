"""Summary of a run: figures, gates, failures, and the state of load generator and server.

Decisions:
* Time figures are of complete responses without errors; the others are in the error rate.
* The load generator is measured too: a late one makes every server look slow, so the summary reports it.
"""

from collections.abc import Iterable, Mapping

import msgspec

from loadtest.endpoints import RequestTemplate
from loadtest.gates import Verdict, check_gates
from loadtest.series import Point, Totals
from loadtest.suites import Suite
from loadtest.target import Target
from loadtest.timing import compute_quantile, merge_histograms

REQUEST_KINDS = ("GET", "POST")
TTFT, ITL, E2E, SPEED, LAG, CPU = "TTFT", "ITL", "E2E", "TOK/S", "LAG", "CPU %"
"""Types of the additional rows. The last two are about the load generator."""

GENERATOR = "load generator"
"""Name of the rows about the load generator."""

LATE_MS = 20.0
"""Figures are doubtful if the 99th percentile of the lag is at least this; ms."""

BUSY_PERCENT = 90.0
"""Mean share of a core from which a process of the load generator is the limit; the same as Locust's own warning."""

# Factor by which the worst verdict must be later than the last one to be reported beside it.
_WORSE = 2.0

_UNKNOWN = Target()

# Seconds by which a run may end early: Locust checks once a second.
_SLACK = 1.5

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of Locust's statistics.

    Attributes:
        kind: GET, POST, TTFT, ...
        name: Name of the request.
        count: Number of values, failures included.
        failures: Number of failures among them.
        total: Sum of the values; ms, but tokens per second for TOK/S.
        most: Greatest value.
        histogram: Rounded value and how often it was observed.
        size: Sum of sizes: bytes for requests, output tokens for TOK/S.
    """

    kind: str
    name: str
    count: int
    failures: int
    total: float
    most: float
    histogram: Mapping[float, int]
    size: int


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Distribution of values; None without values."""

    count: int
    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request: counts, and the times of its responses in ms."""

    name: str
    requests: int
    failures: int
    tokens: int
    ttft: Spread
    itl: Spread
    e2e: Spread
    tokens_per_second: Spread


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of failure and how often it occurred."""

    name: str
    message: str
    count: int


class Generator(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the load generator.

    Attributes:
        processes: Number of processes.
        lag_p99_ms: How late it was woken, or sent a request that was due; None if not measured.
        cpu_percent: Mean share of a core of each process.
        is_bottleneck: Whether the times are partly its own rather than the server's.
    """

    processes: int
    lag_p99_ms: float | None
    cpu_percent: float | None
    is_bottleneck: bool


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """The server's verdict on its own timing; all None if it is not an llmsim.

    Attributes:
        state: Verdict at the end, on the last 30 to 40 s: `on_time`, `late` or `idle`.
        text: The same in words.
        recent_p99_ms: 99th percentile of the lateness in that time.
        lateness_p99_ms: The same of all tokens since the server was started.
        worst_text: Worst verdict during the run, if it was late then, and much less so at the end.
        worst_after_seconds: When that verdict was read.
    """

    state: str | None = None
    text: str | None = None
    recent_p99_ms: float | None = None
    lateness_p99_ms: float | None = None
    worst_text: str | None = None
    worst_after_seconds: float | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run; `is_complete` unless it was interrupted, `series` its figures over time."""

    suite: str
    host: str
    passed: bool
    is_complete: bool
    started_at: str
    seconds: float
    requests: int
    failed: int
    requests_per_second: float
    tokens_per_second: float
    figures: dict[str, float | None]
    gates: tuple[Verdict, ...]
    lines: tuple[Line, ...]
    failures: tuple[Failure, ...]
    generator: Generator
    server: Server
    target: Target = Target()
    series: tuple[Point, ...] = ()


def sum_rows(rows: Iterable[Row]) -> Totals:
    """Return the sums of which the figures over time are made."""
    found = list(rows)

    def histogram(kind: str) -> Mapping[float, int]:
        return merge_histograms(row.histogram for row in found if row.kind == kind)

    sent = [row for row in found if row.kind in REQUEST_KINDS]
    return Totals(
        requests=sum(row.count for row in sent),
        failures=sum(row.failures for row in sent),
        tokens=sum(row.size for row in found if row.kind == SPEED),
        ttft=histogram(TTFT),
        itl=histogram(ITL),
        e2e=histogram(E2E),
    )


def summarize(
    suite: Suite,
    templates: tuple[RequestTemplate, ...],
    rows: Iterable[Row],
    *,
    failures: Iterable[Failure],
    host: str,
    started_at: str,
    seconds: float,
    elapsed: float,
    processes: int,
    cpu_warning: bool,
    server: Server,
    target: Target = _UNKNOWN,
    series: tuple[Point, ...] = (),
) -> Summary:
    """Build the summary of a run, and check its gates.

    Args:
        suite: The suite, with its gates.
        templates: The requests that were sent.
        rows: Statistics of all processes together.
        failures: Kinds of failures.
        host: URL of the server.
        started_at: Start of the run, in ISO 8601.
        seconds: From the start to the last response.
        elapsed: From the start until it was stopped; s.
        processes: Number of processes that generated load.
        cpu_warning: Whether Locust warned of a busy processor.
        server: The server's verdict.
        target: What the server said about itself before the load.
        series: Figures over time.
    """
    found = {(row.kind, row.name): row for row in rows}
    sent = [row for (kind, _), row in found.items() if kind in REQUEST_KINDS]
    requests, failed = sum(row.count for row in sent), sum(row.failures for row in sent)
    figures: dict[str, float | None] = {"error_percent": 100 * failed / requests if requests else None}
    for kind, measure in ((TTFT, "ttft"), (ITL, "itl"), (E2E, "e2e")):
        spread = _spread([row for (k, _), row in found.items() if k == kind])
        figures |= {f"{measure}_{part}_ms": getattr(spread, part) for part in ("mean", *_QUANTILES, "max")}
    measures = {"e2e"} if any(template.generates for template in templates) else set()
    if any(template.stream_check for template in templates):
        measures |= {"ttft", "itl"}
    if suite.iterations is None:
        is_complete = elapsed >= suite.seconds - _SLACK
    else:
        is_complete = requests >= suite.iterations * len(templates)
    verdicts = check_gates(suite.gates, figures, requests=requests, measures=frozenset(measures))
    lines = tuple(_line(template, found) for template in templates)
    generator = _generator(found, processes=processes, cpu_warning=cpu_warning)
    return Summary(
        suite=suite.name,
        host=host,
        passed=is_complete and requests > 0 and all(verdict.passed for verdict in verdicts),
        is_complete=is_complete,
        started_at=started_at,
        seconds=round(seconds, 1),
        requests=requests,
        failed=failed,
        requests_per_second=round(requests / seconds, 2) if seconds > 0 else 0.0,
        tokens_per_second=round(sum(line.tokens for line in lines) / seconds, 2) if seconds > 0 else 0.0,
        figures={name: _short(value) for name, value in figures.items()},
        gates=verdicts,
        lines=lines,
        failures=tuple(sorted(failures, key=lambda failure: -failure.count)),
        generator=generator,
        server=server,
        target=target,
        series=series,
    )


def _line(template: RequestTemplate, found: Mapping[tuple[str, str], Row]) -> Line:
    def rows(*kinds: str) -> list[Row]:
        return [found[kind, template.name] for kind in kinds if (kind, template.name) in found]

    sent = rows(*REQUEST_KINDS)
    return Line(
        name=template.name,
        requests=sum(row.count for row in sent),
        failures=sum(row.failures for row in sent),
        tokens=sum(row.size for row in rows(SPEED)),
        ttft=_spread(rows(TTFT)),
        itl=_spread(rows(ITL)),
        # Lists and vectors have no row E2E, which is about generated tokens: theirs is the time of the request.
        e2e=_spread(rows(E2E) if template.generates else sent),
        tokens_per_second=_spread(rows(SPEED)),
    )


def _generator(found: Mapping[tuple[str, str], Row], *, processes: int, cpu_warning: bool) -> Generator:
    lag = _spread([found[LAG, GENERATOR]] if (LAG, GENERATOR) in found else []).p99
    busy = _spread([found[CPU, GENERATOR]] if (CPU, GENERATOR) in found else []).mean
    late = lag is not None and lag >= LATE_MS
    return Generator(
        processes=processes,
        lag_p99_ms=lag,
        cpu_percent=busy,
        is_bottleneck=cpu_warning or late or (busy is not None and busy >= BUSY_PERCENT),
    )


def _spread(rows: list[Row]) -> Spread:
    histogram = merge_histograms(row.histogram for row in rows)
    count = sum(histogram.values())
    return Spread(
        count=count,
        mean=_short(sum(row.total for row in rows) / count) if count else None,
        max=_short(max(row.most for row in rows)) if count else None,
        **{name: compute_quantile(histogram, share) for name, share in _QUANTILES.items()},
    )


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def rank_verdict(server: Server) -> tuple[bool, float]:
    """Return how bad a verdict is, for comparison with others."""
    return server.state == "late", server.recent_p99_ms or 0.0


def add_worst_verdict(at_end: Server, worst: Server | None, after: float) -> Server:
    """Add the worst verdict of the run to the one at its end, if that is much better.

    Args:
        at_end: The last verdict.
        worst: The worst verdict before.
        after: When that was read; s.
    """
    if worst is None or worst.state != "late":
        return at_end
    if at_end.state == "late" and rank_verdict(worst)[1] < _WORSE * rank_verdict(at_end)[1]:
        return at_end
    return msgspec.structs.replace(at_end, worst_text=worst.text, worst_after_seconds=round(after, 1))
