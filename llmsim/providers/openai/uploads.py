"""`/v1/uploads`: files that are uploaded in parts.

Source: openai SDK, resources/uploads/, types/upload.py, upload_create_params.py, upload_complete_params.py: 8 GB at most, parts of
64 MB at most, an hour until it expires.
"""

import hashlib
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from llmsim.errors import ApiRuleError
from llmsim.providers.contract import EndpointContext, IncomingRequest, Reply, ResourceEndpoint
from llmsim.providers.openai.files import required_form
from llmsim.providers.openai.object_lists import not_found
from llmsim.providers.openai.stored_files import (
    FILE_KIND,
    ExpiresAfter,
    StoredFile,
    check_purpose,
    expiry,
)
from llmsim.providers.storage import Document
from llmsim.wire.codec import decoder, encode

_KIND = "openai.upload"
_PART_KIND = "openai.upload_part"

_LIFETIME_SECS = 3_600
_PART_BYTES = 64 * 2**20
_PENDING, _COMPLETED, _CANCELLED, _EXPIRED = "pending", "completed", "cancelled", "expired"


class _Creation(msgspec.Struct):
    bytes: Annotated[int, Meta(ge=0, le=8 * 2**30)]
    filename: Annotated[str, Meta(min_length=1, max_length=1024)]
    mime_type: Annotated[str, Meta(min_length=1, max_length=256)]
    purpose: str
    expires_after: ExpiresAfter | None = None


class _Completion(msgspec.Struct):
    part_ids: Annotated[list[str], Meta(min_length=1, max_length=10_000)]
    md5: str | None = None


class _Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload as it is stored; `file` is its file once it is completed."""

    id: str
    created: int
    size: int
    filename: str
    purpose: str
    expires_after: ExpiresAfter | None
    status: str = _PENDING
    file: StoredFile | None = None

    def status_at(self, now: float) -> str:
        """Return its status at a Unix time."""
        return _EXPIRED if self.status == _PENDING and now >= self.created + _LIFETIME_SECS else self.status

    def render(self, now: float) -> dict[str, Any]:
        """Render the upload object."""
        return {
            "id": self.id,
            "object": "upload",
            "bytes": self.size,
            "created_at": self.created,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": self.status_at(now),
            "expires_at": self.created + _LIFETIME_SECS,
            "file": self.file.render() if self.file is not None else None,
        }


class _Part(msgspec.Struct, frozen=True):
    id: str
    upload_id: str
    created: int
    size: int


_decode_creation = decoder(_Creation)
_decode_completion = decoder(_Completion)
_pack = msgspec.msgpack.encode
_read_upload = msgspec.msgpack.Decoder(_Upload).decode
_read_part = msgspec.msgpack.Decoder(_Part).decode


async def create(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Begin an upload."""
    wanted = _decode_creation(request.body)
    now = context.now()
    purpose = check_purpose(wanted.purpose)
    expiry(wanted.expires_after, purpose, int(now))
    upload = _Upload(
        id=f"upload_{context.new_id()}",
        created=int(now),
        size=wanted.bytes,
        filename="".join(letter for letter in wanted.filename if letter.isprintable()),
        purpose=purpose,
        expires_after=wanted.expires_after,
    )
    await context.objects(_KIND).put(Document(id=upload.id, created=now, data=_pack(upload)))
    return Reply(200, encode(upload.render(now)))


async def _find_pending(context: EndpointContext, request: IncomingRequest) -> _Upload:
    """Return the upload of a request.

    Raises:
        ApiRuleError: There is no such upload, or it has ended.
    """
    upload_id = request.params["upload_id"]
    document = await context.objects(_KIND).get(upload_id)
    if document is None:
        raise not_found("Upload", upload_id)
    upload = _read_upload(document.data)
    _check_pending(upload, context.now())
    return upload


def _check_pending(upload: _Upload, now: float) -> None:
    if (status := upload.status_at(now)) != _PENDING:
        raise ApiRuleError(
            f"Upload {upload.id} is {status}; only a pending upload can be changed.", "upload_id"
        )


