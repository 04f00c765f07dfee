"""Input items as the API lists them: each with an id, its type, its status and its content as parts.

Source: openai SDK 3.54, types/responses/response_item.py, input_item_list_params.py, response_item_list.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from llmsim.errors import InvalidFieldError
from llmsim.providers.openai_family.responses.items import kind
from llmsim.wire.codec import decoder, encode

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "compaction": "cmp",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "computer_call": "cu",
}
_STATED = {
    "message",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
}
_PART_DEFAULTS: dict[str, dict[str, Any]] = {
    "input_image": {"detail": "auto"},
    "output_text": {"annotations": [], "logprobs": []},
}
_LIMIT = 20
_MOST = 100

_members = decoder(dict[str, Raw])


class _Spoken(msgspec.Struct):
    role: str
    content: str | list[dict[str, Raw]]


class _Named(msgspec.Struct):
    id: str


_spoken = decoder(_Spoken)
_named = decoder(_Named)


def listed(items: Sequence[bytes], turn_id: str) -> tuple[bytes, ...]:
    """Give the items of a turn's input as they are listed; those without an id get one by their place."""
    return tuple(_listed(item, f"{turn_id}{index:04x}") for index, item in enumerate(items))


def _listed(item: bytes, place: str) -> bytes:
    sent = {name: value for name, value in _members(item).items() if bytes(value) != b"null"}
    named = kind(item)
    shown: dict[str, Any] = {"id": f"{_PREFIXES.get(named, 'item')}_{place}", "type": named}
    if named in _STATED:
        shown["status"] = "completed"
    shown |= sent
    if named == "message":
        shown["content"] = _parts(_spoken(item))
    return msgspec.json.encode(shown)


def _parts(message: _Spoken) -> list[dict[str, Any]]:
    if isinstance(message.content, str):
        named = "output_text" if message.role == "assistant" else "input_text"
        return [{"type": named, "text": message.content} | _PART_DEFAULTS.get(named, {})]
    return [
        _PART_DEFAULTS.get(msgspec.json.decode(part["type"], type=str), {})
        | {name: value for name, value in part.items() if bytes(value) != b"null"}
        for part in message.content
    ]


def page(items: Sequence[bytes], params: Mapping[str, str]) -> bytes:
    """Render a page of `items`, which each have an id, as the query parameters `after`, `limit` and `order` ask.

    Args:
        items: JSON objects, the oldest first.
        params: As in the query; the newest come first unless `order` is `asc`.

    Raises:
        InvalidFieldError: A parameter is wrong.
    """
    order = params.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidFieldError(("order",), "choice", ("asc", "desc"), order)
    limit = _whole_number(params, "limit", _LIMIT)
    if limit < 1:
        raise InvalidFieldError(("limit",), "minimum", 1, limit)
    if limit > _MOST:
        raise InvalidFieldError(("limit",), "maximum", _MOST, limit)
    ids = [_named(item).id for item in items]
    places = list(range(len(items)))
    if order == "desc":
        places.reverse()
    after = params.get("after")
    if after is not None:
        if after not in ids:
            raise InvalidFieldError(
                ("after",), "conflict", "The 'after' parameter names no item of this list."
            )
        places = places[places.index(ids.index(after)) + 1 :]
    shown = places[:limit]
    first, last = (ids[shown[0]], ids[shown[-1]]) if shown else (None, None)
    return b'{"object":"list","data":[%b],"first_id":%b,"last_id":%b,"has_more":%b}' % (
        b",".join(items[place] for place in shown),
        encode(first),
        encode(last),
        encode(len(places) > len(shown)),
    )


def _whole_number(params: Mapping[str, str], name: str, default: int) -> int:
    sent = params.get(name)
    if sent is None:
        return default
    if not sent.isascii() or not sent.isdigit() or len(sent) > 9:
        raise InvalidFieldError((name,), "type", "int", sent)
    return int(sent)
