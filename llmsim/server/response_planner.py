"""Plans the responses to the requests of an endpoint: what is asked, whether it is admitted, and what is answered when.

Decisions:
* What is plain needs nothing of the shared state, and is planned before it is admitted: one booking is enough then.
* A turn of a script is played once a request is admitted, and released if it cannot be answered.
* The state that all workers share is awaited between the steps, never inside them.
"""

import contextlib
from collections.abc import Awaitable
from typing import Generic, TypeVar

from llmsim.domain import Fault, Turn
from llmsim.errors import RefusedError, StoreError
from llmsim.providers.contract import (
    ChannelFormat,
    GenerationEndpoint,
    IncomingRequest,
    ParsedRequest,
    Provider,
)
from llmsim.server.access.api_keys import find_header_key
from llmsim.server.channels import Channel
from llmsim.server.controls import NO_CONTROLS, RequestControls, check_generates
from llmsim.server.conversation_log import append_response
from llmsim.server.engine.reader import EnginePlace
from llmsim.server.engine.router import EngineRouter
from llmsim.server.journal_writer import JournalWriter
from llmsim.server.planned_responses import AnalyzedRequest, PlannedResponse
from llmsim.server.played import Played
from llmsim.server.quota_gate import QuotaGate
from llmsim.server.request_analyzer import RequestAnalyzer
from llmsim.server.request_memo import RequestMemo
from llmsim.server.rule_book import RuleBook
from llmsim.server.scenario_player import ScenarioPlayer
from llmsim.server.script_player import ScriptPlayer
from llmsim.server.turn_player import TurnPlayer
from llmsim.server.worker_context import WorkerContext

O = TypeVar("O")  # noqa: E741 - the options of an endpoint


