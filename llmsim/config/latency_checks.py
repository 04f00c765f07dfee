"""Checks of the settings of latency that look at more than one of them."""

from collections.abc import Iterator
from itertools import pairwise

from llmsim.config.latency_settings import (
    MOST_QUANTILES,
    TIMES,
    LatencyFigures,
    LatencySettings,
    Quantiles,
    Timed,
)
from llmsim.config.metadata import DAY_MS
from llmsim.text import literal

QUANTILES_WANTED = f"2 to {literal(MOST_QUANTILES)} latencies in ms, or pairs [probability, ms]"

LEAST_STALL_RATE = 0.0001
"""Rarer stalls would not be in the tables of gaps."""


def quantiles_problem(quantiles: Quantiles) -> str | None:
    """Return what is wrong with a list of quantiles; None if nothing is."""
    pairs = [one for one in quantiles if isinstance(one, tuple)]
    if pairs and len(pairs) < len(quantiles):
        return f"wanted {QUANTILES_WANTED}, found both"
    for probability, _ in pairs:
        if not 0 <= probability <= 1:
            return f"wanted probabilities from 0 to 1, found {literal(probability)}"
    for (before, _), (after, _) in pairwise(pairs):
        if after <= before:
            return f"wanted rising probabilities, found {literal(after)} behind {literal(before)}"
    latencies = [one[1] if isinstance(one, tuple) else one for one in quantiles]
    for latency in latencies:
        if not 0 <= latency <= DAY_MS:
            return f"wanted latencies from 0 to {literal(DAY_MS)} ms, found {literal(latency)}"
    for earlier, later in pairwise(latencies):
        if later < earlier:
            return f"wanted latencies that never fall, found {literal(later)} behind {literal(earlier)}"
    return None


def find_problems(settings: LatencySettings) -> Iterator[tuple[str, str]]:
    """Yield the setting and the problem of each combination that cannot be."""
    for key, problem in _table_problems(settings, settings):
        yield f"latency.{key}", f"latency.{key}: {problem}"
    for pattern, figures in settings.models.items():
        for key, problem in _table_problems(figures, settings.overridden_by(figures)):
            yield "latency.models", f"latency.models.{literal(pattern)}.{key}: {problem}"


def _table_problems(own: LatencyFigures, effective: LatencyFigures) -> Iterator[tuple[str, str]]:
    """Yield key and problem of a table's `own` figures, given those in force for its models."""
    for what in TIMES:
        yield from _shape_problems(what, own, effective)
    if own.stall_rate and own.stall_rate < LEAST_STALL_RATE:
        yield (
            "stall_rate",
            f"wanted 0, or a number from {LEAST_STALL_RATE} to 1, found {literal(own.stall_rate)}",
        )


def _shape_problems(what: Timed, own: LatencyFigures, effective: LatencyFigures) -> Iterator[tuple[str, str]]:
    shape = own.shape(what)
    sources = [key for key in (f"{what}_quantiles", f"{what}_file") if getattr(own, key) is not None]
    if len(sources) > 1:
        yield sources[1], f"wanted either {sources[0]} or {sources[1]}, found both"
    if sources and shape != "empirical":
        yield f"{what}_shape", f'wanted "empirical" because {sources[0]} is set, found {literal(shape)}'
    if shape == "empirical" and not sources:
        yield f"{what}_shape", f'"empirical" needs {what}_quantiles or {what}_file'
    if effective.shape(what) == "empirical":
        for key in (f"{what}_mean_ms", f"{what}_stddev_ms"):
            if getattr(own, key) is not None:
                yield (
                    key,
                    f'does nothing, because {what}_shape is "empirical"; leave it out, or set another shape',
                )
