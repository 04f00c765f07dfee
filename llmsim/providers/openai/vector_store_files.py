"""`/v1/vector_stores/{id}/files` and `/file_batches`: the files of a store.

Source: openai SDK, resources/vector_stores/files.py and file_batches.py, types/vector_stores/.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.providers.contract import EndpointContext, IncomingRequest, Reply, ResourceEndpoint
from llmsim.providers.openai.object_lists import parse_query, read_page
from llmsim.providers.openai.stored_files import StoredFile, find_file
from llmsim.providers.openai.stored_vector_stores import (
    StoreFile,
    check_chunking,
    count_files,
    file_key,
    files_kind,
    files_of,
    find_store,
    read_store_file,
    read_store_files,
)
from llmsim.providers.openai.vector_search import (
    Attributes,
    AutoChunking,
    ChunkingStrategy,
    StaticChunking,
    chunks,
    text_of,
)
from llmsim.providers.storage import Document
from llmsim.wire.codec import decoder, encode

_BATCH_KIND = "openai.vector_store_batch"
_STATUSES = ("in_progress", "completed", "failed", "cancelled")

_Attributes = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)] | float | bool],
    Meta(max_length=16),
]


class _FileParam(msgspec.Struct):
    file_id: str
    attributes: _Attributes | None = None
    chunking_strategy: AutoChunking | StaticChunking | None = None


class _BatchParam(msgspec.Struct):
    file_ids: Annotated[list[str], Meta(max_length=2000)] | None = None
    files: Annotated[list[_FileParam], Meta(max_length=2000)] | None = None
    attributes: _Attributes | None = None
    chunking_strategy: AutoChunking | StaticChunking | None = None


class _Update(msgspec.Struct):
    attributes: _Attributes | None


class _Batch(msgspec.Struct, frozen=True):
    """A batch as it is stored: its files are those of the store with its label."""

    id: str
    store_id: str
    created: float


_decode_file = decoder(_FileParam)
_decode_batch = decoder(_BatchParam)
_decode_update = decoder(_Update)
_read_batch = msgspec.msgpack.Decoder(_Batch).decode

Added = tuple[StoredFile, Attributes, ChunkingStrategy]
"""A file to be added, with its attributes, and how it is cut."""


async def find_files(context: EndpointContext, ids: Sequence[str], param: str) -> list[StoredFile]:
    """Return uploaded files.

    Raises:
        ApiRuleError: One does not exist.
    """
    return [await find_file(context, file_id, param=param) for file_id in ids]


async def add_files(
    context: EndpointContext, store_id: str, files: Sequence[Added], batch_id: str = ""
) -> list[StoreFile]:
    """Add files to a store; return them."""
    now = context.now()
    added = [
        StoreFile(
            store_id=store_id,
            file_id=file.id,
            created=now,
            size=file.size,
            attributes=attributes,
            chunking=chunking,
            batch_id=batch_id,
        )
        for file, attributes, chunking in files
    ]
    for one in added:
        await files_of(context, store_id).put(one.as_document())
    return added


async def create(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Add a file to a store."""
    wanted = _decode_file(request.body)
    store = await find_store(context, request.params["vector_store_id"])
    (file,) = await find_files(context, [wanted.file_id], "file_id")
    added = (file, wanted.attributes or {}, check_chunking(wanted.chunking_strategy))
    (one,) = await add_files(context, store.id, [added])
    return Reply(200, encode(one.render(context.now())))


