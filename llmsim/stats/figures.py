"""The parts of a snapshot: what is told of an endpoint, a model, a worker, a latency, a minute."""

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


class WorkerStats(msgspec.Struct, frozen=True):
    """What was counted in one slot, by its worker and the predecessors whose totals it continues.

    Attributes:
        slot: Number of the slot.
        pid: Process that writes it; None when it is free.
        alive: Whether that process exists.
        requests: Requests that began.
        active: Requests in flight.
        tokens: Completion tokens sent.
    """

    slot: int
    pid: int | None
    alive: bool
    requests: int
    active: int
    tokens: int


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