class ResponsePlanner(Generic[O]):
    """Plans the responses of one endpoint on one kind of channel.

    Attributes:
        player: Plays what a request asks for in place of a generated response.
        analyzer: Analyzes requests.
        read_controls: Reads the control headers of a request.
    """

    def __init__(
        self,
        provider: Provider,
        endpoint: GenerationEndpoint[O],
        channel_format: ChannelFormat[O],
        context: WorkerContext,
        scripts: ScriptPlayer,
        journal: JournalWriter,
        scenarios: ScenarioPlayer | None,
        quotas: QuotaGate | None,
        engines: EngineRouter | None,
        rules: RuleBook,
    ) -> None:
        """Prepare to plan; see `GenerationService`."""
        self._endpoint = endpoint
        self._context = context
        self._has_conversations = endpoint.storage is not None and endpoint.storage.conversations is not None
        self.player = TurnPlayer(endpoint, scripts, scenarios, rules, provider.key_headers)
        self._rules = rules
        self._journal = journal
        self._quotas = quotas
        self._engines = engines
        self._scripts = scripts
        self._follows_all = scripts.has_default or journal.writes_all
        # By the settings alone; what a request asks for, and what is set at run time, comes on top.
        is_immediate = quotas is None or quotas.is_immediate
        self._is_simple = is_immediate and engines is None and not self._follows_all
        self._planner = context.planner
        self.read_controls = context.read_controls
        self._key_headers = provider.key_headers if self._planner.wire_faults.needs_key else ()
        self._memo: RequestMemo[AnalyzedRequest[O]] = RequestMemo(
            channel_format.parsed_headers, with_address=channel_format.reads_address
        )
        self.analyzer = RequestAnalyzer(endpoint, channel_format, context, scenarios, self._memo, quotas)

    def plan(
        self, request: IncomingRequest, channel: Channel
    ) -> PlannedResponse[O] | Awaitable[PlannedResponse[O]]:
        """Parse a request and plan its response; refuse what cannot be answered.

        PERF: at once, 1.5 us less than by the general way, for a simple request: most that load tests send.

        Returns:
            The response of a simple request; what plans any other.

        Raises:
            RefusedError: The request is refused.
        """
        controls = self.read_controls(request.headers)
        found = None if controls.scenario is not None else self._memo.get(request)
        if self._is_simple and controls is NO_CONTROLS and not self._rules.has_rules:
            analyzed = self.analyzer.analyze_at_once(request) if found is None else found
            if isinstance(analyzed, AnalyzedRequest) and analyzed.is_simple:
                return self._plan_simple(request, channel, analyzed)
            return self._plan(request, channel, controls, analyzed)
        return self._plan(request, channel, controls, found)

    def _plan_simple(
        self, request: IncomingRequest, channel: Channel, analyzed: AnalyzedRequest[O]
    ) -> PlannedResponse[O]:
        """Plan the response to a request that needs nothing of the shared state."""
        planned = self._planner.plan(analyzed.request.prompt, analyzed.facts)
        assert isinstance(planned, Turn), "a plain response needs no lines"
        if analyzed.bill is not None and self._quotas is not None:
            self._quotas.admit_at_once(request.headers, analyzed.bill, channel.active, planned)
        return PlannedResponse(analyzed.request, planned, False)

    async def _plan(
        self,
        request: IncomingRequest,
        channel: Channel,
        controls: RequestControls,
        found: AnalyzedRequest[O] | ParsedRequest[O] | None,
    ) -> PlannedResponse[O]:
        overrides, scenario = controls.overrides, controls.scenario
        selection = journal_key = None
        if controls is not NO_CONTROLS or self._follows_all:
            selection = self._scripts.select(controls)
            journal_key = self._journal.key(self._endpoint.label, controls, selection)
        played: Played | None = None
        outcome: Turn | Fault
        place: EnginePlace | None = None
        try:
            try:
                analyzed = (
                    found
                    if isinstance(found, AnalyzedRequest)
                    else await self.analyzer.analyze(request, channel, scenario, found)
                )
                parsed, facts, heavy = analyzed.request, analyzed.facts, analyzed.heavy
                prompt = parsed.prompt
                if controls.sent and (
                    prompt.embedding is not None or (prompt.media is not None and prompt.silent)
                ):
                    check_generates(controls)
                has_own = analyzed.step is not None or parsed.is_warm_up
                is_played = has_own or selection is not None or self._rules.has_rules
                if facts.is_plain and overrides is None and not (is_played or heavy):
                    planned = self._planner.plan(prompt, facts)
                    assert isinstance(planned, Turn), "a plain response needs no lines"
                    outcome = planned
                    if self._quotas is not None:
                        await self._quotas.admit(request.headers, prompt, facts, channel.active, planned)
                else:
                    if self._quotas is not None:
                        await self._quotas.admit(request.headers, prompt, facts, channel.active)
                    context = self._context.for_owner(channel.active.owner)
                    if parsed.is_warm_up:
                        return PlannedResponse(parsed, await context.plan_warm_up(prompt, facts), heavy)
                    begun = await self.player.begin(request, analyzed, controls, selection, channel.active)
                    played, overrides, heavy = begun.played, begun.overrides, begun.heavy
                    if heavy and facts.embedding is not None:
                        await context.reserve(facts.embedding.response_bytes, channel.active)
                    outcome = await context.plan_turn(
                        prompt,
                        facts,
                        played,
                        in_thread=heavy,
                        key=find_header_key(request.headers, self._key_headers),
                        overrides=overrides,
                    )
                    if self._quotas is not None:
                        await self._quotas.book_output(channel.active, outcome)
                is_timed = overrides is not None and overrides.latency is not None
                if self._engines is not None and isinstance(outcome, Turn) and not is_timed:
                    outcome, place = self._engines.enter(
                        outcome, facts, played, channel.active, parsed, self._endpoint.storage
                    )
            except RefusedError as error:
                if journal_key is not None:
                    await self._journal.write_refused(journal_key, request.body, error)
                raise
            storage, stored = self._endpoint.storage, None
            if (
                storage is not None
                and not isinstance(outcome, Fault)
                and storage.should_store(parsed.options)
            ):
                context = self._context.for_owner(channel.active.owner)
                stored = await context.store(storage, parsed, outcome, channel.active.arrival, place)
            appended = None
            if self._has_conversations and storage is not None:
                appended = await append_response(
                    storage,
                    self._context.for_owner(channel.active.owner),
                    parsed,
                    outcome,
                    stored,
                    channel.active.arrival,
                    is_timed=place is None,
                )
            on_finished = None
            if journal_key is not None:
                on_finished = await self._journal.write_planned(journal_key, request.body, outcome, played)
        except BaseException:
            if played is not None:
                with contextlib.suppress(StoreError):
                    await self.player.release(played)
            raise
        return PlannedResponse(parsed, outcome, heavy, stored, played, on_finished, place, appended)
