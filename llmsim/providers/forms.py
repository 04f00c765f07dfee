"""Forms: bodies of the type `multipart/form-data`, as endpoints get them.

Decisions:
* The content of a file is never part of a request's `body`: that has the digest of each file in its place, so what depends on
  the body alone depends on all of the form. A file is read by the endpoint that wants it.
"""

from collections.abc import Iterator
from typing import IO

import msgspec

from llmsim.errors import InvalidFieldError, RefusedError
from llmsim.wire.codec import encode

_PIECE = 262_144
"""Bytes that are read at a time."""


class FormError(RefusedError):
    """The body is not the form that the endpoint takes."""


class FormFile(msgspec.Struct, frozen=True, gc=False):
    """A file of a form.

    Attributes:
        field: Name of its field, e.g. `file` or `image[]`.
        filename: As the client calls it: anything, but without control characters.
        content_type: As the client calls it; empty if it does not.
        size: Its bytes.
        sha256: Digest of its content, in hexadecimal digits.
        source: The content; closed at the end of the request.
    """

    field: str
    filename: str
    content_type: str
    size: int
    sha256: str
    source: IO[bytes]

    def pieces(self) -> Iterator[bytes]:
        """Return the content in pieces of at most 256 KiB."""
        self.source.seek(0)
        while piece := self.source.read(_PIECE):
            yield piece

    def read(self) -> bytes:
        """Return the whole content; for files that are small, or bounded by the endpoint."""
        self.source.seek(0)
        return self.source.read()


class Form(msgspec.Struct, frozen=True, gc=False):
    """A form.

    Attributes:
        fields: Names and values of all fields but files, in order; names may come more than once.
        files: The files, in order.
    """

    fields: tuple[tuple[str, str], ...] = ()
    files: tuple[FormFile, ...] = ()

    def get(self, name: str) -> str | None:
        """Return the last value of a field; None if there is no such field."""
        return next((value for field, value in reversed(self.fields) if field == name), None)

    def all(self, name: str) -> tuple[str, ...]:
        """Return all values of a field, also those sent as `name[]`."""
        return tuple(value for field, value in self.fields if field in (name, f"{name}[]"))

    def members(self, name: str) -> dict[str, str]:
        """Return the values of the fields `name[KEY]` by key, as SDKs send objects."""
        lead = f"{name}["
        return {
            field[len(lead) : -1]: value
            for field, value in self.fields
            if field.startswith(lead) and field.endswith("]") and field != f"{name}[]"
        }

    def find_files(self, name: str) -> tuple[FormFile, ...]:
        """Return the files of a field, also those sent as `name[]`."""
        return tuple(file for file in self.files if file.field in (name, f"{name}[]"))

    def file(self, name: str) -> FormFile:
        """Return the only file of a field.

        Raises:
            InvalidFieldError: There is no such file.
            FormError: There are several.
        """
        found = self.find_files(name)
        if not found:
            raise InvalidFieldError((name,), "missing", None)
        if len(found) > 1:
            raise FormError(f"the field {name!r} has {len(found)} files where one is taken")
        return found[0]

    def as_body(self) -> bytes:
        """Return the form as JSON, each file by its name, size and digest."""
        members: list[tuple[str, object]] = list(self.fields)
        members += [
            (
                one.field,
                {
                    "filename": one.filename,
                    "content_type": one.content_type,
                    "bytes": one.size,
                    "sha256": one.sha256,
                },
            )
            for one in self.files
        ]
        return encode(members)
