"""What a recording holds, whichever format it was read from."""

import msgspec


class RecordingError(Exception):
    """A file cannot be used. The message names file, line and field, what was found and what would do."""


class TimedRequest(msgspec.Struct, frozen=True):
    """One request of a trace.

    Attributes:
        arrival: Seconds after the first request of its trace.
        prompt_tokens: Tokens of the prompt; >= 1.
        completion_tokens: Tokens generated; >= 1.
        ttft: Measured time to first token, in seconds; None if it was not measured.
        e2e: Measured end-to-end latency, in seconds; None if it was not measured.
    """

    arrival: float
    prompt_tokens: int
    completion_tokens: int
    ttft: float | None = None
    e2e: float | None = None

    @property
    def is_judged(self) -> bool:
        """Whether it has a time; without one it is load that others were measured under."""
        return self.ttft is not None or self.e2e is not None


class Trace(msgspec.Struct, frozen=True):
    """The requests of one run, in the order in which they arrived.

    Attributes:
        name: Where it comes from: the file's name, and which of its runs.
    """

    name: str
    requests: tuple[TimedRequest, ...]


class Point(msgspec.Struct, frozen=True):
    """What was measured on the mean of many equal requests, a constant number of them in flight.

    Attributes:
        prompt_tokens: Tokens of each prompt.
        completion_tokens: Tokens generated for each.
        concurrency: Requests in flight.
        ttft: Time to first token, in seconds.
        tpot: Time per output token after the first, in seconds.
    """

    prompt_tokens: int
    completion_tokens: int
    concurrency: int
    ttft: float
    tpot: float


class Recording(msgspec.Struct, frozen=True):
    """All that one file holds: traces, or points."""

    traces: tuple[Trace, ...] = ()
    points: tuple[Point, ...] = ()


def build_trace(name: str, requests: list[TimedRequest]) -> Trace:
    """Return a trace whose first request arrives at 0."""
    requests.sort(key=lambda request: request.arrival)
    start = requests[0].arrival
    return Trace(
        name,
        tuple(msgspec.structs.replace(request, arrival=request.arrival - start) for request in requests),
    )
