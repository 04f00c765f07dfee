"""The one path of a generating request, for every endpoint: read, parse, plan, pace, answer.

Decisions:
* The head of a streamed answer leaves with the first token, as the real APIs' do: tools that time
  the head and tools that time the first text see the same time to first token.
* A large body is parsed and planned off the loop, and its answer rendered there, too: tokenizers let go
  of the interpreter, so one client's megabytes do not delay the tokens of all others. So is a small body
  of which its endpoint says that it is much work.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from falcon.asgi import Request, Response
from msgspec.structs import replace

from llmsim.domain import Fault, StreamFault, Turn
from llmsim.errors import BodyTooLargeError, InvalidJsonError, RefusedError
from llmsim.planning.planner import Planner
from llmsim.providers.contract import GenerationEndpoint, ParsedRequest, Provider, Reply
from llmsim.providers.storage import StoredResponse
from llmsim.server.active_request import KEY, ActiveRequest
from llmsim.server.breaking import CutError, breaking_runs
from llmsim.server.deciding import Decider, Decision
from llmsim.server.pacing import PacedStream
from llmsim.server.script_player import RequestControls, ScriptPlayer
from llmsim.stats import Outcome

OFF_LOOP = 32_768
"""Bytes of a body from which on it is parsed, planned and answered in a thread."""

T = TypeVar("T")


class HungUpError(Exception):
    """The client hung up before the request was complete."""


class Stream:
    """The body of a streamed answer, as Falcon iterates it."""

    __slots__ = ("_breakage", "_flight", "_visit")

    def __init__(
        self, visit: ActiveRequest, flight: PacedStream, breakage: StreamFault | None = None
    ) -> None:
        """Prepare to stream.

        Args:
            visit: The request.
            flight: What leaves, and when.
            breakage: How it ends, if it breaks off.
        """
        self._visit = visit
        self._flight = flight
        self._breakage = breakage

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> bytes:
        visit, flight = self._visit, self._flight
        while not flight.done:
            if visit.connection.gone:
                visit.outcome = Outcome.ABANDONED
                raise StopAsyncIteration
            if data := flight.take(time.monotonic()):
                if flight.done and self._breakage is None:
                    visit.connection.ending()
                return data
            if not flight.done:
                await visit.connection.fly(flight)
        visit.outcome = Outcome.FINISHED
        visit.left = time.monotonic()
        if self._breakage is not None:
            await visit.connection.flush()
            break_off(visit, self._breakage)
        raise StopAsyncIteration


class _Cut:
    """The body of an answer that is cut off before it begins."""

    def __aiter__(self) -> "_Cut":
        return self

    async def __anext__(self) -> bytes:
        raise CutError


def break_off(visit: ActiveRequest, breakage: StreamFault) -> None:
    """Book that an answer broke off, and cut the line if that is how.

    Raises:
        CutError: The line is to be cut by the server.
    """
    visit.outcome = Outcome.of(breakage.fault.kind)
    if breakage.disconnect and not visit.connection.drop():
        raise CutError


class Turns:
    """Answers one generating endpoint."""

    def __init__(
        self,
        provider: Provider,
        generation: GenerationEndpoint,
        planner: Planner,
        decider: Decider,
        stage: ScriptPlayer,
        max_body_bytes: int,
    ) -> None:
        self._provider = provider
        self._generation = generation
        self._planner = planner
        self._decider = decider
        self._stage = stage
        self._max_body_bytes = max_body_bytes

    async def on_post(self, req: Request, resp: Response) -> None:
        """Answer one request."""
        visit: ActiveRequest = req.scope[KEY]
        try:
            if self._provider.admit is not None:
                self._provider.admit(req.headers_lower)
            cue = self._stage.read_controls(req.get_header)
            body = await read_body(req, self._max_body_bytes)
            decision, heavy = await self._decide(body, visit.arrived, cue)
        except RefusedError as error:
            visit.outcome = Outcome.REFUSED
            render = self._generation.render_refusal or self._provider.render_refusal
            self._deny(resp, visit, render(error))
            return
        except HungUpError:
            visit.outcome = Outcome.ABANDONED
            return
        ask, outcome, stored = decision.ask, decision.outcome, decision.stored
        if decision.is_open:
            visit.ended = partial(self._decider.ended, decision)
        if isinstance(outcome, Fault):
            await self._fail(resp, visit, ask, outcome)
        elif ask.prompt.stream:
            await self._stream(resp, visit, ask, outcome)
        elif stored is not None and stored.background:
            self._take_on(resp, visit, stored)
        elif outcome.stream_fault is not None:
            await self._break(resp, visit, ask, outcome, outcome.stream_fault)
        else:
            await self._answer(resp, visit, ask, outcome, heavy=heavy)

    async def _decide(
        self, body: bytes, arrived: float, cue: RequestControls | None
    ) -> tuple[Decision, bool]:
        """Decide a request, and tell whether it is so much work that its answer is rendered in a thread, too."""
        decider = self._decider

        def decide() -> Decision:
            return decider.decide(body, decider.parse(body, cue), arrived, cue=cue)

        if len(body) >= OFF_LOOP:
            return await _off_loop(decide), True
        is_heavy = self._generation.is_heavy
        if is_heavy is None:
            return decide(), False
        ask = decider.parse(body, cue)
        if is_heavy(ask.prompt):
            return await _off_loop(partial(decider.decide, body, ask, arrived, cue=cue)), True
        return decider.decide(body, ask, arrived, cue=cue), False

    async def _fail(self, resp: Response, visit: ActiveRequest, ask: ParsedRequest, fault: Fault) -> None:
        visit.recorder.accepted(ask.prompt.model, streaming=ask.prompt.stream, prompt_tokens=0)
        if not await visit.connection.until(visit.arrived + fault.delay):
            visit.outcome = Outcome.ABANDONED
            return
        visit.outcome = Outcome.of(fault.kind)
        self._deny(resp, visit, self._provider.render_fault(fault))

    async def _answer(
        self, resp: Response, visit: ActiveRequest, ask: ParsedRequest, turn: Turn, *, heavy: bool
    ) -> None:
        recorder = visit.recorder
        row = recorder.accepted(turn.model, streaming=False, prompt_tokens=turn.usage.prompt)
        render = self._generation.render_answer
        body = await _off_loop(render, turn, ask.options) if heavy else render(turn, ask.options)
        due = visit.arrived + turn.due
        if not await visit.connection.until(due):
            visit.outcome = Outcome.ABANDONED
            return
        now = time.monotonic()
        recorder.late(now - due)
        recorder.sent(row, turn.usage.completion, now)
        visit.outcome = Outcome.FINISHED
        self._reply(resp, visit, Reply(200, body))

    async def _break(
        self, resp: Response, visit: ActiveRequest, ask: ParsedRequest, turn: Turn, breakage: StreamFault
    ) -> None:
        """Break an unstreamed answer off: an error in place of it, or no answer at all."""
        due = turn.schedule.due(turn.truncated_after or 0)
        if not breakage.disconnect:
            await self._fail(resp, visit, ask, replace(breakage.fault, delay=due))
            return
        row = visit.recorder.accepted(turn.model, streaming=False, prompt_tokens=turn.usage.prompt)
        if not await visit.connection.until(visit.arrived + due):
            visit.outcome = Outcome.ABANDONED
            return
        visit.recorder.sent(row, turn.generated_tokens, time.monotonic())
        try:
            break_off(visit, breakage)
        except CutError:
            # A server that has not begun to answer would answer 500; one that has begun hangs up.
            resp.stream = _Cut()

    def _take_on(self, resp: Response, visit: ActiveRequest, stored: StoredResponse) -> None:
        """Answer a request in the background: at once, with the turn as it stands. Its tokens count now."""
        assert self._generation.storage is not None
        usage = stored.turn.usage
        row = visit.recorder.accepted(stored.turn.model, streaming=False, prompt_tokens=usage.prompt)
        now = time.monotonic()
        visit.recorder.sent(row, usage.completion, now)
        visit.outcome = Outcome.FINISHED
        self._reply(resp, visit, Reply(200, self._generation.storage.render(stored, now)))

    async def _stream(self, resp: Response, visit: ActiveRequest, ask: ParsedRequest, turn: Turn) -> None:
        recorder = visit.recorder
        row = recorder.accepted(turn.model, streaming=True, prompt_tokens=turn.usage.prompt)
        generation = self._generation
        assert generation.render_stream is not None, "a prompt that is streamed, of an endpoint that is not"
        runs = generation.render_stream(turn, ask.options)
        if turn.stream_fault is not None:
            assert generation.render_broken is not None, (
                "an endpoint that streams, and cannot say that it breaks"
            )
            runs = breaking_runs(turn, runs, partial(generation.render_broken, turn, ask.options))
        flight = PacedStream(turn, runs, arrived=visit.arrived, recorder=recorder, row=row)
        visit.stream()
        if not await visit.connection.until(flight.due):
            visit.outcome = Outcome.ABANDONED
            return
        send_stream(resp, Stream(visit, flight, turn.stream_fault), self._headers(visit))

    def _headers(self, visit: ActiveRequest) -> tuple[tuple[str, str], ...]:
        return self._provider.headers(self._planner.new_id(), time.monotonic() - visit.arrived)

    def _reply(self, resp: Response, visit: ActiveRequest, reply: Reply) -> None:
        send_reply(resp, reply, self._headers(visit))

    def _deny(self, resp: Response, visit: ActiveRequest, reply: Reply) -> None:
        send_error(resp, self._provider, reply, self._planner.new_id(), visit)


async def _off_loop(work: Callable[..., T], *what: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, work, *what)


_STREAM_HEADERS = (
    ("cache-control", "no-cache"),
    # Proxies that buffer (nginx) would turn paced tokens into bursts.
    ("x-accel-buffering", "no"),
)


def send_stream(resp: Response, stream: Stream, headers: tuple[tuple[str, str], ...]) -> None:
    """Put a streamed answer into Falcon's response."""
    resp.content_type = "text/event-stream; charset=utf-8"
    resp.set_headers(_STREAM_HEADERS)
    resp.set_headers(headers)
    resp.stream = stream


