"""Runs of the engine's model that a fit compares with measurements: a trace, and a constant number of requests in flight.

Decisions:
* A run ends when the last request that is asked for has ended: what follows is not compared.
* A run has a bound on its steps: with a hopeless engine, one that preempts without end, a fit would not come back from
  a single try. What has not ended by then ends with the last step.
"""

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


_LEAST_STEPS = 48
_MOST_STEPS = 1_024
_SAMPLES = 24


def run_point(settings: EngineSettings, point: Point) -> tuple[float, float]:
    """Run equal requests, a constant number of them in flight; return mean TTFT and TPOT in seconds.

    The first requests have as much left to produce as they would have in a run that has gone on for long: so a steady
    state is there from the start, and a short look at it is enough.
    """
    engine = Engine(settings)
    tokens, places = point.completion_tokens, point.concurrency
    arrivals: dict[int, float] = {}

    def add(arrival: float, left: int) -> None:
        number = len(arrivals)
        arrivals[number] = arrival
        engine.add(EngineRequest(number, arrival, point.prompt_tokens, max(1, left)))

    for place in range(places):
        add(0.0, tokens - tokens * place // places)
    # Until all of the first have been read, their prompts are a burst that the steady state does not have.
    begun = 0
    while begun < places and (step := engine.step(float("-inf"))) is not None and step.number < 64 * places:
        begun += len(step.started)
        for _ in step.finished:
            add(step.end, tokens)
    start, from_number, steps = engine.end, len(arrivals), 0
    waits: list[float] = []
    least = min(_MOST_STEPS, max(_LEAST_STEPS, -(-_SAMPLES * tokens // places)))
    while steps < least or (not waits and steps < 4 * _MOST_STEPS):
        step = engine.step(float("-inf"))
        if step is None:
            break
        steps += 1
        waits += [step.end - arrivals[number] for number in step.started if number >= from_number]
        for _ in step.finished:
            add(step.end, tokens)
    after = settings.output_overhead_ms / 1e3
    ttft = sum(waits) / len(waits) if waits else engine.end - start
    return ttft + after, (engine.end - start) / max(1, steps)
