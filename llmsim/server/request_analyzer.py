"""What can be known of a generating request from its bytes, and from what it continues.

Decisions:
* Large and laborious requests are parsed and analyzed in a thread.
* Large requests take turns: a body takes ten times its bytes when it is parsed, and its prompt is not kept for longer than it must be.
* What is continued or referenced, and which files exist, changes with time, so only a request that needs none of it is remembered.
"""

from typing import Generic, TypeVar

from llmsim.errors import ScenarioError, UnknownResponseError
from llmsim.planning.cost import is_laborious, is_long
from llmsim.planning.prompt_facts import PromptFacts
from llmsim.planning.scenarios import ResolvedStep
from llmsim.providers.contract import ChannelFormat, GenerationEndpoint, IncomingRequest, ParsedRequest
from llmsim.providers.storage import ResponseStorage, StoredResponse
from llmsim.scenarios import RequestedScenario
from llmsim.server.channels import Channel
from llmsim.server.controls import SCENARIO_HEADER
from llmsim.server.planned_responses import AnalyzedRequest
from llmsim.server.quota_gate import QuotaGate
from llmsim.server.request_memo import RequestMemo
from llmsim.server.scenario_player import ScenarioPlayer
from llmsim.server.worker_context import OFF_LOOP, WorkerContext, compute_in_thread

O = TypeVar("O")  # noqa: E741 - the options of an endpoint


