"""Readers of answers: what has content, what counts tokens, and what is broken."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from loadtest.answers import (
    BrokenAnswerError,
    ChatReader,
    MessagesReader,
    ResponsesReader,
    StreamReader,
    read_completion,
    read_embeddings,
    read_message,
    read_models,
    read_response,
    refusal,
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


def open_responses() -> StreamReader:
    return ResponsesReader(needs_done=True)


WHOLE: list[tuple[Callable[[], StreamReader], list[Event], list[bool]]] = [
    (ChatReader, CHAT, [False, True, True, False, False, False]),
    (ResponsesReader, RESPONSES, [False, True, False, False, False]),
    (ResponsesReader, [*RESPONSES, DONE], [False, True, False, False, False, False]),
    (open_responses, [*RESPONSES, DONE], [False, True, False, False, False, False]),
    (MessagesReader, MESSAGES, [False, False, False, True, False, False, False, False]),
]


def read(make: Callable[[], StreamReader], events: list[Event]) -> StreamReader:
    reader = make()
    for name, data in events:
        reader.read(name, data)
    reader.finish()
    return reader


def broken(make: Callable[[], StreamReader], events: list[Event]) -> str:
    with pytest.raises(BrokenAnswerError) as failure:
        read(make, events)
    assert repr(failure.value) == str(failure.value)
    return str(failure.value)


@pytest.mark.parametrize(("make", "events", "content"), WHOLE)
def test_content_is_what_is_not_empty(
    make: Callable[[], StreamReader], events: list[Event], content: list[bool]
) -> None:
    """LOAD-2.2: Role chunks, empty deltas, pings, signatures and the events around a text are no content."""
    reader = make()

    assert [reader.read(name, data) for name, data in events] == content


@pytest.mark.parametrize(("make", "events", "content"), WHOLE)
def test_tokens_are_the_servers(
    make: Callable[[], StreamReader], events: list[Event], content: list[bool]
) -> None:
    """LOAD-2.5: The usage of the stream, the last of it where it is cumulative."""
    assert read(make, events).tokens == 2


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
    """LOAD-2.2: Content is not text alone."""
    assert ChatReader().read(*chunk(delta)) is True


@pytest.mark.parametrize(
    "kind",
    ["response.reasoning_text.delta", "response.function_call_arguments.delta", "response.refusal.delta"],
)
def test_all_deltas_of_responses_are_content(kind: str) -> None:
    """LOAD-2.2: Likewise in Responses."""
    assert ResponsesReader().read(*typed(kind, delta="x")) is True


@pytest.mark.parametrize("delta", [{"thinking": "Hm"}, {"partial_json": "{"}])
def test_thinking_and_tool_input_are_content(delta: dict[str, Any]) -> None:
    """LOAD-2.2: Likewise in messages."""
    assert MessagesReader().read(*typed("content_block_delta", delta=delta)) is True


@pytest.mark.parametrize(
    ("make", "events", "says"),
    [
        (ChatReader, CHAT, "no [DONE]"),
        (ResponsesReader, RESPONSES, "no response.completed"),
        (open_responses, [*RESPONSES, DONE], "no [DONE]"),
        (MessagesReader, MESSAGES, "no message_stop"),
    ],
)
def test_a_stream_that_stops_is_truncated(
    make: Callable[[], StreamReader], events: list[Event], says: str
) -> None:
    """LOAD-3.1: Wherever it stops before its terminal event."""
    for length in range(len(events)):
        assert "truncated stream" in broken(make, events[:length])
    assert says in broken(make, events[:-1])


def test_an_incomplete_response_has_ended() -> None:
    """LOAD-3.1: Running into the limit of tokens is an end like another."""
    read(ResponsesReader, [*RESPONSES[:4], typed("response.incomplete", sequence_number=4, response={})])


def test_done_without_a_finish_reason_is_broken() -> None:
    """LOAD-3.1: A proxy that writes [DONE] behind half a stream is found out."""
    assert broken(ChatReader, [*CHAT[:3], DONE]) == "no finish_reason before [DONE]"


@pytest.mark.parametrize(
    ("make", "wrong", "says"),
    [
        (
            ChatReader,
            event({"error": {"message": "Oops", "type": "server_error", "code": None}}),
            "error event: server_error",
        ),
        (
            ResponsesReader,
            typed("error", code="rate_limit_exceeded", message="Slow"),
            "error event: rate_limit_exceeded",
        ),
        (
            open_responses,
            typed("error", error={"type": "model_error", "message": "x"}),
            "error event: model_error",
        ),
        (
            ResponsesReader,
            typed("response.failed", response={"error": {"code": "server_error"}}),
            "response.failed: server_error",
        ),
        (ResponsesReader, typed("response.failed"), "response.failed: without a reason"),
        (
            MessagesReader,
            typed("error", error={"type": "overloaded_error", "message": "x"}),
            "error event: overloaded_error",
        ),
    ],
)
def test_an_error_event_is_a_failure(make: Callable[[], StreamReader], wrong: Event, says: str) -> None:
    """LOAD-3.2: And its message names the kind of error."""
    assert broken(make, [wrong]) == says


@pytest.mark.parametrize("make", [ChatReader, ResponsesReader, MessagesReader])
@pytest.mark.parametrize("data", [b"{", b"", b"\xff", b'{"type": "x"'])
def test_invalid_json_is_a_failure(make: Callable[[], StreamReader], data: bytes) -> None:
    """LOAD-3.2, LOAD-3.4: All of it by the same message."""
    assert broken(make, [event(data)]) == "invalid JSON in an event"


@pytest.mark.parametrize("make", [ChatReader, ResponsesReader, MessagesReader])
def test_an_event_of_another_shape_is_a_failure(make: Callable[[], StreamReader]) -> None:
    """LOAD-3.2: JSON alone does not make an event."""
    assert "unexpected event" in broken(make, [event([1])])


def test_lost_events_are_found() -> None:
    """LOAD-3.2: Sequence numbers that jump."""
    assert "lost" in broken(ResponsesReader, [RESPONSES[0], RESPONSES[2]])


def test_the_event_line_names_the_type() -> None:
    """LOAD-3.2: Clients dispatch by either, so they must agree."""
    assert "event line" in broken(
        ResponsesReader, [event({"type": "response.created"}, "response.completed")]
    )


@pytest.mark.parametrize(
    ("make", "events"),
    [
        (ChatReader, [*CHAT, chunk({"content": "more"})]),
        (open_responses, [*RESPONSES, DONE, RESPONSES[0]]),
        (MessagesReader, [*MESSAGES, MESSAGES[3]]),
    ],
)
def test_nothing_comes_behind_the_end(make: Callable[[], StreamReader], events: list[Event]) -> None:
    """LOAD-3.2: An event after the terminal one."""
    assert "an event after" in broken(make, events)


def test_a_message_has_a_start() -> None:
    """LOAD-3.2: Its stop alone is no message."""
    assert broken(MessagesReader, [MESSAGES[-1]]) == "message_stop without message_start"


GOOD: list[tuple[Callable[[bytes], int | None], dict[str, Any], int | None]] = [
    (
        read_completion,
        {
            "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],
            "usage": {"completion_tokens": 3},
        },
        3,
    ),
    (
        read_response,
        {
            "status": "completed",
            "output": [{"type": "message"}],
            "usage": {"output_tokens": 3},
            "error": None,
        },
        3,
    ),
    (read_response, {"status": "incomplete", "output": [], "usage": {"output_tokens": 0}}, 0),
    (
        read_message,
        {"content": [{"type": "text"}], "stop_reason": "end_turn", "usage": {"output_tokens": 3}},
        3,
    ),
    (read_message, {"content": [], "stop_reason": "end_turn"}, None),
    (read_embeddings, {"data": [{"embedding": [0.5]}]}, None),
    (read_models, {"data": [{"id": "m"}]}, None),
]


@pytest.mark.parametrize(("check", "body", "tokens"), GOOD)
def test_a_whole_answer_gives_its_tokens(
    check: Callable[[bytes], int | None], body: dict[str, Any], tokens: int | None
) -> None:
    """LOAD-2.5: Of answers in one piece too."""
    assert check(json.dumps(body).encode()) == tokens


@pytest.mark.parametrize(
    ("check", "body", "says"),
    [
        (read_completion, {"choices": []}, "without a message"),
        (
            read_completion,
            {"choices": [{"message": {"content": "x"}, "finish_reason": None}]},
            "without finish_reason",
        ),
        (
            read_response,
            {"status": "failed", "error": {"code": "server_error"}},
            "status failed: server_error",
        ),
        (read_response, {"status": "completed", "output": []}, "completed response without output"),
        (read_message, {"content": [], "stop_reason": None}, "without stop_reason"),
        (read_embeddings, {"data": [{"embedding": []}]}, "without a vector"),
        (read_models, {"data": []}, "without models"),
        (read_models, {"items": []}, "unexpected answer"),
    ],
)
def test_an_answer_that_lacks_something_is_broken(
    check: Callable[[bytes], int | None], body: dict[str, Any], says: str
) -> None:
    """LOAD-3.3: And the message says what."""
    with pytest.raises(BrokenAnswerError, match=says):
        check(json.dumps(body).encode())


@pytest.mark.parametrize("check", [check for check, _, _ in GOOD])
def test_an_answer_that_is_no_json_is_broken(check: Callable[[bytes], int | None]) -> None:
    """LOAD-3.3: Half an answer, for one."""
    with pytest.raises(BrokenAnswerError, match="invalid JSON in the answer"):
        check(b'{"data": [')


@pytest.mark.parametrize(
    ("status", "body", "says"),
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
def test_a_refusal_is_told_by_its_kind(status: int, body: bytes, says: str) -> None:
    """LOAD-3.4: Without what differs from one refusal to the next."""
    assert str(refusal(status, body)) == says
