"""From a parsed request to what is answered: continue what is kept, plan, keep."""

from collections.abc import Mapping

import msgspec

from llmsim.errors import UnknownResponseError
from llmsim.exchange import Fault, Turn
from llmsim.planning.planner import Planner
from llmsim.providers.contract import Ask, Generation
from llmsim.providers.storage import Stored
from llmsim.server.desk import ServerDesk


class Decision(msgspec.Struct, frozen=True):
    """What a request is answered.

    Attributes:
        ask: The request, with what it continues put before it.
        outcome: The turn, or what goes wrong instead.
        stored: The turn as it was kept for all workers; None if it was not.
    """

    ask: Ask
    outcome: Turn | Fault
    stored: Stored | None = None


class Decider:
    """Decides the requests to one generating endpoint. Safe to call from several threads."""

    def __init__(self, generation: Generation, planner: Planner, desk: ServerDesk) -> None:
        self._generation = generation
        self._planner = planner
        self._desk = desk

    def decide(self, ask: Ask, arrived: float, remembered: Mapping[str, Stored] | None = None) -> Decision:
        """Decide what `ask` is answered.

        Args:
            ask: As parsed.
            arrived: Instant of arrival.
            remembered: Turns that only this client's connection knows, by public id.

        Raises:
            RefusedError: It is not to be answered.
        """
        ask = self.continued(ask, remembered or {})
        outcome = self._planner.plan(ask.prompt)
        storage = self._generation.storage
        if isinstance(outcome, Fault) or storage is None or not storage.keeps(ask.options):
            return Decision(ask, outcome)
        return Decision(ask, outcome, self._desk.keep(storage, ask, outcome, arrived))

    def continued(self, ask: Ask, remembered: Mapping[str, Stored]) -> Ask:
        """Put the turn that `ask` continues before it.

        Raises:
            UnknownResponseError: That turn is not kept.
        """
        storage = self._generation.storage
        if storage is None or (previous := storage.previous(ask.options)) is None:
            return ask
        earlier = remembered.get(previous) or self._desk.find(storage, previous)
        if earlier is None:
            raise UnknownResponseError(previous, "previous_response_id")
        continued: Ask = storage.continued(ask, earlier)
        return continued

    def lost(self, decision: Decision) -> None:
        """Forget a kept turn that its client will never have: it hung up, or the server gave up."""
        storage = self._generation.storage
        if storage is not None and decision.stored is not None and not decision.stored.background:
            self._desk.forget(storage, storage.public_id(decision.stored.turn))
