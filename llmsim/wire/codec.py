"""JSON decoding with errors that name the field, and text that is escaped once.

Decisions:
* msgspec reports an error as a sentence. It is parsed into an `InvalidFieldError` with path, rule
  and the value found, which each provider words in its own way. Tests pin msgspec's sentences.
* Depth and integers are checked here, once for all that clients send; see `budgets.json_limits`. What decoders return can be
  walked by recursion, and encoded again.
* What is derived from a text lives exactly as long as the text, so pooled replies are escaped
  once and memory stays flat under ever new texts.
"""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Generic, TypeVar

import msgspec
import orjson
from msgspec import inspect

from llmsim.budgets import (
    LARGE_INTEGER,
    LIMITS,
    has_large_integer,
    has_too_many_values,
    is_too_deep,
    json_problem,
)
from llmsim.domain import TokenizedText
from llmsim.errors import InvalidFieldError, InvalidJsonError, Rule

T = TypeVar("T")

NamePath = Callable[[tuple[str | int, ...], Any], tuple[str | int, ...]]

encode = orjson.dumps
"""Encode builtins as JSON bytes."""


def encode_for_message(value: Any) -> str:
    """Return any value as text for a message: a text as it is, everything else as JSON, or an ellipsis if it has none."""
    if isinstance(value, str):
        return value
    try:
        return encode(value, default=str).decode()
    except (TypeError, ValueError, RecursionError):
        return "…"


_SENTENCE = re.compile(r"^(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.(?P<key>[^.\[\]]+)|\[(?P<index>\d+|\.\.\.)\]")
_MISSING = re.compile(r"^Object missing required field `(.+)`$")
_LENGTH = re.compile(r"^Expected `[^`]+` of length (>=|<=|==) (\d+)$")
_BOUND = re.compile(r"^Expected `(\w+)[^`]*` (>=|>|<=|<) (-?[\d.e+]+)$")
_PATTERN = re.compile(r"^Expected `str` matching regex (.+)$")
_CHOICE = re.compile(r"^Invalid (?:enum )?value")
_TYPE = re.compile(r"^Expected `([^`]+)`(?:, got `([^`]+)`)?$")
_GOT = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}


def _as_it_is(path: tuple[str | int, ...], _: Any) -> tuple[str | int, ...]:
    return path


def decoder(kind: type[T], name_path: NamePath = _as_it_is) -> Callable[[bytes], T]:
    """Build a decoder of JSON bodies into `kind`; to be called once, at module level.

    Args:
        kind: A type that msgspec knows.
        name_path: Returns the path of a field as the API writes it, of its path and the JSON as decoded.

    Returns:
        A function from bytes to `kind`. It raises `InvalidJsonError` if the bytes are not JSON, too deep, or hold an integer of
        more than 64 bits, and `InvalidFieldError` if the JSON has another shape.
    """
    decode = msgspec.json.Decoder(kind).decode

    def decode_body(body: bytes) -> T:
        if is_too_deep(body):
            raise InvalidJsonError(f"more than {LIMITS.json_depth} levels of nesting")
        if has_too_many_values(body):
            raise InvalidJsonError(f"more than {LIMITS.json_values:,} values")
        try:
            value = decode(body)
            # After decoding: a field that is out of its range is named.
            if has_large_integer(body):
                raise InvalidJsonError(LARGE_INTEGER)
            # NOTE: msgspec skips unknown fields unread; bytes that are not UTF-8 are refused there, too.
            if not body.isascii():
                body.decode()
            return value
        except msgspec.ValidationError as error:
            raise _parse_sentence(str(error), body, kind, name_path) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidJsonError(str(error)) from None

    return decode_body


def matcher(kind: type[T]) -> Callable[[bytes], T | None]:
    """Build a decoder of JSON bodies into `kind` that returns None for any other; to be called once, at module level."""
    decode = msgspec.json.Decoder(kind).decode

    def match_body(body: bytes) -> T | None:
        try:
            value = decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return None if json_problem(body) else value

    return match_body


def _parse_sentence(
    sentence: str, body: bytes, kind: Any, name_path: NamePath
) -> InvalidFieldError | InvalidJsonError:
    """Parse msgspec's sentence into the field, the rule and the value found."""
    match = _SENTENCE.match(sentence)
    what, where = (match["what"], match["path"] or "") if match else (sentence, "")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # NOTE: msgspec stops at the wrong field; the syntax after it may be broken.
        return InvalidJsonError(str(error))
    rule, wanted, breaks = _parse_rule(what)
    path, found = _find(where, document, breaks, in_key=bool(match and match["key"]))
    if rule == "missing":
        return InvalidFieldError(name_path((*path, wanted), document), rule, None)
    if rule == "type":
        choices = tuple(_choices(_describe(kind), path, document))
        if _CHOICE.match(what) or (choices and not isinstance(found, str)):
            rule, wanted = "choice", choices
    return InvalidFieldError(name_path(path, document), rule, wanted, found)


