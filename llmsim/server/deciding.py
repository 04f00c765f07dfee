"""From a request to what is answered: read, continue what is kept, plan or play, keep, write down."""

from collections.abc import Callable, Mapping

import msgspec

from llmsim.domain import Fault, Turn
from llmsim.errors import RefusedError, UnknownResponseError
from llmsim.planning.planner import Planner
from llmsim.providers.contract import GenerationEndpoint, ParsedRequest
from llmsim.providers.storage import StoredResponse
from llmsim.server.journal_writer import JournalWriter, OnFinished
from llmsim.server.script_player import PlayedTurn, RequestControls, ScriptPlayer
from llmsim.server.sync import run_sync
from llmsim.server.worker_context import WorkerContext
from llmsim.stats import Outcome

_LOST = (Outcome.ABANDONED, Outcome.ABORTED, Outcome.FAILED)
"""Outcomes of which the client has no answer, or a part of one."""

_UNPLAYED = (Outcome.ABORTED, Outcome.FAILED)
"""Those that are the server's own doing: the turn of a script goes to another request."""


class Decision(msgspec.Struct, frozen=True):
    """What a request is answered.

    Attributes:
        ask: The request, with what it continues put before it.
        outcome: The turn, or what goes wrong instead.
        stored: The turn as it was kept for all workers; None if it was not.
        part: The turn of a script that it is; None if it is none.
        entry: Completes what was written down of it; None if nothing was.
    """

    ask: ParsedRequest
    outcome: Turn | Fault
    stored: StoredResponse | None = None
    part: PlayedTurn | None = None
    entry: OnFinished | None = None

    @property
    def is_open(self) -> bool:
        """Whether anybody has to be told how the request ends."""
        return self.stored is not None or self.part is not None or self.entry is not None


class Decider:
    """Decides the requests to one generating endpoint. Safe to call from several threads."""

    def __init__(
        self,
        generation: GenerationEndpoint,
        planner: Planner,
        desk: WorkerContext,
        stage: ScriptPlayer,
        scribe: JournalWriter,
    ) -> None:
        self._generation = generation
        self._planner = planner
        self._desk = desk
        self._stage = stage
        self._scribe = scribe

    def parse(
        self, body: bytes, cue: RequestControls | None, parse: Callable[[bytes], ParsedRequest] | None = None
    ) -> ParsedRequest:
        """Read a request.

        Args:
            body: As sent.
            cue: What the request says of scripts.
            parse: Reads it; None for what the endpoint reads with.

        Raises:
            RefusedError: It is not to be answered.
        """
        try:
            return (parse or self._generation.parse)(body)
        except RefusedError as error:
            self._refused(body, cue, error)
            raise

    def decide(
        self,
        body: bytes,
        ask: ParsedRequest,
        arrived: float,
        *,
        cue: RequestControls | None,
        remembered: Mapping[str, StoredResponse] | None = None,
    ) -> Decision:
        """Decide what a request is answered.

        Args:
            body: As sent.
            ask: As read.
            arrived: Instant of arrival.
            cue: What the request says of scripts.
            remembered: Turns that only this client's connection knows, by public id.

        Raises:
            RefusedError: It is not to be answered.
        """
        try:
            ask = self.continued(ask, remembered or {})
            part = None
            if cue is not None and cue.script is not None and not ask.prompt.silent:
                part = run_sync(self._stage.play(ask.prompt, cue))
            try:
                outcome = (
                    self._planner.plan(ask.prompt)
                    if part is None
                    else self._planner.play(ask.prompt, part.step)
                )
            except BaseException:
                if part is not None:
                    run_sync(self._stage.release(part))
                raise
        except RefusedError as error:
            self._refused(body, cue, error)
            raise
        try:
            stored = self._kept(ask, outcome, arrived)
            entry = None
            if self._scribe.records(cue):
                entry = run_sync(self._scribe.write_planned(self._generation.label, body, cue, outcome, part))
        except BaseException:
            if part is not None:
                run_sync(self._stage.release(part))
            raise
        return Decision(ask, outcome, stored, part, entry)

    def _refused(self, body: bytes, cue: RequestControls | None, error: RefusedError) -> None:
        if self._scribe.records(cue):
            run_sync(self._scribe.write_refused(self._generation.label, body, cue, error))

    def _kept(self, ask: ParsedRequest, outcome: Turn | Fault, arrived: float) -> StoredResponse | None:
        storage = self._generation.storage
        if isinstance(outcome, Fault) or storage is None or not storage.keeps(ask.options):
            return None
        return run_sync(self._desk.keep(storage, ask, outcome, arrived))

    def continued(self, ask: ParsedRequest, remembered: Mapping[str, StoredResponse]) -> ParsedRequest:
        """Put the turn that `ask` continues before it.

        Raises:
            UnknownResponseError: That turn is not kept.
        """
        storage = self._generation.storage
        if storage is None or (previous := storage.previous(ask.options)) is None:
            return ask
        earlier = remembered.get(previous) or run_sync(self._desk.find(storage, previous))
        if earlier is None:
            raise UnknownResponseError(previous, "previous_response_id")
        continued: ParsedRequest = storage.continued(ask, earlier)
        return continued

    def ended(self, decision: Decision, outcome: Outcome, seconds: float) -> None:
        """Take note of how a request ended.

        Args:
            decision: What it was answered.
            outcome: How it ended.
            seconds: How long it took.
        """
        storage, stored = self._generation.storage, decision.stored
        lost = outcome in _LOST or outcome.is_fault
        if storage is not None and stored is not None and not stored.background and lost:
            # Its client will never have it: it hung up, the server gave up, or the answer was broken off.
            run_sync(self._desk.forget(storage, storage.public_id(stored.turn)))
        if decision.part is not None:
            end = self._stage.release if outcome in _UNPLAYED else self._stage.commit
            run_sync(end(decision.part))
        if decision.entry is not None:
            run_sync(decision.entry(outcome.value, seconds))
