"""The verdict: whether the simulator sends tokens on time, in one sentence, and what would help if it does not.

Decisions:
* The verdict covers the last 30 to 40 s, over all living workers.
* Advice is given only where the figures support it: "add workers" helps where workers need more than
  their core and cores are free. Where no worker was busy the loops were blocked, or, if they were
  not, writes were seen to wait for slow clients; else the cause is unknown.
* A few late tokens prove nothing: the first request of a fresh server is late.
"""

import os
from collections.abc import Sequence
from typing import Literal

import msgspec

from llmsim.stats import histogram
from llmsim.stats.health import JUDGED_SECONDS, WorkerHealth

LATE_MS = 20.0
"""p99 of lateness from which the simulator is late: the limit promised while it is not overloaded."""

TIGHT_MS = 10.0
"""p99 of lateness from which there is little to spare."""

FEWEST_TOKENS = 48
"""Tokens below which lateness is not judged."""

_BLOCKED = 1.0
"""Seconds without a pulse from which a worker is blocked."""

_BUSY = 0.75
"""Share of a core from which a worker needs more than its timing allows."""

_IDLE = 0.3
"""Share of a core below which a worker could take much more."""

_WAITS = 0.25
"""Share of a second spent waiting for a core from which none is free."""


class Verdict(msgspec.Struct, frozen=True):
    """Whether the simulator was on time in the last 30 to 40 s.

    Attributes:
        state: `on_time`, `late`, or `idle` if no token was due, or too few to judge.
        text: The same in words, with figures, and what would help.
        p99_lateness_ms: Of the tokens sent; None if there were none.
    """

    state: Literal["on_time", "late", "idle"]
    text: str
    p99_lateness_ms: float | None


def available_cores() -> int:
    """Count the cores that this process may use; all cores where the system has no such limit."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def judge(workers: Sequence[WorkerHealth], *, cores: int) -> Verdict:
    """Return whether the simulator was on time.

    Args:
        workers: The living ones.
        cores: How many cores they may use.
    """
    p99 = p99_of(workers)
    blocked = max(workers, key=lambda worker: worker.silence if worker.open_streams else 0.0, default=None)
    if blocked is not None and blocked.open_streams and blocked.silence >= _BLOCKED:
        text = f"simulator-limited: worker {blocked.slot} has stood still for {blocked.silence:.1f} s"
        return Verdict("late", f"{text}, with {blocked.open_streams:,} open streams", p99)
    if p99 is None:
        waiting = sum(worker.open_streams for worker in workers)
        text = f"nothing measured: no token was due in the last {JUDGED_SECONDS} s"
        return Verdict("idle", f"{text}, of {waiting:,} open streams" if waiting else text, None)
    lateness = f"p99 lateness {_ms(p99)} ms"
    if p99 < TIGHT_MS:
        return Verdict("on_time", f"on time: {lateness}", p99)
    if p99 < LATE_MS:
        return Verdict("on_time", f"on time, with little to spare: {lateness}", p99)
    tokens = sum(sum(worker.lateness) for worker in workers)
    if tokens < FEWEST_TOKENS:
        noun = "token" if tokens == 1 else "tokens"
        return Verdict("idle", f"too few to judge: {lateness} of {tokens} {noun}", p99)
    return Verdict("late", _advice(workers, lateness, cores), p99)


def p99_of(workers: Sequence[WorkerHealth]) -> float | None:
    """Return p99 of the lateness of the tokens that workers sent lately, in milliseconds; None of no tokens."""
    return _p99([sum(column) for column in zip(*(worker.lateness for worker in workers), strict=True)])


def _advice(workers: Sequence[WorkerHealth], lateness: str, cores: int) -> str:
    worst = max(workers, key=_late_tokens)
    others = [worker.demand for worker in workers if worker is not worst]
    limited = f"simulator-limited: {lateness}"
    if worst.demand.total >= _BUSY:
        if worst.demand.wait >= _WAITS or sum(worker.demand.cpu for worker in workers) >= 0.9 * cores:
            return f"{limited}, no free core: add or free cores"
        if others and max(demand.total for demand in others) < _IDLE:
            return f"{limited}, worker {worst.slot} is overloaded and others idle: open more connections"
        return f"{limited}, add workers"
    if worst.lag_max * 1000 >= LATE_MS:
        held = f"worker {worst.slot} was held up for {_seconds(worst.lag_max)} but not busy"
        return f"{limited}, {held}: look for what stops it"
    waited = sum(worker.waited_writes for worker in workers)
    if waited:
        return f"late: {lateness}, but no worker was: clients read more slowly than tokens come ({waited:,} writes waited)"
    return (
        f"late: {lateness}, of unknown cause: no worker was busy or held up, and no write waited for a client"
    )


def _late_tokens(worker: WorkerHealth) -> int:
    first = histogram.bucket(int(LATE_MS * 1000))
    return sum(worker.lateness[first:])


def _p99(buckets: Sequence[int]) -> float | None:
    """Estimate p99 in milliseconds, or None of no values. The extremes are those of the buckets: marks have no others."""
    filled = [index for index, count in enumerate(buckets) if count]
    if not filled:
        return None
    minimum, maximum = histogram.bounds(filled[0])[0], histogram.bounds(filled[-1])[1] - 1
    return round(histogram.quantile(buckets, 0.99, minimum=minimum, maximum=maximum) / 1000, 3)


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 10.0 else f"{value:.1f}"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value >= 1.0 else f"{value * 1000:.0f} ms"
