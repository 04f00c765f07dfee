"""The counters of busy workers, for what reads them: each has met as many models as a worker counts apart."""

import os
import random
import time

from llmsim.stats import Block, Outcome, Recorder, layout
from llmsim.stats.health import Gauges

WORKERS = 4

_MODELS = 64
_REQUESTS, _GAPS = 12, 3
"""Requests of each model at each worker, and gaps between tokens of each."""

_ENDPOINTS = ("completions", "responses", "messages", "embeddings")
"""Endpoints that are asked, by their labels."""


def count_crowd(block: Block) -> None:
    """Count for all workers of a block, each of which has met the models in an order of its own; the last slot is free then."""
    rng = random.Random(7)
    places = [block.endpoints.index(label) for label in _ENDPOINTS]
    for _ in range(WORKERS):
        slot = block.claim(os.getpid())
        block.set_pid(slot, os.getpid())
        _count(Recorder(block, slot), Gauges(block, slot, time.monotonic()), places, rng)
    block.release(slot)


def _count(recorder: Recorder, gauges: Gauges, endpoints: list[int], rng: random.Random) -> None:
    """Count what one worker has met, with a pulse each second."""
    now = time.monotonic()
    models = [f"model-{number}" for number in range(_MODELS)]
    rng.shuffle(models)
    for model in models:
        for _ in range(_REQUESTS):
            endpoint = rng.choice(endpoints)
            recorder.began(endpoint, now)
            row = recorder.accepted(endpoint, model, streaming=True, prompt_tokens=20)
            recorder.first_token(row, rng.lognormvariate(-1, 0.7))
            recorder.sent(row, 1, now)
            for _ in range(_GAPS):
                recorder.streamed(row, 1, rng.random() / 100, rng.lognormvariate(-4, 0.5), now)
            recorder.ended(endpoint, Outcome.FINISHED, rng.lognormvariate(1, 0.5), now, row)
    for second in range(layout.PULSE_ENTRIES):
        gauges.record_pulse(now - layout.PULSE_ENTRIES + second, cpu=0.3 * second, wait=0.0, samples=10)
