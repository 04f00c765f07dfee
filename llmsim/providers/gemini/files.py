"""`/upload/{version}/files` and `/{version}/files`: files that are uploaded in pieces, and named by contents.

Decisions:
* An upload is begun with the metadata and a header with its size; its bytes go to the address that comes back. That address carries the
  client's key, as SDKs send their bytes without one.
* A file is active at once, and deleted after 48 hours. What was uploaded cannot be downloaded, as with the API; results of batches can.
* An address in a content that names a file of this API has to exist, whatever its host; any other address is accepted unread.

Source: google-genai SDK 3.6, files.py, `_api_client.py` (`upload_file`), types.File; ai.google.dev/api/files.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from llmsim.errors import ApiRuleError
from llmsim.providers.contract import (
    Download,
    EndpointContext,
    IncomingRequest,
    Reply,
    ResourceEndpoint,
)
from llmsim.providers.gemini.messages import Content
from llmsim.providers.gemini.pages import read_page
from llmsim.providers.gemini.proto_json import read_message
from llmsim.providers.gemini.resource_messages import FileCreation
from llmsim.providers.gemini.timestamps import render_time
from llmsim.providers.storage import Document, FileUse
from llmsim.wire.codec import encode

_KIND, _UPLOAD_KIND, _PIECE_KIND = "gemini.file", "gemini.upload", "gemini.piece"
_STATUS_ACTIVE = ("x-goog-upload-status", "active")
_LIFETIME_SECS = 48 * 3_600
_MAX_BYTES = 2 * 2**30
_MAX_NAME = 512
_DEFAULT_PAGE, _LARGEST_PAGE = 10, 100

_NO_ROOM = "The file storage quota of the project is exceeded."

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_URI = re.compile(r"https?://[^/?#]+(?:/[^?#]*)?/v1(?:beta)?/files/([a-z0-9-]{1,48})")


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file, or one that is being uploaded.

    Attributes:
        id: Its name, without `files/`.
        created: Unix time in seconds.
        display_name: As its client names it; empty if it does not.
        mime_type: As sent.
        size: Bytes; of an upload those that have come.
        digest: SHA-256 of the content in base64; empty if it came in several pieces.
        pieces: Ids of the pieces of an upload.
        is_generated: Whether it holds the results of a batch, which are downloaded.
    """

    id: str
    created: float
    display_name: str
    mime_type: str
    size: int = 0
    digest: str = ""
    pieces: tuple[str, ...] = ()
    is_generated: bool = False

    def is_visible(self, now: float) -> bool:
        """Return whether it is found at a Unix time: results are created at the end of their batch."""
        return self.created <= now < self.created + _LIFETIME_SECS

    def render(self, base_url: str) -> dict[str, Any]:
        """Render it as the API's resource."""
        created = render_time(self.created)
        found: dict[str, Any] = {"name": f"files/{self.id}"}
        if self.display_name:
            found["displayName"] = self.display_name
        found |= {
            "mimeType": self.mime_type,
            "sizeBytes": str(self.size),
            "createTime": created,
            "updateTime": created,
            "expirationTime": render_time(self.created + _LIFETIME_SECS),
        }
        if self.digest:
            found["sha256Hash"] = self.digest
        uri = f"{base_url}/v1beta/files/{self.id}"
        found |= {"uri": uri, "state": "ACTIVE", "source": "GENERATED" if self.is_generated else "UPLOADED"}
        if self.is_generated:
            found["downloadUri"] = f"{uri}:download?alt=media"
        return found


_pack = msgspec.msgpack.encode
_read = msgspec.msgpack.Decoder(StoredFile).decode


