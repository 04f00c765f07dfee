"""Results of a run: the rows of its tables, as they are in the JSON.

Decisions:
* Each row shows whether it may be quoted: `problem` is empty if its criteria are met.
* Ratios compare like with like: a peer's best row that may be quoted, and llmsim's with as many connections.
"""

from typing import Literal

import msgspec

from .machine import Machine

MOST_ERRORS = 0.001
"""Share of failed requests that a row must stay below to be quoted."""

MOST_LATE_MS = 50.0
"""Limit of the 99th percentile of the time of a reply, or of the lateness of a token."""

MUCH_FOREIGN = 0.1
"""Share of the cores used by others from which a row is marked: its figures are lower bounds."""

LEAST_DELIVERED = 0.99
"""Share of the offered tokens that must have arrived."""


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """Replies at once, each connection sending its next request when it has the reply.

    Attributes:
        part: Unstreamed or streamed replies.
        target: The measured server.
        workers: Number of its workers; None if unknown.
        connections: Requests open at any time.
        tokens: Tokens of a reply; the mean if another server chose their number.
        requests_per_second: Replies per second.
        tokens_per_second: Their tokens per second; None if not counted.
        p50_ms: Median of the time of a reply; None without replies.
        p99_ms: Its 99th percentile.
        error_share: Failed requests, 0 to 1.
        server_us: CPU time of the workers for a request, in us; None if unknown.
        client_share: CPU time of the client in a second.
        shared: Whether the client ran on one of the server's cores.
        foreign: Share of the server's or the client's cores that other programs used, whichever is more; None if unknown.
        problem: Why the row must not be quoted; empty if it may be.
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
        target: The measured server.
        workers: Number of its workers; None if unknown.
        streams: Streams that are open at any time.
        offered: Tokens per second of so many streams, if all are on time.
        tokens_per_second: Tokens per second that arrived.
        p50_ms: Median lateness of a token; None without tokens.
        p99_ms: Its 99th percentile.
        p999_ms: Its 99.9th percentile.
        drift_ms: Mean lateness of last tokens: how much later than planned a reply ends. None if no reply ended.
        early: Tokens that arrived before they were due.
        error_share: Failed requests, 0 to 1.
        server_us: CPU time of the workers for a token, in us; None if unknown.
        server_share: CPU time of the workers in a second; None if unknown.
        client_share: CPU time of the client in a second.
        stream_kb: Resident memory of the workers for a stream, in kB; None if unknown.
        shared: Whether the client ran on one of the server's cores.
        foreign: Share of the server's or the client's cores that other programs used, whichever is more; None if unknown.
        problem: Why the row must not be quoted; empty if it may be.
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
    """The client's limit, measured with a server that does nothing.

    Attributes:
        part: Part of the benchmark.
        unit: Unit of the rates.
        ceiling: Rate of client and trivial server together.
        measured: Rate of llmsim; the best row.
        p99_ms: For pacing, lateness that the client measures of a trivial server with as many streams; else None.
        server_us: For pacing, CPU time of that server for an event, in microseconds; else None.
    """

    part: str
    unit: str
    ceiling: float
    measured: float
    p99_ms: float | None = None
    server_us: float | None = None

    @property
    def times(self) -> float:
        """The client's limit as a multiple of the measured rate."""
        return self.ceiling / self.measured


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """llmsim compared with another server.

    Attributes:
        part: Part of the benchmark.
        target: The other server.
        unit: Unit of the figures.
        llmsim: The best figure of llmsim that may be quoted, with the same number of connections if both have one.
        other: The other server's figure.
    """

    part: str
    target: str
    unit: str
    llmsim: float
    other: float

    @property
    def times(self) -> float:
        """llmsim's figure as a multiple of the other server's."""
        return self.llmsim / self.other


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run.

    Attributes:
        taken_at: Start of the run, ISO 8601.
        command: The command line.
        machine: The machine.
        seconds: Length of a row's window.
        pace_ms: Time to first token and gap of `paced`.
        reply_tokens: Length of paced replies.
        closed: Rows of throughput and streams.
        paced: Rows of pacing.
        start_up: Seconds to the first reply, of each start.
        headroom: The client's limits, for each part.
        ratios: Comparisons with other servers.
        stolen: Share of the machine's CPU time that its host gave to other guests during the run.
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


def find_problem(
    *,
    error_share: float,
    p99_ms: float | None,
    client_share: float,
    delivered: float = 1.0,
    what: str = "p99",
) -> str:
    """Return why a row must not be quoted; empty if it may be."""
    if p99_ms is None:
        return "no replies"
    if error_share >= MOST_ERRORS:
        return f"{error_share:.2%} errors"
    if client_share > 0.97:
        return "the client's core is full"
    if p99_ms >= MOST_LATE_MS:
        return f"{what} {p99_ms:,.0f} ms"
    if delivered < LEAST_DELIVERED:
        return f"{delivered:.0%} delivered"
    return ""


def find_best_closed(
    rows: tuple[Closed, ...],
    part: str,
    *,
    target: str = "llmsim",
    workers: int | None = 1,
    tokens: int | None = None,
    quotable: bool = True,
) -> Closed | None:
    """Return the fastest row of a part that may be quoted, or of all; with replies of a length if one is given."""
    fit = [
        row
        for row in rows
        if (row.part, row.target, row.workers) == (part, target, workers)
        and (tokens is None or row.tokens == tokens)
        and not (quotable and row.problem)
    ]
    return max(fit, key=lambda row: row.requests_per_second, default=None)


def find_best_paced(
    rows: tuple[Paced, ...],
    *,
    target: str = "llmsim",
    workers: int | None = 1,
    below_ms: float = MOST_LATE_MS,
) -> Paced | None:
    """Return the row with most streams that may be quoted and whose p99 stays below a limit."""
    fit = [
        row
        for row in rows
        if (row.target, row.workers, row.problem) == (target, workers, "")
        and row.p99_ms is not None
        and row.p99_ms < below_ms
    ]
    return max(fit, key=lambda row: row.streams, default=None)


def compare(closed: tuple[Closed, ...], paced: tuple[Paced, ...], *, tokens: int) -> tuple[Ratio, ...]:
    """Compare one worker of llmsim with each other server.

    Args:
        closed: Rows of throughput and streams.
        paced: Rows of pacing.
        tokens: Length of llmsim's streamed replies.
    """
    found = []
    rows: list[Closed | Paced] = [*closed, *paced]
    peers = [row.target for row in rows if row.workers is None]
    for target in dict.fromkeys(peers):
        for part, unit, length in (("throughput", "requests/s", None), ("streams", "tokens/s", tokens)):
            theirs = find_best_closed(closed, part, target=target, workers=None)
            if theirs is None:
                continue
            alike = tuple(row for row in closed if row.connections == theirs.connections)
            if ours := find_best_closed(alike, part, tokens=length):
                # Tokens if they are streamed, because other servers choose the length of their replies.
                rates = [row.tokens_per_second or row.requests_per_second for row in (ours, theirs)]
                found.append(Ratio(part=part, target=target, unit=unit, llmsim=rates[0], other=rates[1]))
        held, other = find_best_paced(paced), find_best_paced(paced, target=target, workers=None)
        if held and other:
            found.append(
                Ratio(part="pacing", target=target, unit="streams", llmsim=held.streams, other=other.streams)
            )
    return tuple(found)
