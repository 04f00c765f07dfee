"""`/v1/vector_stores`: stores of files that the file search reads.

Source: openai SDK, resources/vector_stores/vector_stores.py, types/vector_store*.py.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import replace

from llmsim.errors import InvalidFieldError
from llmsim.providers.contract import EndpointContext, IncomingRequest, Reply, ResourceEndpoint
from llmsim.providers.openai.object_lists import parse_query, read_page
from llmsim.providers.openai.stored_vector_stores import (
    STORE_KIND,
    ExpiryPolicy,
    VectorStore,
    check_chunking,
    files_of,
    find_store,
    read_searched_files,
    read_store,
    read_store_files,
    store_not_found,
)
from llmsim.providers.openai.vector_search import (
    AutoChunking,
    Filter,
    FoundChunk,
    RankingOptions,
    StaticChunking,
    search,
)
from llmsim.providers.openai.vector_store_files import add_files, find_files
from llmsim.providers.openai_family.request_fields import Metadata
from llmsim.providers.storage import Document
from llmsim.wire.codec import decoder, encode

_Name = Annotated[str, Meta(max_length=1000)]


class _Creation(msgspec.Struct):
    name: _Name | None = None
    description: _Name | None = None
    file_ids: Annotated[list[str], Meta(max_length=500)] = []
    expires_after: ExpiryPolicy | None = None
    chunking_strategy: AutoChunking | StaticChunking | None = None
    metadata: Metadata | None = None


class _Update(msgspec.Struct):
    name: _Name | UnsetType | None = UNSET
    expires_after: ExpiryPolicy | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class _Search(msgspec.Struct):
    query: str | Annotated[list[str], Meta(min_length=1, max_length=32)]
    filters: Filter | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    ranking_options: RankingOptions | None = None
    rewrite_query: bool | None = None


_decode_creation = decoder(_Creation)
_decode_update = decoder(_Update)
_decode_search = decoder(_Search)


def _check_expiry(policy: ExpiryPolicy | None) -> ExpiryPolicy | None:
    if policy is not None:
        if policy.anchor != "last_active_at":
            raise InvalidFieldError(("expires_after", "anchor"), "choice", ("last_active_at",), policy.anchor)
        if policy.days < 1:
            raise InvalidFieldError(("expires_after", "days"), "minimum", 1, policy.days)
        if policy.days > 365:
            raise InvalidFieldError(("expires_after", "days"), "maximum", 365, policy.days)
    return policy


async def _render(context: EndpointContext, store: VectorStore) -> dict[str, Any]:
    return store.render(await read_store_files(context, store.id), context.now())


async def create(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Create a store, with its first files."""
    wanted = _decode_creation(request.body or b"{}")
    chunking = check_chunking(wanted.chunking_strategy)
    files = await find_files(context, wanted.file_ids, "file_ids")
    now = context.now()
    store = VectorStore(
        id=f"vs_{context.new_id()}",
        created=now,
        active=now,
        name=wanted.name or "",
        description=wanted.description,
        metadata=wanted.metadata or {},
        expires_after=_check_expiry(wanted.expires_after),
    )
    await context.objects(STORE_KIND).put(store.as_document())
    await add_files(context, store.id, [(file, {}, chunking) for file in files])
    return Reply(200, encode(await _render(context, store)))


async def list_stores(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List stores, the newest first by default."""
    query = parse_query(request.params)
    documents, has_more = await read_page(context, STORE_KIND, query)
    data = [await _render(context, read_store(document.data)) for document in documents]
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


async def retrieve(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return a store."""
    store = await find_store(context, request.params["vector_store_id"])
    return Reply(200, encode(await _render(context, store)))


async def update(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Change the name, expiry or metadata of a store."""
    wanted = _decode_update(request.body)
    changes: dict[str, Any] = {}
    if wanted.name is not UNSET:
        changes["name"] = wanted.name or ""
    if wanted.expires_after is not UNSET:
        changes["expires_after"] = _check_expiry(wanted.expires_after)
    if wanted.metadata is not UNSET:
        changes["metadata"] = wanted.metadata or {}
    store_id = request.params["vector_store_id"]
    document = await context.objects(STORE_KIND).edit(
        store_id, lambda document: replace(read_store(document.data), **changes).as_document()
    )
    if document is None:
        raise store_not_found(store_id)
    return Reply(200, encode(await _render(context, read_store(document.data))))


async def delete(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Delete a store; its files stay."""
    store = await find_store(context, request.params["vector_store_id"])
    await context.objects(STORE_KIND).delete(store.id)
    files, has_more = files_of(context, store.id), True
    while has_more:
        documents, has_more = await files.page(limit=1000)
        for document in documents:
            await files.delete(document.id)
    return Reply(200, encode({"id": store.id, "object": "vector_store.deleted", "deleted": True}))


async def search_store(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Search a store."""
    wanted = _decode_search(request.body)
    store = await find_store(context, request.params["vector_store_id"])
    queries = [wanted.query] if isinstance(wanted.query, str) else wanted.query
    most = wanted.max_num_results or 10
    threshold = wanted.ranking_options.score_threshold if wanted.ranking_options is not None else None
    found = await find_chunks(
        context, request, [store], queries, wanted.filters, most=most, least_score=threshold or 0.0
    )
    return Reply(
        200,
        encode(
            {
                "object": "vector_store.search_results.page",
                "search_query": queries,
                "data": [
                    {
                        "file_id": chunk.file_id,
                        "filename": chunk.filename,
                        "score": chunk.score,
                        "attributes": chunk.attributes,
                        "content": [{"type": "text", "text": chunk.text}],
                    }
                    for chunk in found
                ],
                "has_more": False,
                "next_page": None,
            }
        ),
    )


async def find_chunks(
    context: EndpointContext,
    request: IncomingRequest | None,
    stores: list[VectorStore],
    queries: list[str],
    wanted: Filter | None,
    *,
    most: int,
    least_score: float = 0.0,
) -> list[FoundChunk]:
    """Return the chunks of stores that fit queries best, and note that the stores were used.

    Args:
        context: The worker's services.
        request: The request; None if it is not at hand.
        stores: The stores.
        queries: The queries.
        wanted: What the attributes of a file must pass.
        most: Most chunks.
        least_score: Score of a chunk from which on it is returned.
    """
    files = [file for store in stores for file in await read_searched_files(context, store, wanted)]
    now = context.now()
    for store in stores:

        def touch(document: Document) -> Document:
            return replace(read_store(document.data), active=now).as_document()

        await context.objects(STORE_KIND).edit(store.id, touch)
    # What is searched in a thread depends on the size of the files.
    size = sum(len(file.content) for file in files)
    sized = replace(request or IncomingRequest(), body=bytes(size))

    def run() -> list[FoundChunk]:
        return search(files, queries, most=most, least_score=least_score)

    return await context.compute(sized, run)


_ONE = "/v1/vector_stores/{vector_store_id}"

VECTOR_STORES = (
    ResourceEndpoint(method="POST", label="vector_stores", path="/v1/vector_stores", run=create),
    ResourceEndpoint(method="GET", label="vector_stores", path="/v1/vector_stores", run=list_stores),
    ResourceEndpoint(method="GET", label="vector_stores", path=_ONE, run=retrieve),
    ResourceEndpoint(method="POST", label="vector_stores", path=_ONE, run=update),
    ResourceEndpoint(method="DELETE", label="vector_stores", path=_ONE, run=delete),
    ResourceEndpoint(method="POST", label="vector_stores", path=f"{_ONE}/search", run=search_store),
)
