"""Vector stores as they are stored, and their files.

Decisions:
* A file is processed a moment after it was added: its status follows from the time, so that clients have something to poll for.
* The files of a store have the kind of that store, so that a list of them reads no others.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.providers.contract import EndpointContext
from llmsim.providers.openai.stored_files import FILE_KIND, read_file
from llmsim.providers.openai.vector_search import (
    MOST_BYTES,
    Attributes,
    AutoChunking,
    ChunkingStrategy,
    Filter,
    SearchedFile,
    StaticChunking,
    holds,
)
from llmsim.providers.openai_family.field_messages import quote
from llmsim.providers.storage import Document, DocumentCollection

STORE_KIND = "openai.vector_store"

PROCESSING_SECS = 0.2
_DAY = 86_400
_PAGE = 1000
_MOST_FILES = 10_000


class ExpiryPolicy(msgspec.Struct):
    """When a store expires: days after it was used last."""

    anchor: str
    days: int


class VectorStore(msgspec.Struct, frozen=True, kw_only=True):
    """A store."""

    id: str
    created: float
    name: str = ""
    description: str | None = None
    metadata: dict[str, str] = {}
    expires_after: ExpiryPolicy | None = None
    active: float = 0.0

    @property
    def expires_at(self) -> int | None:
        """Unix time at which it expires; None for never."""
        return None if self.expires_after is None else int(self.active) + self.expires_after.days * _DAY

    def render(self, files: Sequence["StoreFile"], now: float) -> dict[str, Any]:
        """Render the store object."""
        counts = count_files(files, now)
        is_expired = self.expires_at is not None and now >= self.expires_at
        working = "in_progress" if counts["in_progress"] else "completed"
        return {
            "id": self.id,
            "object": "vector_store",
            "created_at": int(self.created),
            "name": self.name,
            "description": self.description,
            "usage_bytes": sum(file.size for file in files if file.status(now) == "completed"),
            "file_counts": counts,
            "status": "expired" if is_expired else working,
            "expires_after": (
                None if self.expires_after is None else msgspec.structs.asdict(self.expires_after)
            ),
            "expires_at": self.expires_at,
            "last_active_at": int(self.active),
            "metadata": self.metadata,
        }

    def as_document(self) -> Document:
        """Return the store as a document."""
        return Document(id=self.id, created=self.created, data=msgspec.msgpack.encode(self))


class StoreFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a store.

    Attributes:
        store_id: The store.
        file_id: The file.
        created: Unix time at which it was added, in seconds.
        size: Its bytes.
        attributes: The client's labels.
        chunking: How it is cut.
        batch_id: The batch with which it was added; empty if it was added alone.
        cancelled: Whether its batch was cancelled before it was processed.
    """

    store_id: str
    file_id: str
    created: float
    size: int
    attributes: Attributes = {}
    chunking: ChunkingStrategy = ChunkingStrategy()
    batch_id: str = ""
    cancelled: bool = False

    def status(self, now: float) -> str:
        """Return how far it is processed at a Unix time."""
        if self.cancelled:
            return "cancelled"
        return "completed" if now >= self.created + PROCESSING_SECS else "in_progress"

    def render(self, now: float) -> dict[str, Any]:
        """Render the file object of the store."""
        status = self.status(now)
        return {
            "id": self.file_id,
            "object": "vector_store.file",
            "usage_bytes": self.size if status == "completed" else 0,
            "created_at": int(self.created),
            "vector_store_id": self.store_id,
            "status": status,
            "last_error": None,
            "chunking_strategy": self.chunking.render(),
            "attributes": self.attributes,
        }

    def as_document(self) -> Document:
        """Return the file as a document."""
        return Document(
            id=file_key(self.store_id, self.file_id),
            created=self.created,
            data=msgspec.msgpack.encode(self),
            labels={"batch": self.batch_id},
        )


read_store = msgspec.msgpack.Decoder(VectorStore).decode
read_store_file = msgspec.msgpack.Decoder(StoreFile).decode


def files_of(context: EndpointContext, store_id: str) -> DocumentCollection:
    """Return the files of a store."""
    return context.objects(files_kind(store_id))


def files_kind(store_id: str) -> str:
    """Return the kind of the files of a store."""
    return f"{STORE_KIND}:{store_id}"


def file_key(store_id: str, file_id: str) -> str:
    """Return the id under which a file of a store is stored: a file may be in several."""
    return f"{store_id}/{file_id}"


def store_not_found(store_id: str, param: str | None = None) -> ApiRuleError:
    """Return the refusal of a store that does not exist."""
    return ApiRuleError(f"Vector store with id '{quote(store_id)}' not found.", param, status=404)


async def find_store(context: EndpointContext, store_id: str, param: str | None = None) -> VectorStore:
    """Return a store.

    Raises:
        ApiRuleError: There is no such store.
    """
    document = await context.objects(STORE_KIND).get(store_id)
    if document is None:
        raise store_not_found(store_id, param)
    return read_store(document.data)


async def read_store_files(
    context: EndpointContext, store_id: str, labels: dict[str, str] | None = None
) -> list[StoreFile]:
    """Return all files of a store, the oldest first."""
    files: list[StoreFile] = []
    after, has_more = None, True
    while has_more and len(files) < _MOST_FILES:
        documents, has_more = await files_of(context, store_id).page(
            limit=_PAGE, after=after, ascending=True, labels=labels or {}
        )
        after = documents[-1].id if documents else None
        files += [read_store_file(document.data) for document in documents]
    return files


async def read_searched_files(
    context: EndpointContext, store: VectorStore, wanted: Filter | None
) -> list[SearchedFile]:
    """Return the files of a store that are processed and pass a filter, with their contents, as many as a search reads."""
    now, room = context.now(), MOST_BYTES
    found: list[SearchedFile] = []
    for file in await read_store_files(context, store.id):
        if file.status(now) != "completed" or file.size > room or not holds(wanted, file.attributes):
            continue
        document = await context.objects(FILE_KIND).get(file.file_id)
        if document is None:
            continue
        room -= file.size
        content = await context.contents.read(file.file_id)
        name = read_file(document.data).filename
        found.append(SearchedFile(file.file_id, name, file.attributes, content, file.chunking))
    return found


def count_files(files: Sequence[StoreFile], now: float) -> dict[str, int]:
    """Return how many files have which status."""
    counts = dict.fromkeys(("in_progress", "completed", "failed", "cancelled"), 0)
    for file in files:
        counts[file.status(now)] += 1
    return counts | {"total": len(files)}


def check_chunking(strategy: AutoChunking | StaticChunking | None) -> ChunkingStrategy:
    """Return how files are to be cut.

    Raises:
        InvalidFieldError: A size is out of range.
    """
    if not isinstance(strategy, StaticChunking):
        return ChunkingStrategy()
    size, overlap = strategy.static.max_chunk_size_tokens, strategy.static.chunk_overlap_tokens
    path = ("chunking_strategy", "static")
    if size < 100:
        raise InvalidFieldError((*path, "max_chunk_size_tokens"), "minimum", 100, size)
    if size > 4096:
        raise InvalidFieldError((*path, "max_chunk_size_tokens"), "maximum", 4096, size)
    if overlap < 0:
        raise InvalidFieldError((*path, "chunk_overlap_tokens"), "minimum", 0, overlap)
    if overlap > size // 2:
        raise InvalidFieldError((*path, "chunk_overlap_tokens"), "maximum", size // 2, overlap)
    return ChunkingStrategy(size, overlap, is_static=True)
