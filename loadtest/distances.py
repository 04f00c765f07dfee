"""How far apart two sets of times are: percentiles, errors by request, and the Kolmogorov-Smirnov distance."""

import math
import statistics
from collections.abc import Sequence

import msgspec

PERCENTILES = (0.5, 0.9, 0.99)
"""The percentiles that are compared."""


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile, linear between two values.

    Args:
        values: At least one.
        share: 0 to 1.
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def relative_errors(found: Sequence[float], wanted: Sequence[float]) -> list[float]:
    """Return |found / wanted - 1| of each pair; pairs of which nothing was wanted are left out."""
    return [abs(one / other - 1) for one, other in zip(found, wanted, strict=True) if other > 0]


def ks_distance(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the Kolmogorov-Smirnov distance: the largest between the two cumulative distributions, 0 to 1."""
    one, other = sorted(first), sorted(second)
    i = j = 0
    largest = 0.0
    while i < len(one) and j < len(other):
        value = min(one[i], other[j])
        while i < len(one) and one[i] <= value:
            i += 1
        while j < len(other) and other[j] <= value:
            j += 1
        largest = max(largest, abs(i / len(one) - j / len(other)))
    return largest


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of time, as recorded and as measured or predicted; ms.

    Attributes:
        name: `ttft`, `tpot` or `e2e`.
        count: Requests compared.
        recorded: p50, p90, p99 of the recording.
        found: The same of what is compared with it.
        mean_error: Mean of |found / recorded - 1| over the requests.
        median_error: The median of the same.
        ks: Kolmogorov-Smirnov distance of the two distributions.
    """

    name: str
    count: int
    recorded: tuple[float, ...]
    found: tuple[float, ...]
    mean_error: float
    median_error: float
    ks: float

    @property
    def errors(self) -> tuple[float, ...]:
        """Found / recorded - 1 of each percentile."""
        return tuple(
            one / other - 1 if other else 0.0 for one, other in zip(self.found, self.recorded, strict=True)
        )


def build_measure(
    name: str,
    recorded: Sequence[float],
    found: Sequence[float],
    *,
    distribution: Sequence[float] | None = None,
) -> Measure:
    """Compare two lists of times, in seconds.

    Args:
        name: Name of the kind of time.
        recorded: Of the recording, one for each request.
        found: What is compared with it, one for each request.
        distribution: The distribution that `found` is the middle of, where it is not a single prediction.
    """
    spread = found if distribution is None else distribution
    errors = relative_errors(found, recorded) or [0.0]
    return Measure(
        name=name,
        count=len(recorded),
        recorded=tuple(1000 * percentile(recorded, share) for share in PERCENTILES),
        found=tuple(1000 * percentile(spread, share) for share in PERCENTILES),
        mean_error=statistics.fmean(errors),
        median_error=statistics.median(errors),
        ks=ks_distance(recorded, spread),
    )


def time_per_token(ttft: float | None, e2e: float | None, tokens: int) -> float | None:
    """Return the time per output token after the first (TPOT); None if there is no such token."""
    return None if ttft is None or e2e is None or tokens < 2 else (e2e - ttft) / (tokens - 1)
