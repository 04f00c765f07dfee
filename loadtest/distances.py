"""How far apart two sets of times are: percentiles, errors by request, and the Kolmogorov-Smirnov distance."""

import math
from collections.abc import Sequence


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
