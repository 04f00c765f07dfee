"""JSON schemas of a request: of what a function takes, and of the text."""

from typing import Any, Literal

from msgspec import Raw

from llmsim.errors import InvalidFieldError
from llmsim.providers.responses_grammar.items import Path
from llmsim.wire.codec import decoder

_value = decoder(Any)


# TODO: hand the schema to the reader of schemas, and its refusal on as `InvalidSchemaError`.
def checked_schema(
    sent: Raw,
    path: Path,
    subject: Literal["function", "response_format"],  # noqa: ARG001 - for the refusal
    name: str,  # noqa: ARG001 - for the refusal
    *,
    strict: bool,  # noqa: ARG001 - for the reader
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
        raise InvalidFieldError(path, "type", "object", _value(schema))
    return schema
