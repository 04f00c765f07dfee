"""The request log: one line for each request that the stats count, when it ends.

Decisions:
* A request that is logged is an `ActiveRequest` of another class, which notes what is observed; where the log is off, that class is
  not used, and nothing is paid.
* The event loop only appends to a list. A thread renders and writes a batch at a time; while the reader of the log is slow, lines
  gather up to a limit, then they are dropped and counted.
* A line is shorter than `PIPE_BUF`, and no write is longer, so the lines of several workers never mix in a pipe.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import re
import select
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import orjson

from llmsim.server.active_request import ActiveRequest
from llmsim.stats import Outcome, Recorder, Row
from llmsim.text import printable

_STDOUT = 1
_MAX_LINES = 10_000
"""Lines that may wait to be written; some 3 MB."""

_BATCH_SECONDS = 0.1
"""Seconds for which lines are gathered."""

_CLOSE_SECONDS = 1.0
"""Seconds in which the last lines of a worker must be written."""

_PIPE_BUF = 4096
"""Bytes that are written to a pipe at once. Source: pipe(7)."""

_MAX_MODEL = 128
"""Characters of a model id that are shown."""

_BARE = re.compile(r"[\w./:@+-]+", re.ASCII)


class LogLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line; the order is that of the fields.

    Attributes:
        time: When the request ended, ISO 8601, UTC.
        request_id: As its response has it; None if none was sent.
        endpoint: Stats label.
        model: Model id as requested; None if the request was not accepted.
        stream: Whether the response was to be streamed; None likewise.
        status: HTTP status; None if no response was sent.
        outcome: How it ended.
        prompt_tokens: Tokens of the prompt.
        completion_tokens: Tokens that were sent.
        ttft_ms: Time to first token; None if no token was streamed.
        duration_ms: From arrival to end.
        fault: Kind of the simulated failure; None if there was none.
    """

    time: str
    request_id: str | None
    endpoint: str
    model: str | None
    stream: bool | None
    status: int | None
    outcome: str
    prompt_tokens: int
    completion_tokens: int
    ttft_ms: float | None
    duration_ms: float
    fault: str | None


class LoggedRequest(ActiveRequest):
    """One request in flight whose end is logged."""

    __slots__ = ("completion_tokens", "log", "model", "prompt_tokens", "streaming", "ttft")

    def __init__(
        self, log: "RequestLog", arrival: float, recorder: Recorder, endpoint: int | None = None
    ) -> None:
        super().__init__(arrival, recorder, endpoint)
        self.log = log
        self.request_id = ""
        self.status = 0
        self.model: str | None = None
        self.streaming: bool | None = None
        self.prompt_tokens = self.completion_tokens = 0
        self.ttft: float | None = None
        # What is booked of a stream is noted on the way.
        self.recorder: Any = _NotingRecorder(recorder, self)

    def accepted(self, model: str, *, streaming: bool, prompt_tokens: int) -> Row:
        """Book and note that it was accepted."""
        self.model, self.streaming, self.prompt_tokens = model, streaming, prompt_tokens
        return super().accepted(model, streaming=streaming, prompt_tokens=prompt_tokens)

    def replied(self, model: str, prompt_tokens: int, tokens: int, lateness: float, now: float) -> None:
        """Book and note that it was answered whole."""
        self.model, self.streaming = model, False
        self.prompt_tokens, self.completion_tokens = prompt_tokens, tokens
        super().replied(model, prompt_tokens, tokens, lateness, now)

    def finish(self, error: BaseException | None = None) -> float:
        """Book and log the end; only the first call counts."""
        is_first = not self.finished
        seconds = super().finish(error)
        place = self.log.place(self)
        if is_first and place is not None and self.outcome is not None:
            self.log.append(self, place, self.outcome, seconds)
        return seconds


class _NotingRecorder:
    """The worker's recorder, as one request uses it."""

    __slots__ = ("_recorder", "_request")

    def __init__(self, recorder: Recorder, request: LoggedRequest) -> None:
        self._recorder = recorder
        self._request = request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recorder, name)

    def sent(self, row: Row, tokens: int, now: float) -> None:
        self._request.completion_tokens += tokens
        self._recorder.sent(row, tokens, now)

    def streamed(self, row: Row, tokens: int, lateness: float, gap: float, now: float) -> None:
        self._request.completion_tokens += tokens
        self._recorder.streamed(row, tokens, lateness, gap, now)

    def first_token(self, row: Row, seconds: float) -> None:
        self._request.ttft = seconds
        self._recorder.first_token(row, seconds)


