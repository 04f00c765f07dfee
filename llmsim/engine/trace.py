"""Runs a whole trace of requests through an engine at once: what a fit compares with measured times, and tests with each other."""

from collections.abc import Sequence

import msgspec

from llmsim.config.engine_settings import EngineSettings
from llmsim.engine.model import Engine, EngineRequest


class TraceRequest(msgspec.Struct, frozen=True, gc=False):
    """A request of a trace.

    Attributes:
        arrival: Instant of its arrival, in seconds.
        prompt_tokens: Tokens of its prompt.
        completion_tokens: Tokens of its output.
        cached_tokens: Tokens of the prompt that were cached.
    """

    arrival: float
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


class TraceTimes(msgspec.Struct, frozen=True, gc=False):
    """When a request of a trace was answered.

    Attributes:
        ttft: Seconds from its arrival to its first token.
        e2e: Seconds from its arrival to its last token.
    """

    ttft: float
    e2e: float


def run_trace(settings: EngineSettings, requests: Sequence[TraceRequest]) -> list[TraceTimes]:
    """Return the times of each request of a trace, in the order of the trace."""
    engine = Engine(settings)
    for index, request in enumerate(requests):
        engine.add(
            EngineRequest(
                index,
                request.arrival,
                request.prompt_tokens,
                request.completion_tokens,
                request.cached_tokens,
            )
        )
    after = settings.output_overhead_ms / 1e3
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    while (step := engine.step(float("-inf"))) is not None:
        for index in step.started:
            first.setdefault(index, step.end)
        for index in step.finished:
            last[index] = step.end
    return [
        TraceTimes(first[index] + after - request.arrival, last[index] + after - request.arrival)
        for index, request in enumerate(requests)
    ]
