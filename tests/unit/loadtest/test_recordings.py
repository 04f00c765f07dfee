"""Recordings: formats, load that is not judged, and files that cannot be used."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadtest.recordings import RecordingError, TimedRequest, read_recording, reading

ROW = {"arrival_ms": 100.0, "prompt_tokens": 10, "completion_tokens": 5, "ttft_ms": 20.0, "e2e_ms": 60.0}


def lines(*rows: Any) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def aiperf_record(start_ms: float, **changes: Any) -> dict[str, Any]:
    """Build a record as aiperf 0.13 exports it."""
    metadata = {
        "session_num": 0,
        "request_start_ns": int(1.7e18 + start_ms * 1e6),
        "request_end_ns": int(1.7e18 + start_ms * 1e6 + 1e9),
        "worker_id": "w",
        "record_processor_id": "p",
        "benchmark_phase": "profiling",
        "was_cancelled": False,
    }
    metrics = {
        "input_sequence_length": {"value": 550, "unit": "tokens"},
        "output_sequence_length": {"value": 120, "unit": "tokens"},
        "time_to_first_token": {"value": 250.0, "unit": "ms"},
        "request_latency": {"value": 1.5, "unit": "s"},
    }
    return {
        "metadata": metadata | changes.pop("metadata", {}),
        "metrics": metrics | changes.pop("metrics", {}),
        "error": None,
    } | changes


def guidellm_report(*benchmarks: Any) -> dict[str, Any]:
    return {"metadata": {"version": 1}, "config": {}, "benchmarks": list(benchmarks)}


def guidellm_request(start: float, **changes: Any) -> dict[str, Any]:
    """Build a request as guidellm 0.8 reports it."""
    return {
        "type_": "generative_request_stats",
        "request_start_time": 1.7e9 + start,
        "request_latency": 2.0,
        "time_to_first_token_ms": 300.0,
        "prompt_tokens": 256,
        "output_tokens": 64,
    } | changes


def read(tmp_path: Path, text: str, name: str = "run.jsonl") -> Any:
    path = tmp_path / name
    path.write_text(text)
    return read_recording(path)


def test_a_trace_is_read_in_order_of_arrival(tmp_path: Path) -> None:
    """LOAD-8.1, LOAD-8.3: Rows are sorted, begin at 0, and those without times are not judged."""
    late = ROW | {"arrival_ms": 600.0, "ttft_ms": None, "e2e_ms": None}
    (trace,) = read(tmp_path, lines(late, "", ROW)).traces

    assert trace.requests == (TimedRequest(0.0, 10, 5, 0.02, 0.06), TimedRequest(0.5, 10, 5))
    assert [request.is_judged for request in trace.requests] == [True, False]


def test_csv_is_read_whatever_its_name(tmp_path: Path) -> None:
    """LOAD-8.1: A trace or points may be CSV; the format is read off the header, and empty cells are absent."""
    text = "Arrival_ms,prompt_tokens,completion_tokens,ttft_ms,e2e_ms\n0,10,5,20,60\n5,10,5,,\n"
    (trace,) = read(tmp_path, text, "run.txt").traces
    recording = read(tmp_path, "isl,osl,concurrency,ttft_ms,tpot_ms\n1024,128,8,154.2,18.0\n", "points")

    assert [request.is_judged for request in trace.requests] == [True, False]
    (point,) = recording.points
    assert (point.prompt_tokens, point.completion_tokens, point.concurrency) == (1024, 128, 8)
    assert (point.ttft, point.tpot) == pytest.approx((0.1542, 0.018))


def test_points_are_read_from_json_lines(tmp_path: Path) -> None:
    """LOAD-8.1: Points may be JSON lines, with or without the unit in their names."""
    row = {"prompt": 8, "output": 9, "concurrency": 2, "ttft": 40, "tpot": 4}

    assert read(tmp_path, lines(row)).points[0].ttft == 0.04


def test_aiperf_records_are_read(tmp_path: Path) -> None:
    """LOAD-8.1, LOAD-8.3: Units are converted; warm-up and cancelled requests are load, failures without lengths are left out."""
    records = [
        aiperf_record(1000),
        aiperf_record(0, metadata={"benchmark_phase": "warmup"}),
        aiperf_record(1500, metadata={"was_cancelled": True}),
        aiperf_record(1600, error={"code": 500}, metrics={"output_sequence_length": None}),
    ]
    (trace,) = read(tmp_path, lines(*records)).traces

    assert [request.arrival for request in trace.requests] == pytest.approx([0, 1.0, 1.5])
    assert [request.is_judged for request in trace.requests] == [False, True, False]
    judged = trace.requests[1]
    assert (judged.prompt_tokens, judged.completion_tokens, judged.ttft, judged.e2e) == (550, 120, 0.25, 1.5)


def test_guidellm_reports_are_read(tmp_path: Path) -> None:
    """LOAD-8.1, LOAD-8.3: Each benchmark is a run; incomplete requests are load, those without lengths are left out."""
    first = {
        "requests": {
            "successful": [guidellm_request(1), guidellm_request(0)],
            "incomplete": [guidellm_request(2), guidellm_request(3, output_tokens=None)],
            "errored": [guidellm_request(4)],
            "total": None,
        }
    }
    older = guidellm_request(5)
    older["start_time"] = older.pop("request_start_time")
    text = json.dumps(
        guidellm_report(first, {"requests": {"successful": [older]}}, {"requests": {"successful": []}}),
        indent=1,
    )
    traces = read(tmp_path, text, "benchmarks.json").traces

    assert [len(trace.requests) for trace in traces] == [3, 1]
    assert [request.is_judged for request in traces[0].requests] == [True, True, False]
    assert (traces[0].requests[0].ttft, traces[0].requests[0].e2e) == (0.3, 2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "wanted JSON lines or CSV with arrival_ms"),
        ("[1, 2]\n", "found a file that begins with ["),
        ('{"a": 1, "b": 2}\n', "line 1: wanted JSON lines or CSV with arrival_ms"),
        ("a,b\n1,2\n", "found the fields a, b"),
        ("arrival_ms,prompt_tokens,completion_tokens\n", "wanted requests with lengths, found none"),
        (lines(ROW, '{"arrival_ms": 1'), "line 2: wanted a JSON object, found Input data was truncated"),
        ('{"arrival_ms": 1\n', "line 1: wanted a JSON object"),
        (lines(ROW, "[1]"), "line 2: wanted a JSON object, found a list"),
        (lines(ROW, "[" * 100_000), "line 2: wanted a JSON object"),
        (
            lines(ROW, {"prompt_tokens": 1}),
            "line 2: arrival_ms: wanted a number from 0 to 6.048e+08, found no such field",
        ),
        (
            lines(ROW | {"prompt_tokens": "many"}),
            'line 1: prompt_tokens: wanted a whole number from 1 to 10000000, found "many"',
        ),
        (
            lines(ROW | {"prompt_tokens": 1.5}),
            "prompt_tokens: wanted a whole number from 1 to 10000000, found 1.5",
        ),
        (
            lines(ROW | {"prompt_tokens": True}),
            "prompt_tokens: wanted a whole number from 1 to 10000000, found true",
        ),
        (lines(ROW | {"completion_tokens": 0}), "completion_tokens: wanted a whole number from 1"),
        (lines(ROW | {"completion_tokens": 10**400}), "completion_tokens: wanted a whole number from 1"),
        (lines(ROW | {"arrival_ms": -1}), "arrival_ms: wanted a number from 0"),
        (lines(ROW | {"ttft_ms": "nan"}), 'ttft_ms: wanted a number from 0 to 6.048e+08, found "nan"'),
        (lines(ROW | {"e2e_ms": 5}), "line 1: e2e_ms: wanted at least ttft_ms (20 ms), found 5 ms"),
        (
            "arrival_ms,prompt_tokens,completion_tokens\n0,10\n",
            "line 2: completion_tokens: wanted a whole number",
        ),
        (
            "arrival_ms,prompt_tokens,completion_tokens\n0,10,5,7,9\n",
            "line 2: wanted as many fields as the header has",
        ),
        ('arrival_ms,prompt_tokens\n"0,1\n', "wanted CSV, found"),
        ("concurrency,isl\n1,2\n", "line 2: completion_tokens: wanted a whole number"),
        (
            lines({"isl": 1, "osl": 1, "concurrency": 0, "ttft_ms": 1, "tpot_ms": 1}),
            "line 1: concurrency: wanted a whole number from 1 to 100000, found 0",
        ),
        (lines({"metadata": 1, "metrics": {}}), "line 1: metadata: wanted an object, found 1"),
        (
            lines(aiperf_record(0, metrics={"time_to_first_token": {"value": 1, "unit": "miles"}})),
            'line 1: metrics.time_to_first_token.unit: wanted one of ns, us, ms, s, sec, found "miles"',
        ),
        (
            lines(aiperf_record(0, metadata={"request_start_ns": "soon"})),
            'line 1: metadata.request_start_ns: wanted a number from 0, found "soon"',
        ),
        (json.dumps({"benchmarks": 3}), "benchmarks: wanted a list of benchmarks, found 3"),
        (json.dumps({"benchmarks": [3]}), "benchmarks[0]: requests: wanted an object"),
        (
            json.dumps(guidellm_report({"requests": {"successful": [guidellm_request(0, prompt_tokens=0)]}})),
            "benchmarks[0].requests.successful[0]: prompt_tokens: wanted a whole number from 1 to 10000000, found 0",
        ),
        (json.dumps(guidellm_report({"requests": {"successful": [3]}})), "successful[0]: wanted an object"),
    ],
)
def test_an_unusable_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    """LOAD-8.2: The message names file, line and field, what was found and what is wanted."""
    with pytest.raises(RecordingError) as caught:
        read(tmp_path, text)

    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "run.jsonl"))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """LOAD-8.2: Binary files and missing ones are one message."""
    path = tmp_path / "run.bin"
    path.write_bytes(b"\xff\xfe\x00")

    for name, message in ((path, "found no text"), (tmp_path / "no", "cannot be read: No such file")):
        with pytest.raises(RecordingError, match=message):
            read_recording(name)


def test_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LOAD-8.4: Too many bytes, a line that is too long and too many rows are refused."""
    text = lines(*[ROW] * 5)
    for name, limit, message in (
        ("MAX_BYTES", 100, "found more"),
        ("MAX_LINE_BYTES", 50, "line 1: wanted at most"),
        ("MAX_ROWS", 4, "wanted at most 4 rows"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(reading, name, limit)
            with pytest.raises(RecordingError, match=message):
                read(tmp_path, text)
