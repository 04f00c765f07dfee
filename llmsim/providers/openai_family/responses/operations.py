"""What can be done with responses that are kept, and with conversations that are not asked yet.

Source: openai SDK 3.54, resources/responses/responses.py, input_items.py and input_tokens.py.
"""

from collections.abc import Mapping
from functools import partial

from msgspec.structs import replace

from llmsim.errors import InvalidFieldError, UnknownResponseError
from llmsim.providers.contract import (
    EndpointContext,
    IncomingRequest,
    ParsedRequest,
    Replay,
    Reply,
    ResourceEndpoint,
)
from llmsim.providers.openai_family.responses.compaction import render_compaction, render_count
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.providers.openai_family.responses.events import render_stream, resumed
from llmsim.providers.openai_family.responses.listing import page
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.parse import parse_compact, parse_count
from llmsim.providers.openai_family.responses.stored import input_items
from llmsim.providers.storage import ResponseStorage, State, StoredResponse
from llmsim.wire.codec import encode
from llmsim.wire.frames import SSE_HEADERS, FrameBatch

_ONE = "/v1/responses/{response_id}"

Storage = ResponseStorage[ResponseOptions]
Stored = StoredResponse[ResponseOptions]


def operations(storage: Storage, dialect: Dialect) -> tuple[ResourceEndpoint, ...]:
    """Give the operations on the responses of `storage`."""
    return (
        ResourceEndpoint(method="GET", path=_ONE, run=partial(_retrieve, storage, dialect)),
        ResourceEndpoint(method="DELETE", path=_ONE, run=partial(_delete, storage)),
        ResourceEndpoint(method="POST", path=f"{_ONE}/cancel", run=partial(_cancel, storage)),
        ResourceEndpoint(method="GET", path=f"{_ONE}/input_items", run=partial(_input_items, storage)),
        ResourceEndpoint(
            method="POST", path="/v1/responses/input_tokens", run=partial(_count, storage, dialect)
        ),
        ResourceEndpoint(
            method="POST", path="/v1/responses/compact", run=partial(_compact, storage, dialect)
        ),
    )


async def _found(storage: Storage, desk: EndpointContext, call: IncomingRequest) -> Stored:
    response_id = call.params["response_id"]
    stored = await desk.find(storage, response_id)
    if stored is None:
        raise UnknownResponseError(response_id)
    return stored


async def _retrieve(
    storage: Storage, dialect: Dialect, desk: EndpointContext, call: IncomingRequest
) -> Reply | Replay:
    """Show a response as it stands, or stream it anew."""
    stored = await _found(storage, desk, call)
    if not _flag(call.params, "stream", default=False):
        return Reply(200, storage.render(stored, desk.now()))
    options = replace(stored.options, obfuscation=_flag(call.params, "include_obfuscation", default=True))
    runs = resumed(render_stream(stored.turn, options, dialect), _starting_after(call.params))
    if stored.cancelled is not None:
        runs = _made_until(runs, stored, stored.cancelled)
    return Replay(stored, runs, SSE_HEADERS)


def _made_until(runs: tuple[FrameBatch, ...], stored: Stored, instant: float) -> tuple[FrameBatch, ...]:
    """Leave out what had not come about at `instant`: the turn was cancelled then."""
    schedule, tokens = stored.turn.schedule, 0
    while tokens < stored.turn.length and stored.arrived + schedule.due(tokens + 1) <= instant:
        tokens += 1
    kept = []
    for run in runs:
        stop = sum(1 for end in run.required_tokens if end <= tokens)
        if stop:
            kept.append(
                FrameBatch(
                    run.head, run.bodies[:stop], run.tail, run.required_tokens[:stop], run.tokens[:stop]
                )
            )
    return tuple(kept)


def _flag(params: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = params.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise InvalidFieldError((name,), "choice", ("true", "false"), text)
    return text == "true"


def _starting_after(params: Mapping[str, str]) -> int:
    text = params.get("starting_after")
    if text is None:
        return -1
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidFieldError(("starting_after",), "type", "int", text)
    return int(text)


async def _delete(storage: Storage, desk: EndpointContext, call: IncomingRequest) -> Reply:
    response_id = call.params["response_id"]
    if not await desk.delete(storage, response_id):
        raise UnknownResponseError(response_id)
    return Reply(200, encode({"id": response_id, "object": "response", "deleted": True}))


async def _cancel(storage: Storage, desk: EndpointContext, call: IncomingRequest) -> Reply:
    """Cancel a response in the background; one that is done stays as it is."""
    if not (await _found(storage, desk, call)).background:
        raise InvalidFieldError(("response_id",), "conflict", "Cannot cancel a synchronous response.")
    now = desk.now()

    def cancelled(stored: Stored) -> Stored:
        if stored.state(now) in (State.DONE, State.CANCELLED):
            return stored
        return replace(stored, cancelled=now)

    stored = await desk.change(storage, call.params["response_id"], cancelled)
    if stored is None:
        raise UnknownResponseError(call.params["response_id"])
    return Reply(200, storage.render(stored, now))


async def _input_items(storage: Storage, desk: EndpointContext, call: IncomingRequest) -> Reply:
    return Reply(200, page(input_items(await _found(storage, desk, call)), call.params))


async def _count(storage: Storage, dialect: Dialect, desk: EndpointContext, call: IncomingRequest) -> Reply:
    ask = await _whole(storage, desk, call, await desk.compute(call, parse_count, call.body, dialect))
    return Reply(200, render_count(await desk.count(call, ask.prompt)))


async def _compact(storage: Storage, dialect: Dialect, desk: EndpointContext, call: IncomingRequest) -> Reply:
    ask = await _whole(storage, desk, call, await desk.compute(call, parse_compact, call.body, dialect))
    tokens = await desk.count(call, ask.prompt)
    body = render_compaction(ask, turn_id=desk.new_id(), created=int(desk.now()), tokens=tokens)
    return Reply(200, body)


async def _whole(
    storage: Storage, desk: EndpointContext, call: IncomingRequest, ask: ParsedRequest[ResponseOptions]
) -> ParsedRequest[ResponseOptions]:
    """Put what `ask` continues before it."""
    previous = storage.previous_id(ask.options)
    if previous is None:
        return ask
    earlier = await desk.find(storage, previous)
    if earlier is None:
        raise UnknownResponseError(previous, "previous_response_id")
    return await desk.compute(call, storage.with_history, ask, earlier)
