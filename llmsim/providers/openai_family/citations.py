"""What a text cites: pages of the web and files, for its last sentence.

Decisions:
* Pages are made up, of a domain that is reserved for examples.
* Places are counted in characters, and lie within the text.
"""

from typing import Any


def cited_sentence(text: str) -> tuple[int, int]:
    """Return where the last sentence of a text begins and ends; twice 0 for a blank text."""
    end = len(text.rstrip())
    start = text.rfind(". ", 0, max(0, end - 1)) + 2
    return (start if start > 1 and end else 0), end


def url_citation(text: str, url: str, title: str) -> dict[str, Any]:
    """Build the citation of a page, without its type."""
    start, end = cited_sentence(text)
    return {"end_index": end, "start_index": start, "title": title, "url": url}
