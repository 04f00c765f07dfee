"""`/v1/files`: uploaded files, and those that messages name.

Decisions:
* Any `anthropic-beta` will do, and none: the API began as a beta, and newer SDKs call it without.
* Only what a tool has made can be downloaded, as by the API; what was uploaded cannot.

Source: anthropic SDK, resources/files.py and resources/beta/files.py, types/file_metadata.py, file_upload_params.py,
file_list_params.py, file_not_downloadable_error.py, storage_quota_exceeded_error.py; Anthropic docs, build-with-claude/files.
"""

import mimetypes
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from llmsim.errors import ApiRuleError, InvalidFieldError, UnknownResponseError
from llmsim.providers.anthropic.messages_request import (
    Block,
    ContainerUploadBlock,
    DocumentBlock,
    ImageBlock,
    MessageParam,
    ToolResultBlock,
)
from llmsim.providers.anthropic.passages import MOST_PASSAGES, cite_stored
from llmsim.providers.anthropic.resources import rfc3339
from llmsim.providers.contract import (
    Download,
    EndpointContext,
    IncomingRequest,
    ParsedRequest,
    Reply,
    ResourceEndpoint,
)
from llmsim.providers.forms import FormError
from llmsim.providers.paging import parse_limit
from llmsim.providers.storage import Document, FileUse
from llmsim.wire.codec import encode

_KIND = "anthropic.file"

_MIN_SECS, _MAX_SECS = 3_600, 7_776_000
_MAX_NAME = 500
_FORBIDDEN = re.compile(r'[<>:"|?*\\/\x00-\x1f]')

_DEFAULT_LIMIT, _MAX_LIMIT = 20, 1000
_MAX_IDS = 100
_PAGE = "page_"

_MOST_CITED_BYTES = 4 << 20
"""Size of a file above which it is not read for citations."""

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64}")


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it is stored."""

    id: str
    created: int
    size: int
    filename: str
    mime_type: str
    expires_at: int | None = None
    downloadable: bool = False

    def render(self) -> dict[str, Any]:
        """Render its metadata."""
        return {
            "type": "file",
            "id": self.id,
            "size_bytes": self.size,
            "created_at": rfc3339(self.created),
            "filename": self.filename,
            "mime_type": self.mime_type,
            "downloadable": self.downloadable,
            "expires_at": None if self.expires_at is None else rfc3339(self.expires_at),
        }


_read = msgspec.msgpack.Decoder(_File).decode


async def upload(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Upload a file."""
    if request.form is None:
        raise FormError("the content-type must be multipart/form-data")
    sent = request.form.file("file")
    created = int(context.now())
    mime_type = _media_type(sent.content_type, sent.filename)
    file = _File(
        id=f"file_{context.new_id()}",
        created=created,
        size=sent.size,
        filename=_check_name(sent.filename, mime_type),
        mime_type=mime_type,
        expires_at=_expiry(request.form.get("expires_in_seconds"), created),
    )
    if not await context.contents.write(file.id, sent.pieces()):
        raise ApiRuleError(
            "The organization has exceeded its file storage quota; delete files that are no longer needed.",
            code="storage_quota_exceeded",
        )
    document = Document(id=file.id, created=created, data=msgspec.msgpack.encode(file))
    await context.objects(_KIND).put(document)
    return Reply(200, encode(file.render()))


def _media_type(sent: str, filename: str) -> str:
    kind = sent.partition(";")[0].strip().lower()
    if _MEDIA_TYPE.fullmatch(kind) and kind != "application/octet-stream":
        return kind
    return mimetypes.guess_type(filename)[0] or "application/octet-stream"


def _check_name(filename: str, mime_type: str) -> str:
    """Return the last component of a name, or one that fits the type if there is none."""
    name = re.split(r"[/\\]", filename)[-1]
    if not name:
        return f"unnamed{mimetypes.guess_extension(mime_type) or ''}"
    if len(name) > _MAX_NAME or _FORBIDDEN.search(name):
        raise InvalidFieldError(
            ("file",),
            "conflict",
            f'file: the filename must have 1 to {_MAX_NAME} characters and none of < > : " | ? * \\ /',
        )
    return name


def _expiry(sent: str | None, created: int) -> int | None:
    if sent is None:
        return None
    field = ("expires_in_seconds",)
    if not sent.isascii() or not sent.isdigit() or len(sent) > 9:
        raise InvalidFieldError(field, "type", "int", sent)
    seconds = int(sent)
    if seconds < _MIN_SECS:
        raise InvalidFieldError(field, "minimum", _MIN_SECS, seconds)
    if seconds > _MAX_SECS:
        raise InvalidFieldError(field, "maximum", _MAX_SECS, seconds)
    return created + seconds


async def _find(context: EndpointContext, file_id: str) -> _File:
    document = await context.objects(_KIND).get(file_id)
    if document is None:
        raise UnknownResponseError(file_id, noun="File")
    file = _read(document.data)
    if file.expires_at is not None and context.now() >= file.expires_at:
        raise ApiRuleError(f"File {file.id} has expired.", code="file_expired", status=404)
    return file


