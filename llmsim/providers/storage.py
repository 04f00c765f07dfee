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
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

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
        place: Its place in the server's engine, as all workers know it; None for none.
    """

    prompt: Prompt
    turn: Turn
    options: O
    arrived: float
    background: bool = False
    cancelled: float | None = None
    place: tuple[int, int] | None = None

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
        labels: What lists can be filtered by.
    """

    id: str
    created: float
    data: bytes
    labels: dict[str, str] = {}


class DocumentCollection(Protocol):
    """Stored documents of one kind, the same ones for all workers."""

    async def put(self, document: Document) -> None:
        """Store a document, replacing the one with its id if there is one."""
        ...

    async def get(self, document_id: str) -> Document | None:
        """Return a document, or None if there is no such document."""
        ...

    async def edit(self, document_id: str, change: Callable[[Document], Document]) -> Document | None:
        """Change a document atomically over all workers; None if there is no such document."""
        ...

    async def delete(self, document_id: str) -> bool:
        """Delete a document; return whether there was one."""
        ...

    async def page(
        self,
        *,
        limit: int,
        after: str | None = None,
        before: str | None = None,
        ascending: bool = False,
        labels: Mapping[str, str] = {},
    ) -> tuple[list[Document], bool]:
        """List documents, the newest first unless `ascending`; return them and whether more follow.

        Raises:
            KeyError: There is no document `after` or `before`.
        """
        ...


class FileUse(msgspec.Struct, frozen=True):
    """An uploaded file that a request names.

    Attributes:
        path: Keys and indices from the root of the request to the id.
        id: The id.
    """

    path: tuple[str | int, ...]
    id: str


class ContentCollection(Protocol):
    """The contents of uploaded files, by the ids of their objects; they go with these."""

    async def write(self, content_id: str, pieces: Iterable[bytes]) -> bool:
        """Write a content, before its object is put; return whether there was room for it."""
        ...

    async def read(self, content_id: str) -> bytes:
        """Return a content; empty if there is no such content."""
        ...

    async def join(self, content_id: str, parts: Sequence[str]) -> None:
        """Make a content of others, in their order, which are empty then."""
        ...


class ConversationStorage(msgspec.Struct, Generic[O], frozen=True, kw_only=True):
    """How the responses of an endpoint continue conversations that are stored as such, and add to them.

    The functions but `id` get the worker's services first; see `EndpointContext`.

    Attributes:
        id: Returns the id of the conversation that a request continues; None if it continues none.
        load: Puts the items of its conversation before a request, given the stored responses to which it refers.
        append: Adds a response that was planned to its conversation; `is_timed` says whether it is known when it is done.
        remove: Removes what a response has added, which was lost or cancelled.
    """

    id: Callable[[O], str | None]
    load: Callable[[Any, Any, Sequence[StoredResponse[O]]], Awaitable[Any]]
    append: Callable[..., Awaitable[None]]
    remove: Callable[[Any, StoredResponse[O]], Awaitable[None]]


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
        conversations: How requests continue stored conversations; None if they do not.
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
    conversations: ConversationStorage[O] | None = None

    def stands_alone(self, options: O) -> bool:
        """Return whether a request neither continues nor refers to anything that is stored."""
        return (
            self.previous_id(options) is None
            and not self.referenced(options)
            and self.conversation_id(options) is None
        )

    def conversation_id(self, options: O) -> str | None:
        """Return the id of the conversation that a request continues; None if it continues none."""
        return self.conversations.id(options) if self.conversations is not None else None
