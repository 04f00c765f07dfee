"""Targets of llmsim on one core, and the figures of a run for them (spec benchmarks, group 4)."""

import statistics
from collections.abc import Callable

import msgspec

from .results import Results, find_best_closed, find_best_paced

TARGET_TOKENS = 100
"""Length of streamed replies in the targets."""

PUNCTUAL_EVENTS, MOST_EVENTS = 45_000, 80_000


class Target(msgspec.Struct, frozen=True):
    """One target.

    Attributes:
        what: Description.
        wanted: The figure.
        most: Whether the figure is an upper limit; else a lower one.
        measured: Returns the figure of a run; None if the run did not measure it.
    """

    what: str
    wanted: float
    most: bool
    measured: Callable[[Results], float | None]

    def reached(self, figure: float) -> bool:
        """Return whether a figure reaches the target."""
        return figure <= self.wanted if self.most else figure >= self.wanted


def _requests(results: Results) -> float | None:
    best = find_best_closed(results.closed, "throughput")
    return best.requests_per_second if best else None


def _streams(results: Results) -> float | None:
    best = find_best_closed(results.closed, "streams", tokens=TARGET_TOKENS)
    return best.requests_per_second if best else None


def _if_final(results: Results, figure: float, wanted: float) -> float | None:
    """Return a figure that grows with the open streams; None if more of them could still raise it."""
    last = [row for row in results.paced if (row.target, row.workers) == ("llmsim", 1)][-1]
    return figure if figure >= wanted or last.problem else None


def _punctual_events(results: Results) -> float | None:
    best = find_best_paced(results.paced, below_ms=20)
    return _if_final(results, best.tokens_per_second, PUNCTUAL_EVENTS) if best else None


def _p99_ms(results: Results) -> float | None:
    mine = [
        row.p99_ms for row in results.paced if (row.target, row.workers, row.streams) == ("llmsim", 1, 1000)
    ]
    return mine[0] if mine else None


def _most_events(results: Results) -> float | None:
    mine = [row.tokens_per_second for row in results.paced if (row.target, row.workers) == ("llmsim", 1)]
    return _if_final(results, max(mine), MOST_EVENTS) if mine else None


def _stream_kb(results: Results) -> float | None:
    # With few streams the memory of the worker itself hides theirs.
    mine = [row for row in results.paced if row.workers == 1 and row.streams >= 1000]
    return mine[0].stream_kb if mine else None


def _second_worker(results: Results) -> float | None:
    one = find_best_closed(results.closed, "throughput")
    two = find_best_closed(results.closed, "throughput", workers=2)
    return two.requests_per_second / one.requests_per_second if one and two and not two.shared else None


def _start_up(results: Results) -> float | None:
    return statistics.median(results.start_up) if results.start_up else None


TARGETS = (
    Target("unstreamed replies of 16 tokens, 1/s", 15_000, False, _requests),
    Target("streamed replies of 100 tokens at once, 1/s", 12_000, False, _streams),
    Target("paced events with p99 less than 20 ms late, 1/s", PUNCTUAL_EVENTS, False, _punctual_events),
    Target("paced events at most, 1/s", MOST_EVENTS, False, _most_events),
    Target("p99 lateness of 1,000 streams, ms", 5, True, _p99_ms),
    Target("memory of an open stream, kB", 12, True, _stream_kb),
    Target("requests of two workers to those of one", 1.9, False, _second_worker),
    Target("start to first reply, s", 0.6, True, _start_up),
)
