"""Message batches: many requests at once, worked on without their client.

Decisions:
* All requests of a batch are planned when it is created, and the lines of its results are kept with the instant at
  which each is done. So the state of a batch at any moment follows from what is kept: nobody works on it in the
  background, any worker can show it, and it outlives the worker that planned it.
* A batch never ends at once, as clients that poll must be able to show; and always within seconds.
* A request that is wrong, or fails on purpose, is an errored result, not an error of the batch.
  Source: Anthropic docs, build-with-claude/batch-processing: "the validation of the params object is asynchronous".

Source of fields: anthropic SDK 2.12, types/messages/message_batch*.py, resources/messages/batches.py.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from llmsim.domain import Fault, Turn
from llmsim.errors import InvalidFieldError, RefusedError, UnknownResponseError
from llmsim.providers.anthropic.errors import render_fault, render_refusal, signed
from llmsim.providers.anthropic.instants import rfc3339
from llmsim.providers.anthropic.messages import MessageOptions, parse
from llmsim.providers.anthropic.paging import Page, render_page
from llmsim.providers.anthropic.rendering import message
from llmsim.providers.contract import (
    DocumentCollection,
    EndpointContext,
    IncomingRequest,
    Reply,
    ResourceEndpoint,
)
from llmsim.providers.storage import Document
from llmsim.wire.codec import decoder, encode

_KIND = "anthropic.batch"
_DAY = 86_400

_SOONEST = 0.2
_LATEST = 5.0
"""Seconds after which the first and the last request of a batch is done, whatever its own latency."""


class _Request(msgspec.Struct):
    custom_id: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    params: Raw


class _Creation(msgspec.Struct):
    requests: Annotated[list[_Request], Meta(min_length=1, max_length=100_000)]


class _Result(msgspec.Struct, frozen=True, array_like=True):
    """What one request of a batch comes to.

    Attributes:
        custom_id: Its name.
        after: Seconds after the creation of the batch at which it is done.
        kind: `succeeded` or `errored`.
        result: As JSON.
    """

    custom_id: str
    after: float
    kind: str
    result: bytes


class _Batch(msgspec.Struct, frozen=True):
    """A batch as it is kept.

    Attributes:
        id: Its public id.
        created: Unix time in seconds.
        arrived: The same moment to the fraction of a second.
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

    def outcome(self, result: _Result, age: float) -> str:
        """Tell what a request has come to when the batch is `age` seconds old."""
        if result.after <= min(age, self.end):
            return result.kind
        return "processing" if age < self.end else "canceled"


_decode = decoder(_Creation)
_pack = msgspec.msgpack.encode
_unpack = msgspec.msgpack.Decoder(_Batch).decode


