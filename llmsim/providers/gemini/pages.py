"""Pages of lists: `pageSize` and `pageToken`.

Decisions:
* The token of a page is the id of the last object of the page before.

Source: google-genai SDK 3.6, pagers.py; google.aip.dev/158.
"""

from collections.abc import Mapping

from llmsim.errors import ApiRuleError
from llmsim.providers.contract import EndpointContext, IncomingRequest
from llmsim.providers.storage import Document

_LONGEST = 200


def page_size(request: IncomingRequest, default: int, most: int) -> int:
    """Return how many entries a page has.

    Raises:
        ApiRuleError: The size is no number.
    """
    text = request.query.get("pageSize") or request.query.get("page_size") or ""
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ApiRuleError(f"Invalid value at 'page_size' (TYPE_INT32), \"{text[:_LONGEST]}\"")
    return min(int(text) or default, most)


def page_token(request: IncomingRequest) -> str:
    """Return where a page begins; empty for the first page."""
    return request.query.get("pageToken") or request.query.get("page_token") or ""


async def read_page(
    context: EndpointContext,
    kind: str,
    request: IncomingRequest,
    *,
    default: int,
    most: int,
    labels: Mapping[str, str] = {},
) -> tuple[list[Document], str]:
    """Return a page of the objects of a kind, and the token of the next one; empty if there is none.

    Raises:
        ApiRuleError: Size or token are invalid.
    """
    size = page_size(request, default, most)
    try:
        found, has_more = await context.objects(kind).page(
            limit=size, after=page_token(request) or None, labels=labels
        )
    except KeyError:
        raise ApiRuleError("Page token is invalid.") from None
    return found, found[-1].id if has_more else ""
