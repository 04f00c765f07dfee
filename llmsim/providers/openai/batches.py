"""`/v1/batches`: the requests of an uploaded file, worked off while no client is connected.

Decisions:
* All requests are planned when the batch is created, each with the instant at which it is done; output and errors are written then
  to files that are found once the batch has ended. So the state of a batch at any moment follows from what is stored: no process
  works on it, any worker can show it, and it outlives the worker that planned it.
* Requests are done at a pace, a thousand a second, and each after its own latency within bounds: clients have something to poll for.
* A request that is refused, or meets a simulated failure, is a line of the error file, not an error of the batch.

Source: openai SDK, types/batch.py, batch_create_params.py, resources/batches.py; OpenAI batch guide.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from llmsim.domain import Usage
from llmsim.errors import ApiRuleError, InvalidFieldError, RefusedError
from llmsim.providers.batch_lines import BatchLine, done_after, joined, run_line
from llmsim.providers.contract import (
    EndpointContext,
    GenerationEndpoint,
    IncomingRequest,
    Reply,
    ResourceEndpoint,
)
from llmsim.providers.openai.batch_input import BatchRequest, parse_batch_input
from llmsim.providers.openai.object_lists import not_found, parse_query, read_page, render_list
from llmsim.providers.openai.stored_batches import (
    BATCH_KIND,
    VALIDATION_SECS,
    BatchOutcome,
    StoredBatch,
    read_batch,
)
from llmsim.providers.openai.stored_files import (
    FILE_KIND,
    ExpiresAfter,
    StoredFile,
    expiry,
    find_file,
    store_file,
)
from llmsim.providers.openai_family.request_fields import Metadata
from llmsim.providers.storage import Document
from llmsim.wire.codec import decoder, encode

BATCHED_PATHS = (
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
)
"""Paths of the endpoints that a batch may ask, where they are served."""

Endpoints = Mapping[str, GenerationEndpoint[Any] | ResourceEndpoint]
"""The endpoints that a batch may ask, by path."""


class _Creation(msgspec.Struct):
    input_file_id: str
    endpoint: str
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None


_decode_creation = decoder(_Creation)


class _Line(msgspec.Struct, frozen=True):
    """The line of one request in a file of results."""

    run: BatchLine
    json: bytes

    @property
    def succeeds(self) -> bool:
        return self.run.reply.status == 200


async def create(
    context: EndpointContext,
    request: IncomingRequest,
    *,
    endpoints: Endpoints,
    errors: GenerationEndpoint[Any],
) -> Reply:
    """Create a batch.

    Args:
        context: The worker's services.
        request: The request.
        endpoints: The endpoints that may be asked, by path.
        errors: Renders the errors of requests whose endpoint does not.
    """
    wanted = _decode_creation(request.body)
    now = context.now()
    expiry(wanted.output_expires_after, "batch_output", int(now), "output_expires_after")
    if wanted.endpoint not in endpoints:
        raise InvalidFieldError(("endpoint",), "choice", tuple(endpoints), wanted.endpoint)
    file = await find_file(context, wanted.input_file_id, param="input_file_id", status=400)
    if file.purpose != "batch":
        raise ApiRuleError(
            f"Invalid purpose of the input file: it must be 'batch', and is '{file.purpose}'.",
            "input_file_id",
        )
    content = await context.contents.read(file.id)
    # What is planned in a thread depends on the size of the file, not on that of this request.
    whole = replace(request, body=content)
    parsed = await context.compute(whole, parse_batch_input, content, wanted.endpoint)
    batch = StoredBatch(
        id=f"batch_{context.new_id()}",
        arrived=now,
        endpoint=wanted.endpoint,
        input_file_id=file.id,
        metadata=wanted.metadata,
        model=parsed.model,
        errors=parsed.errors,
        output_expires_after=wanted.output_expires_after,
    )
    endpoint = endpoints[wanted.endpoint]
    lines = [await _run(context, whole, one, endpoint, errors) for one in parsed.requests]
    batch = replace(
        batch,
        outcomes=tuple(
            BatchOutcome(after, line.succeeds)
            for after, line in zip(
                done_after([one.run for one in lines], VALIDATION_SECS), lines, strict=True
            )
        ),
        usage=_sum([line.run.usage for line in lines]),
    )
    batch = await _write_results(
        context,
        batch,
        [line.json for line in lines if line.succeeds],
        [line.json for line in lines if not line.succeeds],
    )
    await context.objects(BATCH_KIND).put(batch.as_document())
    return Reply(200, encode(batch.render(now)))


def _sum(usages: Sequence[Usage]) -> Usage:
    return Usage(
        sum(usage.prompt for usage in usages),
        sum(usage.completion for usage in usages),
        sum(usage.reasoning for usage in usages),
        sum(usage.cached for usage in usages),
    )


async def _run(
    context: EndpointContext,
    whole: IncomingRequest,
    one: BatchRequest,
    endpoint: GenerationEndpoint[Any] | ResourceEndpoint,
    errors: GenerationEndpoint[Any],
) -> _Line:
    """Plan one request, and render its line."""
    single = replace(whole, body=one.body, path=endpoint.path)
    if isinstance(endpoint, ResourceEndpoint):
        try:
            answer = await endpoint.run(context, single)
            run = BatchLine(answer if isinstance(answer, Reply) else Reply(500, b"{}"))
        except RefusedError as error:
            run = BatchLine(errors.http.render_refusal(error))
    else:
        run = await run_line(context, whole, single, endpoint)
    line = b'{"id":"batch_req_%b","custom_id":%b,"response":{"status_code":%d,"request_id":"req_%b","body":%b},"error":null}\n'
    request_id = context.new_id().encode()
    reply = run.reply
    return _Line(run, line % (request_id, encode(one.custom_id), reply.status, request_id, reply.body))


async def _write_results(
    context: EndpointContext, batch: StoredBatch, output: Sequence[bytes], errors: Sequence[bytes]
) -> StoredBatch:
    """Write the files of a batch, to be found at its end; return it with their ids."""
    visible_at = batch.arrived + batch.end
    created = int(visible_at)
    ids: list[str | None] = []
    for suffix, lines in (("output", output), ("error", errors)):
        if not lines:
            ids.append(None)
            continue
        file = StoredFile(
            id=f"file-{context.new_id()}",
            created=created,
            size=sum(map(len, lines)),
            filename=f"{batch.id}_{suffix}.jsonl",
            purpose="batch_output",
            expires_at=expiry(batch.output_expires_after, "batch_output", created),
            visible_at=visible_at,
        )
        await store_file(context, file, joined(lines))
        ids.append(file.id)
    return replace(batch, output_file_id=ids[0], error_file_id=ids[1])


async def retrieve(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return a batch."""
    batch_id = request.params["batch_id"]
    document = await context.objects(BATCH_KIND).get(batch_id)
    if document is None:
        raise not_found("Batch", batch_id)
    return Reply(200, encode(read_batch(document.data).render(context.now())))


