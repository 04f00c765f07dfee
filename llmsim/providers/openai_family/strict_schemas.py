"""JSON schemas in requests of the OpenAI family: of what a function takes, and of the text.

Decisions:
* Both must be schemas of objects, and a function's arrays must say what is in them; the rest of the rules is for those
  who ask for `strict`.
* Agents send the same tools with every request: a schema that was found good is not looked at again.
"""

import functools
from typing import Any, Literal

from msgspec import Raw

from llmsim.errors import InvalidFieldError, InvalidSchemaError, SchemaError
from llmsim.json_schema.document import MOST_CACHED_BYTES, read
from llmsim.json_schema.strictness import check_items, check_object, check_strict
from llmsim.wire.codec import decoder, encode

Path = tuple[str | int, ...]
Subject = Literal["function", "response_format"]

_value = decoder(Any)


def checked_schema(sent: Raw, path: Path, subject: Subject, name: str, *, strict: bool) -> bytes:
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
    check = _checked if len(schema) <= MOST_CACHED_BYTES else _check
    try:
        check(schema, subject, strict=strict)
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


_checked = functools.lru_cache(maxsize=256)(_check)


def checked_pattern(pattern: str, path: Path, name: str) -> bytes:
    """Give the schema of the texts that match a regular expression, as a custom tool's grammar has it.

    Raises:
        InvalidSchemaError: It is no regular expression.
    """
    schema = encode({"type": "string", "pattern": f"^(?:{pattern})$"})
    try:
        read(schema)
    except SchemaError as error:
        raise InvalidSchemaError(path, "function", name, None, str(error)) from None
    return schema
