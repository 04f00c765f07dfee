"""`:batchGenerateContent`, `:asyncBatchEmbedContent` and `/{version}/batches`: requests worked off while no client is connected.

Decisions:
* All requests are planned when the batch is created, each with the instant at which it is done; results are written then, and found once
  the batch has ended. So no process works on a batch, any worker can show it, and it outlives the worker that planned it.
* The results of requests that came in a file are a file; those of others come with the batch, and not in lists, which would be large.
* A batch that was cancelled has no results, as an operation with an error has none.

Source: google-genai SDK 3.6, batches.py, `_transformers.py`; ai.google.dev/api/batch-api.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from llmsim.errors import ApiRuleError, ModelUseError, RefusedError
from llmsim.providers.batch_lines import BatchLine, done_after, joined, run_line
from llmsim.providers.contract import (
    EndpointContext,
    GenerationEndpoint,
    IncomingRequest,
    Reply,
    ResourceEndpoint,
)
from llmsim.providers.gemini.batch_input import BatchRequest, parse_input, parse_lines
from llmsim.providers.gemini.errors import rpc_status
from llmsim.providers.gemini.files import StoredFile, delete_results, find_file, store_results
from llmsim.providers.gemini.pages import read_page
from llmsim.providers.gemini.request import model_of
from llmsim.providers.gemini.stored_batches import (
    BATCH_KIND,
    PENDING_SECS,
    BatchOutcome,
    StoredBatch,
    read_batch,
)
from llmsim.providers.storage import Document
from llmsim.wire.codec import encode

_DEFAULT_PAGE, _LARGEST_PAGE = 50, 1_000

Message = Literal["GenerateContentBatch", "EmbedContentBatch"]


async def create(
    context: EndpointContext, request: IncomingRequest, *, message: Message, endpoint: GenerationEndpoint[Any]
) -> Reply:
    """Create a batch.

    Args:
        context: The worker's services.
        request: The request.
        message: Name of its message in the API.
        endpoint: The endpoint that its requests ask.

    Raises:
        RefusedError: A field is wrong, the file does not exist, or the model is of another kind.
    """
    model = model_of(request)
    sent = await context.compute(request, parse_input, request.body, message)
    known, embeds = context.model(model), message == "EmbedContentBatch"
    if known is not None and (known.dimensions > 0) is not embeds:
        raise ModelUseError(model, embeds=embeds)
    batch = StoredBatch(
        id=context.new_id(),
        created=context.now(),
        message=message,
        model=model,
        display_name=sent.display_name,
        input_file=sent.file,
    )
    whole, requests = request, sent.requests
    if sent.file:
        file = await find_file(context, sent.file)
        content = await context.contents.read(file.id)
        # What is planned in a thread depends on the size of the file, not on that of this request.
        whole = replace(request, body=content)
        try:
            requests = await context.compute(whole, parse_lines, content)
        except ApiRuleError as error:
            batch = replace(batch, error=error.message)
    lines = [await _run(context, whole, one, model, endpoint) for one in requests]
    batch = replace(
        batch,
        outcomes=tuple(
            BatchOutcome(after, line.reply.status == 200)
            for after, line in zip(done_after(lines, PENDING_SECS), lines, strict=True)
        ),
    )
    await _write_results(
        context, batch, [_result(line, one) for line, one in zip(lines, requests, strict=True)]
    )
    await context.objects(BATCH_KIND).put(batch.as_document())
    return Reply(200, encode(batch.render(batch.created)))


async def _run(
    context: EndpointContext,
    whole: IncomingRequest,
    one: BatchRequest,
    model: str,
    endpoint: GenerationEndpoint[Any],
) -> BatchLine:
    try:
        _check_model(one.body, model)
    except RefusedError as error:
        return BatchLine(endpoint.http.render_refusal(error))
    path = endpoint.path.replace("{model}", model)
    return await run_line(context, whole, replace(whole, body=one.body, path=path), endpoint)


class _Model(msgspec.Struct):
    model: str | None = None


_decode_model = msgspec.json.Decoder(_Model).decode


def _check_model(body: bytes, model: str) -> None:
    """Check that a request names no other model than its batch.

    Raises:
        ApiRuleError: It does.
    """
    try:
        named = _decode_model(body).model
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # The endpoint says what is wrong with it.
        return
    if named and named.removeprefix("models/") != model:
        raise ApiRuleError(f"The model of a request must be that of its batch, models/{model}.")


def _result(line: BatchLine, one: BatchRequest) -> bytes:
    """Render the result of a request: its response, or its error."""
    reply = line.reply
    result = b'"response":%b' % reply.body if reply.status == 200 else b'"error":%b' % rpc_status(reply)
    return b"{%b,%b}" % (result, one.mark) if one.mark else b"{%b}" % result


async def _write_results(context: EndpointContext, batch: StoredBatch, results: Sequence[bytes]) -> None:
    """Write the results of a batch, one a line, to be found at its end."""
    if not results:
        return
    lines = joined([result + b"\n" for result in results])
    if batch.input_file:
        file = StoredFile(
            id=batch.results_file,
            created=batch.created + batch.end,
            display_name=f"{batch.results_file}.jsonl",
            mime_type="application/jsonl",
            size=sum(map(len, lines)),
            is_generated=True,
        )
        await store_results(context, file, lines)
    elif not await context.contents.write(batch.id, lines):
        raise ApiRuleError("The batch storage quota of the project is exceeded.", status=429)


def _absent() -> ApiRuleError:
    return ApiRuleError("Requested entity was not found.", status=404)


async def retrieve(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return a batch, with its results if they come with it."""
    document = await context.objects(BATCH_KIND).get(request.path_params["batch_id"])
    if document is None:
        raise _absent()
    batch = read_batch(document.data)
    operation = batch.render(context.now())
    if operation.get("done") and "response" not in operation and "error" not in operation:
        content = await context.contents.read(batch.id)
        whole = replace(request, body=content)
        return Reply(200, await context.compute(whole, _with_results, batch, operation, content))
    return Reply(200, encode(operation))


