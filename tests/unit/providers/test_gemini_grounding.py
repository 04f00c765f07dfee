"""Tools that the Gemini API runs: sources of a text, and code."""

import json
from typing import Any

from google.genai import types
from msgspec.structs import replace
from support.incoming import incoming
from support.tool_turns import hosted_call, text_segment, turn_of

from llmsim.domain import FinishReason, ToolKind, Turn
from llmsim.errors import MethodError
from llmsim.providers.contract import ParsedRequest
from llmsim.providers.gemini.errors import render_refusal
from llmsim.providers.gemini.rendering import render_response, render_stream
from llmsim.providers.gemini.request import GenerateOptions, parse

TEXT = ("Grün", " ist es.", " Mehr nicht.")


def parse_tools(*tools: dict[str, Any], model: str = "gemini-2.5-flash") -> ParsedRequest[GenerateOptions]:
    """Parse a request that offers tools."""
    body = {"contents": [{"parts": [{"text": "Hi"}]}], "tools": list(tools)}
    request = replace(
        incoming(json.dumps(body).encode()),
        path=f"/v1beta/models/{model}:generateContent",
        path_params={"model": model},
    )
    return parse(request)


def answer(name: str, *query: str) -> Turn:
    """Return a turn that calls a tool, and then answers."""
    return turn_of(hosted_call(name, *query), text_segment(*TEXT), finish=FinishReason.STOP)


def candidate(turn: Turn, tool: str) -> types.Candidate:
    """Return the candidate of a response, as the SDK reads it."""
    body = json.loads(render_response(turn, parse_tools({tool: {}}).options))
    (found,) = types.GenerateContentResponse.model_validate(body).candidates or []
    return found


def test_they_are_called_where_no_functions_are() -> None:
    """GEM-4.7: Beside functions they are not offered to the model."""
    search: dict[str, Any] = {"googleSearch": {}}
    functions = {"functionDeclarations": [{"name": "f"}]}

    assert [(tool.name, tool.kind) for tool in parse_tools(search).prompt.tools] == [
        ("google_search", ToolKind.HOSTED)
    ]
    both = parse_tools(search, functions, model="gemini-3-pro-preview")
    assert [tool.name for tool in both.prompt.tools] == ["f"]
    assert not parse_tools(search).options.has_tools


def test_a_search_is_the_source_of_a_text() -> None:
    """GEM-4.7: Query, pages, and the first sentence with indices of bytes."""
    found = candidate(answer("google_search", "Is it", " green?"), "google_search").grounding_metadata
    assert found is not None
    (support,) = found.grounding_supports or []

    assert found.web_search_queries == ["Is it green?"]
    assert len(found.grounding_chunks or []) == 2
    assert support.segment is not None
    assert (
        "".join(TEXT).encode()[: support.segment.end_index].decode() == support.segment.text == "Grün ist es."
    )


def test_addresses_of_the_question_are_fetched() -> None:
    """GEM-4.7: They are named with their state."""
    found = candidate(answer("url_context", "Read", " https://a.b/c"), "url_context").url_context_metadata
    assert found is not None
    (page,) = found.url_metadata or []

    assert (page.retrieved_url, page.url_retrieval_status) == (
        "https://a.b/c",
        types.UrlRetrievalStatus.URL_RETRIEVAL_STATUS_SUCCESS,
    )


def test_code_and_its_output_are_parts() -> None:
    """GEM-4.7: They come before the text, whole and streamed."""
    turn = answer("code_execution", "1 + 1")
    content = candidate(turn, "code_execution").content
    assert content is not None
    code, output, text = content.parts or []
    frames = render_stream(turn, replace(parse_tools({"code_execution": {}}).options, is_sse=True))

    assert code.executable_code is not None
    assert code.executable_code.code == 'print("1 + 1")\n'
    assert output.code_execution_result is not None
    assert output.code_execution_result.output == "1 + 1\n"
    assert text.text == "".join(TEXT)
    assert [b"executableCode" in body for body in frames[0].bodies][:2] == [True, False]


def test_methods_that_are_not_served() -> None:
    """GEM-8.5: The message names model and method."""
    path = "/v1beta/models/gemini-2.5-flash:predictLongRunning"
    reply = render_refusal(MethodError("POST", path, ("GET",)))
    error = json.loads(reply.body)["error"]

    assert (reply.status, error["status"]) == (404, "NOT_FOUND")
    assert error["message"].startswith(
        "models/gemini-2.5-flash is not found for API version v1beta, or is not supported for predictLongRunning."
    )
