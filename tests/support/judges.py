"""What others say of schemas and values: jsonschema, imported when it is asked, as that takes a second."""

import functools
from typing import Any


@functools.cache
def _draft() -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator


def is_valid(value: Any, schema: Any) -> bool:
    """Return whether a value conforms to a schema, formats aside."""
    return bool(_draft()(schema).is_valid(value))


def is_schema(schema: Any) -> bool:
    """Return whether a schema conforms to the standard's own schema."""
    return is_valid(schema, _draft().META_SCHEMA)


def problems_of(value: Any, schema: Any) -> list[str]:
    """Return the problems of a value, formats included."""
    draft = _draft()
    return [error.message for error in draft(schema, format_checker=draft.FORMAT_CHECKER).iter_errors(value)]
