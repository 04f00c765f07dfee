"""What the path of a generating request knows of it: as analyzed, and as planned."""

from typing import Generic, TypeVar

import msgspec

from llmsim.domain import Fault, Turn
from llmsim.planning.prompt_facts import PromptFacts
from llmsim.planning.scenarios import ResolvedStep
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.storage import StoredResponse
from llmsim.server.admission import Bill
from llmsim.server.engine.reader import EnginePlace
from llmsim.server.journal_writer import OnFinished
from llmsim.server.played import Played

O = TypeVar("O")  # noqa: E741 - the options of an endpoint


class AnalyzedRequest(msgspec.Struct, Generic[O], frozen=True, gc=False):
    """What can be known of a request from its bytes, and from what it continues.

    Attributes:
        request: The request, with what it continues put before it.
        facts: What planning needs to know of its prompt.
        heavy: Whether planning and rendering its response is laborious.
        step: The step of a scenario that it plays; None if it plays none.
        is_simple: Whether its response needs nothing of the shared state, neither now nor later, unless what is set at run time does.
        bill: What it takes of limits; None where none are set, or it is not simple.
    """

    request: ParsedRequest[O]
    facts: PromptFacts
    heavy: bool = False
    step: ResolvedStep | None = None
    is_simple: bool = False
    bill: Bill | None = None


class PlannedResponse(msgspec.Struct, Generic[O], frozen=True, gc=False):
    """What a request is to be answered.

    Attributes:
        request: The request, with what it continues put before it.
        outcome: The turn, or what fails instead.
        heavy: Whether rendering it is laborious.
        stored: The response as it was stored for all workers; None if it was not.
        appended: The response as it was added to a stored conversation; None if it was not.
        played: The script turn, or the attempt of a scenario's step, that was played; None if the response was generated.
        on_finished: Completes the journal entry; None if there is none.
        place: Its place in the engine that produces its tokens; None if there is none.
    """

    request: ParsedRequest[O]
    outcome: Turn | Fault
    heavy: bool
    stored: StoredResponse[O] | None = None
    played: Played | None = None
    on_finished: OnFinished | None = None
    place: EnginePlace | None = None
    appended: StoredResponse[O] | None = None

    @property
    def is_shared(self) -> bool:
        """Whether the shared state has to know how it ends."""
        return (
            self.stored is not None
            or self.played is not None
            or self.on_finished is not None
            or self.appended is not None
        )
