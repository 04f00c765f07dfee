"""OpenResponses: the differences from OpenAI."""

import json
from typing import Any

import pytest
from support.openresponses_compliance import COMPLIANCE, TOOL_CALLING, check_resource, check_tool_calling
from support.responses_api import answer, answering, ask, calling, events, frames, kinds, stream, thinking
from support.turns import tokenized

from llmsim.domain import Fault, FaultKind, FinishReason
from llmsim.errors import (
    BodyTooLargeError,
    ContextLengthError,
    InvalidFieldError,
    InvalidJsonError,
    MethodError,
    RefusedError,
    UnknownModelError,
    UnknownResponseError,
    UnknownRouteError,
    VisionError,
)
from llmsim.providers.contract import Reply
from llmsim.providers.openai_family.responses.endpoint import render_failure
from llmsim.providers.openresponses.errors import render_crash, render_fault, render_refusal
from llmsim.providers.openresponses.provider import RESPONSE_HEADERS, openresponses
from llmsim.providers.openresponses.responses import DIALECT, RESPONSES

# Source: openresponses/openresponses, schema/components/schemas/ResponseResource.json, `required`.
TYPES = {"server_error", "invalid_request", "not_found", "model_error", "too_many_requests"}
REASONING = tokenized("First", ", second.", spans=[3, 4])
TURN = thinking("Hello", " world", thought=9, shown=REASONING)


class TestResponse:
    """The response object."""

    @pytest.mark.parametrize("finish", [FinishReason.STOP, FinishReason.LENGTH])
    def test_all_required_fields_are_there(self, finish: FinishReason) -> None:
        """OPRE-1.1: All fields that the specification requires are there, and no field of OpenAI's own."""
        answered = answer(RESPONSES, thinking("Hi", thought=3, finish=finish))

        check_resource(answered)
        assert not {"moderation", "tool_usage"} & set(answered)

    def test_reasoning_has_a_status(self) -> None:
        """OPRE-1.2: Every item has a status, also one that the limit truncates."""
        whole = answer(RESPONSES, TURN)["output"]
        eaten = answer(RESPONSES, thinking(thought=9, finish=FinishReason.LENGTH))["output"]

        assert [(item["type"], item["status"]) for item in whole] == [
            ("reasoning", "completed"),
            ("message", "completed"),
        ]
        assert [(item["type"], item["status"]) for item in eaten] == [("reasoning", "incomplete")]

    @pytest.mark.parametrize("included", [True, False])
    def test_reasoning_is_encrypted_on_request(self, included: bool) -> None:
        """OPRE-1.3: There is encrypted content only if it is included."""
        fields = {"include": ["reasoning.encrypted_content"]} if included else {}

        assert ("encrypted_content" in answer(RESPONSES, TURN, **fields)["output"][0]) == included

    def test_tools_and_their_choice_are_whole(self) -> None:
        """OPRE-1.4: Functions and allowed tools are echoed with all their fields."""
        function = {"type": "function", "name": "f"}
        answered = answer(
            RESPONSES, TURN, tools=[function], tool_choice={"type": "allowed_tools", "tools": [function]}
        )

        assert answered["tools"] == [function | {"description": None, "parameters": None, "strict": True}]
        assert answered["tool_choice"] == {"type": "allowed_tools", "tools": [function], "mode": "auto"}

    @pytest.mark.parametrize("case", COMPLIANCE)
    def test_the_compliance_runners_requests(self, case: str) -> None:
        """OPRE-1.5: Responses to the runner's requests fit its schemas, streamed or not."""
        answered = answer(RESPONSES, TURN, input=COMPLIANCE[case])
        check_resource(answered)
        assert (answered["status"], bool(answered["output"])) == ("completed", True)

        final = [
            event for event in events(stream(RESPONSES, TURN, input=COMPLIANCE[case])) if "response" in event
        ]
        for event in final:
            check_resource(event["response"])
        assert (final[-1]["type"], final[-1]["response"]) == ("response.completed", answered)

    def test_the_compliance_runners_tool_calls(self) -> None:
        """OPRE-1.5: A call fits the runner's schemas, streamed or not."""
        call = calling("get_weather", '{"location":', '"San', ' Francisco"}')
        turn = answering(call, finish=FinishReason.TOOL_CALLS)
        asked = ask(RESPONSES, **TOOL_CALLING).prompt
        found = events(stream(RESPONSES, turn, **TOOL_CALLING))

        assert [tool.name for tool in asked.tools] == ["get_weather"]
        check_tool_calling(answer(RESPONSES, turn, **TOOL_CALLING))
        check_tool_calling(found[-1]["response"], found)