async def retrieve(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return the metadata of a file."""
    return Reply(200, encode((await _find(context, request.params["file_id"])).render()))


async def list_files(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List files, the newest first: a page, those with some ids, or those of a scope."""
    params, stored = request.params, context.objects(_KIND)
    if params.get("scope_id"):
        # What is uploaded has no scope: only what a session has made has one.
        return _render_page((), None)
    if ids := _parse_ids(request):
        found = [document for name in ids if (document := await stored.get(name)) is not None]
        return _render_page(found, None)
    limit = parse_limit(params, _DEFAULT_LIMIT, _MAX_LIMIT)
    after, before = params.get("after_id"), params.get("before_id")
    if (page := params.get("page")) is not None:
        if not page.startswith(_PAGE):
            raise InvalidFieldError(("page",), "conflict", "page: not a cursor of this list")
        after = page.removeprefix(_PAGE)
    try:
        found, has_more = await stored.page(limit=limit, after=after, before=before)
    except KeyError:
        name = "page" if page is not None else "after_id" if after is not None else "before_id"
        raise InvalidFieldError((name,), "conflict", f"{name}: not in this list") from None
    return _render_page(found, f"{_PAGE}{found[-1].id}" if has_more else None)


def _parse_ids(request: IncomingRequest) -> list[str]:
    sent = request.params.get("ids[]") or request.params.get("ids")
    ids = list(dict.fromkeys(sent.split(","))) if sent else []
    if len(ids) > _MAX_IDS:
        raise InvalidFieldError(("ids",), "too_long", _MAX_IDS, ids)
    return ids


def _render_page(found: Sequence[Document], next_page: str | None) -> Reply:
    # Newer SDKs read `next_page`, older ones the ids.
    return Reply(
        200,
        encode(
            {
                "data": [_read(document.data).render() for document in found],
                "next_page": next_page,
                "has_more": next_page is not None,
                "first_id": found[0].id if found else None,
                "last_id": found[-1].id if found else None,
            }
        ),
    )


async def delete(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Delete a file."""
    file = await _find(context, request.params["file_id"])
    await context.objects(_KIND).delete(file.id)
    return Reply(200, encode({"id": file.id, "type": "file_deleted"}))


async def download(context: EndpointContext, request: IncomingRequest) -> Download:
    """Return the content of a file that a tool has made."""
    file = await _find(context, request.params["file_id"])
    if not file.downloadable:
        raise ApiRuleError(f"File {file.id} is not downloadable.", code="file_not_downloadable")
    return Download(file.id, file.size, filename=file.filename)


def used_files(messages: Sequence[MessageParam]) -> tuple[FileUse, ...]:
    """Return the files that the documents and images of messages name."""
    uses: list[FileUse] = []
    for index, message in enumerate(messages):
        if not isinstance(message.content, str):
            _add_uses(message.content, ("messages", index, "content"), uses)
    return tuple(uses)


def _add_uses(blocks: Sequence[Block | Any], path: tuple[str | int, ...], uses: list[FileUse]) -> None:
    for index, block in enumerate(blocks):
        place = (*path, index)
        match block:
            case ImageBlock() | DocumentBlock() if block.source.file_id is not None:
                uses.append(FileUse((*place, "source", "file_id"), block.source.file_id))
            case ContainerUploadBlock(file_id=str() as file_id):
                uses.append(FileUse((*place, "file_id"), file_id))
            case ToolResultBlock() if isinstance(block.content, list):
                _add_uses(block.content, (*place, "content"), uses)
            case _:
                pass


async def load_files(context: EndpointContext, parsed: ParsedRequest[Any]) -> ParsedRequest[Any]:
    """Return a request whose files exist, with what its text cites of them.

    Raises:
        UnknownResponseError: One does not.
        ApiRuleError: One has expired.
    """
    files = {use.id: await _find(context, use.id) for use in parsed.files}
    options = parsed.options
    found: list[dict[str, Any]] = []
    for stored in options.stored:
        file = files[stored.file_id]
        if file.size <= _MOST_CITED_BYTES:
            content = await context.contents.read(file.id)
            if (citation := cite_stored(stored, content, file.filename)) is not None:
                found.append(citation)
    if not found:
        return parsed
    citations = sorted([*options.citations, *found], key=lambda one: one.get("document_index", 0))
    options = msgspec.structs.replace(options, citations=tuple(citations[:MOST_PASSAGES]))
    return msgspec.structs.replace(parsed, options=options)


_ONE = "/v1/files/{file_id}"

FILES = (
    ResourceEndpoint(method="POST", path="/v1/files", run=upload, takes_forms=True),
    ResourceEndpoint(method="GET", path="/v1/files", run=list_files),
    ResourceEndpoint(method="GET", path=_ONE, run=retrieve),
    ResourceEndpoint(method="DELETE", path=_ONE, run=delete),
    ResourceEndpoint(method="GET", path=f"{_ONE}/content", run=download),
)
