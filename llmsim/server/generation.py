"""The one path of a generating request, by whatever channel it came: parse, plan, render, send, settle.

Decisions:
* The head of a streamed response leaves with the first token, as the real APIs' do: tools that time the head and tools that time
  the first text see the same time to first token.
* Large and laborious requests are parsed and planned in a thread, and their responses rendered there too: tokenizers release the
  interpreter, so one client's megabytes do not delay the tokens of all others.
* The state that all workers share is awaited between the steps, never inside them.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Generic, TypeVar

import msgspec

from llmsim.domain import Fault, Schedule, StreamFault, Turn, WireFault
from llmsim.domain.quota import RateLimitError
from llmsim.errors import RefusedError, StoreError
from llmsim.providers.contract import (
    ChannelFormat,
    GenerationEndpoint,
    IncomingRequest,
    Provider,
    Reply,
)
from llmsim.providers.storage import StoredResponse
from llmsim.server.channels import Channel
from llmsim.server.client_watch import ClientWatch
from llmsim.server.conversation_log import remove_response
from llmsim.server.engine.reader import EnginePlace
from llmsim.server.engine.router import EngineRouter
from llmsim.server.engine.stream import EngineStream
from llmsim.server.faulty_responses import FaultyResponses, abort_at
from llmsim.server.immediate_responses import SENT, ImmediateResponses, build_reply
from llmsim.server.journal_writer import JournalWriter
from llmsim.server.pacing import PacedStream, truncated_frames
from llmsim.server.planned_responses import PlannedResponse
from llmsim.server.quota_gate import QuotaGate
from llmsim.server.replies import EncodedReply, ReplyBuilder
from llmsim.server.response_planner import ResponsePlanner
from llmsim.server.rule_book import RuleBook
from llmsim.server.scenario_player import ScenarioPlayer
from llmsim.server.script_player import ScriptPlayer
from llmsim.server.transport.eager_tasks import fail
from llmsim.server.worker_context import WorkerContext, compute_in_thread
from llmsim.stats import Outcome

_LOST = (Outcome.ABANDONED, Outcome.ABORTED, Outcome.FAILED)
"""Outcomes after which the client has no response, or a part of one."""

_UNPLAYED = (Outcome.ABORTED, Outcome.FAILED)
"""Outcomes that the server itself caused: the turn of a script goes to another request."""

O = TypeVar("O")  # noqa: E741 - the options of an endpoint

Planned = tuple[PlannedResponse[O], EncodedReply | None]
"""A response, and what came of sending it at once; see `ImmediateResponses.answer`."""


async def _finish_planning(
    begun: PlannedResponse[O] | Awaitable[PlannedResponse[O]], reply: EncodedReply | None
) -> Planned[O]:
    """Return a response that may be planned already, and what came of sending it."""
    return (begun if isinstance(begun, PlannedResponse) else await begun), reply


class GenerationService(Generic[O]):
    """Runs the requests to one generating endpoint on one kind of channel."""

    def __init__(
        self,
        provider: Provider,
        endpoint: GenerationEndpoint[O],
        channel_format: ChannelFormat[O],
        context: WorkerContext,
        player: ScriptPlayer,
        journal: JournalWriter,
        scenarios: ScenarioPlayer | None = None,
        quotas: QuotaGate | None = None,
        engines: EngineRouter | None = None,
        clients: ClientWatch | None = None,
        *,
        rules: RuleBook,
    ) -> None:
        """Prepare to run requests.

        Args:
            provider: The API.
            endpoint: The endpoint.
            channel_format: How it reads and writes on the kind of channel.
            context: The worker's services.
            player: Plays the turns of scripts.
            journal: Writes the journal.
            scenarios: Plays scenarios; None if there are none.
            quotas: Holds requests to the limits of their keys; None if none are set.
            engines: Produce the tokens of their models; None if there are none.
            clients: Watches how clients go about failures; None if no client can ask for it.
            rules: Answers by what is asked.
        """
        self._endpoint = endpoint
        self._format = channel_format
        self._context = context
        self._quotas = quotas
        self._clients = clients
        nominal = provider.limit_headers.nominal if quotas is None else ()
        self.replies = ReplyBuilder(provider, context.planner.new_id, nominal)
        self._immediate = ImmediateResponses(endpoint, channel_format, self.replies)
        self._faulty = FaultyResponses(endpoint, channel_format, self.replies)
        self.planner = ResponsePlanner(
            provider, endpoint, channel_format, context, player, journal, scenarios, quotas, engines, rules
        )

    async def run(self, request: IncomingRequest, channel: Channel) -> None:
        """Answer a request, and book how it ended."""
        waiting = self.answer(request, channel)
        if waiting is not None:
            await waiting

    def answer(self, request: IncomingRequest, channel: Channel) -> Awaitable[None] | None:
        """Answer a request that has nothing to wait for; return what answers any other, None if it is answered."""
        active, clients = channel.active, self._clients
        if clients is not None:
            active.incoming = request
            if clients.registry.is_watching:
                return self._run(request, channel, self._plan_watched(request, channel, clients))
        try:
            planned = self.planner.plan(request, channel)
            reply = self._immediate.answer(planned, channel) if isinstance(planned, PlannedResponse) else None
        except BaseException as error:
            return self._run(request, channel, fail([error]))
        is_open = active.admission is not None and active.admission.is_open
        if reply is not SENT or is_open or (clients is not None and clients.registry.is_watching):
            return self._run(request, channel, _finish_planning(planned, reply))
        active.finish()
        return None

    async def _plan_watched(
        self, request: IncomingRequest, channel: Channel, clients: ClientWatch
    ) -> Planned[O]:
        """Plan a request whose beginning the report on clients books first."""
        await clients.begin(channel.active, self._endpoint.label)
        planned = self.planner.plan(request, channel)
        reply = self._immediate.answer(planned, channel) if isinstance(planned, PlannedResponse) else None
        return await _finish_planning(planned, reply)

    async def _run(self, request: IncomingRequest, channel: Channel, planning: Awaitable[Planned[O]]) -> None:
        """Answer a request, and book how it ended.

        Args:
            request: The request.
            channel: By which it came.
            planning: Returns its response, and what came of sending it at once.
        """
        active, clients = channel.active, self._clients
        planned: PlannedResponse[O] | None = None
        failure: BaseException | None = None
        try:
            planned, reply = await planning
            # PERF: 0.2 kB of an open stream.
            del planning
            if clients is not None and active.attempt is not None:
                await clients.check(active.attempt, planned.request.prompt)
            if reply is None:
                await self._respond(planned, channel)
            elif reply is not SENT:
                await channel.reply(reply)
        except RefusedError as refusal:
            if clients is not None and active.attempt is not None:
                await clients.check(active.attempt, refusal)
            await self._refuse(refusal, channel, request.headers)
        except BaseException as error:
            failure = error
            raise
        finally:
            seconds = active.finish(failure)
            if self._quotas is not None and active.admission is not None and active.admission.is_open:
                await self._quotas.finish(active.admission)
            if planned is not None and planned.is_shared and active.outcome is not None:
                await self._settle(planned, active.outcome, seconds, active.owner)
            if clients is not None and (
                active.outcome is not Outcome.FINISHED or clients.registry.is_watching
            ):
                await clients.end(active, self._endpoint.label, seconds)

    async def refuse(
        self, error: RefusedError, channel: Channel, headers: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Answer a request that is refused before its body is read."""
        active = channel.active
        active.incoming = IncomingRequest(path=self._endpoint.path, headers=headers, arrival=active.arrival)
        await self._refuse(error, channel, headers)

    def render_refusal(self, error: RefusedError) -> Reply:
        """Render an error in the form of the API."""
        return self._format.render_refusal(error)

    async def _refuse(self, error: RefusedError, channel: Channel, headers: Mapping[str, str]) -> None:
        is_limited = isinstance(error, RateLimitError)
        other = Outcome.FAILED if error.is_temporary else Outcome.REFUSED
        channel.active.outcome = Outcome.RATE_LIMIT if is_limited else other
        if self._quotas is not None and channel.active.admission is None:
            self._quotas.show(headers, channel.active)
        await self._reply_error(self.render_refusal(error), channel)

    def _respond(self, planned: PlannedResponse[O], channel: Channel) -> Awaitable[None]:
        outcome, stored = planned.outcome, planned.stored
        if isinstance(outcome, Fault):
            return self._fail(planned, outcome, channel)
        if outcome.wire_fault is not None:
            return self._respond_faulty(planned, outcome, outcome.wire_fault, channel)
        if planned.request.prompt.stream:
            return self._stream(planned, outcome, channel)
        if stored is not None and stored.background:
            return self._reply_in_background(stored, channel)
        if outcome.stream_fault is not None:
            return self._truncate(planned, outcome, outcome.stream_fault, channel)
        if planned.place is not None:
            return self._reply_from_engine(planned, outcome, planned.place, channel)
        return self._reply(planned, outcome, channel)

    async def _respond_faulty(
        self, planned: PlannedResponse[O], turn: Turn, fault: WireFault, channel: Channel
    ) -> None:
        """Answer a request with a response that has a fault on the wire; one in the background has none."""
        plain = msgspec.structs.replace(planned, outcome=msgspec.structs.replace(turn, wire_fault=None))
        respond_plainly = partial(self._respond, plain, channel)
        request, stored = planned.request, planned.stored
        await self._note_truncation(planned, turn, channel)
        if stored is not None and stored.background and not request.prompt.stream:
            await respond_plainly()
        elif await self._faulty.respond(
            request, turn, fault, channel, respond_plainly, in_thread=planned.heavy
        ):
            self._remember(planned, turn, channel)

    async def _fail(self, planned: PlannedResponse[O], fault: Fault, channel: Channel) -> None:
        active, prompt = channel.active, planned.request.prompt
        active.accepted(prompt.model, streaming=prompt.stream, prompt_tokens=0)
        if not await channel.wait_until(active.arrival + fault.delay):
            active.outcome = Outcome.ABANDONED
            return
        active.outcome = Outcome.of(fault.kind)
        await self._reply_error(self._format.render_fault(fault), channel)

    async def _reply(self, planned: PlannedResponse[O], turn: Turn, channel: Channel) -> None:
        active, recorder = channel.active, channel.active.recorder
        render, usage = self._endpoint.render_response, turn.usage
        due = active.arrival + turn.due
        # Rendered before anything is booked: tokens of a response that cannot be rendered were never sent.
        if planned.heavy:
            body = await compute_in_thread(render, turn, planned.request.options)
        else:
            body = render(turn, planned.request.options)
        now = time.monotonic()
        if due <= now and not channel.disconnected:
            active.replied(turn.model, usage.prompt, usage.completion, now - due, now)
        else:
            row = active.accepted(turn.model, streaming=False, prompt_tokens=usage.prompt)
            if not await channel.wait_until(due):
                active.outcome = Outcome.ABANDONED
                return
            now = time.monotonic()
            recorder.late(now - due)
            recorder.sent(row, usage.completion, now)
        active.outcome = Outcome.FINISHED
        if active.attempt is not None and self._clients is not None:
            await self._clients.answer(active.attempt, active)
        await channel.reply(build_reply(self._endpoint, self.replies, planned, body, active))

    async def _reply_from_engine(
        self, planned: PlannedResponse[O], turn: Turn, place: EnginePlace, channel: Channel
    ) -> None:
        """Answer once the engine has produced the last token; rendered then, because the response says when that was."""
        active, tokens = channel.active, turn.length or 1
        row = active.accepted(turn.model, streaming=False, prompt_tokens=turn.usage.prompt)
        if not await channel.wait_until(place.due(tokens)):
            active.outcome = Outcome.ABANDONED
            return
        due = place.find(tokens)
        timed = msgspec.structs.replace(turn, schedule=Schedule(ttft=due - active.arrival, itl=0.0))
        render, options = self._endpoint.render_response, planned.request.options
        body = (await compute_in_thread(render, timed, options)) if planned.heavy else render(timed, options)
        now = time.monotonic()
        active.recorder.late(now - due)
        active.recorder.sent(row, turn.usage.completion, now)
        active.outcome = Outcome.FINISHED
        if active.attempt is not None and self._clients is not None:
            await self._clients.answer(active.attempt, active)
        await channel.reply(build_reply(self._endpoint, self.replies, planned, body, active))

    async def _truncate(
        self, planned: PlannedResponse[O], turn: Turn, stream_fault: StreamFault, channel: Channel
    ) -> None:
        """End an unstreamed response at a fault: with an error in its place, or a disconnect."""
        active = channel.active
        after = turn.truncated_after or 0
        due = turn.schedule.due(after)
        if planned.place is not None and after:
            if not await channel.wait_until(planned.place.due(after)):
                active.outcome = Outcome.ABANDONED
                return
            due = time.monotonic() - active.arrival
        if not stream_fault.disconnect:
            await self._fail(planned, msgspec.structs.replace(stream_fault.fault, delay=due), channel)
            return
        await abort_at(active.arrival + due, turn, stream_fault, channel)

    async def _reply_in_background(self, stored: StoredResponse[O], channel: Channel) -> None:
        """Answer a request whose response is generated in the background: at once, as it is. Its tokens count now."""
        assert self._endpoint.storage is not None
        active, usage = channel.active, stored.turn.usage
        row = active.accepted(stored.turn.model, streaming=False, prompt_tokens=usage.prompt)
        active.recorder.sent(row, usage.completion, time.monotonic())
        active.outcome = Outcome.FINISHED
        body = self._endpoint.storage.render(stored, self._context.now())
        await channel.reply(self.replies.build(body, active))

    async def _stream(self, planned: PlannedResponse[O], turn: Turn, channel: Channel) -> None:
        active, options = channel.active, planned.request.options
        row = active.accepted(turn.model, streaming=True, prompt_tokens=turn.usage.prompt)
        render, render_fault = self._format.render_stream, self._format.render_stream_fault
        assert render is not None, "the endpoint does not stream"
        frames = await compute_in_thread(render, turn, options) if planned.heavy else render(turn, options)
        stream_fault = turn.stream_fault
        if stream_fault is not None:
            assert render_fault is not None, "an endpoint that streams renders stream faults"
            frames = truncated_frames(turn, frames, stream_fault, partial(render_fault, turn, options))
            await self._note_truncation(planned, turn, channel)
        pace: Callable[..., PacedStream] = PacedStream
        if planned.place is not None:
            pace = partial(EngineStream, planned.place)
        stream = pace(
            turn,
            frames,
            arrival=active.arrival,
            recorder=active.recorder,
            row=row,
            ends_abruptly=stream_fault is not None and stream_fault.disconnect,
        )
        active.open_stream()
        if not await channel.wait_until(stream.due):
            active.outcome = Outcome.ABANDONED
            return
        await channel.stream(stream, self.replies.build_stream(self._format.headers_of(options), active))
        if not stream.done:
            active.outcome = Outcome.ABANDONED
            return
        active.sent_at = time.monotonic()
        if stream_fault is not None:
            active.outcome = Outcome.of(stream_fault.fault.kind)
            return
        active.outcome = Outcome.FINISHED
        self._remember(planned, turn, channel)

    async def _note_truncation(self, planned: PlannedResponse[O], turn: Turn, channel: Channel) -> None:
        """Note for the report on clients that a stream will be truncated, if it will."""
        if self._clients is not None:
            prompt = planned.request.prompt
            await self._clients.truncate(channel.active, prompt, turn, self._endpoint.label)

    def _remember(self, planned: PlannedResponse[O], turn: Turn, channel: Channel) -> None:
        """Remember a response that was streamed, where the connection can continue it."""
        if (storage := self._endpoint.storage) is not None:
            stored = self._context.as_stored(storage, planned.request, turn, channel.active.arrival)
            channel.remember(storage.public_id(turn), stored)

    async def _reply_error(self, reply: Reply, channel: Channel) -> None:
        encoded = self.replies.build_error(reply, channel.active)
        if self._clients is not None:
            # Before it leaves: another worker may get the retry.
            await self._clients.fail(channel.active, self._endpoint.label)
        await channel.reply(encoded)

    async def _settle(
        self, planned: PlannedResponse[O], outcome: Outcome, seconds: float, owner: str
    ) -> None:
        """Record in the shared state how a request ended."""
        storage, stored = self._endpoint.storage, planned.stored
        is_lost = outcome in _LOST or outcome.is_fault
        if storage is not None and stored is not None and not stored.background and is_lost:
            # The client never gets its id: it hung up, the server gave up, or the response was truncated.
            with contextlib.suppress(StoreError):
                await self._context.for_owner(owner).delete(storage, storage.public_id(stored.turn))
        appended = planned.appended
        if storage is not None and appended is not None and is_lost:
            await remove_response(storage, self._context.for_owner(owner), appended)
        played = planned.played
        if played is not None:
            with contextlib.suppress(StoreError):
                if outcome in _UNPLAYED:
                    await self.planner.player.release(played)
                else:
                    await self.planner.player.commit(played)
        if planned.on_finished is not None:
            await planned.on_finished(outcome.value, seconds)
