"""What a run came to: figures, gates and who was to blame, as JSON.

Decisions:
* Time figures are of whole and faultless answers; the others are in the error rate.
* The load generator is measured too: a late one makes every server look slow, so the summary says so.
"""

from collections.abc import Iterable, Mapping

import msgspec

from loadtest.endpoints import Ask
from loadtest.figures import merged, quantile
from loadtest.gates import Verdict, judge
from loadtest.suites import Suite

REQUEST_KINDS = ("GET", "POST")
TTFT, ITL, E2E, SPEED, LAG, CPU = "TTFT", "ITL", "E2E", "TOK/S", "LAG", "CPU %"
"""Types of the rows that Locust does not have by itself. The last two are about the load generator."""

GENERATOR = "load generator"
"""Name of the rows about it."""

LATE_MS = 20.0
"""Lag whose 99th percentile reaches this makes figures doubtful; ms."""

BUSY_PERCENT = 90.0
"""Mean share of a core from which a process of the load generator is the limit; as Locust's own warning."""

# Seconds by which a run may end early: Locust looks once a second.
_SLACK = 1.5

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of Locust's statistics.

    Attributes:
        kind: Its type: GET, POST, TTFT, ...
        name: Of the ask.
        count: How many values were observed; failures included.
        failures: How many of them failed.
        total: Sum of the values; ms, but tokens per second for TOK/S.
        most: The greatest.
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
    """How values are spread; None where there are none."""

    count: int
    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One ask: its requests, and the times of its answers in ms."""

    name: str
    requests: int
    failures: int
    tokens: int
    ttft: Spread
    itl: Spread
    e2e: Spread
    tokens_per_second: Spread


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of failure and how often it happened."""

    name: str
    message: str
    count: int


class Generator(msgspec.Struct, frozen=True, kw_only=True):
    """How the load generator did.

    Attributes:
        processes: How many there were.
        lag_p99_ms: How much later than it wanted it was woken, or sent what was to be sent; None if not measured.
        cpu_percent: Mean share of a core of each process.
        is_bottleneck: Whether figures are its own rather than the server's.
    """

    processes: int
    lag_p99_ms: float | None
    cpu_percent: float | None
    is_bottleneck: bool


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says of itself; all None if it is not an llmsim.

    Attributes:
        state: Of its verdict at the end, which is on the last 30 to 40 s: `on_time`, `late` or `idle`.
        text: The same in words.
        recent_p99_ms: The figure behind it.
        lateness_p99_ms: The same of all tokens since the server was started.
        worst_text: The worst that it said during the run, if it was late then, and much less so at the end.
        worst_after_seconds: When it said that.
    """

    state: str | None = None
    text: str | None = None
    recent_p99_ms: float | None = None
    lateness_p99_ms: float | None = None
    worst_text: str | None = None
    worst_after_seconds: float | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run; `is_complete` unless it was interrupted."""

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


def summed_up(
    suite: Suite,
    asks: tuple[Ask, ...],
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
) -> Summary:
    """Put a run together and judge it.

    Args:
        suite: What was run, with its gates.
        asks: What was asked.
        rows: Statistics of all processes together.
        failures: Kinds of failures.
        host: Who was asked.
        started_at: When, in ISO 8601.
        seconds: From the start to the last answer.
        elapsed: From the start until it was stopped; s.
        processes: How many made the load.
        cpu_warning: Whether Locust warned of a busy processor.
        server: What the server says.
    """
    found = {(row.kind, row.name): row for row in rows}
    sent = [row for (kind, _), row in found.items() if kind in REQUEST_KINDS]
    requests, failed = sum(row.count for row in sent), sum(row.failures for row in sent)
    figures: dict[str, float | None] = {"error_percent": 100 * failed / requests if requests else None}
    for kind, measure in ((TTFT, "ttft"), (ITL, "itl"), (E2E, "e2e")):
        spread = _spread([row for (k, _), row in found.items() if k == kind])
        figures |= {f"{measure}_{part}_ms": getattr(spread, part) for part in ("mean", *_QUANTILES, "max")}
    measures = {"e2e"} if any(ask.generates for ask in asks) else set()
    if any(ask.reader for ask in asks):
        measures |= {"ttft", "itl"}
    if suite.iterations is None:
        is_complete = elapsed >= suite.seconds - _SLACK
    else:
        is_complete = requests >= suite.iterations * len(asks)
    verdicts = judge(suite.gates, figures, requests=requests, measures=frozenset(measures))
    lines = tuple(_line(ask, found) for ask in asks)
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
    )


def _line(ask: Ask, found: Mapping[tuple[str, str], Row]) -> Line:
    def rows(*kinds: str) -> list[Row]:
        return [found[kind, ask.name] for kind in kinds if (kind, ask.name) in found]

    sent = rows(*REQUEST_KINDS)
    return Line(
        name=ask.name,
        requests=sum(row.count for row in sent),
        failures=sum(row.failures for row in sent),
        tokens=sum(row.size for row in rows(SPEED)),
        ttft=_spread(rows(TTFT)),
        itl=_spread(rows(ITL)),
        # Lists and vectors are no row of E2E, which is about answers of tokens: theirs is that of the request.
        e2e=_spread(rows(E2E) if ask.generates else sent),
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
    histogram = merged(row.histogram for row in rows)
    count = sum(histogram.values())
    return Spread(
        count=count,
        mean=_short(sum(row.total for row in rows) / count) if count else None,
        max=_short(max(row.most for row in rows)) if count else None,
        **{name: quantile(histogram, share) for name, share in _QUANTILES.items()},
    )


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
