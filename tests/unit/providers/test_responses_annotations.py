"""Responses: what a text cites."""

from typing import Any

import pytest
from support.responses_api import (
    answer,
    answering,
    ask,
    check_event,
    events,
    kinds,
    saying,
    searching,
    stream,
)

from llmsim.domain import FinishReason, Segment
from llmsim.providers.openai.responses import RESPONSES
from llmsim.providers.openai_family.citations import cited_sentence
from llmsim.providers.openresponses.responses import RESPONSES as OPENRESPONSES

INCLUDED = {"include": ["file_search_call.results", "web_search_call.action.sources"]}
SEARCHES = (searching("web_search", "rain"), searching("file_search", "sun", id="2"))
TEXT = saying("It", " rains.", " The", " sun", " 🦜", " too.")


def cited(*segments: Segment, generation: Any = RESPONSES, **fields: Any) -> list[dict[str, Any]]:
    """Return the annotations of the last text."""
    found: list[dict[str, Any]] = answer(generation, answering(*segments), **fields)["output"][-1]["content"][
        0
    ]["annotations"]
    return found


def test_a_page_and_a_file_are_cited() -> None:
    """RESP-6.8: What the searches show is what the text cites."""
    web, file, message = answer(RESPONSES, answering(*SEARCHES, TEXT), **INCLUDED)["output"]
    page, document = message["content"][0]["annotations"]
    text = message["content"][0]["text"]

    assert (page["type"], page["url"]) == ("url_citation", web["action"]["sources"][0]["url"])
    assert text[page["start_index"] : page["end_index"]] == "The sun 🦜 too."
    assert document == {
        "type": "file_citation",
        "file_id": file["results"][0]["file_id"],
        "filename": file["results"][0]["filename"],
        "index": len(text),
    }


@pytest.mark.parametrize(
    "segments",
    [
        (TEXT,),
        (searching("code_interpreter", "1"), TEXT),
        (*SEARCHES, saying()),
        (*SEARCHES, saying(" ", "\n")),
        (TEXT, SEARCHES[0], saying("")),
    ],
)
def test_nothing_is_cited(segments: tuple[Segment, ...]) -> None:
    """RESP-6.8: Without a search before it, or without words, a text cites nothing."""
    assert cited(*segments) == []


def test_a_text_before_a_search_cites_nothing() -> None:
    """RESP-6.8: Only what has been found is cited."""
    first, _, last = answer(RESPONSES, answering(TEXT, SEARCHES[0], saying("So")))["output"]

    assert (len(first["content"][0]["annotations"]), len(last["content"][0]["annotations"])) == (0, 1)


def test_two_searches_are_cited_apart() -> None:
    """RESP-6.8: Each has its own page."""
    found = cited(SEARCHES[0], searching("web_search", "sun", id="2"), TEXT)

    assert len({one["url"] for one in found}) == 2


@pytest.mark.parametrize("finish", [FinishReason.STOP, FinishReason.LENGTH])
@pytest.mark.parametrize("generation", [RESPONSES, OPENRESPONSES])
def test_events(generation: Any, finish: FinishReason) -> None:
    """RESP-3.18: They come when the text is whole, and are in all that ends after it."""
    turn = answering(*SEARCHES, TEXT, finish=finish)
    runs = stream(generation, turn)
    sent = events(runs)
    added = [event for event in sent if event["type"] == "response.output_text.annotation.added"]
    ended = sent[-2]["item"]["content"][0]["annotations"]

    assert kinds(runs)[-6:-2] == [
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
    ]
    assert [event["annotation"] for event in added] == ended == sent[-3]["part"]["annotations"]
    assert [event["annotation_index"] for event in added] == list(range(len(added)))
    assert sent[-1]["response"]["output"] == answer(generation, turn)["output"]
    if generation is RESPONSES:
        for event in sent:
            check_event(event)


def test_only_pages_are_cited_in_openresponses() -> None:
    """OPRE-1.9: Its annotations are citations of pages."""
    assert [one["type"] for one in cited(*SEARCHES, TEXT, generation=OPENRESPONSES)] == ["url_citation"]


def test_sent_back() -> None:
    """RESP-1.2: A text with annotations is accepted as input."""
    output = answer(RESPONSES, answering(*SEARCHES, TEXT))["output"]
    messages = ask(RESPONSES, input=[{"role": "user", "content": "Hi"}, *output]).prompt.messages

    assert messages[-1].texts == ("It rains. The sun 🦜 too.",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("", ""), (" ", ""), ("One", "One"), ("One. ", "One."), ("A. B. ", "B."), ("1.5 m", "1.5 m")],
)
def test_the_last_sentence(text: str, sentence: str) -> None:
    """RESP-6.8: What is cited lies within the text."""
    start, end = cited_sentence(text)

    assert text[start:end] == sentence