class RequestAnalyzer(Generic[O]):
    """Analyzes the requests to one generating endpoint on one kind of channel."""

    def __init__(
        self,
        endpoint: GenerationEndpoint[O],
        channel_format: ChannelFormat[O],
        context: WorkerContext,
        scenarios: ScenarioPlayer | None,
        memo: RequestMemo[AnalyzedRequest[O]],
        quotas: QuotaGate | None,
    ) -> None:
        """Prepare to analyze requests.

        Args:
            endpoint: The endpoint.
            channel_format: How it reads a request on the kind of channel.
            context: The worker's services.
            scenarios: Resolves the steps of scenarios; None if there are none.
            memo: Remembers what was analyzed.
            quotas: Says what a request takes of limits; None if none are set.
        """
        self._endpoint = endpoint
        self._format = channel_format
        self._context = context
        self._scenarios = scenarios
        self._memo = memo
        self._quotas = quotas

    def analyze_at_once(self, request: IncomingRequest) -> AnalyzedRequest[O] | ParsedRequest[O] | None:
        """Analyze a request if it stands alone and that is no long work.

        PERF: 5 us less than by `analyze`, which may have to wait.

        Returns:
            The analyzed request; any other as it was parsed, to be handed to `analyze`; None if it is so large that it was not even parsed.

        Raises:
            RefusedError: The request is refused.
        """
        if len(request.body) >= OFF_LOOP:
            return None
        parsed = self._format.parse(request)
        storage, planner = self._endpoint.storage, self._context.planner
        if parsed.is_texts and self._scenarios is None:
            # PERF: 1 us less than to look for what such a request has not.
            facts = planner.analyze_known_text(parsed.prompt)
            if facts is not None:
                bill = None if self._quotas is None else self._quotas.bill(parsed.prompt, facts)
                analyzed = AnalyzedRequest(parsed, facts, is_simple=True, bill=bill)
                self._memo.put(request, analyzed)
                return analyzed
        if parsed.files or (storage is not None and not storage.stands_alone(parsed.options)):
            return parsed
        facts = planner.analyze_text(parsed.prompt)
        if facts is None:
            if is_laborious(parsed.prompt):
                return parsed
            facts = planner.analyze(parsed.prompt)
        return self._resolve_own(request, parsed, facts, None)

    async def analyze(
        self,
        request: IncomingRequest,
        channel: Channel,
        scenario: RequestedScenario | None = None,
        begun: ParsedRequest[O] | None = None,
    ) -> AnalyzedRequest[O]:
        """Parse a request, put what it continues before it, and analyze its prompt.

        Args:
            request: The request.
            channel: By which it came.
            scenario: The scenario that its headers name; such a request is not remembered.
            begun: The request as parsed, if it is.

        Raises:
            RefusedError: The request is refused.
        """
        if len(request.body) < OFF_LOOP:
            return await self._analyze(request, channel, scenario, begun)
        async with self._context.parsing:
            return await self._analyze(request, channel, scenario, begun)

    async def _analyze(
        self,
        request: IncomingRequest,
        channel: Channel,
        scenario: RequestedScenario | None,
        begun: ParsedRequest[O] | None,
    ) -> AnalyzedRequest[O]:
        heavy = len(request.body) >= OFF_LOOP
        parse, analyze = self._format.parse, self._context.planner.analyze
        if begun is not None:
            parsed = begun
        else:
            parsed = await compute_in_thread(parse, request) if heavy else parse(request)
        storage, files = self._endpoint.storage, parsed.files
        if files and self._endpoint.load_files is not None:
            parsed = await self._endpoint.load_files(self._context.for_owner(channel.active.owner), parsed)
        heavy = heavy or is_laborious(parsed.prompt)
        references = storage.referenced(parsed.options) if storage is not None else ()
        conversation = storage.conversation_id(parsed.options) if storage is not None else None
        found: list[StoredResponse[O]] = []
        if storage is not None and references:
            found = [one for name in references if (one := await self._find(storage, name, channel))]
            if conversation is None:
                parsed = await compute_in_thread(storage.with_references, parsed, found)
        if conversation is not None:
            assert storage is not None, "the endpoint stores conversations"
            assert storage.conversations is not None, "the endpoint stores conversations"
            context = self._context.for_owner(channel.active.owner)
            parsed = await storage.conversations.load(context, parsed, found)
        previous = storage.previous_id(parsed.options) if storage is not None else None
        if storage is not None and previous is not None:
            earlier = await self._find(storage, previous, channel)
            if earlier is None:
                raise UnknownResponseError(previous, "previous_response_id")
            if heavy:
                parsed = await compute_in_thread(storage.with_history, parsed, earlier)
            else:
                parsed = storage.with_history(parsed, earlier)
        is_continued = previous is not None or conversation is not None
        if heavy or (is_continued and is_long(parsed.prompt)):
            facts = await compute_in_thread(analyze, parsed.prompt)
            step = await compute_in_thread(self._resolve_step, parsed, scenario)
            return AnalyzedRequest(parsed, facts, heavy=True, step=step)
        if is_continued or references or files:
            return AnalyzedRequest(parsed, analyze(parsed.prompt), step=self._resolve_step(parsed, scenario))
        return self._resolve_own(request, parsed, analyze(parsed.prompt), scenario)

    def _resolve_own(
        self,
        request: IncomingRequest,
        parsed: ParsedRequest[O],
        facts: PromptFacts,
        scenario: RequestedScenario | None,
    ) -> AnalyzedRequest[O]:
        """Complete the analysis of a request that continues nothing, and remember it."""
        storage, step = self._endpoint.storage, self._resolve_step(parsed, scenario)
        is_stored = storage is not None and storage.should_store(parsed.options)
        is_simple = facts.is_plain and step is None and not (is_stored or parsed.is_warm_up)
        bill = self._quotas.bill(parsed.prompt, facts) if is_simple and self._quotas is not None else None
        analyzed = AnalyzedRequest(parsed, facts, step=step, is_simple=is_simple, bill=bill)
        if scenario is None and not parsed.depends_on_headers:
            self._memo.put(request, analyzed)
        return analyzed

    async def _find(
        self, storage: ResponseStorage[O], response_id: str, channel: Channel
    ) -> StoredResponse[O] | None:
        """Return an earlier response, remembered or stored; None if there is no such response."""
        context = self._context.for_owner(channel.active.owner)
        return channel.recall(response_id) or await context.find(storage, response_id)

    def _resolve_step(
        self, parsed: ParsedRequest[O], requested: RequestedScenario | None
    ) -> ResolvedStep | None:
        """Return the step of a scenario that a request plays; None if it plays none."""
        if self._scenarios is None:
            if requested is not None:
                raise ScenarioError(
                    "scenario_not_found",
                    f"{SCENARIO_HEADER}: no scenarios are loaded; the setting response.scenarios_path names them",
                )
            return None
        if parsed.is_warm_up:
            return None
        return self._scenarios.resolve(parsed.prompt, self._endpoint, requested)
