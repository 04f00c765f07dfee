"""`/{version}/fileSearchStores`: stores of documents, kept in form: names, sizes and labels, and nothing of their contents.

Decisions:
* A document is active at once, and the operation that makes it is done when it is returned; it is found by the id of its document.
* A store is not searched: the tool `file_search` is accepted and not used.

Source: google-genai SDK 3.6, file_search_stores.py, documents.py, operations.py; ai.google.dev/api/file-search.
"""

from typing import Any

import msgspec

from llmsim.errors import ApiRuleError
from llmsim.providers.contract import EndpointContext, IncomingRequest, Reply, ResourceEndpoint
from llmsim.providers.gemini.files import begun_upload, check_upload_size, find_file
from llmsim.providers.gemini.pages import read_page
from llmsim.providers.gemini.proto_json import read_message
from llmsim.providers.gemini.resource_messages import DocumentCreation, FileSearchStore
from llmsim.providers.gemini.timestamps import render_time
from llmsim.providers.storage import Document
from llmsim.wire.codec import encode

_STORE_KIND, _KIND, _UPLOAD_KIND = "gemini.search_store", "gemini.search_document", "gemini.search_upload"
_TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main."
_MAX_NAME = 512
_MOST_METADATA = 20
_DEFAULT_PAGE, _LARGEST_PAGE = 10, 20
_ALL = 1_000
"""Documents of a store that are looked at at once."""


class _Store(msgspec.Struct, frozen=True, kw_only=True):
    """A store."""

    id: str
    created: float
    display_name: str
    embedding_model: str


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A document, or one that is being uploaded; `metadata` are its labels, as JSON."""

    id: str
    store: str
    created: float
    display_name: str
    mime_type: str
    size: int
    metadata: bytes = b"[]"

    @property
    def name(self) -> str:
        return f"fileSearchStores/{self.store}/documents/{self.id}"

    def render(self) -> dict[str, Any]:
        """Render it as the API's resource."""
        created = render_time(self.created)
        found: dict[str, Any] = {"name": self.name}
        if self.display_name:
            found["displayName"] = self.display_name
        if labels := msgspec.json.decode(self.metadata):
            found["customMetadata"] = labels
        return found | {
            "createTime": created,
            "updateTime": created,
            "state": "STATE_ACTIVE",
            "sizeBytes": str(self.size),
            "mimeType": self.mime_type,
        }

    def operation(self, kind: str) -> dict[str, Any]:
        """Render the operation that has made it."""
        response = {
            "@type": f"{_TYPE}{kind}Response",
            "parent": f"fileSearchStores/{self.store}",
            "documentName": self.name,
        }
        path = "upload/operations" if kind.startswith("Upload") else "operations"
        return {
            "name": f"fileSearchStores/{self.store}/{path}/{self.id}",
            "done": True,
            "response": response,
        }

    def as_document(self) -> Document:
        """Return it as it is stored."""
        return Document(id=self.id, created=self.created, data=_pack(self), labels={"store": self.store})


_pack = msgspec.msgpack.encode
_read_store = msgspec.msgpack.Decoder(_Store).decode
_read = msgspec.msgpack.Decoder(_Stored).decode


def _absent(name: str) -> ApiRuleError:
    return ApiRuleError(f"You do not have permission to access {name[:200]} or it may not exist.", status=403)


async def _find_store(context: EndpointContext, request: IncomingRequest) -> _Store:
    name = request.path_params["store_id"]
    document = await context.objects(_STORE_KIND).get(name)
    if document is None:
        raise _absent(f"the FileSearchStore {name}")
    return _read_store(document.data)


async def _documents(context: EndpointContext, store: str) -> list[_Stored]:
    found, _ = await context.objects(_KIND).page(limit=_ALL, labels={"store": store})
    return [_read(document.data) for document in found]


async def _render_store(context: EndpointContext, store: _Store) -> dict[str, Any]:
    documents = await _documents(context, store.id)
    updated = max([store.created, *(one.created for one in documents)])
    found: dict[str, Any] = {"name": f"fileSearchStores/{store.id}"}
    if store.display_name:
        found["displayName"] = store.display_name
    found |= {"createTime": render_time(store.created), "updateTime": render_time(updated)}
    if documents:
        found["activeDocumentsCount"] = str(len(documents))
        found["sizeBytes"] = str(sum(one.size for one in documents))
    return found | {"embeddingModel": store.embedding_model}


