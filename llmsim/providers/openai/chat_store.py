"""The chat completions endpoint, and the endpoints for completions stored with `store: true`.

Decisions:
* A completion is visible once it is done; one whose client disconnected is not stored.

Source: openai SDK 3.54, resources/chat/completions/completions.py and messages.py.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from llmsim.domain import Message, Turn
from llmsim.errors import InvalidFieldError, UnknownResponseError
from llmsim.providers.contract import (
    ChannelFormat,
    EndpointContext,
    GenerationEndpoint,
    IncomingRequest,
    ParsedRequest,
    Reply,
    ResourceEndpoint,
)
from llmsim.providers.openai.chat import ChatOptions, parse
from llmsim.providers.openai.chat_chunks import render_stream, render_stream_fault
from llmsim.providers.openai.chat_completion import render_response
from llmsim.providers.openai.errors import render_fault, render_refusal
from llmsim.providers.openai.used_files import load_files
from llmsim.providers.openai_family.request_fields import Metadata
from llmsim.providers.paging import check_limit
from llmsim.providers.storage import ResponseStorage, State, StoredResponse
from llmsim.wire.codec import decoder, encode
from llmsim.wire.frames import SSE_HEADERS

_NOUN = "Chat completion"
_PAGE = 20
_LARGEST_PAGE = 100


def _public_id(turn: Turn) -> str:
    return f"chatcmpl-{turn.id}"


def _with_history(
    request: ParsedRequest[ChatOptions],
    earlier: StoredResponse[ChatOptions],  # noqa: ARG001 - chat requests carry their whole conversation
) -> ParsedRequest[ChatOptions]:
    return request


def _render_stored(stored: StoredResponse[ChatOptions]) -> bytes:
    options = stored.options
    return render_response(stored.turn, options)[:-1] + b',"metadata":%b}' % encode(options.metadata)


CHAT_STORAGE = ResponseStorage(
    kind="chat.completion",
    options=ChatOptions,
    public_id=_public_id,
    should_store=lambda options: options.store,
    is_background=lambda options: False,  # noqa: ARG005 - the signature of all storages
    metadata=lambda options: options.metadata,
    previous_id=lambda options: None,  # noqa: ARG005 - likewise
    with_history=_with_history,
    render=lambda stored, now: _render_stored(stored),  # noqa: ARG005 - likewise
)


async def _find(context: EndpointContext, completion_id: str) -> StoredResponse[ChatOptions]:
    stored = await context.find(CHAT_STORAGE, completion_id)
    if stored is None or stored.state(context.now()) is not State.DONE:
        raise UnknownResponseError(completion_id, noun=_NOUN)
    return stored


async def retrieve(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return one completion."""
    return Reply(200, _render_stored(await _find(context, request.params["completion_id"])))


class _Update(msgspec.Struct):
    metadata: Metadata | None = None


_decode_update = decoder(_Update)


