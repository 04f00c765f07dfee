"""HTTP client of a simulated user: sends a request, reads the response as it arrives, records its times.

Decisions:
* The row of the request (GET, POST) counts all requests and their failures; the rows of times (TTFT, ITL, E2E,
  TOK/S) count complete responses without errors only.
* In the open model all times begin when the request was due, not when it was sent.
* A request that is cut off by the end of the run is a failure. If it were dropped, a server that stopped
  responding would look as good as before.
* geventhttpclient's own `read(n)` waits for `n` bytes, which would time blocks instead of tokens. So the socket
  is read here and fed to its parser: the same loop without the waiting.
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import gevent
from geventhttpclient.response import HTTPParseError

from loadtest.endpoints import RequestTemplate
from loadtest.response_checks import BrokenResponseError, error_for_status
from loadtest.rows import record_response
from loadtest.sse import EventParser
from loadtest.timing import Timing

# Most bytes read at once.
_BLOCK = 65536


class ApiClient:
    """Sends requests through one Locust session.

    Args:
        session: The session.
        environment: Locust's.
        hosts: Servers that get requests in turn; empty for that of the session.
    """

    def __init__(self, session: Any, environment: Any, hosts: Sequence[str] = ()) -> None:
        self._session = session
        self._hosts = itertools.cycle(hosts or ("",))
        self._environment = environment
        self._bodies: dict[str, Any] = {}

    def send(self, request: RequestTemplate, due: float | None = None) -> None:
        """Send a request and read the whole response.

        Args:
            request: The request.
            due: When it was due, on `time.perf_counter`; None if it is due when it is sent.
        """
        timing = Timing(time.perf_counter() if due is None else due)
        try:
            self._send(request, timing)
        except gevent.GreenletExit:
            elapsed = timing.elapsed(time.perf_counter())
            self.record_failure(request, BrokenResponseError("no response when the run ended"), elapsed)
            raise

    def record_failure(
        self, request: RequestTemplate, reason: BrokenResponseError, elapsed: float | None
    ) -> None:
        """Count a request that got no response.

        Args:
            request: The request, sent or not.
            reason: Why there is no response.
            elapsed: Time since it was due; ms, None if it was not sent.
        """
        self._environment.events.request.fire(
            request_type=request.method,
            name=request.name,
            response_time=elapsed,
            response_length=0,
            exception=reason,
            context={},
        )

    def _send(self, request: RequestTemplate, timing: Timing) -> None:
        with self._session.request(
            request.method,
            f"{next(self._hosts)}{request.path}",
            name=request.name,
            data=self._next_body(request),
            headers=dict(request.headers),
            stream=True,
            catch_response=True,
        ) as response:
            size = 0
            try:
                tokens, size = _read(request, response, timing)
            except BrokenResponseError as broken:
                response.failure(broken)
            except HTTPParseError:
                response.failure(BrokenResponseError("the connection closed in mid-response"))
            except TimeoutError:
                response.failure(BrokenResponseError("no byte from the server: timed out"))
            except OSError as error:
                response.failure(BrokenResponseError(f"the connection broke: {error.strerror or error}"))
            else:
                response.success()
                record_response(
                    self._environment.stats,
                    request.name,
                    timing,
                    e2e=timing.elapsed(time.perf_counter()),
                    tokens=tokens,
                    generates=request.generates,
                )
            # Locust stopped its own clock at the response headers.
            response.request_meta["response_time"] = timing.elapsed(time.perf_counter())
            response.request_meta["response_length"] = size

    def _next_body(self, request: RequestTemplate) -> bytes | None:
        if len(request.bodies) < 2:
            return request.bodies[0] if request.bodies else None
        if request.name not in self._bodies:
            self._bodies[request.name] = itertools.cycle(request.bodies)
        body: bytes = next(self._bodies[request.name])
        return body


def _read(request: RequestTemplate, response: Any, timing: Timing) -> tuple[int | None, int]:
    """Read and check a response; return its output tokens and its size in bytes."""
    raw = response._response
    if raw is None:
        raise response.error
    status = raw.status_code
    if status >= 400:
        # Locust has read the body already, for its own error message.
        raise error_for_status(status, response.content or b"")
    if status != 200:
        raw.release()
        raise BrokenResponseError(f"HTTP {status}")
    if request.stream_check is None:
        body = b"".join(_iter_body(raw))
        assert request.body_check is not None
        return request.body_check(body), len(body)
    content_type = str(raw.get("content-type", ""))
    if not content_type.startswith("text/event-stream"):
        raw.release()
        raise BrokenResponseError(f"requested a stream, got {content_type or 'no content type'}")
    parser = EventParser()
    check = request.stream_check()
    size = 0
    for data in _iter_body(raw):
        now = time.perf_counter()
        size += len(data)
        deltas = 0
        for name, payload in parser.feed(data):
            deltas += check.check_event(name, payload)
        if deltas:
            timing.add_content(now, deltas)
    if parser.unfinished:
        raise BrokenResponseError("truncated stream: it ends in mid-event")
    check.check_end()
    if timing.ttft is None:
        raise BrokenResponseError("a stream without content")
    return check.tokens, size


def _iter_body(raw: Any) -> Iterator[bytes]:
    """Yield a body piece by piece, each as soon as it arrives.

    Args:
        raw: The response of geventhttpclient, its body unread.

    Raises:
        OSError: The connection broke or was silent for too long.
        HTTPParseError: It closed before the body was complete.
    """
    # NOTE: `_body_buffer` and `_sock` are not public; a test reads a real stream, so it fails with a version of
    # geventhttpclient that is built differently.
    buffer = raw._body_buffer
    try:
        while True:
            if buffer:
                data = bytes(buffer)
                del buffer[:]
                yield data
            if raw.message_complete or raw._sock is None:
                break
            raw.feed(raw._sock.recv(_BLOCK))
    finally:
        # Closes the connection unless the body was read to its end.
        raw.release()
