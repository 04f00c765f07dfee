"""Reads a recording: finds out which format a file has, and hands its rows to the module of that format.

Decisions:
* The format is read off the fields, not the name: tools and people name files as they like.
* Files are read whole and are bounded: in bytes, in the length of a line, and in rows.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from loadtest.recordings import aiperf, guidellm, points, trace_lines
from loadtest.recordings.fields import Row
from loadtest.recordings.recording import Recording, RecordingError

MAX_BYTES = 512 * 2**20
MAX_LINE_BYTES = 16 * 2**20
MAX_ROWS = 100_000

_FORMATS = (
    "JSON lines or CSV with arrival_ms, prompt_tokens, completion_tokens, ttft_ms and e2e_ms; points with "
    "prompt_tokens, completion_tokens, concurrency, ttft_ms and tpot_ms; aiperf's profile_export.jsonl; or guidellm's "
    "benchmarks.json"
)

_Parser = Callable[[str, Iterable[Row]], Recording]


def read_recording(path: Path) -> Recording:
    """Read a file in any of the formats.

    Raises:
        RecordingError: It cannot be read, or is not one of the formats.
    """
    data = _read_bytes(path)
    start = data.lstrip()[:1]
    if start == b"{":
        recording = _parse_json(path, data)
    elif start and start not in b"[":
        recording = _parse_csv(path, data)
    else:
        found = "nothing" if not start else f"a file that begins with {start.decode(errors='replace')}"
        raise RecordingError(f"{path}: wanted {_FORMATS}, found {found}")
    if not recording.traces and not recording.points:
        raise RecordingError(f"{path}: wanted requests with lengths, found none")
    return recording


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise RecordingError(f"{path}: wanted at most {MAX_BYTES // 2**20} MiB, found more")
    return data.removeprefix(b"\xef\xbb\xbf")


def _parse_json(path: Path, data: bytes) -> Recording:
    first = data.lstrip().partition(b"\n")[0]
    try:
        head = msgspec.json.decode(first)
    except (msgspec.DecodeError, RecursionError, ValueError):
        # An object of several lines, or a mistake in the first line, which is then reported with its line.
        head = None
    if head is None and (document := _decode_document(data)) is not None:
        head = document
    if isinstance(head, Mapping) and guidellm.KEY in head:
        return guidellm.parse_guidellm(path.name, str(path), head, MAX_ROWS)
    rows = _json_rows(path, data)
    if not isinstance(head, Mapping):
        # The first line is no object, and reading it raises the error that says why.
        next(rows)
        raise AssertionError(path)
    return _pick_parser(path, head)(path.name, rows)


def _decode_document(data: bytes) -> Mapping[str, Any] | None:
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    return document if isinstance(document, Mapping) else None


def _pick_parser(path: Path, fields: Iterable[str]) -> _Parser:
    names = set(fields)
    if names.issuperset(aiperf.KEYS):
        return aiperf.parse_aiperf
    if trace_lines.KEY in names:
        return trace_lines.parse_trace
    if points.KEY in names:
        return points.parse_points
    shown = ", ".join(sorted(names)[:8]) or "none"
    raise RecordingError(f"{path}: line 1: wanted {_FORMATS}; found the fields {shown}")


def _json_rows(path: Path, data: bytes) -> Iterator[Row]:
    count = 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        place = f"{path}: line {number}"
        if len(line) > MAX_LINE_BYTES:
            raise RecordingError(f"{place}: wanted at most {MAX_LINE_BYTES // 2**20} MiB, found more")
        try:
            values = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise RecordingError(f"{place}: wanted a JSON object, found {error}") from error
        if not isinstance(values, dict):
            raise RecordingError(f"{place}: wanted a JSON object, found {_kind(values)}")
        count += 1
        _check_rows(path, count)
        yield Row(place, values)


def _parse_csv(path: Path, data: bytes) -> Recording:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise RecordingError(
            f"{path}: wanted {_FORMATS}, found no text: {error.reason} at byte {error.start}"
        ) from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise RecordingError(f"{path}: line 1: wanted a CSV header, found {error}") from error
    reader.fieldnames = names
    return _pick_parser(path, names)(path.name, _csv_rows(path, reader))


def _csv_rows(path: Path, reader: "csv.DictReader[str]") -> Iterator[Row]:
    count = 0
    try:
        for values in reader:
            place = f"{path}: line {reader.line_num}"
            if None in values:
                raise RecordingError(f"{place}: wanted as many fields as the header has, found more")
            count += 1
            _check_rows(path, count)
            yield Row(place, values)
    except csv.Error as error:
        raise RecordingError(f"{path}: line {reader.line_num}: wanted CSV, found {error}") from error


def _check_rows(path: Path, count: int) -> None:
    if count > MAX_ROWS:
        raise RecordingError(f"{path}: wanted at most {MAX_ROWS:,} rows, found more")


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", type(None): "null"}.get(type(value), "a number or a boolean")
