"""JSON schemas in requests of the OpenAI family: of a function's parameters, and of the text.

Decisions:
* Both must be schemas of objects, and a function's arrays must define their items; the other rules apply to `strict`
  schemas only.
* Agents send the same tools with every request: a valid schema is not checked again.
"""

from typing import Any, Literal

from msgspec import Raw

from llmsim.budgets import remembered
from llmsim.errors import InvalidFieldError, InvalidSchemaError, SchemaError
from llmsim.json_schema.document import MOST_CACHED_BYTES, read
from llmsim.json_schema.strictness import check_items, check_object, check_strict
from llmsim.wire.codec import decoder, encode

Path = tuple[str | int, ...]
Subject = Literal["function", "response_format"]

_decode = decoder(Any)


def parse_schema(sent: Raw, path: Path, subject: Subject, name: str, *, strict: bool) -> bytes:
    """Check a schema.

    Args:
        sent: The schema as it was sent; empty or `null` if there is no schema.
        path: Its path in the request.
        subject: What it describes.
        name: The client's name for that.
        strict: Whether the strict-mode rules apply.

    Returns:
        The schema as it was sent; empty if there is no schema.

    Raises:
        InvalidFieldError: It is not an object.
        InvalidSchemaError: It is invalid, or violates the strict-mode rules.
    """
    schema = bytes(sent)
    if schema in (b"", b"null"):
        return b""
    if not schema.startswith(b"{"):
        raise InvalidFieldError(path, "type", "object", _decode(schema))
    try:
        _check_once(schema, subject, strict=strict)
    except SchemaError as error:
        raise InvalidSchemaError(path, subject, name, None, str(error)) from None
    return schema


def _check(schema: bytes, subject: Subject, *, strict: bool) -> None:
    document = read(schema)
    check_object(document)
    if subject == "function":
        check_items(document)
    if strict:
        check_strict(document)


_check_once = remembered(256, MOST_CACHED_BYTES)(_check)


def parse_pattern(pattern: str, path: Path, name: str) -> bytes:
    """Return the schema of the texts that match the regular expression of a custom tool's grammar.

    Raises:
        InvalidSchemaError: It is not a valid regular expression.
    """
    schema = encode({"type": "string", "pattern": f"^(?:{pattern})$"})
    try:
        read(schema)
    except SchemaError as error:
        raise InvalidSchemaError(path, "function", name, None, str(error)) from None
    return schema