async def list_files(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List the files of a store, or of a batch, the newest first by default."""
    params = request.params
    query = parse_query(params)
    store = await find_store(context, params["vector_store_id"])
    labels = {}
    if (batch_id := params.get("batch_id")) is not None:
        labels = {"batch": (await _find_batch(context, store.id, batch_id)).id}
    wanted = params.get("filter")
    if wanted is not None and wanted not in _STATUSES:
        raise InvalidFieldError(("filter",), "choice", _STATUSES, wanted)
    query = replace(
        query,
        after=None if query.after is None else file_key(store.id, query.after),
        before=None if query.before is None else file_key(store.id, query.before),
    )
    documents, has_more = await read_page(context, files_kind(store.id), query, labels)
    now = context.now()
    data = [
        rendered
        for document in documents
        if (rendered := read_store_file(document.data).render(now)) and wanted in (None, rendered["status"])
    ]
    return Reply(
        200,
        encode(
            {
                "object": "list",
                "data": data,
                "first_id": data[0]["id"] if data else None,
                "last_id": data[-1]["id"] if data else None,
                "has_more": has_more,
            }
        ),
    )


async def _find(context: EndpointContext, request: IncomingRequest) -> StoreFile:
    store = await find_store(context, request.params["vector_store_id"])
    file_id = request.params["file_id"]
    document = await files_of(context, store.id).get(file_key(store.id, file_id))
    if document is None:
        raise ApiRuleError(
            f"No file found with id '{file_id[:100]}' in vector store '{store.id}'.", status=404
        )
    return read_store_file(document.data)


async def retrieve(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return a file of a store."""
    return Reply(200, encode((await _find(context, request)).render(context.now())))


async def update(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Replace the attributes of a file."""
    attributes = _decode_update(request.body).attributes or {}
    changed = replace(await _find(context, request), attributes=attributes)
    await files_of(context, changed.store_id).edit(
        file_key(changed.store_id, changed.file_id), lambda _: changed.as_document()
    )
    return Reply(200, encode(changed.render(context.now())))


async def delete(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Remove a file from a store; the file itself stays."""
    file = await _find(context, request)
    await files_of(context, file.store_id).delete(file_key(file.store_id, file.file_id))
    return Reply(200, encode({"id": file.file_id, "object": "vector_store.file.deleted", "deleted": True}))


async def content(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return the text of a file, in its chunks."""
    file = await _find(context, request)
    text = text_of(await context.contents.read(file.file_id))
    data = [{"type": "text", "text": chunk} for chunk in chunks(text, replace(file.chunking, overlap=0))]
    return Reply(
        200,
        encode(
            {
                "object": "vector_store.file_content.page",
                "data": data,
                "has_more": False,
                "next_page": None,
            }
        ),
    )


async def create_batch(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Add files to a store in one request."""
    wanted = _decode_batch(request.body)
    if (wanted.file_ids is None) == (wanted.files is None):
        raise InvalidFieldError(
            ("file_ids",), "conflict", "Exactly one of 'file_ids' and 'files' must be provided."
        )
    store = await find_store(context, request.params["vector_store_id"])
    entries = wanted.files or [
        _FileParam(file_id, wanted.attributes, wanted.chunking_strategy) for file_id in wanted.file_ids or ()
    ]
    added = [
        (
            (await find_files(context, [entry.file_id], "file_ids"))[0],
            entry.attributes or {},
            check_chunking(entry.chunking_strategy),
        )
        for entry in entries
    ]
    batch = _Batch(f"vsfb_{context.new_id()}", store.id, context.now())
    await context.objects(_BATCH_KIND).put(
        Document(id=batch.id, created=batch.created, data=msgspec.msgpack.encode(batch))
    )
    await add_files(context, store.id, added, batch.id)
    return Reply(200, encode(await _render_batch(context, batch)))


async def _find_batch(context: EndpointContext, store_id: str, batch_id: str) -> _Batch:
    document = await context.objects(_BATCH_KIND).get(batch_id)
    batch = _read_batch(document.data) if document is not None else None
    if batch is None or batch.store_id != store_id:
        raise ApiRuleError(f"No file batch found with id '{batch_id[:100]}'.", status=404)
    return batch


async def _render_batch(context: EndpointContext, batch: _Batch) -> dict[str, Any]:
    files = await read_store_files(context, batch.store_id, {"batch": batch.id})
    counts = count_files(files, context.now())
    status = "in_progress" if counts["in_progress"] else "cancelled" if counts["cancelled"] else "completed"
    return {
        "id": batch.id,
        "object": "vector_store.files_batch",
        "created_at": int(batch.created),
        "vector_store_id": batch.store_id,
        "status": status,
        "file_counts": counts,
    }


async def retrieve_batch(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return a batch."""
    batch = await _find_batch(context, request.params["vector_store_id"], request.params["batch_id"])
    return Reply(200, encode(await _render_batch(context, batch)))


async def cancel_batch(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Cancel the files of a batch that are not processed."""
    batch = await _find_batch(context, request.params["vector_store_id"], request.params["batch_id"])
    now = context.now()
    for file in await read_store_files(context, batch.store_id, {"batch": batch.id}):
        if file.status(now) == "in_progress":
            cancelled = replace(file, cancelled=True).as_document()
            await files_of(context, batch.store_id).edit(cancelled.id, lambda _, new=cancelled: new)  # type: ignore[misc]  # bound now
    return Reply(200, encode(await _render_batch(context, batch)))


_FILES = "/v1/vector_stores/{vector_store_id}/files"
_FILE = f"{_FILES}/{{file_id}}"
_BATCHES = "/v1/vector_stores/{vector_store_id}/file_batches"
_ONE_BATCH = f"{_BATCHES}/{{batch_id}}"

VECTOR_STORE_FILES = (
    ResourceEndpoint(method="POST", label="vector_stores", path=_FILES, run=create),
    ResourceEndpoint(method="GET", label="vector_stores", path=_FILES, run=list_files),
    ResourceEndpoint(method="GET", label="vector_stores", path=_FILE, run=retrieve),
    ResourceEndpoint(method="POST", label="vector_stores", path=_FILE, run=update),
    ResourceEndpoint(method="DELETE", label="vector_stores", path=_FILE, run=delete),
    ResourceEndpoint(method="GET", label="vector_stores", path=f"{_FILE}/content", run=content),
    ResourceEndpoint(method="POST", label="vector_stores", path=_BATCHES, run=create_batch),
    ResourceEndpoint(method="GET", label="vector_stores", path=_ONE_BATCH, run=retrieve_batch),
    ResourceEndpoint(method="POST", label="vector_stores", path=f"{_ONE_BATCH}/cancel", run=cancel_batch),
    ResourceEndpoint(method="GET", label="vector_stores", path=f"{_ONE_BATCH}/files", run=list_files),
)
