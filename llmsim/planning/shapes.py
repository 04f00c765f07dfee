"""Shapes of latencies: the quantiles of each distribution, and the tables from which gaps are read.

Decisions:
* A shape is the list of its quantiles in the middle of equal strata of probability. A table is that list shuffled with a fixed seed, so
  every shape costs the same to read as the normal one, and reading it as a whole gives the distribution exactly.
* The highest entry of a skewed shape takes what the strata lack to the mean: the tail beyond its middle is what they miss.
* Stalls are part of the table: a share of its entries is longer. A schedule needs to know nothing of them.
* A gamma distribution has no quantiles in closed form. Its density over the logarithm of the latency is smooth and falls on both sides,
  where sums of trapezoids are exact to 7 digits: 8 ms, without a dependency.
"""

import functools
import hashlib
import math
import random
import statistics
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise

import msgspec

from llmsim.domain.schedule import DEVIATES

NORMAL = "normal"
SIZE = 1 << 14

_LEAST_STALLS = 64
"""Entries of a table that hold a stall; a table is made larger for rare ones, up to four times."""

_KEPT = 256
"""Tables that are not built again, for the samplers of one process."""

_MOST_PROPORTION = 1e9

_AS_NORMAL = 1e8
"""Shape of a gamma distribution from which on it differs from a normal one by less than 0.0001."""

_GRID = 8192
_NEGLIGIBLE = 40.0
_SMALLEST = -60.0


class QuantileFunction(msgspec.Struct, frozen=True):
    """An empirical distribution: straight lines between known quantiles.

    Attributes:
        probabilities: From 0 to 1, strictly rising.
        latencies: In milliseconds, never falling.
    """

    probabilities: tuple[float, ...]
    latencies: tuple[float, ...]

    def at(self, probability: float) -> float:
        """Return the latency that is not exceeded with a probability below 1."""
        left = bisect_right(self.probabilities, probability) - 1
        low, high = self.probabilities[left : left + 2]
        start, stop = self.latencies[left : left + 2]
        return start + (stop - start) * (probability - low) / (high - low)

    @property
    def mean(self) -> float:
        """The mean, in milliseconds."""
        return math.fsum(width * (start + stop) / 2 for width, start, stop in self._lines())

    @property
    def stddev(self) -> float:
        """The standard deviation, in milliseconds."""
        mean = self.mean
        squares = (
            width * ((start - mean) ** 2 + (start - mean) * (stop - mean) + (stop - mean) ** 2) / 3
            for width, start, stop in self._lines()
        )
        return math.sqrt(math.fsum(squares))

    def _lines(self) -> Iterator[tuple[float, float, float]]:
        """Yield probability, first and last latency of each line."""
        for (low, high), (start, stop) in zip(
            pairwise(self.probabilities), pairwise(self.latencies), strict=True
        ):
            yield high - low, start, stop


def quantile_function(quantiles: Sequence[float | tuple[float, float]]) -> QuantileFunction:
    """Build an empirical distribution.

    Args:
        quantiles: Latencies at equal steps of probability from 0 to 1, or pairs of a probability and a latency. If pairs do not begin at
            0 or end at 1, the straight line of their first or last two is continued, but not below zero.
    """
    last = len(quantiles) - 1
    pairs = [
        one if isinstance(one, tuple) else (index / last, float(one)) for index, one in enumerate(quantiles)
    ]
    (left, low), (right, high) = pairs[:2]
    if left > 0:
        pairs.insert(0, (0.0, max(0.0, low - (high - low) / (right - left) * left)))
    (left, low), (right, high) = pairs[-2:]
    if right < 1:
        pairs.append((1.0, high + (high - low) / (right - left) * (1 - right)))
    return QuantileFunction(*map(tuple, zip(*pairs, strict=True)))


class Table(msgspec.Struct, frozen=True):
    """Gaps as a schedule reads them: `mean + spread * deviate`.

    Attributes:
        mean: In milliseconds.
        spread: Standard deviation in milliseconds; 0 if all gaps are the same.
        name: Of the table in `DEVIATES`.
        size: Its entries, a power of two.
    """

    mean: float
    spread: float
    name: str = ""
    size: int = SIZE


class Stalls(msgspec.Struct, frozen=True):
    """Pauses in a stream.

    Attributes:
        rate: Share of the gaps that hold one.
        mean: In milliseconds.
        stddev: Standard deviation, in milliseconds.
    """

    rate: float
    mean: float
    stddev: float = 0.0


_NORMAL_SPREAD = 0.9999596531376528
"""Standard deviation of the normal deviates before they are scaled, by `statistics.pstdev`. PERF: 8 ms of each start."""


def add_normal_table() -> None:
    """Add the table of normal deviates, which is scaled to a mean of 0 and a deviation of 1 exactly, and cut when it is read."""
    if NORMAL in DEVIATES:
        return
    deviates = _normal(SIZE, 0.0, 1.0)
    random.Random(20260).shuffle(deviates)
    DEVIATES[NORMAL] = tuple([deviate / _NORMAL_SPREAD for deviate in deviates])


