"""Figures over time: what happened between one look at Locust's rows and the next.

Decisions:
* Rows are sums since the start, so a point is the difference of two looks: its percentiles are of its own interval.
* The interval follows from the length of the run, so that a soak has as many points as a short run.
"""

from collections.abc import Mapping

import msgspec

from loadtest.timing import compute_quantile

POINTS = 200
"""About how many points a run has."""

_QUANTILES = (0.5, 0.95, 0.99)


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One interval of the run.

    Attributes:
        at: Its end, in seconds since the start.
        users: Users at that instant; None in the open model.
        requests_per_second: Requests that ended.
        failures_per_second: Those of them that failed.
        tokens_per_second: Output tokens of complete responses.
        ttft: p50, p95 and p99 in ms; None each if nothing was measured.
        itl: The same of the inter-token latencies.
        e2e: The same of the end-to-end latencies.
    """

    at: float
    users: int | None
    requests_per_second: float
    failures_per_second: float
    tokens_per_second: float
    ttft: tuple[float | None, ...]
    itl: tuple[float | None, ...]
    e2e: tuple[float | None, ...]


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums since the start."""

    requests: int = 0
    failures: int = 0
    tokens: int = 0
    ttft: Mapping[float, int] = {}
    itl: Mapping[float, int] = {}
    e2e: Mapping[float, int] = {}


class Series:
    """Collects the points of a run."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._before = Totals()
        self._at = 0.0

    @property
    def points(self) -> tuple[Point, ...]:
        """The points so far."""
        return tuple(self._points)

    def add(self, at: float, totals: Totals, users: int | None) -> None:
        """Add the interval since the last call.

        Args:
            at: Seconds since the start.
            totals: Sums at that instant.
            users: Users at that instant; None in the open model.
        """
        seconds = at - self._at
        if seconds <= 0:
            return
        before = self._before
        self._points.append(
            Point(
                at=round(at, 2),
                users=users,
                requests_per_second=round((totals.requests - before.requests) / seconds, 2),
                failures_per_second=round((totals.failures - before.failures) / seconds, 2),
                tokens_per_second=round((totals.tokens - before.tokens) / seconds, 1),
                ttft=_quantiles(totals.ttft, before.ttft),
                itl=_quantiles(totals.itl, before.itl),
                e2e=_quantiles(totals.e2e, before.e2e),
            )
        )
        self._before, self._at = totals, at


def _quantiles(now: Mapping[float, int], before: Mapping[float, int]) -> tuple[float | None, ...]:
    found = {value: count - before.get(value, 0) for value, count in now.items()}
    new = {value: count for value, count in found.items() if count > 0}
    return tuple(compute_quantile(new, share) for share in _QUANTILES)


def choose_interval(seconds: float | None, *, distributed: bool) -> float:
    """Return the seconds between two looks.

    Args:
        seconds: Length of the run; None if it is not known.
        distributed: Whether workers send their rows: Locust's do so every three seconds.
    """
    shortest = 3.0 if distributed else 1.0 if seconds is not None else 0.25
    return max(shortest, (seconds or 0.0) / POINTS)
