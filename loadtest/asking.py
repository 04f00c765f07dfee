"""Asking once, and what is written down about it.

Decisions:
* The row of the request (GET, POST) has all requests and their failures; the rows of times (TTFT, ITL, E2E,
  TOK/S) have whole and faultless answers only.
* In the open model all times begin when the request was due, not when it was sent.
* A request that the end of the run cuts off is a failure. Were it dropped, a server that no longer answers
  would look as good as it did before.
"""

import itertools
import time
from typing import Any

import gevent
from geventhttpclient.response import HTTPParseError

from loadtest.answers import BrokenAnswerError, refusal
from loadtest.endpoints import Ask
from loadtest.rows import record_answer
from loadtest.sse import EventParser
from loadtest.timing import Timing
from loadtest.transport import arriving


class Asker:
    """Asks through one session of Locust's."""

    def __init__(self, session: Any, environment: Any) -> None:
        self._session = session
        self._environment = environment
        self._turns: dict[str, Any] = {}

    def ask(self, ask: Ask, due: float | None = None) -> None:
        """Ask and read the whole answer.

        Args:
            ask: What.
            due: When it was due, on `time.perf_counter`; None if it is due when it is sent.
        """
        timing = Timing(time.perf_counter() if due is None else due)
        try:
            self._ask(ask, timing)
        except gevent.GreenletExit:
            elapsed = timing.elapsed(time.perf_counter())
            self.failed(ask, BrokenAnswerError("not answered when the run ended"), elapsed)
            raise

    def failed(self, ask: Ask, reason: BrokenAnswerError, elapsed: float | None) -> None:
        """Count a request that has no answer.

        Args:
            ask: What was asked, or was to be.
            reason: Why there is none.
            elapsed: How long it was under way; ms, None if it was not sent.
        """
        self._environment.events.request.fire(
            request_type=ask.method,
            name=ask.name,
            response_time=elapsed,
            response_length=0,
            exception=reason,
            context={},
        )

    def _ask(self, ask: Ask, timing: Timing) -> None:
        with self._session.request(
            ask.method,
            ask.path,
            name=ask.name,
            data=self._body(ask),
            headers=dict(ask.headers),
            stream=True,
            catch_response=True,
        ) as answer:
            size = 0
            try:
                tokens, size = _read(ask, answer, timing)
            except BrokenAnswerError as broken:
                answer.failure(broken)
            except HTTPParseError:
                answer.failure(BrokenAnswerError("the connection closed in mid-answer"))
            except TimeoutError:
                answer.failure(BrokenAnswerError("the server fell silent: timed out"))
            except OSError as error:
                answer.failure(BrokenAnswerError(f"the connection broke: {error.strerror or error}"))
            else:
                answer.success()
                record_answer(
                    self._environment.stats,
                    ask.name,
                    timing,
                    e2e=timing.elapsed(time.perf_counter()),
                    tokens=tokens,
                    generates=ask.generates,
                )
            # Locust stopped its watch at the head of the answer.
            answer.request_meta["response_time"] = timing.elapsed(time.perf_counter())
            answer.request_meta["response_length"] = size

    def _body(self, ask: Ask) -> bytes | None:
        if not ask.bodies:
            return None
        if len(ask.bodies) == 1:
            return ask.bodies[0]
        if ask.name not in self._turns:
            self._turns[ask.name] = itertools.cycle(ask.bodies)
        body: bytes = next(self._turns[ask.name])
        return body


def _read(ask: Ask, answer: Any, timing: Timing) -> tuple[int | None, int]:
    """Read and check an answer; give its tokens and its bytes."""
    raw = answer._response
    if raw is None:
        raise answer.error
    status = raw.status_code
    if status >= 400:
        # Locust has looked into it already, to tell of it.
        raise refusal(status, answer.content or b"")
    if status != 200:
        raw.release()
        raise BrokenAnswerError(f"HTTP {status}")
    if ask.reader is None:
        body = b"".join(arriving(raw))
        assert ask.whole is not None
        return ask.whole(body), len(body)
    kind = str(raw.get("content-type", ""))
    if not kind.startswith("text/event-stream"):
        raw.release()
        raise BrokenAnswerError(f"asked for a stream, got {kind or 'no content type'}")
    parser = EventParser()
    reader = ask.reader()
    size = 0
    for data in arriving(raw):
        now = time.perf_counter()
        size += len(data)
        deltas = 0
        for name, payload in parser.feed(data):
            deltas += reader.read(name, payload)
        if deltas:
            timing.content(now, deltas)
    if parser.unfinished:
        raise BrokenAnswerError("truncated stream: it ends in mid-event")
    reader.finish()
    if timing.ttft is None:
        raise BrokenAnswerError("a stream without content")
    return reader.tokens, size
