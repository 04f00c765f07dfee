"""Reports of guidellm: `benchmarks.json`, one object with the requests of all its benchmarks.

Source: guidellm 0.8, schemas/base/request_stats.py and benchmark/schemas/benchmark.py; 0.3 for the names in brackets
(start_time).

Decisions:
* Each benchmark of a sweep is a trace of its own: they ran one after the other.
* An incomplete request, cut off by the end of its benchmark, is load that is not judged. One that failed is left out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from loadtest.recordings.fields import Row, check_order
from loadtest.recordings.recording import Recording, RecordingError, TimedRequest, Trace, build_trace

KEY = "benchmarks"
"""The field that no other format has."""


def parse_guidellm(name: str, path: str, document: Mapping[str, Any], limit: int) -> Recording:
    """Parse a report.

    Args:
        name: Name of the file, for the traces.
        path: Path of the file, for messages.
        document: The report.
        limit: Most requests of all benchmarks.
    """
    benchmarks = document[KEY]
    if not isinstance(benchmarks, list):
        raise Row(path, document).error(KEY, "a list of benchmarks", benchmarks)
    traces: list[Trace] = []
    total = 0
    for index, benchmark in enumerate(benchmarks):
        found: list[TimedRequest] = []
        for row, is_judged in _rows(f"{path}: benchmarks[{index}]", benchmark):
            found += _parse_request(row, is_judged=is_judged)
            total += 1
            if total > limit:
                raise RecordingError(f"{path}: wanted at most {limit:,} requests, found more")
        if found:
            traces.append(build_trace(f"{name} benchmarks[{index}]", found))
    return Recording(traces=tuple(traces))


def _rows(place: str, benchmark: Any) -> Iterator[tuple[Row, bool]]:
    requests = benchmark.get("requests") if isinstance(benchmark, Mapping) else None
    if not isinstance(requests, Mapping):
        raise RecordingError(f"{place}: requests: wanted an object with the list successful, found none")
    for group, is_judged in (("successful", True), ("incomplete", False)):
        rows = requests.get(group) or []
        if not isinstance(rows, list):
            raise RecordingError(f"{place}: requests.{group}: wanted a list, found something else")
        for number, values in enumerate(rows):
            where = f"{place}.requests.{group}[{number}]"
            if not isinstance(values, Mapping):
                raise RecordingError(f"{where}: wanted an object, found something else")
            yield Row(where, values), is_judged


def _parse_request(row: Row, *, is_judged: bool) -> list[TimedRequest]:
    if not is_judged and not (row.value("prompt_tokens") and row.value("output_tokens")):
        return []
    ttft = row.optional_seconds("time_to_first_token_ms", per_second=1000) if is_judged else None
    e2e = row.optional_seconds("request_latency", per_second=1) if is_judged else None
    check_order(row, ttft, e2e, ("time_to_first_token_ms", "request_latency"))
    return [
        TimedRequest(
            arrival=row.instant("request_start_time", "start_time", per_second=1),
            prompt_tokens=row.tokens("prompt_tokens"),
            completion_tokens=row.tokens("output_tokens"),
            ttft=ttft,
            e2e=e2e,
        )
    ]
