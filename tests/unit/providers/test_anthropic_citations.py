"""Citations of the Anthropic API: after documents, search results and searches."""

import base64
import json
import zlib
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from support.incoming import incoming
from support.tool_turns import hosted_call, text_segment, turn_of

from llmsim.domain import FinishReason
from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.messages import MessageOptions, parse
from llmsim.providers.anthropic.passages import _lines
from llmsim.providers.anthropic.rendering import render_message, render_plain

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
TEXT = "The sky is blue. Grass is green, mostly!\nCats are asleep"
QUESTION = {"type": "text", "text": "Which colour has the grass?"}
ENABLED = {"enabled": True}
TWO = turn_of(text_segment("Well", ".", " It", " is", " green", "."), finish=FinishReason.STOP)
ONE = turn_of(text_segment("It", " is", " green", "."), finish=FinishReason.STOP)


def pdf(*pages: str) -> str:
    streams = [zlib.compress(b"BT /F1 12 Tf (%b) Tj ET" % page.encode()) for page in pages]
    body = b"".join(b"<< /Filter /FlateDecode >>\nstream\n%b\nendstream\n" % stream for stream in streams)
    return base64.b64encode(b"%PDF-1.4\n" + body).decode()


def source(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind} | fields


def document(of: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "document", "source": of, "title": "Facts", "citations": ENABLED} | fields


PLAIN = source("text", media_type="text/plain", data=TEXT)
BLOCKS = source(
    "content", content=[{"type": "text", "text": "Sky."}, {"type": "text", "text": "Grass is green."}]
)
PDF = source("base64", media_type="application/pdf", data=pdf("The sky.", "Grass is green."))
FOUND = {
    "type": "search_result",
    "source": "https://example.com",
    "title": "Colours",
    "content": [{"type": "text", "text": "Sky."}, {"type": "text", "text": "Grass is green."}],
    "citations": ENABLED,
}


def options(*blocks: dict[str, Any], **fields: Any) -> MessageOptions:
    asked = {
        "model": "claude-opus-4-8",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": [*blocks, QUESTION]}],
    }
    return parse(incoming(json.dumps(asked | fields).encode())).options


def citations(asked: MessageOptions) -> list[dict[str, Any]]:
    body = render_message(ONE, asked)
    Message.model_validate(body)
    (block,) = body["content"]
    found: list[dict[str, Any]] = block.get("citations", [])
    return found


class TestDocuments:
    """Documents and search results of the request."""

    def test_a_text_is_cited_by_its_characters(self) -> None:
        """ANTH-14.1: What is cited of a text is at the characters that the citation names."""
        (cited,) = citations(options(document(PLAIN)))

        assert cited["cited_text"] == "Grass is green, mostly!"
        assert TEXT[cited["start_char_index"] : cited["end_char_index"]] == cited["cited_text"]
        assert (cited["type"], cited["document_index"], cited["document_title"]) == (
            "char_location",
            0,
            "Facts",
        )

    @pytest.mark.parametrize(
        ("block", "place"),
        [
            (
                document(BLOCKS),
                {"type": "content_block_location", "start_block_index": 1, "end_block_index": 2},
            ),
            (document(PDF), {"type": "page_location", "start_page_number": 2, "end_page_number": 3}),
            (
                FOUND,
                {
                    "type": "search_result_location",
                    "start_block_index": 1,
                    "end_block_index": 2,
                    "search_result_index": 0,
                    "source": "https://example.com",
                    "title": "Colours",
                },
            ),
        ],
    )
    def test_other_content_is_cited_by_its_blocks_or_pages(
        self, block: dict[str, Any], place: dict[str, Any]
    ) -> None:
        """ANTH-14.1: Blocks are counted from 0, pages from 1; the end is not part of what is cited."""
        (cited,) = citations(options(block))

        assert cited["cited_text"] == "Grass is green."
        assert cited.items() >= place.items()

    def test_documents_are_counted_over_the_request(self) -> None:
        """ANTH-14.1: The index of a document counts those that may not be cited, and those of results."""
        off = document(PLAIN, citations={"enabled": False})

        assert [cited["document_index"] for cited in citations(options(off, document(PLAIN)))] == [1]
        assert citations(options(off, document(PLAIN, citations=None))) == []

    def test_a_document_without_text_is_not_cited(self) -> None:
        """ANTH-14.1: A PDF without plain text, and a document that is fetched, have nothing to cite."""
        address = source("url", url="https://example.com/a.pdf")
        empty = source("base64", media_type="application/pdf", data=pdf())

        assert citations(options(document(address), document(empty))) == []

    def test_a_format_excludes_citations(self) -> None:
        """ANTH-14.3: Structured outputs with citations are refused."""
        schema = {"type": "object", "properties": {}, "additionalProperties": False}
        wanted = {"format": {"type": "json_schema", "schema": schema}}

        with pytest.raises(InvalidFieldError, match="citations"):
            options(document(PLAIN), output_config=wanted)

    @given(st.binary(max_size=200))
    def test_any_bytes_may_come_as_a_pdf(self, content: bytes) -> None:
        """ANTH-14.1: Whatever a PDF holds, it is read."""
        list(_lines(b"%PDF stream" + content + b"endstream stream(" + content + b") Tj endstream"))


class TestBlocks:
    """Where citations are in a message and in its stream."""

    def test_the_first_sentence_cites_nothing(self) -> None:
        """ANTH-14.2: The text is cut after its first sentence; the rest has the citations."""
        own, cited = render_message(TWO, options(document(PLAIN)))["content"]

        assert own == {"type": "text", "text": "Well."}
        assert cited["text"] == " It is green."
        assert len(cited["citations"]) == 1

    def test_citations_come_before_their_text(self) -> None:
        """ANTH-14.2: In a stream a block that cites starts without citations, and has a delta for each."""
        asked = options(document(PLAIN), document(BLOCKS))
        batches = render_plain(TWO, asked)
        stream = b"".join(run.data(0, len(run.required_tokens)) for run in batches)
        events = [json.loads(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: ")]
        second = [event for event in events if event.get("index") == 1]
        for event in events:
            if event["type"] != "ping":
                EVENT.validate_python(event)

        assert second[0]["content_block"] == {"type": "text", "text": "", "citations": []}
        assert [event["delta"]["type"] for event in second[1:-1]] == ["citations_delta"] * 2 + [
            "text_delta"
        ] * 4
        assert [event["delta"]["citation"] for event in second[1:3]] == list(asked.citations)
        assert sum(sum(run.tokens) for run in batches) == TWO.usage.completion

    def test_a_text_after_a_search_cites_what_was_found(self) -> None:
        """ANTH-14.2: The citations name the pages of the result, by address and title; a format has none."""
        planned = turn_of(hosted_call("web_search"), text_segment("So", "."), finish=FinishReason.STOP)
        _, result, text = render_message(planned, MessageOptions())["content"]
        pages = {(page["url"], page["title"]) for page in result["content"]}

        assert {(cited["url"], cited["title"]) for cited in text["citations"]} < pages
        assert {cited["type"] for cited in text["citations"]} == {"web_search_result_location"}
        assert all(
            cited["encrypted_index"] and len(cited["cited_text"]) <= 150 for cited in text["citations"]
        )
        formatted = render_message(planned, MessageOptions(is_formatted=True))
        assert "citations" not in formatted["content"][-1]
