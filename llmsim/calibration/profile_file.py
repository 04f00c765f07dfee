"""Writes a fitted model as a configuration file for `llmsim serve --config`."""

from collections.abc import Sequence

from llmsim import __version__
from llmsim.calibration.fitting import Calibration
from llmsim.calibration.judgement import Judgement
from llmsim.text import literal, printable

_TABLES = {"engine": "latency.engine", "shape": "latency"}


def render_profile(calibration: Calibration, sources: Sequence[str]) -> str:
    """Return the file: a comment on where its figures come from and how good they are, and the figures.

    Args:
        calibration: The fit.
        sources: Names of the files that it was made from.
    """
    chosen = calibration.chosen
    count = calibration.held_out.count
    lines = [
        "Latency fitted to measurements. Use it with: llmsim serve --config THIS_FILE",
        f"Model: {chosen.name}. Fitted by llmsim {__version__} from {describe_sources(calibration, sources)}.",
        f"Error of a fit to one half on the other half ({count:,}), mean, median and K-S distance:",
        *(f"  {line}" for line in describe_judgement(chosen.judgement)),
        "The figures below are fitted to both halves.",
    ]
    text = "".join(f"# {printable(line)}\n" for line in lines)
    text += f"\n[{_TABLES[chosen.name]}]\n"
    return text + "".join(f"{key} = {literal(value)}\n" for key, value in chosen.settings().items())


def describe_sources(calibration: Calibration, sources: Sequence[str]) -> str:
    """Return what was fitted to, in words."""
    data = calibration.data
    parts = []
    if data.traces:
        requests = sum(len(recorded.requests) for recorded, _ in data.traces)
        parts.append(f"{len(data.requests):,} of {requests:,} requests, those with times")
    if data.points:
        parts.append(f"{len(data.points):,} points")
    return f"{', '.join(sources)} ({' and '.join(parts)})"


def describe_judgement(judgement: Judgement) -> list[str]:
    """Return one line for each kind of time."""
    return [
        f"{measure.name.upper():<4} {100 * measure.mean_error:5.1f} %  {100 * measure.median_error:5.1f} %  {measure.ks:.3f}"
        for measure in judgement.measures
    ]
