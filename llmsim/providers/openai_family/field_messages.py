"""Messages for invalid fields and schemas, in the wording of the OpenAI family of APIs.

Decisions:
* Quotes from a request are bounded: its values and keys may be megabytes.

Source: the messages are those of the OpenAI API today; lengths: reports of tools beyond 128, of empty `messages`, of labels and of ids of calls.
"""

from collections.abc import Iterable
from typing import Any, assert_never

from llmsim.errors import InvalidFieldError, InvalidSchemaError
from llmsim.wire.codec import encode_for_message

_MAX_QUOTED = 100
"""Most characters of a value or key that are quoted from a request."""

_MAX_PROBLEM = 1000
"""Most characters of a schema problem: it quotes keys of a request."""

_LABELS = ("metadata",)

_JSON_NAMES = {
    "str": "a string",
    "int": "an integer",
    "float": "a decimal",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def _json_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal number"
        case str():
            return "a string"
        case list():
            return "an empty array" if not value else "an array"
        case _:
            return "an object"


def format_path(path: tuple[str | int, ...]) -> str | None:
    """Return a path as the API writes it, e.g. `messages[1].role`; None for the body itself."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{quote(step)}" if text else quote(step)
    return text or None


def quote(value: Any, limit: int = _MAX_QUOTED) -> str:
    """Return a value or key of a request as text of at most `limit` characters."""
    text = encode_for_message(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def listed(values: Iterable[str]) -> str:
    """Return values as the API lists them: `'low', 'medium', and 'high'`."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return f"{', '.join(quoted[:-1])}, and {quoted[-1]}"


def field_message(error: InvalidFieldError) -> tuple[str, str]:
    """Return the message and the code for an invalid field."""
    name = format_path(error.path) or "body"
    found, wanted = error.found, error.wanted
    number = "decimal" if isinstance(found, float) or isinstance(wanted, float) else "integer"
    match error.rule:
        case "missing":
            message, code = f"Missing required parameter: '{name}'.", "missing_required_parameter"
        case "type":
            names = " or ".join(
                _JSON_NAMES.get(word, word) for word in str(wanted).split(" | ") if word != "null"
            )
            message = f"Invalid type for '{name}': expected {names}, but got {_json_type(found)} instead."
            code = "invalid_type"
        case "choice":
            allowed = listed(wanted) or "documented"
            message = f"Invalid value: '{quote(found)}'. Supported values are: {allowed}."
            code = "invalid_value"
        case "minimum":
            message = (
                f"Invalid '{name}': {number} below minimum value. Expected a value >= {wanted:g}, but got "
                f"{quote(found)} instead."
            )
            code = f"{number}_below_min_value"
        case "maximum":
            message = (
                f"Invalid '{name}': {number} above maximum value. Expected a value <= {wanted:g}, but got "
                f"{quote(found)} instead."
            )
            code = f"{number}_above_max_value"
        case "too_short" | "too_long":
            message, code = _length_message(name, error)
        case "pattern":
            message = f"Invalid '{name}': string does not match pattern. Expected a string that matches the pattern {wanted}."
            code = "invalid_value"
        case "conflict":
            message, code = str(wanted), "invalid_value"
        case _:
            assert_never(error.rule)
    return message, code


def _length_message(name: str, error: InvalidFieldError) -> tuple[str, str]:
    found, wanted = error.found, error.wanted
    length = len(found) if isinstance(found, str | list | dict) else 0
    if isinstance(found, dict):
        bound, side = ("most", "many") if error.rule == "too_long" else ("least", "few")
        message = (
            f"Invalid '{name}': too {side} properties. Expected an object with at {bound} {wanted} properties, but got an "
            f"object with {length} properties instead."
        )
        return message, f"object_{'above_max' if error.rule == 'too_long' else 'below_min'}_properties"
    kind = "array" if isinstance(found, list) else "string"
    article = "an" if kind == "array" else "a"
    if error.rule == "too_short":
        problem, got = f"{kind} too short", f"{article} {kind} with length {length}"
        if length == 0:
            problem, got = f"empty {kind}", f"an empty {kind}"
        return (
            f"Invalid '{name}': {problem}. Expected {article} {kind} with minimum length {wanted}, but got {got} instead.",
            f"empty_{kind}" if length == 0 else f"{kind}_below_min_length",
        )
    limits = f"Expected {article} {kind} with maximum length {wanted}, but got {article} {kind} with length {length} instead."
    if kind == "string" and error.path[-1:] == _LABELS:
        # What is too long in an object is the name of a member.
        return (
            f"Invalid property name in '{name}': '{quote(found)}' is too long. {limits}",
            "property_name_above_max_length",
        )
    return f"Invalid '{name}': {kind} too long. {limits}", f"{kind}_above_max_length"


def schema_message(error: InvalidSchemaError) -> str:
    """Return the message for an invalid schema."""
    context = "" if error.context is None else f"In context={quote(repr(error.context))}, "
    problem = quote(error.problem, _MAX_PROBLEM)
    return f"Invalid schema for {error.subject} '{quote(error.name)}': {context}{problem}"
