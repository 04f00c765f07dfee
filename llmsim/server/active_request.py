"""One request from arrival to end, and its booking.

Decisions:
* Both ends are booked in one place: the beginning on arrival, before routing, the end when the request is left, whatever happened
  in between: finished, refused, disconnect, drain, bug. So a client that hangs up before its request was read counts too.
"""

import asyncio
import time
from collections.abc import Callable

from llmsim.providers.contract import IncomingRequest
from llmsim.server.admission import Admission
from llmsim.state.client_port import Attempt
from llmsim.stats import Outcome, Recorder, Row


class ActiveRequest:
    """One request in flight.

    Attributes:
        arrival: Instant of arrival, on `time.monotonic()`.
        admission: What was booked of the limits of its key; None if nothing was looked at.
        endpoint: Number of the generating endpoint; None for any other path, which is not counted.
        resource: Number of the resource that it is for; None if it generates, or is not counted.
        row: Where it is counted once it is accepted.
        recorder: The worker's counters.
        outcome: How it ended, once that is known.
        finished: Whether its end is booked.
        sent_at: Instant at which the last byte was sent; None to take the end of the request.
        owner: Owner of its API key; empty where no keys are configured.
        extra_headers: Header lines of its response that others have not, such as those for a web page; empty for none.
        request_id: The id that its response has; unset until there is one.
        status: HTTP status of the response, where it was built of a provider's reply; unset else.
        reply_headers: Headers of that reply; unset else.
        incoming: The request, where the report on clients may need it; None else.
        attempt: The request as that report has booked its arrival; None if it has not.
        is_watched: Whether that report has booked its end.
        is_damaged: Whether a fault on the wire may keep the client from reading the response.
    """

    request_id: str
    status: int
    reply_headers: tuple[tuple[str, str], ...]

    __slots__ = (
        "_release",
        "_streams",
        "admission",
        "arrival",
        "attempt",
        "endpoint",
        "extra_headers",
        "finished",
        "incoming",
        "is_damaged",
        "is_watched",
        "outcome",
        "owner",
        "recorder",
        "reply_headers",
        "request_id",
        "resource",
        "row",
        "sent_at",
        "status",
    )

    def __init__(self, arrival: float, recorder: Recorder, endpoint: int | None = None) -> None:
        """Book the beginning.

        Args:
            arrival: Instant of arrival.
            recorder: The worker's counters.
            endpoint: Number of the generating endpoint; None for any other path, which is not counted.
        """
        self.arrival = arrival
        self.recorder = recorder
        self.outcome: Outcome | None = None
        self.sent_at: float | None = None
        self.owner = ""
        self.extra_headers = b""
        self.admission: Admission | None = None
        self._release: Callable[[], None] | None = None
        self.endpoint = endpoint
        self.row: Row | None = None
        self.resource: int | None = None
        self._streams = False
        self.finished = self.is_watched = self.is_damaged = False
        self.incoming: IncomingRequest | None = None
        self.attempt: Attempt | None = None
        if endpoint is not None:
            recorder.began(endpoint, arrival)

    def begin_resource(self, resource: int) -> None:
        """Book that it is for a resource, which is counted apart from what generates."""
        self.resource = resource
        self.recorder.resource_began(resource)

    def hold_until_end(self, release: Callable[[], None]) -> None:
        """Note what releases something that is held until the end of the request."""
        before = self._release

        def release_both() -> None:
            release()
            if before is not None:
                before()

        self._release = release_both

    def accepted(self, model: str, *, streaming: bool, prompt_tokens: int) -> Row:
        """Book that it was parsed and accepted; see `Recorder.accepted`."""
        row = self.recorder.accepted(
            self.endpoint or 0, model, streaming=streaming, prompt_tokens=prompt_tokens
        )
        self.row = row
        return row

    def replied(self, model: str, prompt_tokens: int, tokens: int, lateness: float, now: float) -> None:
        """Book that it was answered whole; see `Recorder.replied`."""
        self.row = self.recorder.replied(self.endpoint or 0, model, prompt_tokens, tokens, lateness, now)

    def streamed(
        self, model: str, prompt_tokens: int, tokens: int, events: int, lateness: float, now: float
    ) -> None:
        """Book that it was answered with a stream that left at once; see `Recorder.streamed_at_once`."""
        self.row = self.recorder.streamed_at_once(
            self.endpoint or 0, model, prompt_tokens, tokens, events, lateness, now, now - self.arrival
        )

    def open_stream(self) -> None:
        """Book that the response is a stream; at most once."""
        self._streams = True
        self.recorder.stream_opened()

    def finish(self, error: BaseException | None = None) -> float:
        """Book the end; only the first call counts.

        Args:
            error: The exception that ended the request; None if none did.

        Returns:
            Seconds that the request took.
        """
        now = time.monotonic()
        seconds = (now if self.sent_at is None else self.sent_at) - self.arrival
        if self.finished:
            return seconds
        self.finished = True
        if self._release is not None:
            self._release()
        if self._streams:
            self.recorder.stream_closed()
        if self.outcome is None:
            self.outcome = _outcome_of(error)
        if self.endpoint is not None:
            self.recorder.ended(self.endpoint, self.outcome, seconds, now, self.row)
        elif self.resource is not None:
            self.recorder.resource_ended(self.resource, self.outcome)
        return seconds


OpenRequest = Callable[[float, Recorder, int | None], ActiveRequest]
"""Books the beginning of a request: `ActiveRequest`, or what is used in its place."""


def _outcome_of(error: BaseException | None) -> Outcome:
    """Return the outcome of a request that nothing has set."""
    if error is None:
        # Falcon returns without calling a responder when the client was gone before its request was read.
        return Outcome.ABANDONED
    # A coroutine is left where it waits if the task that would continue it is cancelled before it runs.
    is_aborted = isinstance(error, asyncio.CancelledError | GeneratorExit)
    return Outcome.ABORTED if is_aborted else Outcome.FAILED