async def begin_upload(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Begin an upload: return the address for its bytes.

    Raises:
        ApiRuleError: The protocol is another, the file is too large, or its name is invalid or taken.
    """
    check_upload_size(request)
    sent = read_message(request.body or b"{}", FileCreation).file
    upload_id = context.new_id()
    file = StoredFile(
        # Contents go with the object of their id, and that of the upload is deleted at its end.
        id=await _free_name(context, sent.name) if sent and sent.name else context.new_id(),
        created=context.now(),
        display_name=(sent.display_name or "")[:_MAX_NAME] if sent else "",
        mime_type=request.headers.get("x-goog-upload-header-content-type", "application/octet-stream")[
            :_MAX_NAME
        ],
    )
    await context.objects(_UPLOAD_KIND).put(Document(id=upload_id, created=file.created, data=_pack(file)))
    return begun_upload(request, upload_id)


def check_upload_size(request: IncomingRequest) -> None:
    """Check that a request begins an upload of a size that is taken.

    Raises:
        ApiRuleError: The protocol is another, or the content is too large.
    """
    headers = request.headers
    if headers.get("x-goog-upload-command", "").strip().lower() != "start":
        raise ApiRuleError("Only resumable uploads are supported: X-Goog-Upload-Command must be start.")
    size = headers.get("x-goog-upload-header-content-length", "0")
    if not size.isascii() or not size.isdigit() or len(size) > 12 or int(size) > _MAX_BYTES:
        raise ApiRuleError(f"File size exceeds the maximum allowed size of {_MAX_BYTES} bytes.")


def begun_upload(request: IncomingRequest, upload_id: str) -> Reply:
    """Return the address for the bytes of an upload, which carries the client's key."""
    key = _key_of(request)
    address = f"{request.base_url}{request.path}/{upload_id}" + (f"?key={quote(key)}" if key else "")
    return Reply(200, b"{}", (("x-goog-upload-status", "active"), ("x-goog-upload-url", address)))


def _key_of(request: IncomingRequest) -> str:
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    return request.query.get("key") or request.headers.get("x-goog-api-key") or bearer


async def _free_name(context: EndpointContext, name: str) -> str:
    name = name.removeprefix("files/")
    if not _NAME.fullmatch(name):
        raise ApiRuleError(
            "* CreateFileRequest.file.name: The file ID can only contain lowercase alphanumeric characters or dashes, cannot begin or "
            "end with a dash, and is limited to 40 characters.\n"
        )
    if await context.objects(_KIND).get(name) is not None:
        raise ApiRuleError(f"File files/{name} already exists.", code="ALREADY_EXISTS", status=409)
    return name


async def upload(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Add bytes to an upload; the last ones make the file.

    Raises:
        ApiRuleError: There is no such upload, the bytes are not those that follow, or there is no room.
    """
    upload_id = request.path_params["upload_id"]
    uploads = context.objects(_UPLOAD_KIND)
    document = await uploads.get(upload_id)
    if document is None:
        raise ApiRuleError("Upload has already been terminated.", status=404)
    file = _read(document.data)
    commands = [one.strip().lower() for one in request.headers.get("x-goog-upload-command", "").split(",")]
    if commands == ["query"]:
        return Reply(200, b"", (_STATUS_ACTIVE, ("x-goog-upload-size-received", str(file.size))))
    if commands == ["cancel"]:
        await uploads.delete(upload_id)
        return Reply(200, b"", (("x-goog-upload-status", "cancelled"),))
    if request.headers.get("x-goog-upload-offset", "0") != str(file.size):
        raise ApiRuleError(f"Upload offset is not {file.size}, the size of what was received.")
    piece = f"{upload_id}-{len(file.pieces)}"
    is_last = "finalize" in commands
    is_whole = is_last and not file.pieces
    name = file.id if is_whole else piece
    if not await context.contents.write(name, [request.body]):
        raise ApiRuleError(_NO_ROOM, status=429)
    file = msgspec.structs.replace(
        file,
        size=file.size + len(request.body),
        digest=b64encode(hashlib.sha256(request.body).digest()).decode() if is_whole else "",
        pieces=() if is_whole else (*file.pieces, piece),
    )
    if not is_whole:
        await context.objects(_PIECE_KIND).put(Document(id=piece, created=context.now(), data=b""))
    if not is_last:
        await uploads.put(Document(id=upload_id, created=document.created, data=_pack(file)))
        return Reply(200, b"", (_STATUS_ACTIVE,))
    return await _finish(context, request, upload_id, file)


async def _finish(
    context: EndpointContext, request: IncomingRequest, upload_id: str, file: StoredFile
) -> Reply:
    if file.pieces:
        await context.contents.join(file.id, file.pieces)
        for piece in file.pieces:
            await context.objects(_PIECE_KIND).delete(piece)
        file = msgspec.structs.replace(file, pieces=())
    await context.objects(_KIND).put(Document(id=file.id, created=file.created, data=_pack(file)))
    await context.objects(_UPLOAD_KIND).delete(upload_id)
    body = encode({"file": file.render(request.base_url)})
    return Reply(200, body, (("x-goog-upload-status", "final"),))


async def find_file(context: EndpointContext, name: str) -> StoredFile:
    """Return a file.

    Raises:
        ApiRuleError: There is no such file, or its time is over.
    """
    document = await context.objects(_KIND).get(name)
    file = None if document is None else _read(document.data)
    if file is None or not file.is_visible(context.now()):
        raise ApiRuleError(
            f"You do not have permission to access the File {name[:100]} or it may not exist.", status=403
        )
    return file


async def retrieve(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return the metadata of a file."""
    file = await find_file(context, request.path_params["file"])
    return Reply(200, encode(file.render(request.base_url)))


async def list_files(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List files, the newest first, in pages."""
    found, token = await read_page(context, _KIND, request, default=_DEFAULT_PAGE, most=_LARGEST_PAGE)
    files = [_read(document.data) for document in found]
    page: dict[str, Any] = {}
    if visible := [file for file in files if file.is_visible(context.now())]:
        page["files"] = [file.render(request.base_url) for file in visible]
    if token:
        page["nextPageToken"] = token
    return Reply(200, encode(page))


async def delete(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Delete a file."""
    file = await find_file(context, request.path_params["file"])
    await context.objects(_KIND).delete(file.id)
    return Reply(200, b"{}")


async def download(context: EndpointContext, request: IncomingRequest) -> Download:
    """Return the content of a file that was generated.

    Raises:
        ApiRuleError: There is no such file, or a client has uploaded it.
    """
    file = await find_file(context, request.path_params["file"])
    if not file.is_generated:
        raise ApiRuleError(
            f"File files/{file.id} was uploaded: only generated files can be downloaded.",
            code="FAILED_PRECONDITION",
        )
    return Download(file.id, file.size, filename=file.display_name)


async def store_results(context: EndpointContext, file: StoredFile, pieces: Sequence[bytes]) -> None:
    """Store the results of a batch as a file.

    Raises:
        ApiRuleError: There is no room for it.
    """
    if not await context.contents.write(file.id, pieces):
        raise ApiRuleError(_NO_ROOM, status=429)
    await context.objects(_KIND).put(Document(id=file.id, created=file.created, data=_pack(file)))


async def delete_results(context: EndpointContext, name: str) -> None:
    """Delete the results of a batch, if there are any."""
    await context.objects(_KIND).delete(name)


def used_files(contents: Sequence[Content]) -> Iterator[FileUse]:
    """Yield the files of this API that contents name."""
    for index, content in enumerate(contents):
        for place, part in enumerate(content.parts):
            if part.file_data is not None and (found := _URI.fullmatch(part.file_data.file_uri)):
                yield FileUse(("contents", index, "parts", place, "file_data"), found[1])


def file_endpoints(version: str) -> tuple[ResourceEndpoint, ...]:
    """Return the endpoints of files under a version of the API."""
    uploads, files = f"/upload/{version}/files", f"/{version}/files"
    return (
        ResourceEndpoint(label="files", method="POST", path=uploads, run=begin_upload),
        ResourceEndpoint(label="files", method="POST", path=f"{uploads}/{{upload_id}}", run=upload),
        ResourceEndpoint(method="GET", path=files, run=list_files),
        ResourceEndpoint(method="GET", path=f"{files}/{{file}}", run=retrieve),
        ResourceEndpoint(method="DELETE", path=f"{files}/{{file}}", run=delete),
        ResourceEndpoint(method="GET", path=f"{files}/{{file}}:download", run=download),
        ResourceEndpoint(
            label="files", method="GET", path=f"/download{files}/{{file}}:download", run=download
        ),
    )
