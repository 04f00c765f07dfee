"""Lists in pages: `limit`, `after_id`, `before_id`; `data`, `first_id`, `last_id`, `has_more`.

Source: anthropic SDK 2.12, pagination.py (`Page`), types/model_list_params.py, types/messages/batch_list_params.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from llmsim.errors import InvalidFieldError
from llmsim.providers.contract import Reply
from llmsim.wire.codec import encode

_LIMIT = 20
_MOST = 1000


class Page(msgspec.Struct, frozen=True):
    """Which part of a list is asked for.

    Attributes:
        limit: Most entries.
        after: Id of the entry behind which it begins.
        before: Id of the entry before which it ends.
    """

    limit: int
    after: str | None
    before: str | None

    @classmethod
    def read(cls, params: Mapping[str, str]) -> "Page":
        """Read the query.

        Raises:
            InvalidFieldError: It asks for what cannot be.
        """
        return cls(_limit(params.get("limit")), params.get("after_id"), params.get("before_id"))

    def unknown(self) -> InvalidFieldError:
        """Make the refusal of a cursor that is in no list."""
        name = "after_id" if self.after is not None else "before_id"
        return InvalidFieldError((name,), "conflict", f"{name}: not an id of this list")


def _limit(text: str | None) -> int:
    if text is None:
        return _LIMIT
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidFieldError(("limit",), "type", "int", text)
    limit = int(text)
    if limit < 1:
        raise InvalidFieldError(("limit",), "minimum", 1, limit)
    if limit > _MOST:
        raise InvalidFieldError(("limit",), "maximum", _MOST, limit)
    return limit


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
