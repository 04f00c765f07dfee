"""Records of aiperf: `profile_export.jsonl`, one request a line.

Source: aiperf 0.13, common/models/record_models.py (MetricRecordInfo) and metrics/types/.

Decisions:
* Warm-up requests, cancelled ones and those that failed after their lengths were known are load that is not judged:
  the engine worked for them. A failure without lengths is left out.
"""

from collections.abc import Iterable

from loadtest.recordings.fields import Row, check_order
from loadtest.recordings.recording import Recording, TimedRequest, build_trace

KEYS = ("metadata", "metrics")
"""The fields that no other format has."""

_UNITS = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0, "sec": 1.0}


def parse_aiperf(name: str, rows: Iterable[Row]) -> Recording:
    """Parse the records of one run."""
    found = [request for row in rows if (request := _parse_record(row)) is not None]
    return Recording(traces=(build_trace(name, found),)) if found else Recording()


def _parse_record(row: Row) -> TimedRequest | None:
    metadata, metrics = row.child("metadata"), row.child("metrics")
    has_failed = row.value("error") is not None or bool(metadata.value("metadata.was_cancelled"))
    lengths = ("input_sequence_length", "output_sequence_length")
    if has_failed and any(metrics.value(f"metrics.{length}") is None for length in lengths):
        return None
    is_judged = not has_failed and metadata.value("metadata.benchmark_phase") != "warmup"
    ttft = _read_time(metrics, "time_to_first_token") if is_judged else None
    e2e = _read_time(metrics, "request_latency") if is_judged else None
    check_order(row, ttft, e2e, ("metrics.time_to_first_token", "metrics.request_latency"))
    prompt, completion = (_metric(metrics, length) for length in lengths)
    return TimedRequest(
        arrival=metadata.instant("metadata.request_start_ns", per_second=1e9),
        prompt_tokens=prompt[0].tokens(prompt[1]),
        completion_tokens=completion[0].tokens(completion[1]),
        ttft=ttft,
        e2e=e2e,
    )


def _metric(metrics: Row, name: str) -> tuple[Row, str]:
    return metrics.child(f"metrics.{name}"), f"metrics.{name}.value"


def _read_time(metrics: Row, name: str) -> float | None:
    if metrics.value(f"metrics.{name}") is None:
        return None
    metric, field = _metric(metrics, name)
    unit = metric.value(f"metrics.{name}.unit")
    if not isinstance(unit, str) or unit not in _UNITS:
        raise metric.error(f"metrics.{name}.unit", f"one of {', '.join(_UNITS)}", unit)
    return metric.seconds(field, per_second=_UNITS[unit])
