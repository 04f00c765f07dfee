"""Per-worker services for endpoints: models, clock, planner, stored responses and documents.

Records hold bytes, which responses are encoded to.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec

from llmsim.catalogue import Model
from llmsim.domain import CacheUse, Fault, Prompt, Turn, TurnOverrides
from llmsim.errors import StoreError
from llmsim.planning.context_edits import with_edits
from llmsim.planning.continuations import with_echoes
from llmsim.planning.cost import is_laborious
from llmsim.planning.planner import UNCACHED, Planner
from llmsim.planning.prompt_facts import LinesNeeded, PromptFacts
from llmsim.planning.rng import Random, seeded_rng
from llmsim.planning.wire_faults import with_wire_fault
from llmsim.providers.contract import IncomingRequest, ParsedRequest
from llmsim.providers.storage import ResponseStorage, StoredResponse
from llmsim.server.active_request import ActiveRequest
from llmsim.server.batch_rules import begin_line
from llmsim.server.controls import ReadControls, check_batched, ignore_controls
from llmsim.server.engine.engines import Engines
from llmsim.server.engine.reader import EnginePlace
from llmsim.server.played import Played
from llmsim.server.rule_book import RuleBook
from llmsim.server.scenario_player import ScenarioAttempt
from llmsim.server.stored_documents import StoredDocuments, UploadedContents
from llmsim.server.stored_responses import decode_record, encode_response
from llmsim.server.transport.body_budget import BodyBudget
from llmsim.state.ports import Record, State
from llmsim.stats import Recorder

OFF_LOOP = 32_768
"""Bytes of a body from which on it is parsed, planned and answered in a thread."""

_FEW_BYTES = 2_048
"""Bytes of a batch of some requests."""

O = TypeVar("O")  # noqa: E741 - the options of an endpoint
R = TypeVar("R")


async def compute_in_thread(work: Callable[..., R], *args: Any) -> R:
    """Return `work(*args)`, computed in a thread, so that other requests go on."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *args)


