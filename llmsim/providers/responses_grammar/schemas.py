"""JSON schemas of a request: of what a function takes, and of the text."""

from typing import Literal

import msgspec
from msgspec import Raw

from llmsim.errors import InvalidFieldError
from llmsim.providers.responses_grammar.items import Path


def checked_schema(
    sent: Raw, path: Path, subject: Literal["function", "response_format"], name: str, *, strict: bool
) -> bytes:
    """Give a schema as it was sent; empty if none was.

    Args:
        sent: What stands at `path`.
        path: Where it stands.
        subject: What it is the schema of.
        name: What the client calls that.
        strict: Whether it must keep to the rules of strict schemas.

    Raises:
        InvalidFieldError: It is no object.
        InvalidSchemaError: It is no schema, or none that can be kept to strictly.
    """
    schema = bytes(sent)
    if schema in (b"", b"null"):
        return b""
    if not schema.startswith(b"{"):
        raise InvalidFieldError(path, "type", "object", msgspec.json.decode(schema))
    return schema
