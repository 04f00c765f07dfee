"""JSON of protocol buffers: a body is read into structs as Google's transcoder reads it, and refused in its words.

Decisions:
* Fields are named in camelCase or in snake_case, `null` is as good as left out, numbers may be texts, a single value may stand for
  a list, and names of enumerations are compared without regard to case.
* All problems of a body are listed, as the API lists them. Each has the path of its object in snake_case.
* The structs are the table of known fields: a name that they do not declare is refused.

Source: protobuf.dev/programming-guides/json; error bodies of the API in zed-industries/zed#44875 and #53919 (paths, lists),
musistudio/claude-code-router#187 (violations), zereight/gitlab-mcp#166 (values).
"""

import binascii
import functools
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from llmsim.errors import ApiRuleError
from llmsim.wire.codec import decoder, encode_for_message

S = TypeVar("S", bound=msgspec.Struct)

_PACKAGE = "type.googleapis.com/google.ai.generativelanguage.v1beta."

_MOST_PROBLEMS = 50
"""Problems that are listed; a response must not be much larger than its request."""

_MOST_SHOWN = 200
"""Characters of a name or value of the request in a message."""

_INT32 = range(-(2**31), 2**31)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")

_decode: Callable[[bytes], Any] = decoder(Any)


class Violation(msgspec.Struct, frozen=True):
    """A problem of a field.

    Attributes:
        field: Its path in snake_case; of an unknown field that of its object, and empty for the body.
        description: The problem, in the API's words.
    """

    field: str
    description: str


class PayloadError(ApiRuleError):
    """The body is not a message of the expected kind: `violations` has all problems."""

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__("\n".join(one.description for one in violations))
        self.violations = tuple(violations)


def snake_case(name: str) -> str:
    """Return a name of the JSON as the API's messages write it."""
    return _CAMEL.sub("_", name).lower()


def read_message(body: bytes, kind: type[S]) -> S:
    """Read a body into a struct; an empty body is a message without fields.

    Raises:
        InvalidJsonError: It is not JSON.
        PayloadError: It is not a message of that kind.
    """
    document = _decode(body) if body.strip() else {}
    reader = _Reader()
    if not isinstance(document, dict):
        reader.add("", 'Invalid JSON payload received. Unknown name "": Root element must be a message.')
        raise PayloadError(reader.violations)
    fields = reader.read_struct(document, kind, "")
    if reader.violations:
        raise PayloadError(reader.violations)
    return msgspec.convert(fields, kind)


class _Field(msgspec.Struct, frozen=True):
    """A field of a struct.

    Attributes:
        name: Its name in camelCase.
        type: Its type, without `None`.
        is_list: Whether it holds a list of values of that type.
        is_map: Whether it holds such values by name.
        enum: Name of its enumeration; empty for other fields.
        choices: The values of the enumeration.
        is_base64: Whether it is a text that stands for bytes.
    """

    name: str
    type: Any
    is_list: bool = False
    is_map: bool = False
    enum: str = ""
    choices: tuple[str, ...] = ()
    is_base64: bool = False


def _field(field: inspect.Field) -> _Field:
    kind = field.type
    if isinstance(kind, inspect.UnionType):
        (kind,) = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    facts: dict[str, Any] = {}
    if isinstance(kind, inspect.ListType):
        facts["is_list"], kind = True, kind.item_type
    elif isinstance(kind, inspect.DictType) and not isinstance(kind.value_type, inspect.AnyType):
        facts["is_map"], kind = True, kind.value_type
    if isinstance(kind, inspect.Metadata):
        extra, kind = kind.extra or {}, kind.type
        facts["is_base64"] = "base64" in extra
        facts["enum"] = extra.get("enum", "")
    if isinstance(kind, inspect.LiteralType):
        facts["choices"] = tuple(map(str, kind.values))
    return _Field(field.encode_name, kind, **facts)


