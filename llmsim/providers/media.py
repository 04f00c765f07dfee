"""Images, files and recordings in a prompt: how large an image is, and what distinguishes one from another.

Decisions:
* The size of an image is read from the first bytes of its base64, of a JPEG from the heads of its segments: nothing is decoded as a
  whole, and an image that is damaged or of another format has no size.
* Of the content a digest is kept: a prompt stays small, whatever is in it.

Source: PNG, RFC 2083, 3.2 and 4.1.1; GIF89a, 18; WebP, RFC 9649, 2; JPEG, ITU-T T.81, annex B.
"""

import binascii
import hashlib

from llmsim.domain import Attachment, Image
from llmsim.providers.storage import FileUse

_MOST_HEADER = 200
"""Characters of a data URL before its data."""

_MOST_SEGMENTS = 512
"""Segments of a JPEG that are looked at; a large colour profile takes 255."""

# The markers of frames; the others in their range are tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_ENDS = frozenset((0xD9, 0xDA))

_Size = tuple[int, int]
_UNKNOWN = (0, 0)

_Path = tuple[str | int, ...]


class Media:
    """Collects the images and other attachments of a prompt.

    Attributes:
        message: Index of the message that is being parsed.
        images: All images so far.
        attachments: Everything so far, in its order.
        files: Uploaded files that are named.
    """

    def __init__(self, message: int = 0) -> None:
        self.message = message
        self.images: list[Image] = []
        self.attachments: list[Attachment] = []
        self.files: list[FileUse] = []

    def use_file(self, file_id: str | None, path: _Path) -> None:
        """Note an uploaded file that is named at a place in the request; none if there is no id."""
        if file_id is not None:
            self.files.append(FileUse((*path, "file_id"), file_id))

    def add_image(
        self, path: _Path, url: str | None, detail: str | None, *, texts: int, file: str = ""
    ) -> None:
        """Add an image of the current message.

        Args:
            path: Its place in the request.
            url: Its address or data URL; None if it is a file.
            detail: As requested.
            texts: Number of texts of the message that come before it.
            file: Id of the file.
        """
        width, height = measure_url(url) if url is not None else _UNKNOWN
        image = Image(path, detail or "auto", width, height)
        digest = content_digest(image.detail, url or file)
        self.attachments.append(Attachment(self.message, texts, digest, len(self.images)))
        self.images.append(image)

    def add_file(self, *content: str | None, texts: int) -> None:
        """Add a file or recording of the current message.

        Args:
            content: What distinguishes it from others.
            texts: Number of texts of the message that come before it.
        """
        self.attachments.append(Attachment(self.message, texts, content_digest(*content)))


def content_digest(*content: str | None) -> str:
    """Return a digest of some content."""
    digest = hashlib.blake2b(digest_size=12)
    for part in content:
        data = (part or "").encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()


def measure_url(url: str) -> _Size:
    """Return width and height of the image in a data URL; zeros for any other address."""
    if not url.startswith("data:"):
        return _UNKNOWN
    return measure_base64(url, url.find(",", 0, _MOST_HEADER) + 1)


def measure_base64(text: str, start: int = 0) -> _Size:
    """Return width and height of a PNG, JPEG, GIF or WebP image; zeros if they cannot be read.

    Args:
        text: The image in base64, from `start` on.
        start: Where it begins.
    """
    image = _Bytes(text, start)
    try:
        head = image.read(0, 30)
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return _number(head[16:20]), _number(head[20:24])
        if head.startswith(b"GIF8"):
            return _number(head[6:8], little=True), _number(head[8:10], little=True)
        if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            return _measure_webp(head)
        if head.startswith(b"\xff\xd8"):
            return _measure_jpeg(image)
    except (ValueError, IndexError):
        pass
    return _UNKNOWN


class _Bytes:
    """Base64 text of which any bytes can be read."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._start = start

    def read(self, offset: int, count: int) -> bytes:
        """Return some bytes, fewer at the end.

        Raises:
            ValueError: It is not base64.
        """
        skipped = offset % 3
        first = self._start + offset // 3 * 4
        data = binascii.a2b_base64(self._text[first : first + (skipped + count + 2) // 3 * 4])
        return data[skipped : skipped + count]


def _number(data: bytes, *, little: bool = False) -> int:
    return int.from_bytes(data, "little" if little else "big")


def _measure_webp(head: bytes) -> _Size:
    match head[12:16]:
        case b"VP8 ":
            return _number(head[26:28], little=True) & 0x3FFF, _number(head[28:30], little=True) & 0x3FFF
        case b"VP8L":
            bits = _number(head[21:25], little=True)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return _number(head[24:27], little=True) + 1, _number(head[27:30], little=True) + 1
        case _:
            return _UNKNOWN


def _measure_jpeg(image: _Bytes) -> _Size:
    offset = 2
    for _ in range(_MOST_SEGMENTS):
        segment = image.read(offset, 9)
        marker = segment[1]
        if segment[0] != 0xFF or marker in _ENDS:
            break
        if marker in _FRAMES:
            return _number(segment[7:9]), _number(segment[5:7])
        if marker == 0xFF:
            offset += 1
        elif marker in _WITHOUT_LENGTH:
            offset += 2
        else:
            offset += 2 + max(2, _number(segment[2:4]))
    return _UNKNOWN
