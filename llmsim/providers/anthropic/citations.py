"""Citations in the text of a response.

Decisions:
* The first sentence of a text is the model's own, the rest cites; a text of one sentence cites as a whole. A text in a requested
  format cites nothing, as JSON in two blocks would be none.
* After searches of the turn a text cites what they found, and the passages of the request.
* Citations come before the text of their block in a stream. Source: recorded streams.

Source: anthropic SDK 2.14, types/text_block.py, citations_delta.py, citations_web_search_result_location.py.
"""

import re
from collections.abc import Sequence
from typing import Any

from llmsim.domain import TokenizedText

_END = re.compile(r"[.!?][\"')\]]*\s*$")

_FOUND = 2
"""Results of a search that are cited."""

_MOST = 5


def cited_results(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return citations of the results of a web search."""
    return [
        {
            "type": "web_search_result_location",
            "cited_text": f"{result['title']}: a page that was made up by llmsim."[:150],
            "url": result["url"],
            "title": result["title"],
            "encrypted_index": result["encrypted_content"][:64],
        }
        for result in results[:_FOUND]
    ]


def cited_page(page: dict[str, Any], index: int) -> dict[str, Any]:
    """Return a citation of a fetched page: of its first sentence.

    Args:
        page: The result of the fetch.
        index: The number of documents before it.
    """
    document = page["content"]
    text = document["source"]["data"]
    sentence = text[: text.index(".") + 1]
    return {
        "type": "char_location",
        "cited_text": sentence,
        "document_index": index,
        "document_title": document["title"],
        "file_id": None,
        "start_char_index": 0,
        "end_char_index": len(sentence),
    }


def split_text(text: TokenizedText) -> tuple[TokenizedText | None, TokenizedText]:
    """Return the sentence of a text that cites nothing, None if there is none, and the rest, which cites."""
    place = next((place for place, piece in enumerate(text.pieces[:-1], 1) if _END.search(piece)), None)
    if place is None:
        return None, text
    before = text.cumulative_tokens[place - 1]
    rest = tuple(end - before for end in text.cumulative_tokens[place:])
    return (
        TokenizedText(text.pieces[:place], text.cumulative_tokens[:place]),
        TokenizedText(text.pieces[place:], rest),
    )


def citation_deltas(citations: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Render the deltas that carry citations."""
    return tuple({"type": "citations_delta", "citation": citation} for citation in citations[:_MOST])
