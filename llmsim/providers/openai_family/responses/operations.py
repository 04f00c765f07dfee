"""The endpoints that do not generate: for stored responses, and for counting and compacting conversations.

Decisions:
* A resumed stream has the same frames, without the first.
* Compacting summarizes nothing: user messages are kept, and all else becomes one item of a quarter of its tokens, within
  bounds.

Source: openai SDK 3.54, resources/responses/responses.py, input_items.py and input_tokens.py,
types/responses/compacted_response.py, response_compaction_item.py and input_token_count_response.py; the example of
openresponses/openresponses, schema/responses.tsp, `CompactResource`.
"""

from collections.abc import Mapping
from functools import partial

from msgspec.structs import replace

from llmsim.domain import Usage
from llmsim.errors import InvalidFieldError, UnknownResponseError
from llmsim.providers.contract import (
    EndpointContext,
    IncomingRequest,
    ParsedRequest,
    Replay,
    Reply,
    ResourceEndpoint,
)
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.endpoint import render_stream
from llmsim.providers.openai_family.responses.included import parse_included, with_included
from llmsim.providers.openai_family.responses.input_item_list import list_input_items, render_page
from llmsim.providers.openai_family.responses.input_items import UserMessage, parse_item
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.parse import parse_compact, parse_count
from llmsim.providers.openai_family.responses.response import render_usage
from llmsim.providers.openai_family.responses.sealed_content import compacted_tokens, encrypted_content
from llmsim.providers.paging import parse_number
from llmsim.providers.storage import ResponseStorage, State, StoredResponse
from llmsim.wire.codec import encode
from llmsim.wire.frames import SSE_HEADERS, FrameBatch, skip, truncate

_RESPONSE = "/v1/responses/{response_id}"

Storage = ResponseStorage[ResponseOptions]
Stored = StoredResponse[ResponseOptions]


def operations(storage: Storage, dialect: Dialect) -> tuple[ResourceEndpoint, ...]:
    """Build the endpoints for the responses of `storage`."""
    return (
        ResourceEndpoint(
            method="GET", label="stored_responses", path=_RESPONSE, run=partial(_retrieve, storage, dialect)
        ),
        ResourceEndpoint(
            method="DELETE", label="stored_responses", path=_RESPONSE, run=partial(_delete, storage)
        ),
        ResourceEndpoint(
            method="POST", label="stored_responses", path=f"{_RESPONSE}/cancel", run=partial(_cancel, storage)
        ),
        ResourceEndpoint(
            method="GET",
            label="stored_responses",
            path=f"{_RESPONSE}/input_items",
            run=partial(_list_input_items, storage),
        ),
        ResourceEndpoint(
            method="POST",
            label="input_tokens",
            path="/v1/responses/input_tokens",
            run=partial(_count, storage, dialect),
            is_public=True,
        ),
        compaction(storage, dialect),
    )


def compaction(storage: Storage, dialect: Dialect) -> ResourceEndpoint:
    """Build the endpoint that compacts conversations, also those of stored responses."""
    return ResourceEndpoint(
        method="POST", label="compact", path="/v1/responses/compact", run=partial(_compact, storage, dialect)
    )


async def _find(storage: Storage, context: EndpointContext, request: IncomingRequest) -> Stored:
    response_id = request.params["response_id"]
    stored = await context.find(storage, response_id)
    if stored is None:
        raise UnknownResponseError(response_id)
    return stored


async def _retrieve(
    storage: Storage, dialect: Dialect, context: EndpointContext, request: IncomingRequest
) -> Reply | Replay:
    """Return a response as it is, or stream it again."""
    included = parse_included(request.params)
    stored = await _find(storage, context, request)
    stored = replace(stored, options=with_included(stored.options, included))
    if not _parse_flag(request.params, "stream", default=False):
        return Reply(200, storage.render(stored, context.now()))
    options: ResponseOptions = replace(
        stored.options, obfuscation=_parse_flag(request.params, "include_obfuscation", default=True)
    )
    starting_after = parse_number(request.params, "starting_after", -1)
    batches = skip(render_stream(stored.turn, options, dialect), starting_after + 1)
    if stored.cancelled is not None:
        batches = _until_cancelled(batches, stored, stored.cancelled)
    return Replay(stored, batches, SSE_HEADERS)


def _until_cancelled(
    batches: tuple[FrameBatch, ...], stored: Stored, cancelled: float
) -> tuple[FrameBatch, ...]:
    """Return the frames whose tokens existed when the response was cancelled."""
    schedule, tokens = stored.turn.schedule, 0
    while tokens < stored.turn.length and stored.arrived + schedule.due(tokens + 1) <= cancelled:
        tokens += 1
    return truncate(batches, tokens)


