"""JSON schemas in requests: taken as they were sent, or refused.

Decisions:
* A schema is looked at once: what was sent before is known by its bytes.
"""

import functools
from typing import Literal

from llmsim.errors import InvalidSchemaError, SchemaError
from llmsim.schema.document import read
from llmsim.schema.strictness import check_strict

Path = tuple[str | int, ...]
Subject = Literal["function", "response_format"]


def checked_schema(sent: bytes, path: Path, subject: Subject, name: str, *, strict: bool = False) -> bytes:
    """Give a schema as it was sent; empty if there is none.

    Args:
        sent: JSON; empty or `null` for none.
        path: Where it stands in the request.
        subject: What it is the schema of.
        name: What that is called.
        strict: Whether it must keep to what strict mode allows.

    Raises:
        InvalidSchemaError: It is no schema.
    """
    if sent in (b"", b"null"):
        return b""
    problem = _problem(sent, strict=strict, arguments=subject == "function")
    if problem is not None:
        raise InvalidSchemaError(path, subject, name, problem.context, problem.problem)
    return sent


@functools.lru_cache(4096)
def _problem(sent: bytes, *, strict: bool, arguments: bool) -> SchemaError | None:
    try:
        schema = read(sent)
        if strict:
            check_strict(schema)
    except SchemaError as error:
        return error
    return None
