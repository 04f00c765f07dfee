"""Tools that the API runs itself: what a candidate shows of their calls, and the sources of its text.

Decisions:
* Nothing is looked up, fetched or run: addresses are below `example.com`. The code prints the question, so that its output is true.
* Code and its output are parts. Searches and fetched pages are no parts: the candidate names them at its end.
* A search is the ground of the first sentence of a text. Indices are those of bytes, as the API counts.

Source: google-genai SDK 3.6, types.GroundingMetadata, GroundingSupport, Segment, UrlContextMetadata, ExecutableCode,
CodeExecutionResult; ai.google.dev/gemini-api/docs/google-search, url-context, code-execution, maps-grounding.
"""

import json
import re
from html import escape
from typing import Any

from llmsim.domain import Choice, TextSegment, ToolCallSegment, ToolKind

SEARCHES = ("google_search", "google_search_retrieval")
MAPS, URLS, CODE = "google_maps", "url_context", "code_execution"

RUN_BY_API = (*SEARCHES, MAPS, URLS, CODE)
"""The tools that are called."""

_ADDRESS = "https://example.com/"
_SOURCES = ("{}: an overview", "All about {}")
_URL = re.compile(r"https?://[^\s<>\"')\]]{1,2000}")
_MOST_URLS = 5
_MOST_TITLE = 100
_SENTENCE = re.compile(r"[^.!?]*[.!?]+")
_NOT_IN_PATHS = re.compile(r"[^A-Za-z0-9]+")


def code_parts(segment: ToolCallSegment) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parts of a call that runs code: the code, and what it has put out."""
    text = segment.arguments.text
    code = {"language": "PYTHON", "code": f"print({json.dumps(text)})\n"}
    result = {"outcome": "OUTCOME_OK", "output": f"{text}\n"}
    return {"executableCode": code}, {"codeExecutionResult": result}


def render_grounding(choice: Choice) -> dict[str, Any]:
    """Return what a candidate says of its sources; empty if it has none."""
    calls = {
        segment.call.name: segment.arguments.text
        for segment in choice.segments
        if isinstance(segment, ToolCallSegment) and segment.call.kind is ToolKind.HOSTED
    }
    text = next((one.text.text for one in choice.segments if isinstance(one, TextSegment)), "")
    if not calls or not text:
        return {}
    fields: dict[str, Any] = {}
    if (query := next((calls[name] for name in SEARCHES if name in calls), None)) is not None:
        fields["groundingMetadata"] = _searched(query, text)
    elif MAPS in calls:
        chunks = [{"maps": chunk | {"placeId": "places/llmsim"}} for chunk in _chunks(calls[MAPS])]
        fields["groundingMetadata"] = {"groundingChunks": chunks, "groundingSupports": _supports(text)}
    if urls := _URL.findall(calls.get(URLS, ""))[:_MOST_URLS]:
        status = "URL_RETRIEVAL_STATUS_SUCCESS"
        found = [{"retrievedUrl": url, "urlRetrievalStatus": status} for url in urls]
        fields["urlContextMetadata"] = {"urlMetadata": found}
    return fields


def _searched(query: str, text: str) -> dict[str, Any]:
    return {
        "searchEntryPoint": {
            "renderedContent": f'<div class="container">{escape(query[:_MOST_TITLE])}</div>'
        },
        "groundingChunks": [{"web": chunk} for chunk in _chunks(query)],
        "groundingSupports": _supports(text),
        "webSearchQueries": [query],
    }


def _chunks(query: str) -> list[dict[str, str]]:
    title = query[:_MOST_TITLE]
    path = _NOT_IN_PATHS.sub("-", title.lower()).strip("-")
    return [
        {"uri": f"{_ADDRESS}{path}/{number}", "title": source.format(title)}
        for number, source in enumerate(_SOURCES, 1)
    ]


def _supports(text: str) -> list[dict[str, Any]]:
    found = _SENTENCE.match(text)
    sentence = (found[0] if found else text).encode("utf-8", "replace")
    segment = {"endIndex": len(sentence), "text": sentence.decode("utf-8", "replace")}
    return [{"segment": segment, "groundingChunkIndices": [0]}]