def _parse_rule(what: str) -> tuple[Rule, Any, Callable[[Any], bool]]:
    """Return the broken rule, what it requires, and a predicate for the values that break it."""
    if missing := _MISSING.match(what):
        return "missing", missing[1], lambda _: False
    if length := _LENGTH.match(what):
        size = int(length[2])
        if length[1] == ">=":
            return "too_short", size, lambda value: isinstance(value, str | list | dict) and len(value) < size
        return "too_long", size, lambda value: isinstance(value, str | list | dict) and len(value) > size
    if limit := _BOUND.match(what):
        # A field of floats has float bounds, even if they are whole.
        number = float(limit[3]) if limit[1] == "float" else _parse_number(limit[3])
        if ">" in limit[2]:
            return "minimum", number, lambda value: isinstance(value, int | float) and value < number
        return "maximum", number, lambda value: isinstance(value, int | float) and value > number
    if pattern := _PATTERN.match(what):
        return "pattern", pattern[1], lambda _: False
    if wanted := _TYPE.match(what):
        return "type", wanted[1], lambda value: type(value) is _GOT.get(wanted[2])
    return "type", what, lambda _: False


def _parse_number(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:
        value = float(digits)
        return int(value) if value.is_integer() else value


def _find(
    where: str, document: Any, breaks: Callable[[Any], bool], *, in_key: bool
) -> tuple[tuple[str | int, ...], Any]:
    """Follow msgspec's path to the value found.

    `[...]` means some value of an object: take the first that breaks the rule. If no value does, the path ends at the
    object.
    """
    path: list[str | int] = []
    for step in _STEP.finditer(where):
        if step["index"] == "...":
            for key, value in document.items() if isinstance(document, dict) else ():
                if breaks(value):
                    return (*path, key), value
            return tuple(path), document
        key = step["key"] if step["key"] is not None else int(step["index"])
        path.append(key)
        document = _child(document, key)
    if in_key:
        keys = document if isinstance(document, dict) else ()
        return tuple(path), next(filter(breaks, keys), None)
    return tuple(path), document


def _child(node: Any, key: str | int) -> Any:
    """Return the value at `key`, or None if there is no such key: msgspec saw another value of a repeated key."""
    try:
        return node[key]
    except (KeyError, IndexError, TypeError):
        return None


@functools.cache
def _describe(kind: Any) -> inspect.Type:
    """Describe a type that is decoded. PERF: 1.3 ms for chat completions, and garbage that only the collector finds."""
    return inspect.type_info(kind)


def _choices(info: inspect.Type, path: Sequence[str | int], node: Any) -> Iterator[Any]:
    """List the values that a Literal or a struct's tag allows at `path` below `node`, a value of type `info`."""
    match info:
        case inspect.UnionType(types=types):
            for member in types:
                yield from _choices(member, path, node)
        case inspect.Metadata(type=inner):
            yield from _choices(inner, path, node)
        case inspect.LiteralType(values=values) if not path:
            yield from values
        case inspect.ListType(item_type=item) if path and isinstance(path[0], int):
            yield from _choices(item, path[1:], _child(node, path[0]))
        case inspect.StructType(fields=fields, tag_field=tag_field, tag=tag) if path:
            if path[0] == tag_field:
                yield tag
            elif tag_field is None or _child(node, tag_field) == tag:
                for field in fields:
                    if field.encode_name == path[0]:
                        yield from _choices(field.type, path[1:], _child(node, path[0]))
        case _:
            return


D = TypeVar("D")


class TokenizedTextMemo(Generic[D]):
    """A function of a text whose results are cached for as long as the text lives; they must not refer to it."""

    def __init__(self, derive: Callable[[TokenizedText], D]) -> None:
        self._derive = derive
        self._key = f"{derive.__qualname__} {id(self)}"

    def __call__(self, text: TokenizedText) -> D:
        """Return the result for `text`."""
        derived, key = text.__dict__, self._key
        if key in derived:
            result: D = derived[key]
        else:
            result = derived[key] = self._derive(text)
        return result


def _escape_pieces(text: TokenizedText) -> tuple[bytes, ...]:
    return tuple(encode(piece)[1:-1] for piece in text.pieces)


def _count_tokens(text: TokenizedText) -> tuple[int, ...]:
    return tuple(end - start for start, end in pairwise((0, *text.cumulative_tokens)))


escaped_pieces = TokenizedTextMemo(_escape_pieces)
"""Each piece, escaped for a JSON string, without quotes."""

escaped_text = TokenizedTextMemo(lambda text: b"".join(escaped_pieces(text)))
"""The whole text, escaped likewise."""

piece_tokens = TokenizedTextMemo(_count_tokens)
"""The number of tokens of each piece."""