class RequestLog:
    """Writes the lines of one worker."""

    def __init__(
        self,
        style: Literal["text", "json"],
        labels: Sequence[str],
        id_formats: Sequence[str],
        loop: asyncio.AbstractEventLoop,
        count_dropped: Callable[[int], None],
        *,
        endpoints: int = 0,
        file: int = _STDOUT,
        max_lines: int = _MAX_LINES,
    ) -> None:
        """Prepare to write.

        Args:
            style: How a line is written.
            labels: Stats labels by endpoint number, then those of resources.
            id_formats: How the request id is sent, likewise, with `{request_id}` in its place.
            loop: The worker's event loop.
            count_dropped: Counts lines that are not written.
            endpoints: How many labels are those of endpoints.
            file: Descriptor of the file.
            max_lines: Lines that may wait.
        """
        self._render = _RENDER[style]
        self._labels = labels
        self._endpoints = endpoints
        self._id_formats = id_formats
        self._loop = loop
        self._count_dropped = count_dropped
        self._file = file
        self._max_lines = max_lines
        self._waiting: list[tuple[Any, ...]] = []
        self._is_due = False
        self._is_closed = False
        self._lines_in_writer = 0
        self._writer = concurrent.futures.ThreadPoolExecutor(1, "request-log")
        self._written: concurrent.futures.Future[int] | None = None

    def open(self, arrival: float, recorder: Recorder, endpoint: int | None = None) -> LoggedRequest:
        """Book the beginning of a request, as `ActiveRequest` does."""
        return LoggedRequest(self, arrival, recorder, endpoint)

    def place(self, request: ActiveRequest) -> int | None:
        """Return the place of a request's label; None if it has none."""
        if request.endpoint is not None or request.resource is None:
            return request.endpoint
        return self._endpoints + request.resource

    def append(self, request: LoggedRequest, endpoint: int, outcome: Outcome, seconds: float) -> None:
        """Add the line of a request that has ended."""
        if self._is_closed or len(self._waiting) >= self._max_lines:
            self._count_dropped(1)
            return
        status = request.status or (200 if request.request_id else None)
        self._waiting.append(
            (
                time.time(),
                self._id_formats[endpoint].format(request_id=request.request_id)
                if request.request_id
                else None,
                self._labels[endpoint],
                request.model,
                request.streaming,
                status,
                outcome,
                request.prompt_tokens,
                request.completion_tokens,
                request.ttft,
                seconds,
            )
        )
        if not self._is_due:
            self._is_due = True
            self._loop.call_later(_BATCH_SECONDS, self._start_batch)

    def close(self) -> None:
        """Write what waits, for a limited time; at the end of the worker, when its loop no longer runs."""
        self._is_closed = True
        rest, self._waiting = self._waiting, []
        batches = [
            (self._lines_in_writer, self._written),
            (len(rest), self._writer.submit(self._write, rest)),
        ]
        until = time.monotonic() + _CLOSE_SECONDS
        for lines, written in batches:
            if written is not None:
                dropped = lines
                with contextlib.suppress(TimeoutError):
                    dropped = written.result(max(0.0, until - time.monotonic()))
                self._count_dropped(dropped)
        self._writer.shutdown(wait=False, cancel_futures=True)

    def _start_batch(self) -> None:
        if self._is_closed:
            return
        batch, self._waiting = self._waiting, []
        self._lines_in_writer = len(batch)
        self._written = self._writer.submit(self._write, batch)
        self._written.add_done_callback(self._call_end_batch)

    def _call_end_batch(self, _written: "concurrent.futures.Future[int]") -> None:
        """Go on in the loop; called in the thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end_batch)

    def _end_batch(self) -> None:
        written, self._written = self._written, None
        if written is not None and (dropped := written.result()):
            self._count_dropped(dropped)
        self._is_due = bool(self._waiting)
        if self._is_due:
            self._loop.call_later(_BATCH_SECONDS, self._start_batch)

    def _write(self, batch: Sequence[tuple[Any, ...]]) -> int:
        """Write lines, in the thread; return how many could not be written."""
        lines = [self._render(_line(*facts)) for facts in batch]
        done = 0
        while done < len(lines):
            end, size = done, 0
            while end < len(lines) and size + len(lines[end]) <= _PIPE_BUF:
                size += len(lines[end])
                end += 1
            try:
                self._write_all(b"".join(lines[done:end]))
            except OSError:
                return len(lines) - done
            done = end
        return 0

    def _write_all(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._file, data) :]
            except BlockingIOError:
                select.select([], [self._file], [])


def _line(
    at: float,
    request_id: str | None,
    endpoint: str,
    model: str | None,
    streaming: bool | None,
    status: int | None,
    outcome: Outcome,
    prompt_tokens: int,
    completion_tokens: int,
    ttft: float | None,
    seconds: float,
) -> LogLine:
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return LogLine(
        time=moment.replace("+00:00", "Z"),
        request_id=request_id,
        endpoint=endpoint,
        model=None if model is None else printable(model[:_MAX_MODEL]),
        stream=streaming,
        status=status,
        outcome=outcome.value,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        ttft_ms=None if ttft is None else round(ttft * 1000, 3),
        duration_ms=round(seconds * 1000, 3),
        fault=outcome.value if outcome.is_fault else None,
    )


def _json_line(line: LogLine) -> bytes:
    return msgspec.json.encode(line) + b"\n"


def _text_line(line: LogLine) -> bytes:
    """Render `name=value` pairs; a value that is not known is left out."""
    fields = msgspec.structs.asdict(line).items()
    return " ".join(f"{name}={_value(value)}" for name, value in fields if value is not None).encode() + b"\n"


def _value(value: str | bool | float) -> str:
    if isinstance(value, str):
        return value if _BARE.fullmatch(value) else orjson.dumps(value).decode()
    return str(value).lower()


_RENDER: dict[str, Callable[[LogLine], bytes]] = {"text": _text_line, "json": _json_line}