async def list_batches(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List batches, the newest first."""
    query = parse_query(request.params)
    documents, has_more = await read_page(context, BATCH_KIND, query)
    now = context.now()
    return render_list(documents, lambda document: read_batch(document.data).render(now), has_more=has_more)


async def cancel(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Cancel a batch: what is done stays, in files of its own."""
    batch_id = request.params["batch_id"]
    now = context.now()

    def change(document: Document) -> Document:
        batch = read_batch(document.data)
        age = now - batch.arrived
        if batch.errors or age >= batch.end:
            status = batch.status(age)
            raise ApiRuleError(f"Cannot cancel a batch with status '{status}'.", status=409)
        if batch.cancelled is not None:
            return document
        return replace(batch, cancelled=age).as_document()

    document = await context.objects(BATCH_KIND).edit(batch_id, change)
    if document is None:
        raise not_found("Batch", batch_id)
    batch = read_batch(document.data)
    if batch.cancelled == now - batch.arrived:
        batch = await _cut_results(context, batch, batch.cancelled)
        await context.objects(BATCH_KIND).put(batch.as_document())
    return Reply(200, encode(batch.render(now)))


async def _cut_results(context: EndpointContext, batch: StoredBatch, until: float) -> StoredBatch:
    """Write the files of a cancelled batch anew, with what was done by then."""
    kept: list[list[bytes]] = []
    for succeeds, file_id in ((True, batch.output_file_id), (False, batch.error_file_id)):
        content = await context.contents.read(file_id) if file_id is not None else b""
        instants = [outcome.after for outcome in batch.outcomes if outcome.succeeds is succeeds]
        lines = content.splitlines(keepends=True)
        kept.append([line for line, after in zip(lines, instants, strict=False) if after <= until])
        if file_id is not None:
            await context.objects(FILE_KIND).delete(file_id)
    return await _write_results(context, batch, kept[0], kept[1])


_ONE = "/v1/batches/{batch_id}"


def batch_endpoints(endpoints: Endpoints, errors: GenerationEndpoint[Any]) -> tuple[ResourceEndpoint, ...]:
    """Build the endpoints.

    Args:
        endpoints: The endpoints that a batch may ask, by path.
        errors: Renders the errors of requests whose endpoint does not.
    """
    run_create = partial(create, endpoints=endpoints, errors=errors)
    return (
        ResourceEndpoint(
            method="POST", label="batches", path="/v1/batches", run=run_create, passes_controls=True
        ),
        ResourceEndpoint(method="GET", label="batches", path="/v1/batches", run=list_batches),
        ResourceEndpoint(method="GET", label="batches", path=_ONE, run=retrieve),
        ResourceEndpoint(method="POST", label="batches", path=f"{_ONE}/cancel", run=cancel),
    )