async def create(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """Take a batch on."""
    requests = (await desk.compute(call, _decode, call.body)).requests
    names = [request.custom_id for request in requests]
    if len(set(names)) < len(names):
        raise InvalidFieldError(
            ("requests",), "conflict", "requests: custom_id must be unique within a batch"
        )
    now = desk.now()
    batch = _Batch(
        id=f"msgbatch_{desk.new_id()}",
        created=int(now),
        arrived=now,
        results=tuple([await _result(desk, call, request) for request in requests]),
    )
    await _shelf(desk).put(Document(id=batch.id, created=batch.created, data=_pack(batch)))
    return _shown(batch, 0.0, call)


async def _result(desk: EndpointContext, call: IncomingRequest, request: _Request) -> _Result:
    """Plan one request."""
    single = msgspec.structs.replace(call, body=bytes(request.params))
    try:
        parsed = await desk.compute(call, parse, single)
        outcome = await desk.plan(call, parsed.prompt)
    except RefusedError as refused:
        return _errored(desk, request, render_refusal(refused))
    if isinstance(outcome, Fault):
        return _errored(desk, request, render_fault(outcome))
    return await desk.compute(call, _succeeded, request.custom_id, outcome, parsed.options)


def _succeeded(custom_id: str, turn: Turn, options: MessageOptions) -> _Result:
    answer = message(turn, msgspec.structs.replace(options, tier="batch"))
    after = min(max(turn.due, _SOONEST), _LATEST)
    return _Result(custom_id, after, "succeeded", encode({"type": "succeeded", "message": answer}))


def _errored(desk: EndpointContext, request: _Request, error: Reply) -> _Result:
    result = b'{"type":"errored","error":%b}' % signed(error.body, desk.new_id())
    return _Result(request.custom_id, _SOONEST, "errored", result)


async def retrieve(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """Show how far a batch has come."""
    batch = await _found(desk, call)
    return _shown(batch, desk.now() - batch.arrived, call)


async def list_batches(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """List batches, the newest first."""
    page = Page.read(call.params)
    try:
        documents, more = await _shelf(desk).page(limit=page.limit, after=page.after, before=page.before)
    except KeyError:
        raise page.unknown() from None
    now = desk.now()
    batches = [_unpack(document.data) for document in documents]
    return render_page([_entry(batch, now - batch.arrived, call) for batch in batches], more=more)


async def cancel(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """Cancel what is left to do of a batch."""
    now = desk.now()

    def cancelled(document: Document) -> Document:
        batch = _unpack(document.data)
        age = now - batch.arrived
        if batch.cancelled is None and age < batch.end:
            batch = msgspec.structs.replace(batch, cancelled=age)
        return msgspec.structs.replace(document, data=_pack(batch))

    batch_id = call.params["message_batch_id"]
    document = await _shelf(desk).edit(batch_id, cancelled)
    if document is None:
        raise UnknownResponseError(batch_id)
    batch = _unpack(document.data)
    if batch.cancelled is None:
        raise InvalidFieldError(
            ("message_batch_id",), "conflict", f"Batch {batch.id} has ended and cannot be canceled."
        )
    entry = _entry(batch, now - batch.arrived, call)
    if now - batch.arrived <= batch.cancelled:
        # What the API answers to the cancellation itself: it is under way.
        entry |= {"processing_status": "canceling", "ended_at": None, "results_url": None}
    return Reply(200, encode(entry))


async def delete(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """Delete a batch that has ended."""
    batch = await _found(desk, call)
    if desk.now() - batch.arrived < batch.end:
        raise InvalidFieldError(
            ("message_batch_id",),
            "conflict",
            f"Batch {batch.id} is still in progress; cancel it, or wait until it has ended, before it is deleted.",
        )
    await _shelf(desk).delete(batch.id)
    return Reply(200, encode({"id": batch.id, "type": "message_batch_deleted"}))


async def results(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """Give what has come of the requests of a batch that has ended, one a line."""
    batch = await _found(desk, call)
    age = desk.now() - batch.arrived
    if age < batch.end:
        raise InvalidFieldError(
            ("message_batch_id",),
            "conflict",
            f"Batch {batch.id} is still in progress; its results are there when it has ended.",
        )
    lines = [
        b'{"custom_id":%b,"result":%b}\n'
        % (
            encode(result.custom_id),
            b'{"type":"canceled"}' if batch.outcome(result, age) == "canceled" else result.result,
        )
        for result in batch.results
    ]
    return Reply(200, b"".join(lines), (("content-type", "application/x-jsonl"),))


def _shelf(desk: EndpointContext) -> DocumentCollection:
    return desk.documents(_KIND)


async def _found(desk: EndpointContext, call: IncomingRequest) -> _Batch:
    batch_id = call.params["message_batch_id"]
    document = await _shelf(desk).get(batch_id)
    if document is None:
        raise UnknownResponseError(batch_id)
    return _unpack(document.data)


def _shown(batch: _Batch, age: float, call: IncomingRequest) -> Reply:
    return Reply(200, encode(_entry(batch, age, call)))


def _entry(batch: _Batch, age: float, call: IncomingRequest) -> dict[str, Any]:
    ended = age >= batch.end
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    for result in batch.results:
        # As the API has it, nothing but `processing` is counted before all of a batch has ended.
        counts[batch.outcome(result, age) if ended else "processing"] += 1
    status = "ended" if ended else "in_progress"
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": counts,
        "created_at": rfc3339(batch.created),
        "expires_at": rfc3339(batch.created + _DAY),
        "ended_at": rfc3339(batch.created + int(batch.end)) if ended else None,
        "cancel_initiated_at": _instant(batch, batch.cancelled),
        "archived_at": None,
        "results_url": f"{call.base_url}/v1/messages/batches/{batch.id}/results" if ended else None,
    }


def _instant(batch: _Batch, after: float | None) -> str | None:
    return None if after is None else rfc3339(batch.created + int(after))


_ALL = "/v1/messages/batches"
_ONE = f"{_ALL}/{{message_batch_id}}"

BATCH_OPERATIONS = (
    ResourceEndpoint(method="POST", path=_ALL, run=create),
    ResourceEndpoint(method="GET", path=_ALL, run=list_batches),
    ResourceEndpoint(method="GET", path=_ONE, run=retrieve),
    ResourceEndpoint(method="DELETE", path=_ONE, run=delete),
    ResourceEndpoint(method="POST", path=f"{_ONE}/cancel", run=cancel),
    ResourceEndpoint(method="GET", path=f"{_ONE}/results", run=results),
)
