"""The open loop: each request leaves at its instant, whatever became of those before.

Decisions:
* Instants are absolute, and times begin at them, not at the sending: a client that falls behind shows in the times, and
  by how much it fell behind is measured.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import msgspec

from loadtest.recordings import TimedRequest
from loadtest.replay.client import Client
from loadtest.replay.probe import Dialect
from loadtest.response_checks import BrokenResponseError

_LEAD = 0.25
"""Seconds before its instant at which a request gets its connection and its text."""

_PULSE = 0.02
"""Seconds between two looks at the event loop's lag."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one request.

    Attributes:
        request: The request as recorded.
        late: Seconds after its instant at which it was sent; None if it was not sent.
        ttft: Measured time to first token, from the instant; None if it failed.
        e2e: Measured time to the last token, from the instant; None if it failed.
        prompt_tokens: By the server's count; None if it reports none.
        completion_tokens: By the server's count, else the number of events with content.
        error: Why it failed; None if it did not.
    """

    request: TimedRequest
    late: float | None = None
    ttft: float | None = None
    e2e: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    error: str | None = None


class Progress(msgspec.Struct):
    """How far a replay is.

    Attributes:
        seconds: Since its first instant.
        sent: Requests sent.
        ended: Requests that have ended.
        lags: Delays of the event loop in seconds, one for each look.
    """

    seconds: float = 0.0
    sent: int = 0
    ended: int = 0
    lags: list[float] = msgspec.field(default_factory=list)


class Replay:
    """One replay of a trace.

    Args:
        client: Sends to the server.
        dialect: How the server is asked.
        requests: What to send, in the order of arrival.
        run: Number of the run.
        timeout: Most seconds without a byte from the server.
    """

    def __init__(
        self,
        client: Client,
        dialect: Dialect,
        requests: Sequence[TimedRequest],
        *,
        run: int,
        timeout: float,
    ) -> None:
        self.progress = Progress()
        self._client = client
        self._dialect = dialect
        self._requests = requests
        self._run = run
        self._timeout = timeout
        self._start = 0.0

    async def run(self, show: Callable[[Progress], None]) -> list[Outcome]:
        """Replay all requests; return what became of them, in their order.

        Args:
            show: Called every second or so.
        """
        self._start = time.perf_counter() + 2 * _LEAD
        watch = asyncio.create_task(self._watch(show))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = []
                for number, request in enumerate(self._requests):
                    await _sleep_until(self._start + request.arrival - _LEAD)
                    tasks.append(group.create_task(self._send(number, request)))
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
        return [task.result() for task in tasks]

    async def _send(self, number: int, request: TimedRequest) -> Outcome:
        due = self._start + request.arrival
        late = None
        try:
            encoded = self._dialect.encode(
                self._client,
                prompt_tokens=request.prompt_tokens,
                completion_tokens=request.completion_tokens,
                number=number,
                run=self._run,
            )
            connection = await self._client.connect()
            await _sleep_until(due)
            late = time.perf_counter() - due
            reply = connection.send(encoded)
            self.progress.sent += 1
            await self._client.wait(connection, reply, self._timeout)
        except BrokenResponseError as error:
            return Outcome(request, late=late, error=str(error))
        finally:
            self.progress.ended += 1
        assert reply.first is not None
        return Outcome(
            request,
            late=late,
            ttft=reply.first - due,
            e2e=reply.last - due,
            prompt_tokens=reply.check.prompt_tokens,
            completion_tokens=reply.deltas if reply.check.tokens is None else reply.check.tokens,
        )

    async def _watch(self, show: Callable[[Progress], None]) -> None:
        shown = 0.0
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_PULSE)
            now = time.perf_counter()
            self.progress.lags.append(max(0.0, now - before - _PULSE))
            self.progress.seconds = max(0.0, now - self._start)
            if now - shown >= 1:
                shown = now
                show(self.progress)


async def _sleep_until(instant: float) -> None:
    if (left := instant - time.perf_counter()) > 0:
        await asyncio.sleep(left)
