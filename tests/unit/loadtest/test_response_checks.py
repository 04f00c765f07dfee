"""Checks of responses: what is content, what counts tokens, and what is a failure."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from loadtest.response_checks import (
    BrokenResponseError,
    ChatCheck,
    MessagesCheck,
    ResponsesCheck,
    StreamCheck,
    check_completion,
    check_embeddings,
    check_message,
    check_models,
    check_response,
    error_for_status,
)

Event = tuple[bytes, bytes]


def event(data: Any, name: str = "") -> Event:
    return name.encode(), data if isinstance(data, bytes) else json.dumps(data).encode()


def typed(kind: str, **fields: Any) -> Event:
    return event({"type": kind, **fields}, kind)


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> Event:
    return event({"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **fields})


DONE = event(b"[DONE]")
CHAT = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hi"}),
    chunk({"content": " you"}),
    chunk({}, "stop"),
    event({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}),
    DONE,
]
RESPONSES = [
    typed("response.created", sequence_number=0, response={"status": "in_progress", "usage": None}),
    typed("response.output_text.delta", sequence_number=1, delta="Hi"),
    typed("response.output_text.delta", sequence_number=2, delta=""),
    typed("response.output_text.done", sequence_number=3, text="Hi"),
    typed(
        "response.completed",
        sequence_number=4,
        response={"status": "completed", "usage": {"output_tokens": 2}},
    ),
]
MESSAGES = [
    typed("message_start", message={"usage": {"output_tokens": 1}}),
    typed("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    typed("ping"),
    typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"}),
    typed("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "abc"}),
    typed("content_block_stop", index=0),
    typed("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
    typed("message_stop"),
]


def open_responses() -> StreamCheck:
    return ResponsesCheck(needs_done=True)


STREAMS: list[tuple[Callable[[], StreamCheck], list[Event], list[bool]]] = [
    (ChatCheck, CHAT, [False, True, True, False, False, False]),
    (ResponsesCheck, RESPONSES, [False, True, False, False, False]),
    (ResponsesCheck, [*RESPONSES, DONE], [False, True, False, False, False, False]),
    (open_responses, [*RESPONSES, DONE], [False, True, False, False, False, False]),
    (MessagesCheck, MESSAGES, [False, False, False, True, False, False, False, False]),
]


def check_all(make: Callable[[], StreamCheck], events: list[Event]) -> StreamCheck:
    check = make()
    for name, data in events:
        check.check_event(name, data)
    check.check_end()
    return check


def broken(make: Callable[[], StreamCheck], events: list[Event]) -> str:
    with pytest.raises(BrokenResponseError) as failure:
        check_all(make, events)
    assert repr(failure.value) == str(failure.value)
    return str(failure.value)


@pytest.mark.parametrize(("make", "events", "content"), STREAMS)
def test_content_is_what_is_not_empty(
    make: Callable[[], StreamCheck], events: list[Event], content: list[bool]
) -> None:
    """LOAD-2.2: Role chunks, empty deltas, pings, signatures and the events around a text are not content."""
    check = make()

    assert [check.check_event(name, data) for name, data in events] == content


@pytest.mark.parametrize(("make", "events", "content"), STREAMS)
def test_tokens_are_the_servers(
    make: Callable[[], StreamCheck], events: list[Event], content: list[bool]
) -> None:
    """LOAD-2.5: Tokens are the usage of the stream, the last one where it is cumulative."""
    assert check_all(make, events).tokens == 2


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "Hm"},
        {"reasoning": "Hm"},
        {"refusal": "No"},
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]},
    ],
)
def test_reasoning_refusals_and_tool_calls_are_content(delta: dict[str, Any]) -> None:
    """LOAD-2.2: Reasoning, refusals and tool calls are content, too."""
    assert ChatCheck().check_event(*chunk(delta)) is True


@pytest.mark.parametrize(
    "kind",
    ["response.reasoning_text.delta", "response.function_call_arguments.delta", "response.refusal.delta"],
)
def test_all_deltas_of_responses_are_content(kind: str) -> None:
    """LOAD-2.2: All deltas of the Responses API are content."""
    assert ResponsesCheck().check_event(*typed(kind, delta="x")) is True


@pytest.mark.parametrize("delta", [{"thinking": "Hm"}, {"partial_json": "{"}])
def test_thinking_and_tool_input_are_content(delta: dict[str, Any]) -> None:
    """LOAD-2.2: Thinking and tool input of the Messages API are content."""
    assert MessagesCheck().check_event(*typed("content_block_delta", delta=delta)) is True


@pytest.mark.parametrize(
    ("make", "events", "message"),
    [
        (ChatCheck, CHAT, "no [DONE]"),
        (ResponsesCheck, RESPONSES, "no response.completed"),
        (open_responses, [*RESPONSES, DONE], "no [DONE]"),
        (MessagesCheck, MESSAGES, "no message_stop"),
    ],
)
def test_a_stream_that_stops_is_truncated(
    make: Callable[[], StreamCheck], events: list[Event], message: str
) -> None:
    """LOAD-3.1: A stream that stops anywhere before its terminal event is truncated."""
    for length in range(len(events)):
        assert "truncated stream" in broken(make, events[:length])
    assert message in broken(make, events[:-1])


def test_an_incomplete_response_has_ended() -> None:
    """LOAD-3.1: `response.incomplete` is a proper end."""
    check_all(ResponsesCheck, [*RESPONSES[:4], typed("response.incomplete", sequence_number=4, response={})])


def test_done_without_a_finish_reason_is_broken() -> None:
    """LOAD-3.1: A [DONE] that a proxy adds to half a stream is a failure."""
    assert broken(ChatCheck, [*CHAT[:3], DONE]) == "no finish_reason before [DONE]"


@pytest.mark.parametrize(
    ("make", "wrong", "message"),
    [
        (
            ChatCheck,
            event({"error": {"message": "Oops", "type": "server_error", "code": None}}),
            "error event: server_error",
        ),
        (
            ResponsesCheck,
            typed("error", code="rate_limit_exceeded", message="Slow"),
            "error event: rate_limit_exceeded",
        ),
        (
            open_responses,
            typed("error", error={"type": "model_error", "message": "x"}),
            "error event: model_error",
        ),
        (
            ResponsesCheck,
            typed("response.failed", response={"error": {"code": "server_error"}}),
            "response.failed: server_error",
        ),
        (ResponsesCheck, typed("response.failed"), "response.failed: without a reason"),
        (
            MessagesCheck,
            typed("error", error={"type": "overloaded_error", "message": "x"}),
            "error event: overloaded_error",
        ),
    ],
)
def test_an_error_event_is_a_failure(make: Callable[[], StreamCheck], wrong: Event, message: str) -> None:
    """LOAD-3.2: An error event is a failure, and the message names the kind of error."""
    assert broken(make, [wrong]) == message


@pytest.mark.parametrize("make", [ChatCheck, ResponsesCheck, MessagesCheck])
@pytest.mark.parametrize("data", [b"{", b"", b"\xff", b'{"type": "x"'])
def test_invalid_json_is_a_failure(make: Callable[[], StreamCheck], data: bytes) -> None:
    """LOAD-3.2, LOAD-3.4: Invalid JSON is a failure, always with the same message."""
    assert broken(make, [event(data)]) == "invalid JSON in the event"


@pytest.mark.parametrize("make", [ChatCheck, ResponsesCheck, MessagesCheck])
def test_an_event_of_another_shape_is_a_failure(make: Callable[[], StreamCheck]) -> None:
    """LOAD-3.2: JSON of another shape is a failure."""
    assert "unexpected event" in broken(make, [event([1])])


def test_lost_events_are_found() -> None:
    """LOAD-3.2: A gap in the sequence numbers is a failure."""
    assert "lost" in broken(ResponsesCheck, [RESPONSES[0], RESPONSES[2]])


def test_the_event_line_names_the_type() -> None:
    """LOAD-3.2: Event line and type must agree, because clients dispatch by either."""
    assert "event line" in broken(ResponsesCheck, [event({"type": "response.created"}, "response.completed")])


@pytest.mark.parametrize(
    ("make", "events"),
    [
        (ChatCheck, [*CHAT, chunk({"content": "more"})]),
        (open_responses, [*RESPONSES, DONE, RESPONSES[0]]),
        (MessagesCheck, [*MESSAGES, MESSAGES[3]]),
    ],
)
def test_nothing_comes_behind_the_end(make: Callable[[], StreamCheck], events: list[Event]) -> None:
    """LOAD-3.2: An event after the terminal one is a failure."""
    assert "an event after" in broken(make, events)


def test_a_message_has_a_start() -> None:
    """LOAD-3.2: A message without `message_start` is a failure."""
    assert broken(MessagesCheck, [MESSAGES[-1]]) == "message_stop without message_start"


GOOD: list[tuple[Callable[[bytes], int | None], dict[str, Any], int | None]] = [
    (
        check_completion,
        {
            "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],
            "usage": {"completion_tokens": 3},
        },
        3,
    ),
    (
        check_response,
        {
            "status": "completed",
            "output": [{"type": "message"}],
            "usage": {"output_tokens": 3},
            "error": None,
        },
        3,
    ),
    (check_response, {"status": "incomplete", "output": [], "usage": {"output_tokens": 0}}, 0),
    (
        check_message,
        {"content": [{"type": "text"}], "stop_reason": "end_turn", "usage": {"output_tokens": 3}},
        3,
    ),
    (check_message, {"content": [], "stop_reason": "end_turn"}, None),
    (check_embeddings, {"data": [{"embedding": [0.5]}]}, None),
    (check_models, {"data": [{"id": "m"}]}, None),
]


@pytest.mark.parametrize(("check", "body", "tokens"), GOOD)
def test_a_complete_response_has_tokens(
    check: Callable[[bytes], int | None], body: dict[str, Any], tokens: int | None
) -> None:
    """LOAD-2.5: Responses that are not streamed give their tokens, too."""
    assert check(json.dumps(body).encode()) == tokens


@pytest.mark.parametrize(
    ("check", "body", "message"),
    [
        (check_completion, {"choices": []}, "without a message"),
        (
            check_completion,
            {"choices": [{"message": {"content": "x"}, "finish_reason": None}]},
            "without finish_reason",
        ),
        (
            check_response,
            {"status": "failed", "error": {"code": "server_error"}},
            "status failed: server_error",
        ),
        (check_response, {"status": "completed", "output": []}, "completed response without output"),
        (check_message, {"content": [], "stop_reason": None}, "without stop_reason"),
        (check_embeddings, {"data": [{"embedding": []}]}, "without a vector"),
        (check_models, {"data": []}, "without models"),
        (check_models, {"items": []}, "unexpected response"),
    ],
)
def test_an_incomplete_body_is_a_failure(
    check: Callable[[bytes], int | None], body: dict[str, Any], message: str
) -> None:
    """LOAD-3.3: A response that lacks a part is a failure, and the message names the part."""
    with pytest.raises(BrokenResponseError, match=message):
        check(json.dumps(body).encode())


@pytest.mark.parametrize("check", [check for check, _, _ in GOOD])
def test_a_body_without_json_is_a_failure(check: Callable[[bytes], int | None]) -> None:
    """LOAD-3.3: A body that is not valid JSON is a failure."""
    with pytest.raises(BrokenResponseError, match="invalid JSON in the response"):
        check(b'{"data": [')


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (
            404,
            b'{"error": {"code": "model_not_found", "message": "No such model"}}',
            "HTTP 404 model_not_found: No such model",
        ),
        (
            429,
            b'{"error": {"type": "rate_limit_error", "message": "Try again in 0.7 s"}}',
            "HTTP 429 rate_limit_error",
        ),
        (
            500,
            b'{"error": {"type": "server_error", "message": "Request req_1 failed"}}',
            "HTTP 500 server_error",
        ),
        (400, b'{"error": "bad model"}', "HTTP 400: bad model"),
        (502, b"<html>", "HTTP 502"),
        (503, b"{}", "HTTP 503"),
    ],
)
def test_an_error_status_has_its_code(status: int, body: bytes, message: str) -> None:
    """LOAD-3.4: The message has the error code, without what differs from one error to the next."""
    assert str(error_for_status(status, body)) == message
