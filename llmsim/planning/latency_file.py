"""Reads measured latencies from a file: numbers, or JSON lines as load tools and traces have them.

Decisions:
* The field of a JSON line is that of traces, `ttft_ms`; `tbt_ms` or `itl_ms`, and else what `ttft_ms`, `e2e_ms` and
  `completion_tokens` make of it. A row without times is load that was not measured, and left out.
* A file is cut down to the quantiles of the settings: a million samples cost no more than a list.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from llmsim.config.latency_settings import MOST_QUANTILES
from llmsim.config.metadata import DAY_MS
from llmsim.errors import ConfigError
from llmsim.planning.shapes import QuantileFunction, quantile_function
from llmsim.text import literal

_MOST_BYTES = 64 * 2**20

_FIELDS = {"ttft": ("ttft_ms",), "tbt": ("tbt_ms", "itl_ms")}


def read_latencies(setting: str, what: str, path: str) -> QuantileFunction:
    """Return the distribution of the latencies of a file.

    Args:
        setting: The setting that names it, for messages.
        what: `ttft` or `tbt`.
        path: Its path.

    Raises:
        ConfigError: It cannot be read, is too large, has a line that is no latency, or fewer than 2 latencies.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{setting}: cannot read {literal(path)}: {reason}") from None
    if len(data) > _MOST_BYTES:
        raise ConfigError(f"{setting}: {literal(path)} is larger than {_MOST_BYTES >> 20} MiB")
    latencies: list[float] = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            latencies += _latencies(line, what)
        except ValueError as error:
            raise ConfigError(f"{setting}: {path}, line {number}: {error}") from None
    if len(latencies) < 2:
        raise ConfigError(f"{setting}: {literal(path)} has {len(latencies)} latencies, wanted at least 2")
    latencies.sort()
    last, kept = len(latencies) - 1, min(len(latencies), MOST_QUANTILES)
    return quantile_function([latencies[last * index // (kept - 1)] for index in range(kept)])


def _latencies(line: bytes, what: str) -> Iterator[float]:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        shown = line.decode("utf-8", "replace").strip()[:80]
        raise ValueError(f"wanted a number or a JSON object, found {literal(shown)}") from None
    if not isinstance(value, dict):
        yield _checked(value, "")
        return
    for field in _FIELDS[what]:
        if (own := value.get(field)) is not None:
            for one in own if isinstance(own, list) else (own,):
                yield _checked(one, f"{field}: ")
            return
    times = [value.get(field) for field in ("ttft_ms", "e2e_ms", "completion_tokens")]
    if what == "tbt" and None not in times:
        ttft, end, tokens = (
            _checked(one, f"{field}: ")
            for one, field in zip(times, ("ttft_ms", "e2e_ms", "completion_tokens"), strict=True)
        )
        if end < ttft:
            raise ValueError(f"e2e_ms: wanted at least ttft_ms, {literal(ttft)}, found {literal(end)}")
        if tokens > 1:
            yield (end - ttft) / (tokens - 1)


def _checked(value: Any, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= DAY_MS:
        raise ValueError(f"{field}wanted a number from 0 to {literal(DAY_MS)}, found {literal(value)}")
    return float(value)
