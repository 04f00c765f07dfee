"""What llmsim wants to reach on one core, and what a run says about it (spec benchmarks, group 4)."""

import statistics
from collections.abc import Callable

import msgspec

from .results import Results, best_closed, best_paced

TARGET_TOKENS = 100
"""Length of streamed replies that the targets speak of."""

PUNCTUAL_EVENTS, MOST_EVENTS = 45_000, 65_000


class Target(msgspec.Struct, frozen=True):
    """One figure to reach.

    Attributes:
        what: In words.
        wanted: The figure.
        most: Whether it is the most that is allowed; else the least.
        measured: Reads it off a run; None where the run does not say.
    """

    what: str
    wanted: float
    most: bool
    measured: Callable[[Results], float | None]

    def reached(self, figure: float) -> bool:
        """Whether a figure is good enough."""
        return figure <= self.wanted if self.most else figure >= self.wanted


def _requests(results: Results) -> float | None:
    best = best_closed(results.closed, "throughput")
    return best.requests_per_second if best else None


def _streams(results: Results) -> float | None:
    best = best_closed(results.closed, "streams", tokens=TARGET_TOKENS)
    return best.requests_per_second if best else None


def _enough(results: Results, figure: float, wanted: float) -> float | None:
    """Give a figure that grows with the streams held, unless more of them would still raise it."""
    last = [row for row in results.paced if (row.target, row.workers) == ("llmsim", 1)][-1]
    return figure if figure >= wanted or last.problem else None


def _punctual_events(results: Results) -> float | None:
    best = best_paced(results.paced, below_ms=20)
    return _enough(results, best.tokens_per_second, PUNCTUAL_EVENTS) if best else None


def _most_events(results: Results) -> float | None:
    mine = [row.tokens_per_second for row in results.paced if (row.target, row.workers) == ("llmsim", 1)]
    return _enough(results, max(mine), MOST_EVENTS) if mine else None


def _stream_kb(results: Results) -> float | None:
    # With few streams the memory that a worker has anyway hides theirs.
    mine = [row for row in results.paced if row.workers == 1 and row.streams >= 1000]
    return mine[0].stream_kb if mine else None


def _second_worker(results: Results) -> float | None:
    one = best_closed(results.closed, "throughput")
    two = best_closed(results.closed, "throughput", workers=2)
    return two.requests_per_second / one.requests_per_second if one and two and not two.shared else None


def _start_up(results: Results) -> float | None:
    return statistics.median(results.start_up) if results.start_up else None


TARGETS = (
    Target("unstreamed replies of 16 tokens, 1/s", 15_000, False, _requests),
    Target("streamed replies of 100 tokens at once, 1/s", 12_000, False, _streams),
    Target("paced events with p99 less than 20 ms late, 1/s", PUNCTUAL_EVENTS, False, _punctual_events),
    Target("paced events at most, 1/s", MOST_EVENTS, False, _most_events),
    Target("memory of an open stream, kB", 20, True, _stream_kb),
    Target("requests of two workers to those of one", 1.8, False, _second_worker),
    Target("start to first answer, s", 1.5, True, _start_up),
)