class WorkerContext:
    """The services of one worker; see `EndpointContext`.

    Attributes:
        models: The listed models by id.
        planner: Plans responses.
        owner: Whose responses, documents and cached prompts are stored and found; empty where no API keys are configured.
        read_controls: Reads what the headers of a request ask for.
    """

    def __init__(
        self,
        models: Mapping[str, Model],
        planner: Planner,
        state: State,
        recorder: Recorder,
        bodies: BodyBudget,
        owner: str = "",
        read_controls: ReadControls = ignore_controls,
        rules: RuleBook | None = None,
        engines: Engines | None = None,
    ) -> None:
        self.models = models
        self.planner = planner
        self.owner = owner
        self.read_controls = read_controls
        self._state = state
        self._recorder = recorder
        self._bodies = bodies
        self._rules = rules
        self._engines = engines

    @property
    def parsing(self) -> asyncio.Lock:
        """Held while a large request is parsed and analyzed."""
        return self._bodies.parsing

    def for_owner(self, owner: str) -> "WorkerContext":
        """Return the services for the requests of one API key's owner."""
        return self if owner == self.owner else self._copy(self.planner, owner)

    def with_planner(self, planner: Planner) -> "WorkerContext":
        """Return the services by another planner."""
        return self._copy(planner, self.owner)

    def _copy(self, planner: Planner, owner: str) -> "WorkerContext":
        return WorkerContext(
            self.models,
            planner,
            self._state,
            self._recorder,
            self._bodies,
            owner,
            self.read_controls,
            self._rules,
            self._engines,
        )

    def now(self) -> float:
        """Return the Unix time, in seconds."""
        return time.time()

    def new_id(self) -> str:
        """Return a new unique id."""
        return self.planner.new_id()

    def model(self, name: str) -> Model | None:
        """Return the listed model of that id, alias or snapshot; None if there is no such model."""
        if name in self.models:
            return self.models[name]
        known = self.planner.find(name)
        return self.models.get(known.id) if known is not None else None

    async def compute(
        self, request: IncomingRequest, work: Callable[..., R], *args: Any, in_thread: bool = False
    ) -> R:
        """Return `work(*args)`, computed in a thread if the request is large or if asked to, so that other requests go on."""
        if not in_thread and len(request.body) < OFF_LOOP:
            return work(*args)
        return await compute_in_thread(work, *args)

    async def reserve(self, size: int, active: ActiveRequest) -> None:
        """Wait for room for a large response, and hold it until the end of its request.

        Raises:
            TransportError: There was none in time.
        """
        active.hold_until_end((await self._bodies.reserve(size)).release)

    async def count(self, request: IncomingRequest, prompt: Prompt) -> int:
        """Count the tokens of a prompt that comes with a request."""
        return await self.compute(request, self.planner.count, prompt)

    async def plan(self, request: IncomingRequest, prompt: Prompt, body: bytes) -> Turn | Fault:
        """Plan the response to a prompt that comes with a request; see `EndpointContext.plan`.

        Raises:
            RefusedError: The model would not accept it.
        """
        if len(request.body) > _FEW_BYTES:
            # A batch plans many prompts in a row; other requests get their turn in between.
            await asyncio.sleep(0)
        in_thread = len(request.body) >= OFF_LOOP or is_laborious(prompt)
        analyze = self.planner.analyze
        facts = await compute_in_thread(analyze, prompt) if in_thread else analyze(prompt)
        controls = self.read_controls(request.headers)
        check_batched(controls)
        overrides = controls.overrides
        played: Played | None = None
        if self._rules is not None and self._rules.has_rules:
            played, overrides = await begin_line(
                self._rules, request, prompt, body, overrides, in_thread=in_thread
            )
        return await self.plan_turn(prompt, facts, played, in_thread=in_thread, overrides=overrides)

    async def plan_turn(
        self,
        prompt: Prompt,
        facts: PromptFacts,
        played: Played | None,
        *,
        in_thread: bool,
        key: str = "",
        overrides: TurnOverrides | None = None,
    ) -> Turn | Fault:
        """Plan the response to a prompt, with what the shared state has for it.

        Args:
            prompt: The prompt.
            facts: From `Planner.analyze`.
            played: The turn of a script, or the attempt of a scenario's step, that is played; None to generate the response.
            in_thread: Whether planning is laborious.
            key: The API key of the request, where faults depend on it.
            overrides: What the response has in place of that; None for nothing.
        """
        if isinstance(played, ScenarioAttempt) and played.fault is not None:
            return played.fault
        planner = self.planner
        outcome_rng = await self._outcome_rng()
        wire_fault = requested = None
        if overrides is not None:
            requested = overrides.fault
            if requested is not None and requested.is_error:
                return planner.overrider.error(requested)
            if overrides.seed is not None:
                prompt = msgspec.structs.replace(prompt, seed=overrides.seed)
            planner = planner.with_overrides(prompt, facts, overrides)
        if requested is not None:
            wire_fault = planner.overrider.wire_fault(requested)
        elif played is None:
            if (fault := planner.draw_fault(outcome_rng)) is not None:
                return fault
            wire_fault = planner.wire_faults.draw(outcome_rng, prompt.model, key, facts.model.id)
        use = UNCACHED
        if facts.prefixes or facts.chain is not None:
            use = await self._use_cache(facts)
        plan: Callable[..., Turn | Fault | LinesNeeded]
        if played is None:
            plan = partial(planner.plan, prompt, facts, outcome_rng, use)
        elif isinstance(played, ScenarioAttempt):
            plan = partial(played.plan, prompt, facts, outcome_rng, use)
        else:
            plan = partial(planner.play, prompt, facts, played.step, outcome_rng, use)
        planned = await compute_in_thread(plan) if in_thread else plan()
        if isinstance(planned, LinesNeeded):
            plan = partial(plan, await self._state.counters.next("sequence", planned.count))
            planned = await compute_in_thread(plan) if in_thread else plan()
        assert not isinstance(planned, LinesNeeded), "the lines were reserved"
        if isinstance(planned, Turn) and overrides is not None:
            planned = _override(planned, prompt, planner, overrides)
        if facts.edited is not None and isinstance(planned, Turn):
            planned = with_edits(planned, facts.edited)
        if wire_fault is not None and isinstance(planned, Turn):
            planned = with_wire_fault(planned, wire_fault)
        if prompt.continuation is not None and prompt.continuation.echo:
            echo = partial(with_echoes, planned, prompt, facts.tokenizer)
            planned = await compute_in_thread(echo) if in_thread else echo()
        return planned

    async def _outcome_rng(self) -> Random:
        """Return what draws the outcome of a request; with a seed of the server, the request gets its number."""
        planner = self.planner
        number = await self._state.counters.next("request") if planner.numbers_requests else None
        return planner.outcome_rng(number)

    async def plan_warm_up(self, prompt: Prompt, facts: PromptFacts) -> Turn:
        """Plan an empty turn, for which the prompt is cached like any other."""
        return self.planner.plan_empty(prompt, facts, await self._outcome_rng(), await self._use_cache(facts))

    async def _use_cache(self, facts: PromptFacts) -> CacheUse:
        cache = self._state.prefix_cache
        # The cache is a convenience: without it the prompt is simply not cached.
        with contextlib.suppress(StoreError):
            if facts.chain is not None:
                return CacheUse(await cache.follow(facts.chain, owner=self.owner))
            if facts.prefixes and facts.model.cache_minimum:
                return await cache.use(facts.prefixes, facts.model.cache_minimum, owner=self.owner)
        return UNCACHED

    def documents(self, kind: str) -> StoredDocuments:
        """Return the stored documents of a kind."""
        return StoredDocuments(kind, self._state.records, self._recorder, self.owner)

    def objects(self, kind: str) -> StoredDocuments:
        """Return the objects of a kind that clients create and delete."""
        return StoredDocuments(kind, self._state.objects, self._recorder, self.owner)

    @property
    def contents(self) -> UploadedContents:
        """The contents of uploaded files."""
        return UploadedContents(self._state.contents)

    def as_stored(
        self,
        storage: ResponseStorage[O],
        parsed: ParsedRequest[O],
        turn: Turn,
        arrival: float,
        place: EnginePlace | None = None,
    ) -> StoredResponse[O]:
        """Return a response as it is stored.

        Args:
            storage: How it is stored.
            parsed: Its request.
            turn: The response.
            arrival: Instant of the request's arrival on the monotonic clock.
            place: Its place in an engine; None for none.
        """
        return StoredResponse(
            prompt=parsed.prompt,
            turn=turn,
            options=parsed.options,
            arrived=time.time() - (time.monotonic() - arrival),
            background=storage.is_background(parsed.options),
            place=None if place is None else place.id,
        )

    async def store(
        self,
        storage: ResponseStorage[O],
        parsed: ParsedRequest[O],
        turn: Turn,
        arrival: float,
        place: EnginePlace | None,
    ) -> StoredResponse[O]:
        """Store a response that was just planned; see `as_stored`."""
        stored = self.as_stored(storage, parsed, turn, arrival, place)
        record = Record(
            id=storage.public_id(turn),
            kind=storage.kind,
            created=turn.created,
            model=turn.model,
            metadata=storage.metadata(parsed.options),
            data=encode_response(stored),
            owner=self.owner,
        )
        if evicted := await self._state.records.put(record):
            self._recorder.evicted(evicted)
        return stored

    async def find(self, storage: ResponseStorage[O], public_id: str) -> StoredResponse[O] | None:
        """Return a stored response, or None if there is no such response."""
        record = await self._state.records.get(storage.kind, public_id, self.owner)
        return decode_record(storage, record) if record is not None else None

    async def change(
        self,
        storage: ResponseStorage[O],
        public_id: str,
        change: Callable[[StoredResponse[O]], StoredResponse[O]],
    ) -> StoredResponse[O] | None:
        """Change a stored response; return it as changed, or None if there is no such response.

        Args:
            storage: How it is stored.
            public_id: Its id.
            change: Returns the changed response; called again if the response has changed in the meantime.
        """
        records = self._state.records
        while (record := await records.get(storage.kind, public_id, self.owner)) is not None:
            stored = decode_record(storage, record)
            changed = change(stored)
            if changed is stored:
                return changed
            metadata = storage.metadata(changed.options)
            new = msgspec.structs.replace(record, metadata=metadata, data=encode_response(changed))
            evicted = await records.replace(new, version=record.version)
            if evicted is not None:
                self._recorder.evicted(evicted)
                if self._engines is not None and changed.place is not None and changed.cancelled is not None:
                    self._engines.cancel(changed.place)
                return changed
        return None

    async def delete(self, storage: ResponseStorage[Any], public_id: str) -> bool:
        """Delete a stored response; return whether there was one."""
        return await self._state.records.delete(storage.kind, public_id, self.owner)

    async def page(
        self,
        storage: ResponseStorage[O],
        *,
        limit: int,
        after: str | None,
        ascending: bool,
        model: str | None,
        metadata: Mapping[str, str],
    ) -> tuple[list[StoredResponse[O]], bool]:
        """List stored responses in order of creation; return them and whether more follow.

        Raises:
            KeyError: There is no response `after`.
        """
        records, more = await self._state.records.page(
            storage.kind,
            limit=limit,
            after=after,
            ascending=ascending,
            model=model,
            metadata=metadata,
            owner=self.owner,
        )
        return [decode_record(storage, record) for record in records], more


def _override(turn: Turn, prompt: Prompt, planner: Planner, overrides: TurnOverrides) -> Turn:
    """Return a turn as it was asked for: without a fault of a script, if another one was, and as long as was asked."""
    if overrides.fault is not None:
        schedule = msgspec.structs.replace(turn.schedule, stall_after=0, stall=0.0)
        turn = msgspec.structs.replace(turn, schedule=schedule, stream_fault=None, wire_fault=None)
    if overrides.latency is not None:
        seed = prompt.seed
        rng = planner.outcome_rng(None) if seed is None else seeded_rng("latency", seed, prompt.model)
        turn = planner.overrider.with_latency(turn, overrides.latency, rng)
    return turn
