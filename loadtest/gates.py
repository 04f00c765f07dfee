"""Gates: limits on the figures of a run, which decide whether it passed.

Decisions:
* A gate whose figure could not be measured has failed, unless no request of the run has such a figure.
  A run without requests has always failed.
"""

import re
from collections.abc import Mapping

import msgspec

from loadtest.settings import SettingsError

_FIGURE = re.compile(r"error_percent|(ttft|itl|e2e)_(mean|p50|p90|p95|p99|max)_ms")


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One limit.

    Attributes:
        figure: `error_percent`, or `ttft`, `itl` or `e2e` with a quantile: `ttft_p95_ms`.
        at_most: The greatest value that passes.
    """

    figure: str
    at_most: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a gate.

    Attributes:
        figure: The gate's figure.
        at_most: The gate's limit.
        found: The measured value; None if nothing was measured.
        passed: Whether it is within the limit.
    """

    figure: str
    at_most: float
    found: float | None
    passed: bool


def parse_gate(text: str) -> Gate:
    """Parse `ttft_p95_ms=500`.

    Raises:
        SettingsError: The text has another form, or there is no such figure.
    """
    figure, _, limit = text.partition("=")
    if not _FIGURE.fullmatch(figure):
        raise SettingsError(
            f"gate {text!r}: no figure {figure!r}; error_percent, or ttft, itl or e2e with mean, p50, p90, p95, p99 "
            "or max, as ttft_p95_ms"
        )
    try:
        return Gate(figure=figure, at_most=float(limit))
    except ValueError:
        raise SettingsError(f"gate {text!r}: no limit; write {figure}=500") from None


def check_gates(
    gates: tuple[Gate, ...], figures: Mapping[str, float | None], *, requests: int, measures: frozenset[str]
) -> tuple[Verdict, ...]:
    """Compare figures with gates.

    Args:
        gates: The limits.
        figures: The measured values.
        requests: Number of requests.
        measures: Which of `ttft`, `itl` and `e2e` the requests of this run have.

    Returns:
        A verdict for each gate that applies.
    """
    verdicts = []
    for gate in gates:
        measure = gate.figure.partition("_")[0]
        if measure != "error" and measure not in measures:
            continue
        found = figures.get(gate.figure)
        passed = found is not None and requests > 0 and found <= gate.at_most
        verdicts.append(Verdict(figure=gate.figure, at_most=gate.at_most, found=found, passed=passed))
    return tuple(verdicts)
