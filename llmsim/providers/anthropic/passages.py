"""The passages of a request that a response may cite: of documents and search results with citations.

Decisions:
* Of each source one passage is cited, the one that has most words of the question: a sentence of a text, a block of other content, a
  line of a PDF. What is cited is in the source, at the indices that the citation has.
* The text of a PDF is read from its content streams as far as they hold plain strings, each stream as a page; a PDF without such
  strings is not cited, nor is a document at an address. A stored document is read when the request has been parsed.
* Documents are counted over the whole request, whether they may be cited or not, and search results likewise.

Source: anthropic SDK 2.14, types/citation_*.py; Anthropic docs, build-with-claude/citations and search-results.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from llmsim.domain.question import question_of
from llmsim.providers.anthropic.media_rules import source_value
from llmsim.providers.anthropic.messages_request import (
    Block,
    DocumentBlock,
    MessageParam,
    SearchResultBlock,
    TextBlock,
    ToolResultBlock,
)
from llmsim.providers.anthropic.signatures import decode_base64

MOST_PASSAGES = 3
"""Passages that a response cites."""

_LONGEST = 20_000
"""Characters of a text that are looked at."""

_SENTENCE = re.compile(r"\S[^.!?\n]*[.!?]*")
_WORD = re.compile(r"\w{4,}")
_STRING = re.compile(rb"\(((?:[^()\\]|\\.){1,2000})\)\s*(?:Tj|'|\])", re.DOTALL)

_MOST_BLOCKS = 200
_MOST_STREAMS = 50
_MOST_STREAM_BYTES = 1 << 16
"""Bytes of a stream of a PDF that are inflated."""

Citation = dict[str, Any]


def parse_passages(messages: Sequence[MessageParam]) -> tuple[Citation, ...]:
    """Return citations of the passages of a conversation, at most one of each source."""
    sources = [source for message in messages for source in _sources(message.content)]
    words = _words(_question(messages)[:_LONGEST])
    found: list[Citation] = []
    documents = results = 0
    for source in sources:
        is_cited = len(found) < MOST_PASSAGES and _is_cited(source)
        citation = None
        if isinstance(source, DocumentBlock):
            if is_cited:
                citation = _cite_document(source, documents, words)
            documents += 1
        else:
            if is_cited:
                citation = _cite_result(source, results, words)
            results += 1
        if citation is not None:
            found.append(citation)
    return tuple(found)


class StoredSource(msgspec.Struct, frozen=True):
    """A stored document that may be cited.

    Attributes:
        file_id: The file.
        index: The number of documents before it.
        title: Its title; None if it has none.
        words: The words of the question.
    """

    file_id: str
    index: int
    title: str | None
    words: frozenset[str]


def stored_sources(messages: Sequence[MessageParam]) -> tuple[StoredSource, ...]:
    """Return the stored documents of a conversation that may be cited."""
    documents = _documents(messages)
    if not any(document.source.file_id and _is_cited(document) for document in documents):
        return ()
    words = _words(_question(messages)[:_LONGEST])
    return tuple(
        StoredSource(document.source.file_id, index, document.title, words)
        for index, document in enumerate(documents)
        if document.source.file_id is not None and _is_cited(document)
    )[:MOST_PASSAGES]


def cite_stored(stored: StoredSource, content: bytes, filename: str) -> Citation | None:
    """Return a citation of a stored document, a PDF or a text; None if nothing of it can be cited."""
    if content.startswith(b"%PDF"):
        place = _cite_page(content, stored.words)
    else:
        place = _cite_text(content[: 4 * _LONGEST].decode(errors="ignore"), stored.words)
    return (
        None
        if place is None
        else _with_document(place, stored.index, stored.title or filename, stored.file_id)
    )


def count_documents(messages: Sequence[MessageParam]) -> int:
    """Return the number of documents of a conversation."""
    return len(_documents(messages))


def _documents(messages: Sequence[MessageParam]) -> list[DocumentBlock]:
    sources = (source for message in messages for source in _sources(message.content))
    return [source for source in sources if isinstance(source, DocumentBlock)]


def has_citations(blocks: Sequence[Block]) -> bool:
    """Return whether blocks hold a source that may be cited."""
    return any(map(_is_cited, _sources(blocks)))


def _is_cited(source: DocumentBlock | SearchResultBlock) -> bool:
    return source.citations is not None and bool(source.citations.enabled)


def _sources(blocks: str | Sequence[Block]) -> Iterator[DocumentBlock | SearchResultBlock]:
    for block in () if isinstance(blocks, str) else blocks:
        parts: Sequence[object] = (block,)
        if isinstance(block, ToolResultBlock):
            parts = block.content if isinstance(block.content, list) else ()
        yield from (part for part in parts if isinstance(part, DocumentBlock | SearchResultBlock))


def _question(messages: Sequence[MessageParam]) -> str:
    for message in reversed(messages):
        if message.role != "user":
            continue
        content = message.content
        texts = (
            [content]
            if isinstance(content, str)
            else [one.text for one in content if isinstance(one, TextBlock)]
        )
        if question := question_of(texts):
            return question
    return ""


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORD.findall(text))


def _cite_document(document: DocumentBlock, index: int, words: frozenset[str]) -> Citation | None:
    value, kind = source_value(document.source), document.source.type
    place: Citation | None = None
    if kind == "text" and isinstance(value, str):
        place = _cite_text(value, words)
    elif kind == "content":
        texts = [value] if isinstance(value, str) else [str(block.get("text") or "") for block in value or ()]
        place = _cite_blocks(texts, "content_block_location", words)
    elif kind == "base64" and isinstance(value, str):
        place = _cite_page(decode_base64(value) or b"", words)
    return None if place is None else _with_document(place, index, document.title, None)


def _with_document(place: Citation, index: int, title: str | None, file_id: str | None) -> Citation:
    return {
        "type": place.pop("type"),
        "cited_text": place.pop("cited_text"),
        "document_index": index,
        "document_title": title,
        "file_id": file_id,
        **place,
    }


def _cite_text(text: str, words: frozenset[str]) -> Citation | None:
    sentences = [(match.start(), match[0].rstrip()) for match in _SENTENCE.finditer(text[:_LONGEST])]
    if not sentences:
        return None
    start, sentence = max(sentences, key=lambda one: len(_words(one[1]) & words))
    return {
        "type": "char_location",
        "cited_text": sentence,
        "start_char_index": start,
        "end_char_index": start + len(sentence),
    }


def _cite_blocks(texts: Sequence[str], kind: str, words: frozenset[str]) -> Citation | None:
    places = [place for place, text in enumerate(texts[:_MOST_BLOCKS]) if text.strip()]
    if not places:
        return None
    best = max(places, key=lambda place: len(_words(texts[place][:_LONGEST]) & words))
    return {
        "type": kind,
        "cited_text": texts[best],
        "start_block_index": best,
        "end_block_index": best + 1,
    }


def _cite_page(pdf: bytes, words: frozenset[str]) -> Citation | None:
    lines = list(_lines(pdf))
    if not lines:
        return None
    page, line = max(lines, key=lambda one: len(_words(one[1]) & words))
    return {
        "type": "page_location",
        "cited_text": line,
        "start_page_number": page,
        "end_page_number": page + 1,
    }


def _lines(pdf: bytes) -> Iterator[tuple[int, str]]:
    """Yield the strings that a PDF shows, each with the number of its page."""
    page, end = 0, 0
    for _ in range(_MOST_STREAMS):
        start = pdf.find(b"stream", end)
        end = pdf.find(b"endstream", start)
        if start < 0 or end < 0:
            return
        content = pdf[start + 6 : end].lstrip(b"\r\n")
        end += 9
        try:
            content = zlib.decompressobj().decompress(content, _MOST_STREAM_BYTES)
        except zlib.error:
            content = content[:_MOST_STREAM_BYTES]
        shown = [match[1].decode("latin-1") for match in _STRING.finditer(content)]
        shown = [text for text in shown if text.strip() and "\\" not in text and text.isprintable()]
        page += bool(shown)
        for text in shown:
            yield page, text


def _cite_result(result: SearchResultBlock, index: int, words: frozenset[str]) -> Citation | None:
    place = _cite_blocks([block.text for block in result.content], "search_result_location", words)
    if place is None:
        return None
    return place | {"search_result_index": index, "source": result.source, "title": result.title}