def _with_results(batch: StoredBatch, operation: dict[str, Any], content: bytes) -> bytes:
    """Render a batch with the results that come with it."""
    results = msgspec.Raw(b"[" + b",".join(content.splitlines()) + b"]")
    batch.add_output(operation, {"inlinedResponses": {"inlinedResponses": results}})
    return msgspec.json.encode(operation)


async def list_batches(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List batches, the newest first, in pages."""
    found, token = await read_page(context, BATCH_KIND, request, default=_DEFAULT_PAGE, most=_LARGEST_PAGE)
    now = context.now()
    page: dict[str, Any] = {}
    if found:
        page["operations"] = [read_batch(document.data).render(now) for document in found]
    if token:
        page["nextPageToken"] = token
    return Reply(200, encode(page))


async def cancel(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Cancel a batch; one that has ended stays as it is."""
    now = context.now()

    def change(document: Document) -> Document:
        batch = read_batch(document.data)
        age = now - batch.created
        return document if age >= batch.end else replace(batch, cancelled=age).as_document()

    document = await context.objects(BATCH_KIND).edit(request.path_params["batch_id"], change)
    if document is None:
        raise _absent()
    batch = read_batch(document.data)
    if batch.cancelled is not None:
        await delete_results(context, batch.results_file)
    return Reply(200, b"{}")


async def delete(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Delete a batch; a file with its results stays."""
    batches = context.objects(BATCH_KIND)
    document = await batches.get(request.path_params["batch_id"])
    if document is None:
        raise _absent()
    batch = read_batch(document.data)
    if context.now() - batch.created < batch.end:
        await delete_results(context, batch.results_file)
    await batches.delete(batch.id)
    return Reply(200, b"{}")


def batch_endpoints(
    version: str, contents: GenerationEndpoint[Any], embeddings: GenerationEndpoint[Any]
) -> tuple[ResourceEndpoint, ...]:
    """Return the endpoints of batches under a version of the API.

    Args:
        version: The version.
        contents: What the requests of a batch ask.
        embeddings: What those of a batch of embeddings ask.
    """
    model, every = f"/{version}/models/{{model}}", f"/{version}/batches"
    one = f"{every}/{{batch_id}}"
    generate = partial(create, message="GenerateContentBatch", endpoint=contents)
    embed = partial(create, message="EmbedContentBatch", endpoint=embeddings)
    return (
        ResourceEndpoint(
            label="batches",
            method="POST",
            path=f"{model}:batchGenerateContent",
            run=generate,
            passes_controls=True,
        ),
        ResourceEndpoint(
            label="batches",
            method="POST",
            path=f"{model}:asyncBatchEmbedContent",
            run=embed,
            passes_controls=True,
        ),
        ResourceEndpoint(label="batches", method="GET", path=every, run=list_batches),
        ResourceEndpoint(label="batches", method="GET", path=one, run=retrieve),
        ResourceEndpoint(label="batches", method="POST", path=f"{one}:cancel", run=cancel),
        ResourceEndpoint(label="batches", method="DELETE", path=one, run=delete),
    )
