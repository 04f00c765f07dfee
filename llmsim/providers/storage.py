"""What is stored of a response, so that any worker can show it later.

Decisions:
* A response is stored the moment it is planned, with the time of its arrival: its state at any later moment follows from its
  schedule. So no process has to work on it in the background, any worker can show it, stream it again or cancel it, and it
  outlives the worker that planned it.
* All of the conversation so far is stored with each response: continuing it is one look-up, and deleting an earlier response does
  not break a later one.
* Times are Unix times, which all processes and machines share.
"""

import enum
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from llmsim.domain import Prompt, Turn

O = TypeVar("O")  # noqa: E741 - the options of an endpoint


class State(enum.Enum):
    """How far a stored response has come."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"


class StoredResponse(msgspec.Struct, Generic[O], frozen=True, kw_only=True):
    """A stored response.

    Attributes:
        prompt: What was asked, earlier turns included.
        turn: The response.
        options: What the endpoint's renderers understand.
        arrived: Unix time of the request's arrival, in seconds.
        background: Whether it is generated in the background.
        cancelled: Unix time at which it was cancelled; None if it was not.
    """

    prompt: Prompt
    turn: Turn
    options: O
    arrived: float
    background: bool = False
    cancelled: float | None = None

    def state(self, now: float) -> State:
        """Return how far the response has come at `now`, a Unix time."""
        if self.cancelled is not None:
            return State.CANCELLED
        schedule = self.turn.schedule
        if now >= self.arrived + self.turn.due:
            return State.DONE
        # A background request is queued for half of its time to first token.
        if self.background and now < self.arrived + schedule.ttft / 2:
            return State.QUEUED
        return State.IN_PROGRESS


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is stored besides responses.

    Attributes:
        id: Unique over everything that is stored.
        created: Unix time in seconds; lists are in this order.
        data: In a form that only its endpoint knows.
    """

    id: str
    created: float
    data: bytes


class ResponseStorage(msgspec.Struct, Generic[O], frozen=True, kw_only=True):
    """How the responses of an endpoint are stored.

    Attributes:
        kind: Kind of the records; kinds are separate.
        options: Type of the endpoint's options, to decode them.
        public_id: Returns the id under which a response is found.
        should_store: Whether a request's response is to be stored.
        is_background: Whether it is generated in the background.
        metadata: Returns what lists can be filtered by.
        previous_id: Returns the id of the response that a request continues; None if it continues none.
        with_history: Puts the stored response before a request that continues it.
        render: Renders a stored response as it is at a Unix time.
        referenced: Returns the ids of other responses to whose items a request refers, whether they exist or not.
        with_references: Puts the items of those that exist into a request.
    """

    kind: str
    options: type[O]
    public_id: Callable[[Turn], str]
    should_store: Callable[[O], bool]
    is_background: Callable[[O], bool]
    metadata: Callable[[O], dict[str, str]]
    previous_id: Callable[[O], str | None]
    with_history: Callable[[Any, StoredResponse[O]], Any]
    render: Callable[[StoredResponse[O], float], bytes]
    referenced: Callable[[O], tuple[str, ...]] = lambda _: ()
    with_references: Callable[[Any, Sequence[StoredResponse[O]]], Any] = lambda request, _: request
