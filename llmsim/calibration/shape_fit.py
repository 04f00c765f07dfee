"""Fits shapes: distributions of the time to first token and of the time per token, as if no request met another.

Decisions:
* The cost of a prompt's length is what TTFT grows by with it, but never more than the fastest requests show.
* A recording has one mean time per token of each request, not its gaps. Their mean is that of all tokens, and their
  deviation that of the means.
* Normal, lognormal and gamma are tried; quantiles are listed only where none of them is close.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.calibration.judgement import Data, Prediction
from loadtest.distances import ks_distance, percentile, time_per_token

_QUANTILES = 40
_CLOSE = 0.05
"""By how much a distribution of two figures may be further off than a list of quantiles."""

_FASTEST = 0.05
_CORRELATED = 0.1
_GOLDEN = 0.618033988749895


class ShapeFit(msgspec.Struct, frozen=True):
    """Fitted shapes.

    Attributes:
        shape: Distribution of the time to first token without what the prompt adds: `normal`, `lognormal`, `gamma` or `empirical`.
        mean: Its mean, in ms.
        stddev: Its standard deviation, in ms.
        quantiles: Of an empirical one, in ms, at equal steps from 0 to 1.
        prefill: What each token of the prompt adds, in ms.
        tbt_mean: Mean time between two tokens, in ms.
        tbt_stddev: Its standard deviation, in ms.
    """

    shape: str
    mean: float
    stddev: float
    quantiles: tuple[float, ...]
    prefill: float
    tbt_mean: float
    tbt_stddev: float

    def settings(self) -> dict[str, Any]:
        """Return the keys of the table `[latency]`."""
        values: dict[str, Any] = {"ttft_shape": self.shape}
        if self.shape == "empirical":
            values["ttft_quantiles"] = [_digits(quantile) for quantile in self.quantiles]
        else:
            values |= {"ttft_mean_ms": _digits(self.mean), "ttft_stddev_ms": _digits(self.stddev)}
        if self.prefill:
            values["prefill_ms_per_token"] = _digits(self.prefill)
        return values | {"tbt_mean_ms": _digits(self.tbt_mean), "tbt_stddev_ms": _digits(self.tbt_stddev)}

    def at(self, probabilities: Sequence[float]) -> list[float]:
        """Return the latency of each probability, in ms."""
        if self.shape == "empirical":
            return [percentile(self.quantiles, probability) for probability in probabilities]
        found = _distribution(self.shape, self.mean, self.stddev).ppf(probabilities)
        return [max(0.0, float(latency)) for latency in found]


def fit_shape(data: Data) -> ShapeFit:
    """Fit shapes to what counts in the data."""
    import numpy

    rows = [
        (request.prompt_tokens, 1000 * request.ttft) for request in data.requests if request.ttft is not None
    ]
    rows += [(point.prompt_tokens, 1000 * point.ttft) for point in data.points]
    if not rows:
        # Without a time to first token the whole time is one between tokens.
        rows = [(1, 0.0)]
    prompts, waits = (numpy.array(column, dtype=float) for column in zip(*rows, strict=True))
    prefill = _prefill(prompts, waits)
    rest = sorted(float(value) for value in numpy.maximum(0.0, waits - prefill * prompts))
    gaps = _gaps(data)
    found = ShapeFit(
        "empirical",
        float(numpy.mean(rest)),
        float(numpy.std(rest)),
        tuple(percentile(rest, step / _QUANTILES) for step in range(_QUANTILES + 1)),
        prefill,
        float(numpy.average([gap for gap, _ in gaps], weights=[weight for _, weight in gaps])),
        float(numpy.std([gap for gap, _ in gaps])),
    )
    candidates = [
        msgspec.structs.replace(found, shape=shape, mean=mean, stddev=stddev, quantiles=())
        for shape, mean, stddev in _shapes(rest)
    ]
    best = min(candidates, key=lambda one: _distance(one, rest))
    return best if _distance(best, rest) <= _distance(found, rest) + _CLOSE else found


def predict_shape(fit: ShapeFit, data: Data, *, is_middle: bool) -> list[Prediction]:
    """Return times for each request and point that counts.

    Args:
        fit: The shapes.
        data: The measurements.
        is_middle: Whether each has the median time; else times are spread as the shape has them.
    """
    sizes = [(request.prompt_tokens, request.completion_tokens) for request in data.requests]
    sizes += [(point.prompt_tokens, point.completion_tokens) for point in data.points]
    found = []
    tpot = fit.tbt_mean / 1000
    waits = fit.at([0.5 if is_middle else (0.5 + index * _GOLDEN) % 1.0 for index in range(len(sizes))])
    for wait, (prompt, completion) in zip(waits, sizes, strict=True):
        ttft = (wait + fit.prefill * prompt) / 1000
        found.append(Prediction(ttft, tpot, ttft + tpot * (completion - 1)))
    return found


def _prefill(prompts: Any, waits: Any) -> float:
    import numpy

    if len(prompts) < 3 or numpy.ptp(prompts) == 0 or numpy.ptp(waits) == 0:
        return 0.0
    if float(numpy.corrcoef(prompts, waits)[0, 1]) < _CORRELATED:
        return 0.0
    slope = float(numpy.polyfit(prompts, waits, 1)[0])
    return max(0.0, min(slope, float(numpy.quantile(waits / prompts, _FASTEST))))


def _gaps(data: Data) -> list[tuple[float, float]]:
    """Return the time per token of each request, in ms, with its tokens."""
    found = []
    for request in data.requests:
        tpot = time_per_token(request.ttft or 0.0, request.e2e, request.completion_tokens)
        if tpot is not None:
            found.append((1000 * tpot, float(request.completion_tokens - 1)))
    found += [(1000 * point.tpot, 1.0) for point in data.points]
    return found or [(0.0, 1.0)]


def _shapes(values: Sequence[float]) -> list[tuple[str, float, float]]:
    """Return shape, mean and deviation of each distribution at its likeliest."""
    import numpy
    from scipy import stats

    array = numpy.array(values)
    mean, stddev = float(array.mean()), float(array.std())
    found = [("normal", mean, stddev)]
    if stddev > 0 and array.min() > 0:
        logs = numpy.log(array)
        centre, spread = float(logs.mean()), float(logs.std())
        lognormal = float(numpy.exp(centre + spread**2 / 2))
        found.append(("lognormal", lognormal, lognormal * float(numpy.sqrt(numpy.expm1(spread**2)))))
        shape, _, scale = stats.gamma.fit(array, floc=0)
        found.append(("gamma", float(shape * scale), float(scale * numpy.sqrt(shape))))
    return found


def _distribution(shape: str, mean: float, stddev: float) -> Any:
    import numpy
    from scipy import stats

    if stddev <= 0 or mean <= 0:
        return stats.norm(mean, 1e-9)
    match shape:
        case "lognormal":
            variance = float(numpy.log1p((stddev / mean) ** 2))
            return stats.lognorm(variance**0.5, scale=mean / float(numpy.exp(variance / 2)))
        case "gamma":
            return stats.gamma((mean / stddev) ** 2, scale=stddev**2 / mean)
    return stats.norm(mean, stddev)


def _distance(fit: ShapeFit, values: Sequence[float]) -> float:
    count = min(2_000, max(200, len(values)))
    return ks_distance(fit.at([(step + 0.5) / count for step in range(count)]), values)


def _digits(value: float) -> float:
    return float(f"{value:.4g}")
