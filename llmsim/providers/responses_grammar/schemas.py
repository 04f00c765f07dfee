"""JSON schemas of a request: of what a function takes, and of the text.

Decisions:
* Both must be schemas of objects, and a function's arrays must say what is in them; the rest of the rules is for those
  who ask for `strict`.
* Agents send the same tools with every request: a schema that was found good is not looked at again.
"""

import functools
from typing import Any, Literal

from msgspec import Raw

from llmsim.errors import InvalidFieldError, InvalidSchemaError, SchemaError
from llmsim.providers.responses_grammar.items import Path
from llmsim.schema.document import MOST_REMEMBERED_BYTES, read
from llmsim.schema.strictness import check_items, check_object, check_strict
from llmsim.wire.codec import decoder

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
    check = _checked if len(schema) <= MOST_REMEMBERED_BYTES else _check
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
