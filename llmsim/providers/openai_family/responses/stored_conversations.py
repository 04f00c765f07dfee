"""Conversations as they are stored: their items, and what responses add to them.

Decisions:
* The items of a response are added when it is planned, and visible from the instant at which it is done: nothing has to wait for that
  instant, and they outlive the worker that planned it. Those of a response that is lost or cancelled are removed.
* While a response is generated, another one in the same conversation is refused, as by the API.
  Source: error body in paulgmiller/careme#379, `conversation_locked`.
* Items have the kind of their conversation, so that a list of them reads no others.
"""

from collections.abc import Sequence

import msgspec

from llmsim.errors import ApiRuleError, UnknownResponseError
from llmsim.providers.contract import EndpointContext, ParsedRequest
from llmsim.providers.openai_family.responses.conversation import read_heads
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.history import with_conversation
from llmsim.providers.openai_family.responses.input_item_list import list_input_items
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.response import build_output
from llmsim.providers.storage import Document, DocumentCollection, StoredResponse

CONVERSATION_KIND = "openai.conversation"

_PAGE = 1000
_MOST_ITEMS = 20_000
"""Most items of a conversation that a response continues."""

_TOLERANCE = 0.05
"""Seconds by which a client may be ahead: it reads the end of a response before the clock of another worker shows it."""

Stored = StoredResponse[ResponseOptions]


class StoredConversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation.

    Attributes:
        id: Its public id.
        created: Unix time in seconds.
        metadata: The client's labels.
        busy_until: Unix time until which a response is generated in it.
        busy_with: Id of the turn of that response.
    """

    id: str
    created: int
    metadata: dict[str, str] = {}
    busy_until: float = 0.0
    busy_with: str = ""

    def as_document(self) -> Document:
        """Return the conversation as a document."""
        return Document(id=self.id, created=self.created, data=msgspec.msgpack.encode(self))


class StoredItem(msgspec.Struct, frozen=True):
    """An item of a conversation.

    Attributes:
        json: The item as it is listed.
        visible_at: Unix time from which on it is there.
    """

    json: bytes
    visible_at: float = 0.0


read_conversation = msgspec.msgpack.Decoder(StoredConversation).decode
read_item = msgspec.msgpack.Decoder(StoredItem).decode


def items_of(context: EndpointContext, conversation_id: str) -> DocumentCollection:
    """Return the items of a conversation."""
    return context.objects(items_kind(conversation_id))


def items_kind(conversation_id: str) -> str:
    """Return the kind of the items of a conversation."""
    return f"{CONVERSATION_KIND}:{conversation_id}"


def item_key(conversation_id: str, item_id: str) -> str:
    """Return the id under which an item is stored: two conversations may have items of one id."""
    return f"{conversation_id}/{item_id}"


async def find_conversation(context: EndpointContext, conversation_id: str) -> StoredConversation:
    """Return a conversation.

    Raises:
        UnknownResponseError: There is no such conversation.
    """
    document = await context.objects(CONVERSATION_KIND).get(conversation_id)
    if document is None:
        raise UnknownResponseError(conversation_id, noun="Conversation")
    return read_conversation(document.data)


async def add_items(
    context: EndpointContext, conversation_id: str, items: Sequence[bytes], visible_at: float = 0.0
) -> None:
    """Add items, which must have ids, at the end of a conversation."""
    now = context.now()
    stored = items_of(context, conversation_id)
    for head, item in zip(read_heads(items), items, strict=True):
        data = msgspec.msgpack.encode(StoredItem(item, visible_at))
        await stored.put(Document(id=item_key(conversation_id, head.id or ""), created=now, data=data))


async def load(
    context: EndpointContext,
    parsed: ParsedRequest[ResponseOptions],
    found: Sequence[Stored],
    dialect: Dialect,
) -> ParsedRequest[ResponseOptions]:
    """Return a request with the items of its conversation before its own.

    Args:
        context: The worker's services.
        parsed: The request.
        found: Stored responses that may hold items to which it refers.
        dialect: The API's dialect.

    Raises:
        UnknownResponseError: There is no such conversation.
        ApiRuleError: A response is generated in it, or it is inconsistent with the request.
    """
    conversation_id = parsed.options.conversation
    assert conversation_id is not None, "the request names a conversation"
    conversation = await find_conversation(context, conversation_id)
    now = context.now()
    _check_free(conversation, now)
    stored = items_of(context, conversation_id)
    items: list[bytes] = []
    after, has_more = None, True
    while has_more and len(items) < _MOST_ITEMS:
        documents, has_more = await stored.page(limit=_PAGE, after=after, ascending=True)
        after = documents[-1].id if documents else None
        items += [read_item(document.data).json for document in documents]
    return with_conversation(parsed, items, found, dialect)


def _check_free(conversation: StoredConversation, now: float) -> None:
    if now + _TOLERANCE < conversation.busy_until:
        raise ApiRuleError(
            "Another process is currently operating on this conversation. Please retry in a few seconds.",
            "conversation",
            "conversation_locked",
        )


async def append(context: EndpointContext, response: Stored, dialect: Dialect, *, is_timed: bool) -> None:
    """Add the input and output of a response to its conversation.

    Args:
        context: The worker's services.
        response: The response.
        dialect: The API's dialect.
        is_timed: Whether it is known when it is done; if not, its items are there at once.

    Raises:
        UnknownResponseError: The conversation was deleted in the meantime.
        ApiRuleError: Another response is generated in it.
    """
    conversation_id = response.options.conversation
    assert conversation_id is not None, "the request names a conversation"
    now = context.now()
    done = response.arrived + response.turn.due if is_timed else now

    def change(document: Document) -> Document:
        conversation = read_conversation(document.data)
        _check_free(conversation, now)
        busy = msgspec.structs.replace(conversation, busy_until=done, busy_with=response.turn.id)
        return msgspec.structs.replace(document, data=msgspec.msgpack.encode(busy))

    if await context.objects(CONVERSATION_KIND).edit(conversation_id, change) is None:
        raise UnknownResponseError(conversation_id, noun="Conversation")
    await add_items(context, conversation_id, _added(response, dialect), done)


def _added(response: Stored, dialect: Dialect) -> list[bytes]:
    """Return the items that a response adds to its conversation."""
    options: ResponseOptions = response.options
    listed = list_input_items(options.input_items, response.turn.id)
    own = listed[len(listed) - options.own_items :]
    return [*own, *(item.json for item in build_output(response.turn, options, dialect).items)]


async def remove(context: EndpointContext, response: Stored, dialect: Dialect) -> None:
    """Remove what a response has added to its conversation: it was lost, or cancelled."""
    conversation_id = response.options.conversation
    assert conversation_id is not None, "the request names a conversation"
    stored = items_of(context, conversation_id)
    for head in read_heads(_added(response, dialect)):
        await stored.delete(item_key(conversation_id, head.id or ""))

    def change(document: Document) -> Document:
        conversation = read_conversation(document.data)
        if conversation.busy_with != response.turn.id:
            return document
        free = msgspec.structs.replace(conversation, busy_until=0.0, busy_with="")
        return msgspec.structs.replace(document, data=msgspec.msgpack.encode(free))

    await context.objects(CONVERSATION_KIND).edit(conversation_id, change)
