"""The messages of requests that create or change resources: files, cached contents, batches; see `messages`.

Source: google-genai SDK 3.6, files.py, caches.py, batches.py; ai.google.dev/api/batch-api.
"""

from msgspec import Struct

from llmsim.providers.gemini.messages import (
    Content,
    EmbedContentRequest,
    GenerateContentRequest,
    Object,
    Tool,
    ToolConfig,
)


class FileMetadata(Struct, rename="camel"):
    """What a client says of a file."""

    name: str | None = None
    display_name: str | None = None
    mime_type: str | None = None
    size_bytes: int | None = None


class FileCreation(Struct, rename="camel"):
    """The body that begins an upload."""

    file: FileMetadata | None = None


class CachedContent(Struct, rename="camel"):
    """The body of `POST /cachedContents`."""

    model: str = ""
    contents: list[Content] = []
    system_instruction: Content | None = None
    tools: list[Tool] = []
    tool_config: ToolConfig | None = None
    display_name: str = ""
    ttl: str | None = None
    expire_time: str | None = None


class CachedContentChange(Struct, rename="camel"):
    """The body of `PATCH /cachedContents/{id}`."""

    name: str | None = None
    ttl: str | None = None
    expire_time: str | None = None


class InlinedRequest(Struct, rename="camel"):
    """One request of a batch, with the client's labels."""

    request: GenerateContentRequest | None = None
    metadata: Object | None = None


class InlinedRequests(Struct, rename="camel"):
    """The requests of a batch."""

    requests: list[InlinedRequest] = []


class InputConfig(Struct, rename="camel"):
    """Where the requests of a batch are."""

    requests: InlinedRequests | None = None
    file_name: str | None = None


class GenerateContentBatch(Struct, rename="camel"):
    """A batch to be created."""

    input_config: InputConfig | None = None
    model: str | None = None
    name: str | None = None
    display_name: str = ""
    priority: int | None = None
    webhook_config: Object | None = None


class BatchGenerateContentRequest(Struct, rename="camel"):
    """The body of `batchGenerateContent`."""

    batch: GenerateContentBatch | None = None
    model: str | None = None


class InlinedEmbedContentRequest(Struct, rename="camel"):
    """One request of a batch of embeddings, with the client's labels."""

    request: EmbedContentRequest | None = None
    metadata: Object | None = None


class InlinedEmbedContentRequests(Struct, rename="camel"):
    """The requests of a batch of embeddings."""

    requests: list[InlinedEmbedContentRequest] = []


class InputEmbedContentConfig(Struct, rename="camel"):
    """Where the requests of a batch of embeddings are."""

    requests: InlinedEmbedContentRequests | None = None
    file_name: str | None = None


class EmbedContentBatch(Struct, rename="camel"):
    """A batch of embeddings to be created."""

    input_config: InputEmbedContentConfig | None = None
    model: str | None = None
    name: str | None = None
    display_name: str = ""
    priority: int | None = None


class AsyncBatchEmbedContentRequest(Struct, rename="camel"):
    """The body of `asyncBatchEmbedContent`."""

    batch: EmbedContentBatch | None = None
    model: str | None = None


class FileSearchStore(Struct, rename="camel"):
    """A store of documents to be created."""

    name: str | None = None
    display_name: str = ""
    embedding_model: str | None = None


class StringList(Struct, rename="camel"):
    """Several texts."""

    values: list[str] = []


class CustomMetadata(Struct, rename="camel"):
    """A label of a document."""

    key: str = ""
    string_value: str | None = None
    string_list_value: StringList | None = None
    numeric_value: float | None = None


class DocumentCreation(Struct, rename="camel"):
    """The body that begins the upload of a document, or imports a file as one."""

    file_name: str | None = None
    display_name: str | None = None
    mime_type: str | None = None
    custom_metadata: list[CustomMetadata] = []
    chunking_config: Object | None = None