@functools.lru_cache(_KEPT)
def build_table(
    shape: str,
    mean: float,
    stddev: float,
    quantiles: QuantileFunction | None = None,
    stalls: Stalls | None = None,
) -> Table:
    """Return the table of a distribution of gaps, and add it to `DEVIATES`.

    Args:
        shape: `normal`, `lognormal`, `gamma` or `empirical`.
        mean: In milliseconds; not of an empirical one.
        stddev: Likewise.
        quantiles: Of an empirical one.
        stalls: Pauses that some gaps hold.
    """
    if stalls is None and quantiles is None and is_constant(shape, mean, stddev):
        return Table(mean, 0.0)
    size = SIZE
    if stalls is not None:
        while size < 4 * SIZE and stalls.rate * size < _LEAST_STALLS:
            size *= 2
    # A shape alone is the same at every scale, so profiles share it.
    scale = mean if stalls is None and quantiles is None else 1.0
    gaps = strata(shape, size, mean / scale, stddev / scale, quantiles)
    random.Random(20260).shuffle(gaps)
    if stalls is not None:
        stalled = max(1, round(stalls.rate * size))
        pauses = strata(NORMAL, stalled, stalls.mean, stalls.stddev) + [0.0] * (size - stalled)
        random.Random(20261).shuffle(pauses)
        gaps = [gap + pause for gap, pause in zip(gaps, pauses, strict=True)]
    centre = statistics.fmean(gaps)
    spread = math.sqrt(statistics.fmean([(gap - centre) ** 2 for gap in gaps]))
    if not spread:
        return Table(centre * scale, 0.0)
    key = msgspec.json.encode((shape, mean / scale, stddev / scale, quantiles, stalls))
    name = f"{shape}-{hashlib.blake2b(key, digest_size=8).hexdigest()}"
    DEVIATES[name] = tuple([(gap - centre) / spread for gap in gaps])
    return Table(centre * scale, spread * scale, name, size)


def strata(
    shape: str, size: int, mean: float, stddev: float, quantiles: QuantileFunction | None = None
) -> list[float]:
    """Return the quantiles of a distribution in the middle of `size` strata of equal probability, cut at zero."""
    if quantiles is not None:
        return [quantiles.at((index + 0.5) / size) for index in range(size)]
    if is_constant(shape, mean, stddev):
        return [mean] * size
    if shape == NORMAL:
        return [max(0.0, latency) for latency in _normal(size, mean, stddev)]
    latencies = _SKEWED[shape](size, mean, stddev)
    latencies[-1] += max(0.0, size * mean - math.fsum(latencies))
    return latencies


def is_constant(shape: str, mean: float, stddev: float) -> bool:
    """Return whether all latencies are the mean: nothing skewed has a mean of zero, or a deviation out of all proportion to it."""
    if shape == NORMAL:
        return not stddev
    return not mean or not 1 / _MOST_PROPORTION < stddev / mean < _MOST_PROPORTION


def lognormal_parameters(mean: float, stddev: float) -> tuple[float, float]:
    """Return mean and standard deviation of the logarithm."""
    variance = math.log1p((stddev / mean) ** 2)
    return math.log(mean) - variance / 2, math.sqrt(variance)


def gamma_parameters(mean: float, stddev: float) -> tuple[float, float]:
    """Return shape and scale."""
    return (mean / stddev) ** 2, stddev**2 / mean


def _normal(size: int, mean: float, stddev: float) -> list[float]:
    quantile = statistics.NormalDist().inv_cdf
    return [mean + stddev * quantile((index + 0.5) / size) for index in range(size)]


def _lognormal(size: int, mean: float, stddev: float) -> list[float]:
    centre, spread = lognormal_parameters(mean, stddev)
    return [math.exp(exponent) for exponent in _normal(size, centre, spread)]


def _gamma(size: int, mean: float, stddev: float) -> list[float]:
    """Return quantiles of `mean * e**y`, where the logarithm of the density of `y` is `shape * (y - e**y + 1)`."""
    shape, _ = gamma_parameters(mean, stddev)
    if shape > _AS_NORMAL:
        return _normal(size, mean, stddev)
    low, high = _end(shape, _SMALLEST), _end(shape, max(1.0, 5 + math.log(80 / shape)))
    step = (high - low) / _GRID
    grid = [low + step * index for index in range(_GRID + 1)]
    density = [math.exp(shape * (at - math.expm1(at))) for at in grid]
    # What lies below the grid is close to zero, but may be likely: its density is that of a power.
    below = density[0] / shape if low == _SMALLEST else 0.0
    masses = (step * (left + right) / 2 for left, right in pairwise(density))
    cumulative = list(accumulate(masses, initial=below))
    latencies, at = [], 0
    for index in range(size):
        wanted = (index + 0.5) / size * cumulative[-1]
        while cumulative[at + 1] < wanted:
            at += 1
        # Where nearly all lies below the grid, nothing is left in it.
        mass = cumulative[at + 1] - cumulative[at]
        share = (wanted - cumulative[at]) / mass if mass else 0.0
        latencies.append(mean * math.exp(grid[at] + step * share) if share > 0 else 0.0)
    return latencies


def _end(shape: float, bound: float) -> float:
    """Return where, between 0 and a bound, the density has become negligible."""
    near, far = 0.0, bound
    for _ in range(60):
        middle = (near + far) / 2
        if shape * (math.expm1(middle) - middle) > _NEGLIGIBLE:
            far = middle
        else:
            near = middle
    return far


_SKEWED: dict[str, Callable[[int, float, float], list[float]]] = {"lognormal": _lognormal, "gamma": _gamma}