def _parse_flag(params: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = params.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise InvalidFieldError((name,), "choice", ("true", "false"), text)
    return text == "true"


async def _delete(storage: Storage, context: EndpointContext, request: IncomingRequest) -> Reply:
    response_id = request.params["response_id"]
    if not await context.delete(storage, response_id):
        raise UnknownResponseError(response_id)
    return Reply(200, encode({"id": response_id, "object": "response", "deleted": True}))


async def _cancel(storage: Storage, context: EndpointContext, request: IncomingRequest) -> Reply:
    """Cancel a background response; one that is done stays as it is."""
    if not (await _find(storage, context, request)).background:
        raise InvalidFieldError(("response_id",), "conflict", "Cannot cancel a synchronous response.")
    now = context.now()

    def cancel(stored: Stored) -> Stored:
        if stored.state(now) in (State.DONE, State.CANCELLED):
            return stored
        return replace(stored, cancelled=now)

    stored = await context.change(storage, request.params["response_id"], cancel)
    if stored is None:
        raise UnknownResponseError(request.params["response_id"])
    if stored.cancelled is not None and storage.conversation_id(stored.options) is not None:
        assert storage.conversations is not None, "the response has a conversation"
        await storage.conversations.remove(context, stored)
    return Reply(200, storage.render(stored, now))


async def _list_input_items(storage: Storage, context: EndpointContext, request: IncomingRequest) -> Reply:
    parse_included(request.params)
    stored = await _find(storage, context, request)
    options: ResponseOptions = stored.options
    return Reply(200, render_page(list_input_items(options.input_items, stored.turn.id), request.params))


async def _count(
    storage: Storage, dialect: Dialect, context: EndpointContext, request: IncomingRequest
) -> Reply:
    parsed = await context.compute(request, parse_count, request.body, dialect)
    parsed = await _with_previous(storage, context, request, parsed)
    return Reply(200, render_count(await context.count(request, parsed.prompt)))


def render_count(tokens: int) -> bytes:
    """Render the number of tokens of an input."""
    return b'{"object":"response.input_tokens","input_tokens":%d}' % tokens


async def _compact(
    storage: Storage, dialect: Dialect, context: EndpointContext, request: IncomingRequest
) -> Reply:
    parsed = await context.compute(request, parse_compact, request.body, dialect)
    parsed = await _with_previous(storage, context, request, parsed)
    tokens = await context.count(request, parsed.prompt)
    body = render_compaction(parsed, turn_id=context.new_id(), created=int(context.now()), tokens=tokens)
    return Reply(200, body)


def render_compaction(
    request: ParsedRequest[ResponseOptions], *, turn_id: str, created: int, tokens: int
) -> bytes:
    """Render the compaction of a conversation.

    Args:
        request: The conversation, earlier turns included.
        turn_id: Unique.
        created: Unix time in seconds.
        tokens: Tokens of the conversation.
    """
    options: ResponseOptions = request.options
    items = [
        listed
        for sent, listed in zip(
            options.input_items, list_input_items(options.input_items, turn_id), strict=True
        )
        if _is_user_message(sent)
    ]
    compacted = compacted_tokens(tokens)
    item_id = f"cmp_{turn_id}"
    items.append(
        b'{"id":"%b","type":"compaction","encrypted_content":"%b"}'
        % (item_id.encode(), encrypted_content(item_id, compacted))
    )
    return b'{"id":"resp_%b","object":"response.compaction","created_at":%d,"output":[%b],"usage":%b}' % (
        turn_id.encode(),
        created,
        b",".join(items),
        render_usage(Usage(prompt=tokens, completion=compacted)),
    )


def _is_user_message(sent: bytes) -> bool:
    item = parse_item(sent, ())
    return isinstance(item, UserMessage) and item.role == "user"


async def _with_previous(
    storage: Storage,
    context: EndpointContext,
    request: IncomingRequest,
    parsed: ParsedRequest[ResponseOptions],
) -> ParsedRequest[ResponseOptions]:
    """Return a request with the items that it refers to, and the conversation that it continues before it."""
    found: list[Stored] = []
    if references := storage.referenced(parsed.options):
        stored = [await context.find(storage, response_id) for response_id in references]
        found = [one for one in stored if one is not None]
        if parsed.options.conversation is None:
            parsed = await context.compute(request, storage.with_references, parsed, found)
    if parsed.options.conversation is not None and storage.conversations is not None:
        loaded: ParsedRequest[ResponseOptions] = await storage.conversations.load(context, parsed, found)
        return loaded
    previous = storage.previous_id(parsed.options)
    if previous is None:
        return parsed
    earlier = await context.find(storage, previous)
    if earlier is None:
        raise UnknownResponseError(previous, "previous_response_id")
    return await context.compute(request, storage.with_history, parsed, earlier)
