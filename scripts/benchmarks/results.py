"""What a run has found: the rows of its tables, as they stand in the JSON.

Decisions:
* A row says itself whether it may be quoted: `problem` is empty when its criteria are met.
"""

from typing import Literal

import msgspec

from .machine import Machine

MOST_ERRORS = 0.001
"""Share of failed requests below which a row may be quoted."""

MOST_LATE_MS = 50.0
"""Latency of a reply at once, or lateness of a token, that 99 % must stay below."""

MUCH_FOREIGN = 0.1
"""Share of the cores from which on it is said that others took it: the figures are lower bounds then."""

LEAST_DELIVERED = 0.99
"""Share of the tokens offered that must have come."""


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """Replies at once, each connection asking again when it has its reply.

    Attributes:
        part: Unstreamed, or streamed.
        target: Who was measured.
        workers: Its worker processes; None if not known.
        connections: Requests open at any time.
        tokens: Of a reply; on average where another server chose.
        requests_per_second: Replies.
        tokens_per_second: Of these; None where the client counts none.
        p50_ms: Median time of a reply; None without replies.
        p99_ms: Its 99th percentile.
        error_share: Failed requests, 0 to 1.
        server_us: CPU time of the workers for a request, in us; None if not known.
        client_share: CPU time of the client in a second.
        shared: Whether the client ran on one of the server's cores.
        foreign: Share of the server's or the client's cores that other programs took, whichever is more; None if not known.
        problem: Why the row is not to be quoted; empty if it is.
    """

    part: Literal["throughput", "streams"]
    target: str
    workers: int | None
    connections: int
    tokens: float
    requests_per_second: float
    tokens_per_second: float | None
    p50_ms: float | None
    p99_ms: float | None
    error_share: float
    server_us: float | None
    client_share: float
    shared: bool
    foreign: float | None
    problem: str


class Paced(msgspec.Struct, frozen=True, kw_only=True):
    """Streams held at a constant pace.

    Attributes:
        target: Who was measured.
        workers: Its worker processes; None if not known.
        streams: Open at any time.
        offered: Tokens a second that so many streams have, if all are on time.
        tokens_per_second: That came.
        p50_ms: Median lateness of a token; None if none came.
        p99_ms: Its 99th percentile.
        p999_ms: Its 99.9th.
        drift_ms: Mean lateness of last tokens: how much later than planned a reply ends. None if none ended.
        early: Tokens that came before they were due.
        error_share: Failed requests, 0 to 1.
        server_us: CPU time of the workers for a token, in us; None if not known.
        server_share: CPU time of the workers in a second; None if not known.
        client_share: CPU time of the client in a second.
        stream_kb: Resident memory of the workers for a stream, in kB; None if not known.
        shared: Whether the client ran on one of the server's cores.
        foreign: Share of the server's or the client's cores that other programs took, whichever is more; None if not known.
        problem: Why the row is not to be quoted; empty if it is.
    """

    target: str
    workers: int | None
    streams: int
    offered: float
    tokens_per_second: float
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    drift_ms: float | None
    early: int
    error_share: float
    server_us: float | None
    server_share: float | None
    client_share: float
    stream_kb: float | None
    shared: bool
    foreign: float | None
    problem: str


class Headroom(msgspec.Struct, frozen=True, kw_only=True):
    """What the client can do against a server that does nothing.

    Attributes:
        part: Of the benchmark.
        unit: What is counted.
        ceiling: A second, by client and trivial server together.
        measured: A second, of llmsim; the best row.
        p99_ms: For pacing, what the client sees of a trivial server that paces as many streams; None otherwise.
    """

    part: str
    unit: str
    ceiling: float
    measured: float
    p99_ms: float | None = None

    @property
    def times(self) -> float:
        """How many times the measured figure the client could do."""
        return self.ceiling / self.measured


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """llmsim compared with another server.

    Attributes:
        part: Of the benchmark.
        target: The other server.
        unit: What is compared.
        llmsim: Our best figure that may be quoted, with the same number of connections or streams if both have one.
        other: Theirs.
    """

    part: str
    target: str
    unit: str
    llmsim: float
    other: float

    @property
    def times(self) -> float:
        """How many times theirs ours is."""
        return self.llmsim / self.other


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run.

    Attributes:
        taken_at: When it began, ISO 8601.
        command: What was asked for.
        machine: The environment.
        seconds: Length of a row's window.
        pace_ms: Time to first token and gap of `paced`.
        reply_tokens: Length of paced replies.
        closed: Rows of throughput and streams.
        paced: Rows of pacing.
        start_up: Seconds to the first answer, of each start.
        headroom: Of the client, for each part.
        ratios: To other servers.
        stolen: Share of the machine's time that its host gave to others during the run.
    """

    taken_at: str
    command: str
    machine: Machine
    seconds: float
    pace_ms: tuple[float, float]
    reply_tokens: int
    closed: tuple[Closed, ...] = ()
    paced: tuple[Paced, ...] = ()
    start_up: tuple[float, ...] = ()
    headroom: tuple[Headroom, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    stolen: float = 0.0


def complaint(
    *,
    error_share: float,
    p99_ms: float | None,
    client_share: float,
    delivered: float = 1.0,
    what: str = "p99",
) -> str:
    """Say why a row is not to be quoted; nothing if it may be."""
    if p99_ms is None:
        return "no answers"
    if error_share >= MOST_ERRORS:
        return f"{error_share:.2%} errors"
    if client_share > 0.97:
        return "the client's core is full"
    if p99_ms >= MOST_LATE_MS:
        return f"{what} {p99_ms:,.0f} ms"
    if delivered < LEAST_DELIVERED:
        return f"{delivered:.0%} delivered"
    return ""


def best_closed(
    rows: tuple[Closed, ...],
    part: str,
    *,
    target: str = "llmsim",
    workers: int | None = 1,
    tokens: int | None = None,
) -> Closed | None:
    """Give the fastest row of a part that may be quoted, with replies of a length if one is named."""
    fit = [
        row
        for row in rows
        if (row.part, row.target, row.workers, row.problem) == (part, target, workers, "")
        and (tokens is None or row.tokens == tokens)
    ]
    return max(fit, key=lambda row: row.requests_per_second, default=None)


def best_paced(
    rows: tuple[Paced, ...],
    *,
    target: str = "llmsim",
    workers: int | None = 1,
    below_ms: float = MOST_LATE_MS,
) -> Paced | None:
    """Give the row with most streams that may be quoted and whose p99 stays below a limit."""
    fit = [
        row
        for row in rows
        if (row.target, row.workers, row.problem) == (target, workers, "")
        and row.p99_ms is not None
        and row.p99_ms < below_ms
    ]
    return max(fit, key=lambda row: row.streams, default=None)