async def update(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Replace the metadata of a completion."""
    metadata = _decode_update(request.body).metadata or {}

    def relabel(stored: StoredResponse[ChatOptions]) -> StoredResponse[ChatOptions]:
        return msgspec.structs.replace(
            stored, options=msgspec.structs.replace(stored.options, metadata=metadata)
        )

    completion_id = request.params["completion_id"]
    await _find(context, completion_id)
    stored = await context.change(CHAT_STORAGE, completion_id, relabel)
    if stored is None:
        raise UnknownResponseError(completion_id, noun=_NOUN)
    return Reply(200, _render_stored(stored))


async def delete(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Delete a completion."""
    completion_id = request.params["completion_id"]
    await _find(context, completion_id)
    deleted = await context.delete(CHAT_STORAGE, completion_id)
    return Reply(200, encode({"object": "chat.completion.deleted", "id": completion_id, "deleted": deleted}))


async def list_completions(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List completions, the oldest first by default."""
    page = _Page.parse(request.params)
    try:
        stored, has_more = await context.page(
            CHAT_STORAGE,
            limit=page.limit,
            after=page.after,
            ascending=page.ascending,
            model=request.params.get("model"),
            metadata=_parse_metadata_filter(request.params),
        )
    except KeyError:
        raise _unknown_after(page.after) from None
    now = context.now()
    return _list_reply(
        [(_public_id(one.turn), _render_stored(one)) for one in stored if one.state(now) is State.DONE],
        has_more=has_more,
    )


async def list_messages(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List the input messages of a completion."""
    completion_id = request.params["completion_id"]
    stored = await _find(context, completion_id)
    page = _Page.parse(request.params)
    messages = [
        (message_id, encode(_build_message(message_id, message)))
        for number, message in enumerate(stored.prompt.messages)
        if (message_id := f"{completion_id}-{number}")
    ]
    if not page.ascending:
        messages.reverse()
    ids = [message_id for message_id, _ in messages]
    if page.after is not None and page.after not in ids:
        raise _unknown_after(page.after)
    start = ids.index(page.after) + 1 if page.after is not None else 0
    chosen = messages[start : start + page.limit]
    return _list_reply(chosen, has_more=start + page.limit < len(messages))


def _build_message(message_id: str, message: Message) -> dict[str, Any]:
    return {
        "id": message_id,
        "role": message.role,
        "content": "".join(message.texts),
        "name": message.name,
        "content_parts": None,
    }


def _list_reply(data: Sequence[tuple[str, bytes]], *, has_more: bool) -> Reply:
    ids = [object_id for object_id, _ in data]
    return Reply(
        200,
        b'{"object":"list","data":[%b],"first_id":%b,"last_id":%b,"has_more":%b}'
        % (
            b",".join([rendered for _, rendered in data]),
            encode(ids[0] if ids else None),
            encode(ids[-1] if ids else None),
            encode(has_more),
        ),
    )


class _Page(msgspec.Struct, frozen=True):
    """The part of a list that a query asks for."""

    limit: int
    after: str | None
    ascending: bool

    @classmethod
    def parse(cls, params: Mapping[str, str]) -> "_Page":
        """Parse the query.

        Raises:
            InvalidFieldError: A parameter is invalid.
        """
        order = params.get("order", "asc")
        if order not in ("asc", "desc"):
            raise InvalidFieldError(("order",), "choice", ("asc", "desc"), order)
        return cls(_parse_limit(params.get("limit", str(_PAGE))), params.get("after"), order == "asc")


def _unknown_after(after: str | None) -> InvalidFieldError:
    return InvalidFieldError(
        ("after",), "conflict", f"Invalid 'after': nothing with id '{after}' is in this list."
    )


def _parse_limit(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise InvalidFieldError(("limit",), "type", "int", text)
    return check_limit(int(text[:9]), _LARGEST_PAGE)


def _parse_metadata_filter(params: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix("metadata[").removesuffix("]"): value
        for name, value in params.items()
        if name.startswith("metadata[") and name.endswith("]")
    }


def chat_completions(*, checks_models: bool) -> GenerationEndpoint[ChatOptions]:
    """Build the endpoint.

    Args:
        checks_models: Whether parameters that a model does not take are refused.
    """
    return GenerationEndpoint(
        path="/v1/chat/completions",
        label="completions",
        http=ChannelFormat(
            parse=partial(parse, checks_models=checks_models),
            render_refusal=render_refusal,
            render_fault=render_fault,
            render_stream=render_stream,
            render_stream_fault=render_stream_fault,
            stream_headers=SSE_HEADERS,
        ),
        render_response=render_response,
        storage=CHAT_STORAGE,
        shows_reasoning=True,
        load_files=load_files,
    )


_COMPLETION = "/v1/chat/completions/{completion_id}"

CHAT_OPERATIONS = (
    ResourceEndpoint(
        method="GET", label="stored_completions", path="/v1/chat/completions", run=list_completions
    ),
    ResourceEndpoint(method="GET", label="stored_completions", path=_COMPLETION, run=retrieve),
    ResourceEndpoint(method="POST", label="stored_completions", path=_COMPLETION, run=update),
    ResourceEndpoint(method="DELETE", label="stored_completions", path=_COMPLETION, run=delete),
    ResourceEndpoint(
        method="GET", label="stored_completions", path=f"{_COMPLETION}/messages", run=list_messages
    ),
)
