"""The fields of a form as the JSON that they stand for, so that they are read and refused like those of any other request.

Decisions:
* A form has texts only. What is to be a number, a flag or a list is made one where that can be; otherwise the text stays, and the field
  is refused in the words of the API.
"""

from collections.abc import Set
from typing import Any

import orjson

from llmsim.budgets import LIMITS
from llmsim.providers.contract import IncomingRequest
from llmsim.providers.forms import Form, FormError
from llmsim.wire.codec import encode

_FLAGS = {"true": True, "false": False, "1": True, "0": False}


def require_form(incoming: IncomingRequest) -> Form:
    """Return the form of a request.

    Raises:
        FormError: It has none.
    """
    if incoming.form is None:
        raise FormError("the endpoint takes a body of the type multipart/form-data")
    return incoming.form


def form_json(form: Form, *, numbers: Set[str] = frozenset(), flags: Set[str] = frozenset()) -> bytes:
    """Return the fields of a form as a JSON object.

    Args:
        form: The form. `name[]` is an element of a list, `name[key]` a member of an object.
        numbers: Names of the fields that are numbers.
        flags: Names of the fields that are true or false.

    Raises:
        FormError: A field is nested too deep.
    """
    members: dict[str, Any] = {}
    for field, text in form.fields:
        name, bracket, key = field.partition("[")
        if not bracket:
            members[name] = _convert(name, text, numbers, flags)
        elif key == "]":
            found = members.setdefault(name, [])
            if isinstance(found, list):
                found.append(text)
        elif key.endswith("]"):
            path = key.removesuffix("]").split("][")
            if len(path) >= LIMITS.json_depth:
                raise FormError(f"a field of more than {LIMITS.json_depth} levels of nesting")
            inner = members.setdefault(name, {})
            for part in path[:-1]:
                inner = inner.setdefault(part, {}) if isinstance(inner, dict) else {}
            if isinstance(inner, dict):
                inner[path[-1]] = text
    return encode(members)


def _convert(name: str, text: str, numbers: Set[str], flags: Set[str]) -> Any:
    if name in flags:
        return _FLAGS.get(text.lower(), text)
    if name not in numbers or len(text) > 40:
        return text
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, int | float) and not isinstance(value, bool) else text
