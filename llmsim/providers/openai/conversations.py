"""`/v1/conversations`: conversations that responses continue and add to, and their items.

Source: openai SDK, resources/conversations/, types/conversations/: 20 items at a time; OpenAI guide, conversation state.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from llmsim.errors import ApiRuleError, UnknownResponseError
from llmsim.providers.contract import EndpointContext, IncomingRequest, Reply, ResourceEndpoint
from llmsim.providers.media import Media
from llmsim.providers.openai.object_lists import parse_query, read_page
from llmsim.providers.openai_family.request_fields import Metadata
from llmsim.providers.openai_family.responses.conversation import check_items, read_heads, resolve
from llmsim.providers.openai_family.responses.history import parse_messages
from llmsim.providers.openai_family.responses.included import parse_included
from llmsim.providers.openai_family.responses.input_item_list import list_input_items
from llmsim.providers.openai_family.responses.stored_conversations import (
    CONVERSATION_KIND,
    StoredConversation,
    add_items,
    find_conversation,
    item_key,
    items_kind,
    items_of,
    read_conversation,
    read_item,
)
from llmsim.providers.storage import Document
from llmsim.wire.codec import decoder, encode

_Items = Annotated[list[Raw], Meta(max_length=20)]


class _Creation(msgspec.Struct):
    items: _Items | None = None
    metadata: Metadata | None = None


class _Update(msgspec.Struct):
    metadata: Metadata | None


class _Addition(msgspec.Struct):
    items: Annotated[list[Raw], Meta(min_length=1, max_length=20)]


_decode_creation = decoder(_Creation)
_decode_update = decoder(_Update)
_decode_addition = decoder(_Addition)


def _render(conversation: StoredConversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": conversation.created,
        "metadata": conversation.metadata,
    }


def _parse_items(context: EndpointContext, sent: Sequence[Raw]) -> tuple[bytes, ...]:
    """Return items as they are listed, with ids.

    Raises:
        InvalidFieldError: An item has no known type, or does not fit its type.
        ApiRuleError: An id is not well formed, comes twice, or refers to nothing.
    """
    items = tuple(bytes(item) for item in sent)
    parse_messages(items, Media(), ("items",))
    heads = read_heads(items)
    check_items(heads, has_prefixes=True)
    resolve(items, heads, {}, is_stored=True)
    return list_input_items(items, context.new_id())


async def create(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Create a conversation, with its first items."""
    wanted = _decode_creation(request.body or b"{}")
    items = _parse_items(context, wanted.items or ())
    conversation = StoredConversation(
        id=f"conv_{context.new_id()}", created=int(context.now()), metadata=wanted.metadata or {}
    )
    await context.objects(CONVERSATION_KIND).put(conversation.as_document())
    await add_items(context, conversation.id, items)
    return Reply(200, encode(_render(conversation)))


async def retrieve(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return a conversation."""
    return Reply(200, encode(_render(await _find(context, request))))


async def _find(context: EndpointContext, request: IncomingRequest) -> StoredConversation:
    return await find_conversation(context, request.params["conversation_id"])


async def update(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Replace the metadata of a conversation."""
    metadata = _decode_update(request.body).metadata or {}

    def change(document: Document) -> Document:
        conversation = msgspec.structs.replace(read_conversation(document.data), metadata=metadata)
        return msgspec.structs.replace(document, data=conversation.as_document().data)

    conversation_id = request.params["conversation_id"]
    document = await context.objects(CONVERSATION_KIND).edit(conversation_id, change)
    if document is None:
        raise UnknownResponseError(conversation_id, noun="Conversation")
    return Reply(200, encode(_render(read_conversation(document.data))))


async def delete(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Delete a conversation."""
    conversation = await _find(context, request)
    await context.objects(CONVERSATION_KIND).delete(conversation.id)
    stored, has_more = items_of(context, conversation.id), True
    while has_more:
        documents, has_more = await stored.page(limit=1000)
        for document in documents:
            await stored.delete(document.id)
    return Reply(200, encode({"id": conversation.id, "object": "conversation.deleted", "deleted": True}))


async def create_items(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Add items at the end of a conversation."""
    parse_included(request.params)
    sent = _decode_addition(request.body).items
    conversation = await _find(context, request)
    items = _parse_items(context, sent)
    stored = items_of(context, conversation.id)
    for head in read_heads(items):
        if await stored.get(item_key(conversation.id, head.id or "")) is not None:
            raise ApiRuleError(
                f"Duplicate item found with id {head.id}. Remove duplicate items from your input and try again.",
                "items",
            )
    await add_items(context, conversation.id, items)
    return _list(items, has_more=False)


def _list(items: Sequence[bytes], *, has_more: bool) -> Reply:
    ids = [head.id for head in read_heads(items)]
    first, last = (ids[0], ids[-1]) if ids else (None, None)
    return Reply(
        200,
        b'{"object":"list","data":[%b],"first_id":%b,"last_id":%b,"has_more":%b}'
        % (b",".join(items), encode(first), encode(last), encode(has_more)),
    )


async def list_items(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List the items of a conversation, the newest first by default."""
    query = parse_query(request.params)
    parse_included(request.params)
    conversation = await _find(context, request)
    if query.after is not None:
        query = msgspec.structs.replace(query, after=item_key(conversation.id, query.after))
    documents, has_more = await read_page(context, items_kind(conversation.id), query)
    now = context.now()
    items = [read_item(document.data) for document in documents]
    return _list([item.json for item in items if item.visible_at <= now], has_more=has_more)


async def retrieve_item(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return one item."""
    parse_included(request.params)
    conversation = await _find(context, request)
    item_id = request.params["item_id"]
    document = await items_of(context, conversation.id).get(item_key(conversation.id, item_id))
    item = read_item(document.data) if document is not None else None
    if item is None or item.visible_at > context.now():
        raise UnknownResponseError(item_id, noun="Item")
    return Reply(200, item.json)


async def delete_item(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Delete one item; return the conversation."""
    conversation = await _find(context, request)
    item_id = request.params["item_id"]
    if not await items_of(context, conversation.id).delete(item_key(conversation.id, item_id)):
        raise UnknownResponseError(item_id, noun="Item")
    return Reply(200, encode(_render(conversation)))


_ALL = "/v1/conversations"
_ONE = f"{_ALL}/{{conversation_id}}"
_ITEM = f"{_ONE}/items/{{item_id}}"

CONVERSATIONS = (
    ResourceEndpoint(method="POST", label="conversations", path=_ALL, run=create),
    ResourceEndpoint(method="GET", label="conversations", path=_ONE, run=retrieve),
    ResourceEndpoint(method="POST", label="conversations", path=_ONE, run=update),
    ResourceEndpoint(method="DELETE", label="conversations", path=_ONE, run=delete),
    ResourceEndpoint(method="POST", label="conversations", path=f"{_ONE}/items", run=create_items),
    ResourceEndpoint(method="GET", label="conversations", path=f"{_ONE}/items", run=list_items),
    ResourceEndpoint(method="GET", label="conversations", path=_ITEM, run=retrieve_item),
    ResourceEndpoint(method="DELETE", label="conversations", path=_ITEM, run=delete_item),
)