async def create(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Create a store."""
    sent = read_message(request.body, FileSearchStore)
    store = _Store(
        id=context.new_id(),
        created=context.now(),
        display_name=sent.display_name[:_MAX_NAME],
        embedding_model=(sent.embedding_model or "models/gemini-embedding-001")[:_MAX_NAME],
    )
    await context.objects(_STORE_KIND).put(Document(id=store.id, created=store.created, data=_pack(store)))
    return Reply(200, encode(await _render_store(context, store)))


async def retrieve(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return a store."""
    return Reply(200, encode(await _render_store(context, await _find_store(context, request))))


async def list_stores(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List stores, the newest first, in pages."""
    found, token = await read_page(context, _STORE_KIND, request, default=_DEFAULT_PAGE, most=_LARGEST_PAGE)
    page: dict[str, Any] = {}
    if found:
        page["fileSearchStores"] = [await _render_store(context, _read_store(one.data)) for one in found]
    if token:
        page["nextPageToken"] = token
    return Reply(200, encode(page))


async def delete(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Delete a store, with its documents if `force` is set.

    Raises:
        ApiRuleError: There is no such store, or it has documents.
    """
    store = await _find_store(context, request)
    documents = await _documents(context, store.id)
    if documents and request.query.get("force", "").lower() != "true":
        raise ApiRuleError("Cannot delete non-empty FileSearchStore.", code="FAILED_PRECONDITION")
    while documents:
        for one in documents:
            await context.objects(_KIND).delete(one.id)
        documents = await _documents(context, store.id)
    await context.objects(_STORE_KIND).delete(store.id)
    return Reply(200, b"{}")


def _creation(body: bytes) -> DocumentCreation:
    sent = read_message(body, DocumentCreation)
    if len(sent.custom_metadata) > _MOST_METADATA:
        raise ApiRuleError(f"A document can have at most {_MOST_METADATA} custom_metadata.")
    return sent


def _labels(sent: DocumentCreation) -> bytes:
    labels = msgspec.to_builtins(sent.custom_metadata)
    return encode([{name: value for name, value in one.items() if value is not None} for one in labels])


async def import_file(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Make a document of an uploaded file.

    Raises:
        ApiRuleError: There is no such store or file, or a field is wrong.
    """
    store = await _find_store(context, request)
    sent = _creation(request.body)
    file = await find_file(context, (sent.file_name or "").removeprefix("files/"))
    stored = _Stored(
        id=context.new_id(),
        store=store.id,
        created=context.now(),
        display_name=file.display_name,
        mime_type=file.mime_type,
        size=file.size,
        metadata=_labels(sent),
    )
    await context.objects(_KIND).put(stored.as_document())
    return Reply(200, encode(stored.operation("ImportFile")))


async def begin_upload(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Begin the upload of a document: return the address for its bytes.

    Raises:
        ApiRuleError: There is no such store, the protocol is another, or the document is too large.
    """
    store = await _find_store(context, request)
    check_upload_size(request)
    sent = _creation(request.body or b"{}")
    sent_type = request.headers.get("x-goog-upload-header-content-type", "application/octet-stream")
    stored = _Stored(
        id=context.new_id(),
        store=store.id,
        created=context.now(),
        display_name=(sent.display_name or "")[:_MAX_NAME],
        mime_type=(sent.mime_type or sent_type)[:_MAX_NAME],
        size=0,
        metadata=_labels(sent),
    )
    await context.objects(_UPLOAD_KIND).put(stored.as_document())
    return begun_upload(request, stored.id)


async def upload(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Count the bytes of a document, which are not kept; the last ones make it.

    Raises:
        ApiRuleError: There is no such upload, or the bytes are not those that follow.
    """
    uploads = context.objects(_UPLOAD_KIND)
    document = await uploads.get(request.path_params["upload_id"])
    if document is None:
        raise ApiRuleError("Upload has already been terminated.", status=404)
    stored = _read(document.data)
    if request.headers.get("x-goog-upload-offset", "0") != str(stored.size):
        raise ApiRuleError(f"Upload offset is not {stored.size}, the size of what was received.")
    stored = msgspec.structs.replace(stored, size=stored.size + len(request.body))
    if "finalize" not in request.headers.get("x-goog-upload-command", "").lower():
        await uploads.put(stored.as_document())
        return Reply(200, b"", (("x-goog-upload-status", "active"),))
    await uploads.delete(stored.id)
    stored = msgspec.structs.replace(stored, id=context.new_id())
    await context.objects(_KIND).put(stored.as_document())
    operation = stored.operation("UploadToFileSearchStore")
    return Reply(200, encode(operation), (("x-goog-upload-status", "final"),))


async def _find(context: EndpointContext, request: IncomingRequest) -> _Stored:
    name = request.path_params["document_id"]
    document = await context.objects(_KIND).get(name)
    stored = None if document is None else _read(document.data)
    if stored is None or stored.store != request.path_params["store_id"]:
        raise _absent(f"the Document {name}")
    return stored


async def retrieve_document(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return the metadata of a document."""
    return Reply(200, encode((await _find(context, request)).render()))


async def list_documents(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List the documents of a store, the newest first, in pages."""
    store = await _find_store(context, request)
    found, token = await read_page(
        context, _KIND, request, default=_DEFAULT_PAGE, most=_LARGEST_PAGE, labels={"store": store.id}
    )
    page: dict[str, Any] = {}
    if found:
        page["documents"] = [_read(document.data).render() for document in found]
    if token:
        page["nextPageToken"] = token
    return Reply(200, encode(page))


async def delete_document(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Delete a document."""
    await context.objects(_KIND).delete((await _find(context, request)).id)
    return Reply(200, b"{}")


async def retrieve_operation(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return the operation that has made a document."""
    kind = "UploadToFileSearchStore" if "/upload/operations/" in request.path else "ImportFile"
    return Reply(200, encode((await _find(context, request)).operation(kind)))


def store_endpoints(version: str) -> tuple[ResourceEndpoint, ...]:
    """Return the endpoints of stores under a version of the API."""
    every = f"/{version}/fileSearchStores"
    one, uploads = (
        f"{every}/{{store_id}}",
        f"/upload/{version}/fileSearchStores/{{store_id}}:uploadToFileSearchStore",
    )
    documents = f"{one}/documents"
    routes = (
        ("POST", every, create),
        ("GET", every, list_stores),
        ("GET", one, retrieve),
        ("DELETE", one, delete),
        ("POST", f"{one}:importFile", import_file),
        ("POST", uploads, begin_upload),
        ("POST", f"{uploads}/{{upload_id}}", upload),
        ("GET", documents, list_documents),
        ("GET", f"{documents}/{{document_id}}", retrieve_document),
        ("DELETE", f"{documents}/{{document_id}}", delete_document),
        ("GET", f"{one}/operations/{{document_id}}", retrieve_operation),
        ("GET", f"{one}/upload/operations/{{document_id}}", retrieve_operation),
    )
    return tuple(
        ResourceEndpoint(label="file_search_stores", method=method, path=path, run=run)
        for method, path, run in routes
    )
