"""Runs of the engine's model that a fit compares with measurements: a trace, and a constant number of requests in flight.

Decisions:
* A run ends when the last request that is asked for has ended: what follows is not compared.
* A run has a bound on its steps: with a hopeless engine, one that preempts without end, a fit would not come back from
  a single try. What has not ended by then ends with the last step.
"""

import zlib
from collections.abc import Sequence

import msgspec

from llmsim.config.engine_settings import EngineSettings
from llmsim.engine import Engine, EngineRequest
from loadtest.recordings import Point, TimedRequest


class Times(msgspec.Struct, frozen=True, gc=False):
    """Predicted times of one request, in seconds.

    Attributes:
        ttft: Time to first token.
        e2e: Time to the last.
    """

    ttft: float
    e2e: float


def run_requests(
    settings: EngineSettings, requests: Sequence[TimedRequest], wanted: Sequence[int], *, most_steps: int
) -> dict[int, Times]:
    """Run a trace.

    Args:
        settings: The engine.
        requests: The whole trace.
        wanted: Places in it of those whose times are wanted.
        most_steps: Bound on the steps.
    """
    engine = Engine(settings)
    for index, request in enumerate(requests):
        engine.add(EngineRequest(index, request.arrival, request.prompt_tokens, request.completion_tokens))
    open_requests = set(wanted)
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    for _ in range(most_steps):
        if not open_requests:
            break
        step = engine.step(float("-inf"))
        if step is None:
            break
        for index in step.started:
            first.setdefault(index, step.end)
        for index in step.finished:
            last[index] = step.end
            open_requests.discard(index)
    end, after = engine.end, settings.output_overhead_ms / 1e3
    return {
        index: Times(
            max(0.0, first.get(index, end) - requests[index].arrival) + after,
            max(0.0, last.get(index, end) - requests[index].arrival) + after,
        )
        for index in wanted
    }


def count_steps(requests: Sequence[TimedRequest]) -> int:
    """Return a bound on the steps of a trace that no sensible engine comes near."""
    tokens = sum(request.completion_tokens for request in requests)
    prompts = sum(request.prompt_tokens for request in requests)
    return (
        1_000 + 2 * tokens // 8 + prompts // 64 + 4 * max(request.completion_tokens for request in requests)
    )


def _phase(place: int) -> float:
    """Return a number from 0 to 1 that is spread as if drawn, and always the same."""
    return zlib.crc32(place.to_bytes(4, "big")) / 2**32


_WARM_STEPS = 8
_LEAST_STEPS, _MOST_STEPS = 64, 768
_SAMPLES = 8
_SATURATED = 0.05
"""Share of the requests in flight that wait, from which on the queue decides about the time to first token."""


def run_point(settings: EngineSettings, point: Point) -> tuple[float, float]:
    """Run equal requests, a constant number of them in flight; return mean TTFT and TPOT in seconds.

    The first requests have as much left to produce as they would have in a run that has gone on for long, with the chance
    that several leave together, and their prompts are read: so a steady state is there from the start, and a short look at it is enough. Where requests wait for a place,
    the wait follows from how fast others leave (Little's law), without waiting for it here.
    """
    engine = Engine(settings)
    tokens, places = point.completion_tokens, point.concurrency
    arrivals: dict[int, float] = {}

    def add(arrival: float, emitted: int) -> None:
        number = len(arrivals)
        arrivals[number] = arrival
        cached = point.prompt_tokens + emitted if emitted else 0
        engine.add(EngineRequest(number, arrival, point.prompt_tokens, tokens, cached, emitted=emitted))

    for place in range(places):
        add(0.0, int(tokens * _phase(place)))
    least = min(_MOST_STEPS, max(_LEAST_STEPS, -(-_SAMPLES * tokens // places)))
    start = decoding = waiting = 0.0
    waits: list[float] = []
    for number in range(_WARM_STEPS + least):
        step = engine.step(float("-inf"))
        assert step is not None
        if number == _WARM_STEPS:
            start = step.start
        if number >= _WARM_STEPS:
            decoding += step.decoding
            waiting += engine.waiting
            waits += [step.end - arrivals[one] for one in step.started if one >= places]
        for _ in step.finished:
            add(step.end, 0)
    tpot = (engine.end - start) / least
    if waiting / least > _SATURATED * places or not waits:
        # As many are in flight as leave in the time that one is there.
        ttft = max(tpot, places * tokens * tpot / max(1.0, decoding / least) - (tokens - 1) * tpot)
    else:
        ttft = sum(waits) / len(waits)
    return ttft + settings.output_overhead_ms / 1e3, tpot
