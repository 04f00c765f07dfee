"""Input items as the API lists them: with an id, a type, a status, and content as parts.

Source: openai SDK 3.54, types/responses/response_item.py, input_item_list_params.py, response_item_list.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from llmsim.errors import InvalidFieldError
from llmsim.providers.openai_family.responses.input_items import item_type
from llmsim.providers.paging import parse_limit
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
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
    "computer_call": "cu",
    "configuration_update": "cnfu",
}
_TYPES_WITH_STATUS = {
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
_PAGE = 20
_LARGEST_PAGE = 100

_decode_members = decoder(dict[str, Raw])


class _Message(msgspec.Struct):
    role: str
    content: str | list[dict[str, Raw]]


class _ItemId(msgspec.Struct):
    id: str


_decode_message = decoder(_Message)
_decode_id = decoder(_ItemId)


def list_input_items(items: Sequence[bytes], turn_id: str) -> tuple[bytes, ...]:
    """Return the input items of a turn as they are listed; the id of an item without one is derived from its index."""
    return tuple(_render_item(item, f"{turn_id}{index:04x}") for index, item in enumerate(items))


def _render_item(item: bytes, default_id: str) -> bytes:
    sent = {name: value for name, value in _decode_members(item).items() if bytes(value) != b"null"}
    name = item_type(item)
    members: dict[str, Any] = {"id": f"{_PREFIXES.get(name, 'item')}_{default_id}", "type": name}
    if name in _TYPES_WITH_STATUS:
        members["status"] = "completed"
    members |= sent
    if name == "message":
        members["content"] = _content_parts(_decode_message(item))
    return msgspec.json.encode(members)


def _content_parts(message: _Message) -> list[dict[str, Any]]:
    if isinstance(message.content, str):
        name = "output_text" if message.role == "assistant" else "input_text"
        return [{"type": name, "text": message.content} | _PART_DEFAULTS.get(name, {})]
    return [
        _PART_DEFAULTS.get(msgspec.json.decode(part["type"], type=str), {})
        | {name: value for name, value in part.items() if bytes(value) != b"null"}
        for part in message.content
    ]


def render_page(items: Sequence[bytes], params: Mapping[str, str]) -> bytes:
    """Render the page of `items` that the query asks for.

    Args:
        items: JSON objects with an id, the oldest first.
        params: The query: `after`, `limit` and `order`; the newest come first unless `order` is `asc`.

    Raises:
        InvalidFieldError: A parameter is invalid.
    """
    order = params.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidFieldError(("order",), "choice", ("asc", "desc"), order)
    limit = parse_limit(params, _PAGE, _LARGEST_PAGE)
    ids = [_decode_id(item).id for item in items]
    indexes = list(range(len(items)))
    if order == "desc":
        indexes.reverse()
    after = params.get("after")
    if after is not None:
        if after not in ids:
            raise InvalidFieldError(
                ("after",), "conflict", "The 'after' parameter names no item of this list."
            )
        indexes = indexes[indexes.index(ids.index(after)) + 1 :]
    page = indexes[:limit]
    first, last = (ids[page[0]], ids[page[-1]]) if page else (None, None)
    return b'{"object":"list","data":[%b],"first_id":%b,"last_id":%b,"has_more":%b}' % (
        b",".join(items[index] for index in page),
        encode(first),
        encode(last),
        encode(len(indexes) > len(page)),
    )