class TestStream:
    """The events."""

    def test_it_ends_with_the_sentinel(self) -> None:
        """OPRE-2.1: The last frame is `[DONE]`; it is sent with the last event; no event has an id."""
        found = frames(stream(RESPONSES, TURN))

        assert found[-1] == (TURN.length, 0, b"data: [DONE]\n\n")
        assert all(data.startswith(b"event: ") and b"\nid:" not in data for _, _, data in found[:-1])

    def test_reasoning_in_full(self) -> None:
        """OPRE-2.2: Its events have the specification's names, and belong to a content part."""
        found = events(stream(RESPONSES, TURN))

        assert kinds(stream(RESPONSES, TURN))[2:8] == [
            "output_item.added",
            "content_part.added",
            "reasoning.delta",
            "reasoning.done",
            "content_part.done",
            "output_item.done",
        ]
        assert found[3]["part"] == {"type": "reasoning_text", "text": ""}
        assert (found[4]["content_index"], found[4]["delta"]) == (0, "First")
        assert found[2]["item"]["status"] == "in_progress"

    def test_summaries_are_the_same_as_openais(self) -> None:
        """RESP-3.4: A summary's events are the same in both dialects."""
        assert "reasoning_summary_text.delta" in kinds(stream(RESPONSES, TURN, reasoning={"summary": "auto"}))

    def test_websocket_has_no_sentinel(self) -> None:
        """RESP-4.2: Over WebSocket the last line is the last event."""
        assert RESPONSES.websocket is not None
        runs = RESPONSES.websocket.messages.render_stream(TURN, ask(RESPONSES).options)

        assert json.loads(frames(runs)[-1][2])["type"] == "response.completed"

    def test_a_failure_in_mid_stream(self) -> None:
        """OPRE-2.3: The error is nested, `response.failed` follows, and then the sentinel."""
        reply = render_fault(Fault(FaultKind.RATE_LIMIT))
        ended = render_failure(TURN, ask(RESPONSES).options, DIALECT, reply, 5).split(b"\n\n")
        error, failed = (json.loads(event.partition(b"data: ")[2]) for event in ended[:2])

        assert error == {"type": "error", "sequence_number": 5} | json.loads(reply.body)
        assert (failed["type"], failed["sequence_number"]) == ("response.failed", 6)
        assert failed["response"]["error"]["code"] == "rate_limit_exceeded"
        assert ended[2:] == [b"data: [DONE]", b""]
        check_resource(failed["response"])


def error_of(reply: Reply) -> dict[str, Any]:
    """Return the error in an envelope, and check its members."""
    envelope = json.loads(reply.body)
    assert list(envelope) == ["error"]
    error: dict[str, Any] = envelope["error"]
    assert list(error) == ["type", "code", "message", "param"]
    assert error["type"] in TYPES
    assert error["message"]
    return error


class TestErrors:
    """Refusals and faults."""

    @pytest.mark.parametrize(
        ("refused", "status", "type_"),
        [
            (InvalidJsonError("why"), 400, "invalid_request"),
            (InvalidFieldError(("model",), "missing", None), 400, "invalid_request"),
            (BodyTooLargeError(10), 413, "invalid_request"),
            (VisionError("m", ("input", 0, "content", 1)), 400, "invalid_request"),
            (ContextLengthError(10, 20), 400, "invalid_request"),
            (UnknownModelError("m"), 404, "not_found"),
            (UnknownResponseError("resp_1"), 404, "not_found"),
            (UnknownRouteError("GET", "/v1/x"), 404, "not_found"),
            (MethodError("GET", "/v1/responses", ("POST",)), 405, "invalid_request"),
            (RefusedError("why"), 400, "invalid_request"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, RefusedError) else "",
    )
    def test_refusals(self, refused: RefusedError, status: int, type_: str) -> None:
        """OPRE-3.1, OPRE-3.2: A refusal has its status, and one of two types."""
        reply = render_refusal(refused)

        assert (reply.status, error_of(reply)["type"]) == (status, type_)

    @pytest.mark.parametrize(
        ("kind", "status", "type_"),
        [
            (FaultKind.RATE_LIMIT, 429, "too_many_requests"),
            (FaultKind.SERVER_ERROR, 500, "server_error"),
            (FaultKind.OVERLOADED, 503, "server_error"),
            (FaultKind.TIMEOUT, 504, "model_error"),
            (FaultKind.INVALID_REQUEST, 400, "invalid_request"),
            (FaultKind.AUTHENTICATION, 401, "invalid_request"),
        ],
    )
    def test_faults(self, kind: FaultKind, status: int, type_: str) -> None:
        """OPRE-3.2: A simulated failure has its status, type, a message that calls it simulated, and retry headers."""
        reply = render_fault(Fault(kind, retry_after=2.5))

        assert (reply.status, error_of(reply)["type"]) == (status, type_)
        assert "simulated by llmsim" in error_of(reply)["message"]
        assert dict(reply.headers) == {"retry-after": "3", "retry-after-ms": "2500"}

    def test_a_bug(self) -> None:
        """OPRE-3.2: A bug of llmsim is a server error."""
        assert (render_crash().status, error_of(render_crash())["type"]) == (500, "server_error")

    def test_an_unknown_previous_response(self) -> None:
        """OPRE-3.3: It is refused as OpenAI refuses it, over WebSocket, too."""
        refused = UnknownResponseError("resp_1", "previous_response_id")
        reply = render_refusal(refused)
        error = error_of(reply)

        assert (reply.status, error["type"]) == (400, "invalid_request")
        assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")
        assert RESPONSES.websocket is not None
        assert json.loads(RESPONSES.websocket.messages.render_refusal(refused).body) == {
            "type": "error",
            "status": 400,
            "error": error,
        }


def test_the_provider() -> None:
    """OPRE-1.1: The endpoint is under `/openresponses`, and every response has a request id."""
    assert openresponses(checks_models=True).prefix + RESPONSES.path == "/openresponses/v1/responses"
    assert dict(RESPONSE_HEADERS) == {"x-request-id": "req_{request_id}"}


def test_conversations_are_compacted() -> None:
    """OPRE-1.8: The operation is the one of OpenAI's API, on the stored responses of this one."""
    assert [(one.method, one.path) for one in openresponses(checks_models=True).resource_endpoints] == [
        ("POST", "/v1/responses/compact")
    ]
