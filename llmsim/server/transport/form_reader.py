"""Reads forms (`multipart/form-data`) as they come, piece by piece.

Decisions:
* Falcon's parser finds the parts; what it reads is bounded here. Its reader holds a few pieces of 8 KiB.
* Files go to temporary files without a name in the run directory, so that no killed process leaves one; a form of up to 64 KiB
  stays in memory. Fields are small, and stay there as well.
* The budget of bodies does not count a form: it is not held. What is sent while the reader is behind stays in the kernel.
"""

import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from falcon.asgi import Request
from falcon.asgi.multipart import BodyPart, MultipartForm
from falcon.errors import HTTPInvalidHeader, MultipartParseError
from falcon.media import MultipartFormHandler
from falcon.media.multipart import MultipartParseOptions

from llmsim.errors import BodyTooLargeError, StoreError, TransportError
from llmsim.providers.forms import Form, FormError, FormFile
from llmsim.server.channels import CHANNEL, HttpChannel
from llmsim.server.transport.bodies import PROBLEM, DisconnectedError
from llmsim.server.transport.body_budget import UNCOUNTED

FORM_TYPE = "multipart/form-data"

_MAX_PARTS = 256
_MAX_HEAD_BYTES = 8_192
"""Most bytes of the headers of one part."""

_MAX_FIELD_BYTES = 262_144
"""Most bytes of all fields that are no files."""

_GONE = 0.05
"""Seconds within which the server reports a disconnect that has cut a form off."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class FormReader:
    """Reads the forms of one worker's requests.

    Args:
        limit: Most bytes of a form.
        directory: Where files are put.
    """

    def __init__(self, limit: int, directory: Path) -> None:
        self._limit = limit
        self._directory = directory
        options = MultipartParseOptions()
        options.max_body_part_count = _MAX_PARTS
        options.max_body_part_headers_size = _MAX_HEAD_BYTES
        self._handler = MultipartFormHandler(options)

    async def read(self, req: Request) -> Form:
        """Read a form; its files are closed at the end of the request.

        Raises:
            FormError: It is spoiled.
            BodyTooLargeError: It is over the limit.
            TransportError: It is not whole, and the client is still there.
            StoreError: There is no room for a file.
            DisconnectedError: The client disconnected before its end.
        """
        announced = req.content_length
        if announced is not None and announced > self._limit:
            raise BodyTooLargeError(self._limit)
        if req.get_header("content-encoding", default="identity") not in ("", "identity"):
            raise FormError("a form is not read with a content-encoding")
        source = self._pieces(req, announced)
        form: Any
        try:
            form = await self._handler.deserialize_async(source, req.content_type, announced)  # type: ignore[arg-type]  # it iterates
            return await self._read_parts(form, req)
        except (MultipartParseError, HTTPInvalidHeader) as error:
            # What ended the body early is the reason, not the form that misses its end.
            await self._check_end(req, announced, -1)
            raise FormError(error.description or error.title or "unexpected form structure") from None
        except UnicodeError:
            raise FormError("the headers of a part are not UTF-8") from None
        except OSError as error:
            raise StoreError(f"no room for an uploaded file in {self._directory}: {error.strerror}") from None

    async def _pieces(self, req: Request, announced: int | None) -> AsyncIterator[bytes]:
        """Return the body as it comes.

        Raises:
            BodyTooLargeError: It is over the limit.
        """
        total = 0
        async for piece in req.stream:
            total += len(piece)
            if total > self._limit:
                raise BodyTooLargeError(self._limit)
            yield piece
        await self._check_end(req, announced, total)

    async def _check_end(self, req: Request, announced: int | None, total: int) -> None:
        """Check that a body has ended as it should.

        Raises:
            TransportError: It was cut off, and the client is still there.
            DisconnectedError: The client has disconnected.
        """
        problem: tuple[int, str] | None = req.scope.get(PROBLEM)
        if problem is not None:
            raise TransportError(*problem)
        channel: HttpChannel = req.scope[CHANNEL]
        if channel.disconnected:
            raise DisconnectedError
        if announced is not None and 0 <= total < announced:
            if not await channel.wait_until(time.monotonic() + _GONE):
                raise DisconnectedError
            raise TransportError(400, f"the body has {total} bytes of the {announced} in content-length")

    async def _read_parts(self, form: MultipartForm, req: Request) -> Form:
        fields: list[tuple[str, str]] = []
        files: list[FormFile] = []
        room = _MAX_FIELD_BYTES
        in_memory = UNCOUNTED
        async for part in form:
            name = part.name
            if not name:
                raise FormError("a part has no name")
            if not _is_file(part):
                value = await part.stream.read(room + 1)
                room -= len(value) + len(name)
                if room < 0:
                    raise FormError(f"the fields of the form are larger than {_MAX_FIELD_BYTES} bytes")
                fields.append((_clean(name), value.decode()))
            else:
                file = await self._read_file(part, name, in_memory, req)
                in_memory = max(in_memory - file.size, 1)
                files.append(file)
        await req.stream.exhaust()
        return Form(tuple(fields), tuple(files))

    async def _read_file(self, part: BodyPart, name: str, in_memory: int, req: Request) -> FormFile:
        content = SpooledTemporaryFile(max_size=in_memory, dir=str(self._directory))  # noqa: SIM115 - closed with the request
        req.scope[CHANNEL].active.hold_until_end(partial(_close, content))
        digest = hashlib.sha256(usedforsecurity=False)
        size = 0
        async for piece in part.stream:
            digest.update(piece)
            size += len(piece)
            content.write(piece)
        content.flush()
        kind = part.content_type if b"content-type" in part._headers else ""
        return FormFile(
            _clean(name), _clean(part.filename or ""), _clean(kind), size, digest.hexdigest(), content
        )


def is_form(content_type: str) -> bool:
    """Return whether a content type is that of a form."""
    return content_type.partition(";")[0].strip().lower() == FORM_TYPE


def _is_file(part: BodyPart) -> bool:
    """Return whether a part is a file. Source: anthropic SDK sends bytes without a name, as `application/octet-stream`."""
    if part.filename is not None:
        return True
    kind = part.content_type.partition(";")[0].strip().lower()
    return not kind.startswith("text/") and kind != "application/json"


def _close(content: IO[bytes]) -> None:
    # What could not be written cannot be written now, either.
    with contextlib.suppress(OSError):
        content.close()


def _clean(text: str) -> str:
    return _CONTROL.sub("", text)