def send_reply(resp: Response, reply: Reply, headers: tuple[tuple[str, str], ...]) -> None:
    """Put a whole answer into Falcon's response."""
    resp.status = reply.status
    resp.content_type = "application/json"
    resp.set_headers(headers)
    if reply.headers:
        resp.set_headers(reply.headers)
    resp.data = reply.body


def send_error(
    resp: Response, provider: Provider, reply: Reply, request_id: str, visit: ActiveRequest
) -> None:
    """Put a refusal, fault or crash into Falcon's response."""
    headers = provider.headers(request_id, time.monotonic() - visit.arrived)
    send_reply(resp, provider.sign(reply, request_id), headers)


async def read_body(req: Request, limit: int) -> bytes:
    """Read the request body, whether its length was announced or not.

    Raises:
        BodyTooLargeError: It is over `limit` bytes.
        HungUpError: The client hung up before its end.
    """
    encoding = req.get_header("content-encoding", default="identity")
    if encoding != "identity":
        raise InvalidJsonError(f"content-encoding {encoding!r} is not read; send the body as it is")
    announced = req.content_length
    if announced is not None and announced > limit:
        raise BodyTooLargeError(limit)
    # PERF: 0.2 us against 2 us for the stream, where all of the body came with the event that Falcon has read already.
    first: Any = getattr(req, "_first_event", None)
    if announced and first is not None and len(first.get("body", b"")) == announced:
        whole: bytes = first["body"]
        return whole
    body: bytes = await req.stream.read(limit + 1)
    if len(body) > limit:
        raise BodyTooLargeError(limit)
    if announced is not None and len(body) < announced:
        raise HungUpError
    return body
