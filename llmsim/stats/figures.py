"""The parts of a snapshot: what is told of an endpoint, a model, a worker, a latency, a minute."""

from typing import Literal

import msgspec


class EndpointStats(msgspec.Struct, frozen=True):
    """The requests to one endpoint: those that began, those in flight, and those that ended by outcome."""

    requests: int
    active: int
    finished: int
    refused: int
    abandoned: int
    aborted: int
    failed: int
    rate_limit: int
    server_error: int
    overloaded: int
    timeout: int
    invalid_request: int
    authentication: int


class ModelStats(msgspec.Struct, frozen=True):
    """The accepted requests for one model, and their tokens."""

    requests: int
    prompt_tokens: int
    completion_tokens: int


class Lag(msgspec.Struct, frozen=True):
    """How late an event loop came to what was due, in milliseconds.

    Attributes:
        mean: Over the samples of ten seconds.
        max: The greatest of them, or for how long the loop has stood still.
    """

    mean: float
    max: float


class WorkerStats(msgspec.Struct, frozen=True):
    """What was counted in one slot, by its worker and the predecessors whose totals it continues.

    Attributes:
        slot: Number of the slot.
        pid: Process that writes it; None when it is free.
        alive: Whether that process exists.
        requests: Requests that began.
        active: Requests in flight.
        tokens: Completion tokens sent.
        open_streams: Streams under way; None, as all below, when the process does not live.
        cpu_percent: CPU time of the process over the last ten seconds, in percent of one core; None while unknown.
        cpu_wait_percent: The same for the time that it was ready to run and had no core; None also where the system
            does not tell.
        loop_lag_ms: Of its event loop, over the last ten seconds; None while unknown.
    """

    slot: int
    pid: int | None
    alive: bool
    requests: int
    active: int
    tokens: int
    open_streams: int | None
    cpu_percent: float | None
    cpu_wait_percent: float | None
    loop_lag_ms: Lag | None


class Verdict(msgspec.Struct, frozen=True):
    """Whether the simulator kept its time in the last 30 to 40 s.

    Attributes:
        state: `on_time`, `late`, or `idle` where nothing was due.
        text: The same in words, with figures, and what would help.
        p99_lateness_ms: Of the tokens that left; None when none did.
    """

    state: Literal["on_time", "late", "idle"]
    text: str
    p99_lateness_ms: float | None


class Latency(msgspec.Struct, frozen=True):
    """A distribution of latencies in milliseconds; None for what is unknown while `count` is 0.

    Attributes:
        count: Observations.
        mean: Exact to the microsecond, like `min` and `max`.
        p50: Estimated, like all quantiles: off by less than 12.5 %, and by nothing below 16 us.
    """

    count: int
    mean: float | None
    min: float | None
    max: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    p99_9: float | None


class Latencies(msgspec.Struct, frozen=True):
    """What was observed, not what was planned.

    Attributes:
        ttft_ms: Time to first token.
        inter_token_ms: Gaps between tokens.
        end_to_end_ms: Arrival to last byte, of finished requests.
        lateness_ms: When tokens left minus when they were due: the simulator's own timing error.
    """

    ttft_ms: Latency
    inter_token_ms: Latency
    end_to_end_ms: Latency
    lateness_ms: Latency


class Recent(msgspec.Struct, frozen=True):
    """The last 60 complete seconds, oldest first.

    Attributes:
        requests: Requests that began in each.
        tokens: Completion tokens sent in each.
        errors: Requests that ended in a simulated failure or a bug in each.
    """

    requests: tuple[int, ...]
    tokens: tuple[int, ...]
    errors: tuple[int, ...]
