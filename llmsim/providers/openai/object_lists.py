"""Lists of the objects that clients create: the page that a query asks for, and how it is rendered.

Source: openai SDK, pagination.py (`CursorPage`, `ConversationCursorPage`), types/file_list_params.py.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.providers.contract import EndpointContext, Reply
from llmsim.providers.openai_family.field_messages import quote
from llmsim.providers.paging import parse_limit
from llmsim.providers.storage import Document
from llmsim.wire.codec import encode


class ListQuery(msgspec.Struct, frozen=True):
    """The part of a list that a query asks for.

    Attributes:
        limit: Maximum number of entries.
        after: Id of the entry after which it begins.
        before: Id of the entry before which it ends.
        is_ascending: Whether the oldest come first.
    """

    limit: int
    after: str | None
    before: str | None
    is_ascending: bool


async def read_page(
    context: EndpointContext, kind: str, query: ListQuery, labels: Mapping[str, str] = MappingProxyType({})
) -> tuple[list[Document], bool]:
    """Return the objects of a kind that a query asks for, and whether more follow.

    Raises:
        InvalidFieldError: There is no object with the id of `after` or `before`.
    """
    try:
        return await context.objects(kind).page(
            limit=query.limit,
            after=query.after,
            before=query.before,
            ascending=query.is_ascending,
            labels=labels,
        )
    except KeyError:
        name = "after" if query.after is not None else "before"
        raise InvalidFieldError(
            (name,), "conflict", f"Invalid '{name}': nothing with this id is in this list."
        ) from None


def parse_query(
    params: Mapping[str, str], *, default: int = 20, most: int = 100, order: str = "desc"
) -> ListQuery:
    """Parse the query of a list.

    Args:
        params: The query.
        default: Entries of a page unless it asks for another number.
        most: Most entries of a page.
        order: Order of the list unless it asks for another: `asc` or `desc`.

    Raises:
        InvalidFieldError: A parameter is invalid.
    """
    wanted = params.get("order", order)
    if wanted not in ("asc", "desc"):
        raise InvalidFieldError(("order",), "choice", ("asc", "desc"), wanted)
    limit = parse_limit(params, default, most)
    return ListQuery(limit, params.get("after"), params.get("before"), wanted == "asc")


def render_list(documents: list[Document], render: Callable[[Document], Any], *, has_more: bool) -> Reply:
    """Render one page."""
    ids = [document.id for document in documents]
    return Reply(
        200,
        encode(
            {
                "object": "list",
                "data": [render(document) for document in documents],
                "first_id": ids[0] if ids else None,
                "last_id": ids[-1] if ids else None,
                "has_more": has_more,
            }
        ),
    )


def not_found(noun: str, object_id: str, param: str | None = "id") -> ApiRuleError:
    """Return the refusal of an id under which nothing is stored.

    The words are as remembered, not verified.
    """
    return ApiRuleError(f"No such {noun} object: {quote(object_id)}", param, status=404)