async def add_part(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Add a part."""
    data = required_form(request).file("data")
    upload = await _find_pending(context, request)
    if data.size > _PART_BYTES:
        raise ApiRuleError(f"A part has at most {_PART_BYTES} bytes, and this one has {data.size}.", "data")
    part = _Part(f"part_{context.new_id()}", upload.id, int(context.now()), data.size)
    if not await context.contents.write(part.id, data.pieces()):
        raise ApiRuleError(
            "You have exceeded your file storage quota. Please delete old files to free up space.",
            None,
            "storage_quota_exceeded",
        )
    await context.objects(_PART_KIND).put(
        Document(id=part.id, created=part.created, data=_pack(part), labels={"upload": upload.id})
    )
    return Reply(
        200,
        encode(
            {
                "id": part.id,
                "object": "upload.part",
                "created_at": part.created,
                "upload_id": upload.id,
            }
        ),
    )


async def complete(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Make a file of the parts, in the order in which they are named."""
    wanted = _decode_completion(request.body)
    upload = await _find_pending(context, request)
    parts = [await _find_part(context, upload, part_id) for part_id in wanted.part_ids]
    if len(set(wanted.part_ids)) < len(parts):
        raise ApiRuleError("A part is named twice.", "part_ids")
    size = sum(part.size for part in parts)
    if size != upload.size:
        raise ApiRuleError(
            f"The parts have {size} bytes together, but {upload.size} were announced when the upload was created.",
            "part_ids",
        )
    if wanted.md5 is not None:
        digest = hashlib.md5(usedforsecurity=False)
        for part in parts:
            await context.compute(request, digest.update, await context.contents.read(part.id))
        if digest.hexdigest() != wanted.md5.lower():
            raise ApiRuleError("The md5 checksum does not match the uploaded parts.", "md5")
    now = context.now()
    file = StoredFile(
        id=f"file-{context.new_id()}",
        created=int(now),
        size=size,
        filename=upload.filename,
        purpose=upload.purpose,
        expires_at=expiry(upload.expires_after, upload.purpose, int(now)),
    )
    completed = await _end(context, upload, msgspec.structs.replace(upload, status=_COMPLETED, file=file))
    await context.contents.join(file.id, wanted.part_ids)
    await context.objects(FILE_KIND).put(file.as_document())
    await _drop_parts(context, upload)
    return Reply(200, encode(completed.render(now)))


async def _find_part(context: EndpointContext, upload: _Upload, part_id: str) -> _Part:
    document = await context.objects(_PART_KIND).get(part_id)
    part = _read_part(document.data) if document is not None else None
    if part is None or part.upload_id != upload.id:
        raise not_found("Part", part_id, "part_ids")
    return part


async def _end(context: EndpointContext, upload: _Upload, ended: _Upload) -> _Upload:
    """Store the end of an upload, unless another request has ended it in the meantime."""
    now = context.now()

    def change(document: Document) -> Document:
        _check_pending(_read_upload(document.data), now)
        return msgspec.structs.replace(document, data=_pack(ended))

    if await context.objects(_KIND).edit(upload.id, change) is None:
        raise not_found("Upload", upload.id)
    return ended


async def _drop_parts(context: EndpointContext, upload: _Upload) -> None:
    """Delete the parts of an upload that has ended, with what was not used of them."""
    parts = context.objects(_PART_KIND)
    has_more = True
    while has_more:
        documents, has_more = await parts.page(limit=1000, labels={"upload": upload.id})
        for document in documents:
            await parts.delete(document.id)


async def cancel(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Cancel an upload."""
    upload = await _find_pending(context, request)
    cancelled = await _end(context, upload, msgspec.structs.replace(upload, status=_CANCELLED))
    await _drop_parts(context, upload)
    return Reply(200, encode(cancelled.render(context.now())))


_ONE = "/v1/uploads/{upload_id}"

UPLOADS = (
    ResourceEndpoint(method="POST", label="uploads", path="/v1/uploads", run=create),
    ResourceEndpoint(method="POST", label="uploads", path=f"{_ONE}/parts", run=add_part, takes_forms=True),
    ResourceEndpoint(method="POST", label="uploads", path=f"{_ONE}/complete", run=complete),
    ResourceEndpoint(method="POST", label="uploads", path=f"{_ONE}/cancel", run=cancel),
)
