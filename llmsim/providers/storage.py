"""What is kept of a turn, so that any worker can show it later.

Decisions:
* A turn is kept the moment it is planned, with the instant of its arrival: its state at any later
  moment follows from its schedule. So nobody has to work on it in the background, it can be shown,
  streamed anew or cancelled through any worker, and it outlives the worker that planned it.
* All of the conversation so far is kept with each turn: continuing it is one look-up, and deleting an
  earlier turn does not break a later one.
"""

import enum
from collections.abc import Callable
from typing import Any

import msgspec

from llmsim.domain import Prompt, Turn


class State(enum.Enum):
    """How far a kept turn has come."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"


class StoredResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A kept turn.

    Attributes:
        prompt: What was asked, earlier turns included.
        turn: What is answered.
        options: What the endpoint's renderers understand.
        arrived: When the request arrived, on the monotonic clock, which all processes of a machine share; in seconds.
        background: Whether it comes about without its client.
        cancelled: When it was cancelled, on the same clock; None if it was not.
    """

    prompt: Prompt
    turn: Turn
    options: Any
    arrived: float
    background: bool = False
    cancelled: float | None = None

    def state(self, now: float) -> State:
        """Tell how far the turn has come at `now`, on the monotonic clock."""
        if self.cancelled is not None:
            return State.CANCELLED
        schedule = self.turn.schedule
        if now >= self.arrived + self.turn.due:
            return State.DONE
        # A request in the background waits for its turn as long as half of its time to first token.
        if self.background and now < self.arrived + schedule.ttft / 2:
            return State.QUEUED
        return State.IN_PROGRESS


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is kept besides turns.

    Attributes:
        id: Unique over everything that is kept.
        created: Unix time in seconds; lists are in this order.
        data: In a form that only its endpoint knows.
    """

    id: str
    created: float
    data: bytes


class ResponseStorage(msgspec.Struct, frozen=True, kw_only=True):
    """How the turns of an endpoint are kept.

    Attributes:
        kind: Kind of the records; kinds do not see each other.
        options: Type of the endpoint's options, for reading them back.
        public_id: The id under which a turn is found.
        keeps: Whether a request's turn is to be kept.
        background: Whether it comes about in the background.
        metadata: What lists can be filtered by.
        previous: Id of the turn that a request continues; None if it continues none.
        continued: A request with the kept turn put before it.
        render: A kept turn as it is shown at a moment of the monotonic clock.
    """

    kind: str
    options: type[Any]
    public_id: Callable[[Turn], str]
    keeps: Callable[[Any], bool]
    background: Callable[[Any], bool]
    metadata: Callable[[Any], dict[str, str]]
    previous: Callable[[Any], str | None]
    continued: Callable[[Any, StoredResponse], Any]
    render: Callable[[StoredResponse, float], bytes]