@functools.cache
def _fields(kind: type) -> dict[str, _Field]:
    """Return the fields of a struct by their names in the JSON, of either form."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    found: dict[str, _Field] = {}
    for one in info.fields:
        known = _field(one)
        found[one.encode_name] = found[snake_case(one.encode_name)] = known
    return found


class _Reader:
    """Reads one body.

    Attributes:
        violations: The problems so far.
    """

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        """Add a problem, unless there are enough."""
        if len(self.violations) < _MOST_PROBLEMS:
            self.violations.append(Violation(field, description))

    def read_struct(self, document: dict[str, Any], kind: type, path: str) -> dict[str, Any]:
        """Read an object; return its fields by their names in camelCase."""
        fields = _fields(kind)
        oneof: frozenset[str] = getattr(kind, "ONEOF", frozenset())
        read: dict[str, Any] = {}
        for name, value in document.items():
            field = fields.get(name)
            if field is None:
                self._add_unknown(name, path, "Cannot find field.")
                continue
            if value is None:
                continue
            place = f"{path}.{snake_case(name)}" if path else snake_case(name)
            if name in oneof and not oneof.isdisjoint(read):
                self.add(
                    path,
                    f"Invalid value at '{path}' (oneof), oneof field 'data' is already set. Cannot set '{name}'",
                )
                continue
            read[field.name] = self._read_field(value, field, place, name, path)
        return {name: value for name, value in read.items() if value is not None}

    def _read_field(self, value: Any, field: _Field, place: str, name: str, path: str) -> Any:
        if field.is_list:
            values = value if isinstance(value, list) else [value]
            read = [self._read_value(one, field, f"{place}[{index}]") for index, one in enumerate(values)]
            return [one for one in read if one is not None]
        if field.is_map:
            if not isinstance(value, dict):
                return self._add_invalid(place, "Map", value)
            return {
                key: read
                for index, (key, one) in enumerate(value.items())
                if (read := self._read_value(one, field, f"{place}[{index}].value")) is not None
            }
        if isinstance(value, list) and not isinstance(field.type, inspect.AnyType):
            return self._add_unknown(name, path, "Proto field is not repeating, cannot start list.")
        return self._read_value(value, field, place)

    def _read_value(self, value: Any, field: _Field, place: str) -> Any:
        kind = field.type
        match kind:
            case inspect.AnyType():
                return value
            case inspect.DictType():
                return value if isinstance(value, dict) else self._add_invalid(place, "Struct", value)
            case inspect.StructType(cls=cls):
                if isinstance(value, dict):
                    return self.read_struct(value, cls, place)
                return self._add_invalid(place, f"{_PACKAGE}{cls.__name__}", value)
            case inspect.LiteralType():
                return self._read_enum(value, field, place)
            case inspect.BoolType():
                return self._checked(
                    value, _BOOLS.get(value) if _is_text(value) else value, bool, place, "TYPE_BOOL"
                )
            case inspect.IntType():
                return self._checked(value, _integer(value), int, place, "TYPE_INT32")
            case inspect.FloatType():
                return self._checked(value, _number(value), float, place, "TYPE_FLOAT")
            case inspect.StrType() if field.is_base64:
                return self._read_base64(value, place)
            case _:
                return self._checked(value, value, str, place, "TYPE_STRING")

    def _read_enum(self, value: Any, field: _Field, place: str) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and value in range(len(field.choices)):
            return field.choices[value]
        wanted = value.upper() if isinstance(value, str) else None
        found = next((one for one in field.choices if one.upper() == wanted), None)
        return found if found is not None else self._add_invalid(place, f"{_PACKAGE}{field.enum}", value)

    def _read_base64(self, value: Any, place: str) -> Any:
        if not isinstance(value, str):
            return self._add_invalid(place, "TYPE_BYTES", value)
        if not _BASE64.fullmatch(value) or len(value.rstrip("=")) % 4 == 1:
            self.add(
                place,
                f"Invalid value at '{place}' (TYPE_BYTES), Base64 decoding failed for \"{_shown(value)}\"",
            )
        return value

    def _checked(self, value: Any, read: Any, kind: type, place: str, proto: str) -> Any:
        if type(read) is kind:
            return read
        return self._add_invalid(place, proto, value)

    def _add_invalid(self, place: str, proto: str, value: Any) -> None:
        shown = f'"{_shown(value)}"' if isinstance(value, str) else _shown(value)
        self.add(place, f"Invalid value at '{place}' ({proto}), {shown}")

    def _add_unknown(self, name: str, path: str, problem: str) -> None:
        place = f" at '{path}'" if path else ""
        self.add(path, f'Invalid JSON payload received. Unknown name "{_shown(name)}"{place}: {problem}')


_BOOLS = {"true": True, "false": False}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _parsed(read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text) if len(text) <= 40 else None
    except ValueError:
        return None


def _integer(value: Any) -> Any:
    if isinstance(value, str):
        value = _parsed(float, value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value in _INT32 else None


def _number(value: Any) -> Any:
    if isinstance(value, str):
        value = _parsed(float, value)
    if type(value) is int:
        value = float(value)
    return value if type(value) is float and value - value == 0 else None


def _shown(value: Any) -> str:
    text = encode_for_message(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def decode_base64(text: str) -> bytes:
    """Return the bytes of a base64 text of either alphabet; empty if it is not base64."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return binascii.a2b_base64(plain + "=" * (-len(plain) % 4))
    except ValueError:
        return b""
