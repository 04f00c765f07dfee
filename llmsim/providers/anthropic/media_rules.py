"""Checks of images and documents that a request holds: media type, bytes and size.

Decisions:
* Only the head of an image is read: its format and its dimensions. Nothing is decoded or fetched.
* The limits are those of the API, in its words. Source: messages of the API as quoted in public issues:
  home-assistant/core#167208, anthropics/claude-code#8184, #12750, #19631, #4778, #9375, #5174,
  anthropics/anthropic-sdk-typescript#603, BrokkAi/brokk-app#2269; Anthropic docs, build-with-claude/vision.
"""

from collections.abc import Sequence
from typing import Any

from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.messages_request import DocumentBlock, ImageBlock, Source
from llmsim.providers.anthropic.signatures import decode_base64
from llmsim.providers.media import measure_base64

_MEDIA_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")

_IMAGE_SOURCES = ("base64", "url", "file")

_MAX_BYTES = 5 * 2**20
"""Largest image, in bytes of its base64."""

_MAX_SIDE = 8000
_MAX_SIDE_OF_MANY = 2000
"""Largest width or height in pixels, and that of the images of a request with many."""

_MANY = 20

Path = tuple[str | int, ...]


def check_images(images: Sequence[tuple[Path, ImageBlock]]) -> None:
    """Check all images of a request.

    Args:
        images: Each with the path of its block, the block's type included.

    Raises:
        InvalidFieldError: The API would not take one of them.
    """
    for path, image in images:
        source = image.source
        if source.type not in _IMAGE_SOURCES:
            raise InvalidFieldError((*path, "source", "type"), "choice", _IMAGE_SOURCES, source.type)
        place = (*path, "source", source.type)
        value = _required_value(source, place)
        if source.type == "url" and not value.lower().startswith("https://"):
            raise _conflict((*place, "url"), "Only HTTPS URLs are supported.")
        if source.type == "base64":
            _check_bytes(value, source.media_type, place, is_one_of_many=len(images) > _MANY)


def check_document(document: DocumentBlock, path: Path) -> None:
    """Check a document.

    Args:
        document: The document.
        path: Of its block, without the block's type.

    Raises:
        InvalidFieldError: It has no content, or is neither text nor a PDF.
    """
    source = document.source
    place = (*path, "document", "source", source.type)
    value = _required_value(source, place)
    if source.type != "base64":
        return
    _check_media_type(source.media_type, place, ("application/pdf",))
    if b"%PDF" not in (decode_base64(value) or b"")[:1024]:
        raise _conflict(
            (*path, "pdf", "source", "base64", "data"), "The PDF specified was not valid.", is_placed=True
        )


_FIELDS = {"base64": "data", "text": "data", "url": "url", "file": "file_id", "content": "content"}


def source_value(source: Source) -> Any:
    """Return the field of a source that its type requires; None if the source does not have it."""
    return getattr(source, _FIELDS[source.type])


def _required_value(source: Source, place: Path) -> Any:
    value = source_value(source)
    if value is None:
        raise InvalidFieldError((*place, _FIELDS[source.type]), "missing", None)
    return value


def _check_bytes(data: str, media_type: str | None, place: Path, *, is_one_of_many: bool) -> None:
    _check_media_type(media_type, place, _MEDIA_TYPES)
    if not data:
        raise _conflict(place, "image cannot be empty", is_placed=True)
    if len(data) > _MAX_BYTES:
        raise _conflict(
            place, f"image exceeds 5 MB maximum: {len(data)} bytes > {_MAX_BYTES} bytes", is_placed=True
        )
    content = decode_base64(data)
    if content is None:
        raise _conflict(place, "invalid base64 data", is_placed=True)
    found = _media_type(content)
    if found is None:
        raise _conflict((*place, "data"), "Could not process image")
    if found != media_type:
        raise _conflict(
            (*place, "data"),
            f"The image was specified using the {media_type} media type, but the image appears to be a {found} image",
            is_placed=True,
        )
    limit, many = (_MAX_SIDE_OF_MANY, " for many-image requests") if is_one_of_many else (_MAX_SIDE, "")
    if max(measure_base64(data)) > limit:
        raise _conflict(
            (*place, "data"),
            f"At least one of the image dimensions exceed max allowed size{many}: {limit} pixels",
            is_placed=True,
        )


def _check_media_type(media_type: str | None, place: Path, allowed: tuple[str, ...]) -> None:
    if media_type is None:
        raise InvalidFieldError((*place, "media_type"), "missing", None)
    if media_type not in allowed:
        raise InvalidFieldError((*place, "media_type"), "choice", allowed, media_type)


def _conflict(path: Path, message: str, *, is_placed: bool = False) -> InvalidFieldError:
    place = f"{'.'.join(map(str, path))}: " if is_placed else ""
    return InvalidFieldError(path, "conflict", place + message)


def _media_type(content: bytes) -> str | None:
    """Return the media type of an image by its first bytes; None if it is not an image that the API takes."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "image/webp"
    return None
