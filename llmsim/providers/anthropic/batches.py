"""`/v1/messages/batches`: many requests at once, processed while no client is connected.

Decisions:
* All requests of a batch are planned when it is created, and each result is stored with the instant at which it is
  done. So the state of a batch at any moment follows from what is stored: no process works on it in the background,
  any worker can show it, and it outlives the worker that planned it.
* A batch never ends at once, so that clients have something to poll for; it always ends within seconds.
* An invalid request, or one with a simulated failure, is an errored result, not an error of the batch.
  Source: Anthropic docs, build-with-claude/batch-processing: "the validation of the params object is asynchronous".

Source of fields: anthropic SDK 2.14, types/messages/message_batch*.py, resources/messages/batches.py.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from llmsim.domain import Fault, Turn
from llmsim.errors import InvalidFieldError, RefusedError, UnknownResponseError
from llmsim.providers.anthropic.errors import render_fault, render_refusal, with_request_id
from llmsim.providers.anthropic.files import load_files
from llmsim.providers.anthropic.messages import MessageOptions
from llmsim.providers.anthropic.rendering import render_message
from llmsim.providers.anthropic.resources import DAY, parse_page, render_page, rfc3339
from llmsim.providers.contract import (
    EndpointContext,
    IncomingRequest,
    ParsedRequest,
    Reply,
    ResourceEndpoint,
)
from llmsim.providers.storage import Document, DocumentCollection
from llmsim.wire.codec import decoder, encode

Parse = Callable[[IncomingRequest], ParsedRequest[MessageOptions]]

_KIND = "anthropic.batch"

_MIN_SECONDS = 0.2
_MAX_SECONDS = 5.0
"""Bounds of the time after which a request of a batch is done, whatever its own latency."""


class _Request(msgspec.Struct):
    custom_id: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    params: Raw


class _Creation(msgspec.Struct):
    requests: Annotated[list[_Request], Meta(min_length=1, max_length=100_000)]


class _Result(msgspec.Struct, frozen=True, array_like=True):
    """The result of one request of a batch.

    Attributes:
        custom_id: The client's id of the request.
        after: Seconds after the creation of the batch at which it is done.
        type: `succeeded` or `errored`.
        body: The result as JSON.
    """

    custom_id: str
    after: float
    type: str
    body: bytes


class _Batch(msgspec.Struct, frozen=True):
    """A batch as it is stored.

    Attributes:
        id: Its public id.
        created: Unix time in seconds.
        arrived: The same time with the fraction of a second.
        results: In the order of the requests.
        cancelled: Seconds after its creation at which it was cancelled; None if it was not.
    """

    id: str
    created: int
    arrived: float
    results: tuple[_Result, ...]
    cancelled: float | None = None

    @property
    def end(self) -> float:
        """Seconds after its creation at which it ends."""
        end = max(result.after for result in self.results)
        return end if self.cancelled is None else min(end, self.cancelled)

    def status(self, result: _Result, age: float) -> str:
        """Return the status of a request when the batch is `age` seconds old."""
        if result.after <= min(age, self.end):
            return result.type
        return "processing" if age < self.end else "canceled"


_decode = decoder(_Creation)
_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.Decoder(_Batch).decode


async def create(context: EndpointContext, request: IncomingRequest, *, parse: Parse) -> Reply:
    """Create a batch; `parse` parses each of its requests."""
    entries = (await context.compute(request, _decode, request.body)).requests
    if len({entry.custom_id for entry in entries}) < len(entries):
        raise _conflict("requests", "requests: custom_id must be unique within a batch")
    now = context.now()
    batch = _Batch(
        id=f"msgbatch_{context.new_id()}",
        created=int(now),
        arrived=now,
        results=tuple([await _result(context, request, entry, parse) for entry in entries]),
    )
    await _batches(context).put(Document(id=batch.id, created=batch.created, data=_pack(batch)))
    return _reply(batch, 0.0, request)


async def _result(
    context: EndpointContext, request: IncomingRequest, entry: _Request, parse: Parse
) -> _Result:
    """Plan one request."""
    single = msgspec.structs.replace(request, body=bytes(entry.params))
    try:
        parsed = await context.compute(request, parse, single)
        if parsed.files:
            parsed = await load_files(context, parsed)
        outcome = await context.plan(request, parsed.prompt, single.body)
    except RefusedError as error:
        return _errored(context, entry, render_refusal(error))
    if isinstance(outcome, Fault):
        return _errored(context, entry, render_fault(outcome))
    return await context.compute(request, _succeeded, entry.custom_id, outcome, parsed.options)


def _succeeded(custom_id: str, turn: Turn, options: MessageOptions) -> _Result:
    message = render_message(turn, msgspec.structs.replace(options, tier="batch"))
    after = min(max(turn.due, _MIN_SECONDS), _MAX_SECONDS)
    return _Result(custom_id, after, "succeeded", encode({"type": "succeeded", "message": message}))


def _errored(context: EndpointContext, entry: _Request, error: Reply) -> _Result:
    body = b'{"type":"errored","error":%b}' % with_request_id(error.body, context.new_id())
    return _Result(entry.custom_id, _MIN_SECONDS, "errored", body)


async def retrieve(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return a batch."""
    batch = await _find(context, request)
    return _reply(batch, context.now() - batch.arrived, request)


