"""The annotations of a text: what the searches before it have found.

Decisions:
* Each complete search is cited once, in the order of the searches; a text without words cites nothing.
* What is cited is what the search shows as its source or result, if the request includes them.

Source: openai SDK 3.57, types/responses/response_output_text.py.
"""

from collections.abc import Sequence
from typing import Any

from llmsim.providers.openai_family.citations import cited_sentence, url_citation
from llmsim.providers.openai_family.responses.dialect import Dialect
from llmsim.wire.codec import encode

SEARCHES = ("web_search", "file_search")
"""Tools that find what is cited."""

FOUND_FILE = "found.txt"
"""Name of the file that a search finds."""


def page_url(key: str) -> str:
    """Return the address of the page that a search has found."""
    return f"https://example.com/{key}"


def file_id(key: str) -> str:
    """Return the id of the file that a search has found."""
    return f"file-{key}"


def annotate(text: str, searches: Sequence[tuple[str, str]], dialect: Dialect) -> tuple[bytes, ...]:
    """Return the annotations of a text as JSON.

    Args:
        text: The text.
        searches: Kind and key of each search before it.
        dialect: The API's dialect.
    """
    _, end = cited_sentence(text)
    if not end:
        return ()
    found: list[dict[str, Any]] = []
    for kind, key in searches:
        if kind == "web_search":
            page = url_citation(text, page_url(key), f"Page {len(found) + 1}")
            found.append({"type": "url_citation", **page})
        elif dialect.cites_files:
            cited = {"file_id": file_id(key), "filename": FOUND_FILE, "index": end}
            found.append({"type": "file_citation", **cited})
    return tuple([encode(one) for one in found])
