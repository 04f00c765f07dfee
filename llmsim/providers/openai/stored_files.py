"""Uploaded files as they are stored, for all endpoints that take or make them.

Decisions:
* A file that has expired is not found; the store evicts it in time.
* A file may become visible later: the output of a batch is there when the batch has ended.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.providers.contract import EndpointContext
from llmsim.providers.openai.object_lists import not_found
from llmsim.providers.storage import Document

FILE_KIND = "openai.file"

PURPOSES = ("fine-tune", "assistants", "batch", "user_data", "vision", "evals")
"""What clients upload files for."""

_BATCH_SECS = 30 * 86_400
_MIN_SECS, _MAX_SECS = 3_600, 2_592_000
"""Bounds of `expires_after`. Source: openai SDK, types/file_create_params.py."""


class StoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file.

    Attributes:
        id: Its public id, under which its content is stored, too.
        created: Unix time in seconds.
        size: Bytes of its content.
        filename: As the client calls it.
        purpose: What it was uploaded for.
        expires_at: Unix time at which it expires; None for never.
        visible_at: Unix time from which on it is found.
    """

    id: str
    created: int
    size: int
    filename: str
    purpose: str
    expires_at: int | None = None
    visible_at: float = 0.0

    def render(self) -> dict[str, Any]:
        """Render the file object."""
        return {
            "object": "file",
            "id": self.id,
            "purpose": self.purpose,
            "filename": self.filename,
            "bytes": self.size,
            "created_at": self.created,
            "expires_at": self.expires_at,
            "status": "processed",
            "status_details": None,
        }

    def as_document(self) -> Document:
        """Return the file as a document."""
        return Document(
            id=self.id,
            created=self.created,
            data=msgspec.msgpack.encode(self),
            labels={"purpose": self.purpose},
        )

    def is_visible(self, now: float) -> bool:
        """Return whether the file is found at a Unix time."""
        return self.visible_at <= now and (self.expires_at is None or now < self.expires_at)


read_file = msgspec.msgpack.Decoder(StoredFile).decode


async def find_file(
    context: EndpointContext, file_id: str, *, param: str | None = "id", status: int = 404
) -> StoredFile:
    """Return a file.

    Raises:
        ApiRuleError: There is no such file; `param` is the field that names it, `status` that of the refusal.
    """
    document = await context.objects(FILE_KIND).get(file_id)
    file = read_file(document.data) if document is not None else None
    if file is None or not file.is_visible(context.now()):
        refusal = not_found("File", file_id, param)
        refusal.status = status
        raise refusal
    return file


async def store_file(context: EndpointContext, file: StoredFile, pieces: Iterable[bytes]) -> None:
    """Store a file with its content.

    Raises:
        ApiRuleError: There is no room for it.
    """
    if not await context.contents.write(file.id, pieces):
        raise ApiRuleError(
            "You have exceeded your file storage quota. Please delete old files to free up space.",
            None,
            "storage_quota_exceeded",
        )
    await context.objects(FILE_KIND).put(file.as_document())


def check_purpose(purpose: str | None) -> str:
    """Return the purpose of an upload.

    Raises:
        InvalidFieldError: It is missing.
        ApiRuleError: It is not one of those that clients upload for.
    """
    if purpose is None:
        raise InvalidFieldError(("purpose",), "missing", None)
    if purpose not in PURPOSES:
        choices = ", ".join(f"'{choice}'" for choice in PURPOSES)
        raise ApiRuleError(f"'{purpose[:100]}' is not one of [{choices}] - 'purpose'", "purpose")
    return purpose


class ExpiresAfter(msgspec.Struct):
    """When a file expires."""

    anchor: str
    seconds: int


def expiry(
    expires_after: ExpiresAfter | None, purpose: str, created: int, field: str = "expires_after"
) -> int | None:
    """Return the Unix time at which a file expires; None for never.

    Raises:
        InvalidFieldError: What was asked is out of range.
    """
    if expires_after is None:
        return created + _BATCH_SECS if purpose == "batch" else None
    if expires_after.anchor != "created_at":
        raise InvalidFieldError((field, "anchor"), "choice", ("created_at",), expires_after.anchor)
    if expires_after.seconds < _MIN_SECS:
        raise InvalidFieldError((field, "seconds"), "minimum", _MIN_SECS, expires_after.seconds)
    if expires_after.seconds > _MAX_SECS:
        raise InvalidFieldError((field, "seconds"), "maximum", _MAX_SECS, expires_after.seconds)
    return created + expires_after.seconds