async def list_batches(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List batches, the newest first."""
    page = parse_page(request.params)
    try:
        documents, more = await _batches(context).page(limit=page.limit, after=page.after, before=page.before)
    except KeyError:
        raise page.unknown_cursor() from None
    now = context.now()
    batches = [_unpack(document.data) for document in documents]
    return render_page([_render(batch, now - batch.arrived, request) for batch in batches], more=more)


async def cancel(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Cancel the requests of a batch that are not done."""
    now = context.now()

    def cancelled(document: Document) -> Document:
        batch = _unpack(document.data)
        age = now - batch.arrived
        if batch.cancelled is None and age < batch.end:
            batch = msgspec.structs.replace(batch, cancelled=age)
        return msgspec.structs.replace(document, data=_pack(batch))

    batch_id = request.params["message_batch_id"]
    document = await _batches(context).edit(batch_id, cancelled)
    if document is None:
        raise UnknownResponseError(batch_id)
    batch = _unpack(document.data)
    if batch.cancelled is None:
        raise _conflict("message_batch_id", f"Batch {batch.id} has ended and cannot be canceled.")
    rendered = _render(batch, now - batch.arrived, request)
    if now - batch.arrived <= batch.cancelled:
        # The response to the cancellation itself shows it in progress, as the API's does.
        rendered |= {"processing_status": "canceling", "ended_at": None, "results_url": None}
    return Reply(200, encode(rendered))


async def delete(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Delete a batch that has ended."""
    batch = await _find(context, request)
    if context.now() - batch.arrived < batch.end:
        raise _conflict(
            "message_batch_id",
            f"Batch {batch.id} is still in progress; cancel it, or wait until it has ended, before it is deleted.",
        )
    await _batches(context).delete(batch.id)
    return Reply(200, encode({"id": batch.id, "type": "message_batch_deleted"}))


async def results(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return the results of a batch that has ended, one per line."""
    batch = await _find(context, request)
    age = context.now() - batch.arrived
    if age < batch.end:
        raise _conflict(
            "message_batch_id",
            f"Batch {batch.id} is still in progress; its results are there when it has ended.",
        )
    lines = [
        b'{"custom_id":%b,"result":%b}\n'
        % (
            encode(result.custom_id),
            b'{"type":"canceled"}' if batch.status(result, age) == "canceled" else result.body,
        )
        for result in batch.results
    ]
    return Reply(200, b"".join(lines), (("content-type", "application/x-jsonl"),))


def _batches(context: EndpointContext) -> DocumentCollection:
    return context.documents(_KIND)


def _conflict(field: str, message: str) -> InvalidFieldError:
    return InvalidFieldError((field,), "conflict", message)


async def _find(context: EndpointContext, request: IncomingRequest) -> _Batch:
    batch_id = request.params["message_batch_id"]
    document = await _batches(context).get(batch_id)
    if document is None:
        raise UnknownResponseError(batch_id)
    return _unpack(document.data)


def _reply(batch: _Batch, age: float, request: IncomingRequest) -> Reply:
    return Reply(200, encode(_render(batch, age, request)))


def _render(batch: _Batch, age: float, request: IncomingRequest) -> dict[str, Any]:
    ended = age >= batch.end
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    for result in batch.results:
        # The API counts all requests as `processing` until the whole batch has ended.
        counts[batch.status(result, age) if ended else "processing"] += 1
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": "ended" if ended else "in_progress",
        "request_counts": counts,
        "created_at": rfc3339(batch.created),
        "expires_at": rfc3339(batch.created + DAY),
        "ended_at": rfc3339(batch.created + int(batch.end)) if ended else None,
        "cancel_initiated_at": (
            None if batch.cancelled is None else rfc3339(batch.created + int(batch.cancelled))
        ),
        "archived_at": None,
        "results_url": f"{request.base_url}/v1/messages/batches/{batch.id}/results" if ended else None,
    }


_ALL = "/v1/messages/batches"
_ONE = f"{_ALL}/{{message_batch_id}}"


def batch_endpoints(parse: Parse) -> tuple[ResourceEndpoint, ...]:
    """Build the endpoints.

    Args:
        parse: Parses one request of a batch.
    """
    return (
        ResourceEndpoint(
            method="POST", label="batches", path=_ALL, run=partial(create, parse=parse), passes_controls=True
        ),
        ResourceEndpoint(method="GET", label="batches", path=_ALL, run=list_batches),
        ResourceEndpoint(method="GET", label="batches", path=_ONE, run=retrieve),
        ResourceEndpoint(method="DELETE", label="batches", path=_ONE, run=delete),
        ResourceEndpoint(method="POST", label="batches", path=f"{_ONE}/cancel", run=cancel),
        ResourceEndpoint(method="GET", label="batches", path=f"{_ONE}/results", run=results),
    )
