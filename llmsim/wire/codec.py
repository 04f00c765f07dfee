"""JSON in and out: typed decoding with errors that name the field, and text escaped once.

Decisions:
* msgspec says what is wrong in a sentence; here it becomes an `InvalidFieldError` with path,
  rule and the value found, which each provider puts in its own words. The sentence forms
  are msgspec's own and are pinned by tests.
* What is derived from a passage is kept for as long as the passage lives and no longer, so
  pooled replies are escaped once and memory stays flat under ever new texts.
"""

import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Generic, TypeVar

import msgspec
import orjson
from msgspec import inspect

from llmsim.errors import InvalidFieldError, InvalidJsonError, Rule
from llmsim.exchange import Passage

T = TypeVar("T")

encode = orjson.dumps
"""Encode builtins as JSON bytes."""

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<index>\d+|\.\.\.)\]")
_MISSING = re.compile(r"^Object missing required field `(.+)`$")
_LENGTH = re.compile(r"^Expected `[^`]+` of length (>=|<=|==) (\d+)$")
_BOUND = re.compile(r"^Expected `[^`]+` (>=|>|<=|<) (-?[\d.e+]+)$")
_PATTERN = re.compile(r"^Expected `str` matching regex (.+)$")
_CHOICE = re.compile(r"^Invalid (?:enum )?value")
_TYPE = re.compile(r"^Expected `([^`]+)`(?:, got `[^`]+`)?$")


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Build a decoder of JSON bodies into `kind`, once, at module level.

    Returns:
        A function from bytes to `kind`; it raises `InvalidJsonError` when the bytes are not JSON
        and `InvalidFieldError` when they are JSON of another shape.
    """
    decode = msgspec.json.Decoder(kind).decode

    def typed(body: bytes) -> T:
        try:
            return decode(body)
        except msgspec.ValidationError as error:
            raise _explain(str(error), body, kind) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidJsonError(str(error)) from None

    return typed


def _explain(sentence: str, body: bytes, kind: Any) -> InvalidFieldError:
    """Turn msgspec's sentence into the field, the rule and the value found."""
    match = _AT.match(sentence)
    what, where = (match["what"], match["path"] or "") if match else (sentence, "")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        # NOTE: msgspec accepted the syntax up to the wrong field; what follows it may still be broken.
        document = None
    path = _resolve(where)
    found = _value_at(document, path)
    if missing := _MISSING.match(what):
        return InvalidFieldError((*path, missing[1]), "missing", None)
    if length := _LENGTH.match(what):
        rule: Rule = "too_short" if length[1] == ">=" else "too_long"
        return InvalidFieldError(path, rule, int(length[2]), found)
    if bound := _BOUND.match(what):
        return InvalidFieldError(path, "minimum" if ">" in bound[1] else "maximum", _number(bound[2]), found)
    if pattern := _PATTERN.match(what):
        return InvalidFieldError(path, "pattern", pattern[1], found)
    choices = tuple(_choices(inspect.type_info(kind), path))
    if _CHOICE.match(what) or (choices and not isinstance(found, str)):
        return InvalidFieldError(path, "choice", choices, found)
    wanted = _TYPE.match(what)
    return InvalidFieldError(path, "type", wanted[1] if wanted else what, found)


def _number(digits: str) -> int | float:
    value = float(digits)
    return int(value) if value.is_integer() else value


def _resolve(where: str) -> tuple[str | int, ...]:
    """Read msgspec's path; `[...]` (some value of an object or unordered list) cannot be told and ends it."""
    steps: list[str | int] = []
    for step in _STEP.finditer(where):
        if step["index"] == "...":
            break
        steps.append(step["key"] if step["key"] is not None else int(step["index"]))
    return tuple(steps)


def _value_at(document: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _choices(info: inspect.Type, path: Sequence[str | int]) -> Iterator[Any]:
    """Find the values that a Literal or a struct's tag allows at `path`."""
    match info:
        case inspect.UnionType(types=types):
            for member in types:
                yield from _choices(member, path)
        case inspect.Metadata(type=inner):
            yield from _choices(inner, path)
        case inspect.LiteralType(values=values) if not path:
            yield from values
        case inspect.ListType(item_type=item) if path and isinstance(path[0], int):
            yield from _choices(item, path[1:])
        case inspect.StructType(fields=fields, tag_field=tag_field, tag=tag) if path:
            if path[0] == tag_field and len(path) == 1:
                yield tag
            for field in fields:
                if field.encode_name == path[0]:
                    yield from _choices(field.type, path[1:])
        case _:
            return


D = TypeVar("D")


class PassageMemo(Generic[D]):
    """What a function derives from a passage, kept for as long as the passage lives."""

    def __init__(self, derive: Callable[[Passage], D]) -> None:
        self._derive = derive
        self._known: weakref.WeakKeyDictionary[Passage, D] = weakref.WeakKeyDictionary()

    def __call__(self, passage: Passage) -> D:
        """Give what is derived from `passage`."""
        found = self._known.get(passage)
        if found is None:
            found = self._known[passage] = self._derive(passage)
        return found


def _escape(passage: Passage) -> tuple[bytes, ...]:
    return tuple(encode(piece)[1:-1] for piece in passage.pieces)


def _spans(passage: Passage) -> tuple[int, ...]:
    return tuple(end - start for start, end in pairwise((0, *passage.ends)))


escaped = PassageMemo(_escape)
"""Each piece as it stands between the quotes of a JSON string."""

spans = PassageMemo(_spans)
"""How many tokens each piece carries."""
