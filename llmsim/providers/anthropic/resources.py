"""What the API's resources share: times, and lists in pages.

A page is requested with `limit`, `after_id` and `before_id`; it has `data`, `first_id`, `last_id` and `has_more`.

Source: anthropic SDK 2.14, pagination.py (`Page`), types/model_list_params.py, types/messages/batch_list_params.py.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from llmsim.errors import InvalidFieldError
from llmsim.providers.contract import Reply
from llmsim.providers.paging import parse_limit
from llmsim.wire.codec import encode

DAY = 86_400
"""Seconds of a day."""

_DEFAULT_LIMIT = 20
_MAX_LIMIT = 1000


def rfc3339(unix: int) -> str:
    """Return a Unix time, in seconds, as the API writes it: `2026-11-23T03:33:24Z`."""
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Page(msgspec.Struct, frozen=True):
    """The part of a list that is requested.

    Attributes:
        limit: Maximum number of entries.
        after: Id of the entry after which it starts.
        before: Id of the entry before which it ends.
    """

    limit: int
    after: str | None
    before: str | None

    def unknown_cursor(self) -> InvalidFieldError:
        """Return the refusal of a cursor that is not in the list."""
        name = "after_id" if self.after is not None else "before_id"
        return InvalidFieldError((name,), "conflict", f"{name}: not an id of this list")


def parse_page(params: Mapping[str, str]) -> Page:
    """Parse the query of a list.

    Raises:
        InvalidFieldError: The limit is not a number, or out of range.
    """
    return Page(
        parse_limit(params, _DEFAULT_LIMIT, _MAX_LIMIT), params.get("after_id"), params.get("before_id")
    )


def render_page(entries: Sequence[dict[str, Any]], *, more: bool) -> Reply:
    """Render one page."""
    return Reply(
        200,
        encode(
            {
                "data": entries,
                "has_more": more,
                "first_id": entries[0]["id"] if entries else None,
                "last_id": entries[-1]["id"] if entries else None,
            }
        ),
    )
