"""JSON in pieces, and JSON that breaks off: what of it is complete.

Decisions:
* A call that a limit cut off has as its input what an SDK makes of its stream: members and items that are complete,
  and nothing of a text that is not. Source: anthropic SDK 2.12, lib/streaming/_messages.py, `partial_mode=True`.
"""

import re
from typing import Any

import orjson

from llmsim.domain import TokenizedText
from llmsim.wire.codec import encode

_TOKEN = re.compile(
    r"""\s*(?:(?P<open>[{\[]) | (?P<close>[}\]]) | (?P<mark>[,:]) | (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<scalar>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\d.eE+-]) | true | false | null))""",
    re.VERBOSE | re.DOTALL,
)

_CLOSERS = {"{": "}", "[": "]"}


def arguments(text: str) -> dict[str, Any]:
    """Give the object that JSON says, or as much of it as there is.

    Args:
        text: JSON, or the beginning of it; anything else says nothing.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = _complete(text)
    return found if isinstance(found, dict) else {}


def member(name: str, text: TokenizedText, *, cut: bool) -> TokenizedText:
    """Give an object of one member as JSON, in the pieces of the member's text.

    Args:
        name: The member's.
        text: Its text; an empty one has no pieces that could carry the object.
        cut: Whether the text breaks off, and the object with it.
    """
    if not text.pieces:
        return text
    pieces = [encode(piece).decode()[1:-1] for piece in text.pieces]
    pieces[0] = f'{{"{name}": "{pieces[0]}'
    if not cut:
        pieces[-1] += '"}'
    return TokenizedText(tuple(pieces), text.cumulative_tokens)


def _complete(text: str) -> Any:
    closers: list[str] = []
    after = ""
    kept, ending = 0, ""
    place = 0
    while (token := _TOKEN.match(text, place)) is not None:
        place = token.end()
        kind, said = str(token.lastgroup), token[str(token.lastgroup)]
        if kind == "open":
            closers.append(_CLOSERS[said])
        elif kind == "close" and (not closers or closers.pop() != said):
            break
        is_key = kind == "text" and after != ":" and closers[-1:] == ["}"]
        if kind != "mark" and not is_key:
            kept, ending = place, "".join(reversed(closers))
        after = said
        if not closers:
            break
    try:
        return orjson.loads(text[:kept] + ending)
    except orjson.JSONDecodeError:
        return None
