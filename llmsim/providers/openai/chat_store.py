"""Chat completions that are kept: asked with `store: true`, then listed, shown, labelled and deleted.

Decisions:
* A completion is visible once it is whole; one whose client hung up is not kept.

Source: openai SDK 3.54, resources/chat/completions/completions.py and messages.py.
"""

from collections.abc import Mapping, Sequence
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
from llmsim.providers.openai.chat_rendering import completion, render_response, render_stream
from llmsim.providers.openai.chat_wire import Metadata
from llmsim.providers.openai.errors import render_fault, render_refusal, render_stream_fault
from llmsim.providers.storage import ResponseStorage, State, StoredResponse
from llmsim.wire.codec import decoder, encode
from llmsim.wire.frames import SSE_HEADERS

_NOUN = "Chat completion"
_PAGE = 20
_LARGEST_PAGE = 100


def _public_id(turn: Turn) -> str:
    return f"chatcmpl-{turn.id}"


def _continued(
    ask: ParsedRequest[ChatOptions], earlier: StoredResponse[ChatOptions]
) -> ParsedRequest[ChatOptions]:
    return ask


def _shown(stored: StoredResponse[ChatOptions]) -> dict[str, Any]:
    return completion(stored.turn, stored.options) | {"metadata": stored.options.metadata}


CHAT_STORAGE = ResponseStorage(
    kind="chat.completion",
    options=ChatOptions,
    public_id=_public_id,
    should_store=lambda options: options.store,
    is_background=lambda options: False,  # noqa: ARG005 - the shape of a storage
    metadata=lambda options: options.metadata,
    previous_id=lambda options: None,  # noqa: ARG005 - likewise
    with_history=_continued,
    render=lambda stored, now: encode(_shown(stored)),  # noqa: ARG005 - likewise
)


async def _found(desk: EndpointContext, completion_id: str) -> StoredResponse[ChatOptions]:
    stored = await desk.find(CHAT_STORAGE, completion_id)
    if stored is None or stored.state(desk.now()) is not State.DONE:
        raise UnknownResponseError(completion_id, noun=_NOUN)
    return stored


async def retrieve(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """Show one completion."""
    return Reply(200, encode(_shown(await _found(desk, call.params["completion_id"]))))


class _Update(msgspec.Struct):
    metadata: Metadata | None = None


_decode_update = decoder(_Update)


async def update(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """Put other metadata on a completion."""
    metadata = _decode_update(call.body).metadata or {}

    def labelled(stored: StoredResponse[ChatOptions]) -> StoredResponse[ChatOptions]:
        return msgspec.structs.replace(
            stored, options=msgspec.structs.replace(stored.options, metadata=metadata)
        )

    completion_id = call.params["completion_id"]
    await _found(desk, completion_id)
    stored = await desk.change(CHAT_STORAGE, completion_id, labelled)
    if stored is None:
        raise UnknownResponseError(completion_id, noun=_NOUN)
    return Reply(200, encode(_shown(stored)))


async def delete(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """Delete a completion."""
    completion_id = call.params["completion_id"]
    await _found(desk, completion_id)
    deleted = await desk.delete(CHAT_STORAGE, completion_id)
    return Reply(200, encode({"object": "chat.completion.deleted", "id": completion_id, "deleted": deleted}))


async def list_completions(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """List completions, oldest first unless asked otherwise."""
    page = _Page.read(call.params)
    try:
        stored, more = await desk.page(
            CHAT_STORAGE,
            limit=page.limit,
            after=page.after,
            ascending=page.ascending,
            model=call.params.get("model"),
            metadata=_filter(call.params),
        )
    except KeyError:
        raise _unknown_after(page.after) from None
    now = desk.now()
    return _list([_shown(one) for one in stored if one.state(now) is State.DONE], more=more)


async def list_messages(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """List the messages that a completion answered."""
    completion_id = call.params["completion_id"]
    stored = await _found(desk, completion_id)
    page = _Page.read(call.params)
    messages = [
        _message(f"{completion_id}-{number}", message)
        for number, message in enumerate(stored.prompt.messages)
    ]
    if not page.ascending:
        messages.reverse()
    ids = [message["id"] for message in messages]
    if page.after is not None and page.after not in ids:
        raise _unknown_after(page.after)
    start = ids.index(page.after) + 1 if page.after is not None else 0
    chosen = messages[start : start + page.limit]
    return _list(chosen, more=start + page.limit < len(messages))


def _message(message_id: str, message: Message) -> dict[str, Any]:
    return {
        "id": message_id,
        "role": message.role,
        "content": "".join(message.texts),
        "name": message.name,
        "content_parts": None,
    }


def _list(data: Sequence[dict[str, Any]], *, more: bool) -> Reply:
    return Reply(
        200,
        encode(
            {
                "object": "list",
                "data": data,
                "first_id": data[0]["id"] if data else None,
                "last_id": data[-1]["id"] if data else None,
                "has_more": more,
            }
        ),
    )


class _Page(msgspec.Struct, frozen=True):
    """Which part of a list is asked for."""

    limit: int
    after: str | None
    ascending: bool

    @classmethod
    def read(cls, params: Mapping[str, str]) -> "_Page":
        """Read the query.

        Raises:
            InvalidFieldError: It asks for what cannot be.
        """
        order = params.get("order", "asc")
        if order not in ("asc", "desc"):
            raise InvalidFieldError(("order",), "choice", ("asc", "desc"), order)
        return cls(_limit(params.get("limit", str(_PAGE))), params.get("after"), order == "asc")


def _unknown_after(after: str | None) -> InvalidFieldError:
    return InvalidFieldError(
        ("after",), "conflict", f"Invalid 'after': nothing with id '{after}' is in this list."
    )


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise InvalidFieldError(("limit",), "type", "int", text)
    limit = int(text[:9])
    if limit < 1:
        raise InvalidFieldError(("limit",), "minimum", 1, limit)
    if limit > _LARGEST_PAGE:
        raise InvalidFieldError(("limit",), "maximum", _LARGEST_PAGE, limit)
    return limit


def _filter(params: Mapping[str, str]) -> dict[str, str]:
    """Read `metadata[key]=value`."""
    return {
        name.removeprefix("metadata[").removesuffix("]"): value
        for name, value in params.items()
        if name.startswith("metadata[") and name.endswith("]")
    }


CHAT_COMPLETIONS = GenerationEndpoint(
    path="/v1/chat/completions",
    label="completions",
    http=ChannelFormat(
        parse=parse,
        render_refusal=render_refusal,
        render_fault=render_fault,
        render_stream=render_stream,
        render_stream_fault=render_stream_fault,
        stream_headers=SSE_HEADERS,
    ),
    render_response=render_response,
    storage=CHAT_STORAGE,
)

_ONE = "/v1/chat/completions/{completion_id}"

CHAT_OPERATIONS = (
    ResourceEndpoint(method="GET", path="/v1/chat/completions", run=list_completions),
    ResourceEndpoint(method="GET", path=_ONE, run=retrieve),
    ResourceEndpoint(method="POST", path=_ONE, run=update),
    ResourceEndpoint(method="DELETE", path=_ONE, run=delete),
    ResourceEndpoint(method="GET", path=f"{_ONE}/messages", run=list_messages),
)
