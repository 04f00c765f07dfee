"""Refusals and faults in OpenAI's envelope."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.domain import Fault, FaultKind
from llmsim.errors import (
    BodyTooLargeError,
    ContextLengthError,
    InvalidFieldError,
    InvalidJsonError,
    MethodError,
    RefusedError,
    Rule,
    UnknownModelError,
    UnknownRouteError,
    VisionError,
)
from llmsim.providers.contract import Reply
from llmsim.providers.openai.errors import render_crash, render_fault, render_refusal
from llmsim.providers.openai.provider import RESPONSE_HEADERS

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=200), inner, max_size=4),
    max_leaves=10,
)
PATHS = st.lists(st.text(max_size=200) | st.integers(0, 10**6), max_size=6).map(tuple)
WANTED = {
    "missing": st.none(),
    "type": st.sampled_from(["int", "str | array | null", "null", "object", "anything else"]),
    "choice": st.lists(st.text(max_size=10) | st.integers(0, 9), max_size=4).map(tuple),
    "minimum": st.integers(-100, 100) | st.floats(-100, 100),
    "maximum": st.integers(-100, 100) | st.floats(-100, 100),
    "too_short": st.integers(0, 100),
    "too_long": st.integers(0, 100),
    "pattern": st.text(max_size=20),
    "conflict": st.text(min_size=1, max_size=50),
}


def error_of(reply: Reply) -> dict[str, Any]:
    """Return the error in an envelope, and check its members."""
    envelope = json.loads(reply.body)
    assert list(envelope) == ["error"]
    error: dict[str, Any] = envelope["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    assert isinstance(error["param"], str | None)
    assert isinstance(error["code"], str | None)
    return error


@given(st.data())
def test_every_wrong_field_is_rendered(data: st.DataObject) -> None:
    """CHAT-1.2: Whatever the field, the rule and the value, the envelope has its four keys and a bounded message."""
    rule = data.draw(st.sampled_from(get_args(Rule)))
    field = InvalidFieldError(data.draw(PATHS), rule, data.draw(WANTED[rule]), data.draw(JSON_VALUES))
    reply = render_refusal(field)

    error = error_of(reply)
    assert reply.status == 400
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 2000


def test_the_fuzz_covers_every_rule() -> None:
    """ARCH-1.2: The test above draws from all rules."""
    assert set(WANTED) == set(get_args(Rule))


@pytest.mark.parametrize("rule", ["type", "choice", "minimum", "too_long", "too_short"])
@pytest.mark.parametrize("huge", ["x" * 10**6, ["x" * 10**6], {"x" * 10**6: 1}, list(range(10**5))])
def test_huge_values_are_not_quoted(rule: Rule, huge: Any) -> None:
    """ARCH-4.2: An error never quotes a client's megabytes, as value or as key."""
    wanted = ("a",) if rule == "choice" else 5
    reply = render_refusal(InvalidFieldError(("metadata", "k" * 10**6, 3), rule, wanted, huge))

    assert len(reply.body) < 1500


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ((), None),
        (("model",), "model"),
        (("messages", 1, "role"), "messages[1].role"),
        (("messages", 0, "content", 2, "image_url", "url"), "messages[0].content[2].image_url.url"),
    ],
)
def test_param_names_the_field_as_the_api_does(path: tuple[str | int, ...], param: str | None) -> None:
    """CHAT-1.2: `param` has the form `messages[1].role`; it is null for the body itself."""
    assert error_of(render_refusal(InvalidFieldError(path, "missing", None)))["param"] == param


@pytest.mark.parametrize(
    ("refused", "status", "words", "param", "code"),
    [
        (InvalidJsonError("why"), 400, "We could not parse the JSON body of your request.", None, None),
        (BodyTooLargeError(1024), 413, "the limit is 1024 bytes", None, "request_too_large"),
        (
            VisionError("gpt-4", ("messages", 0, "content", 1)),
            400,
            "image_url is only supported by certain models, and gpt-4 is not one of them.",
            "messages[0].content[1].type",
            None,
        ),
        (
            ContextLengthError(8192, 9000),
            400,
            "maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
            "messages",
            "context_length_exceeded",
        ),
        (
            UnknownModelError("gpt-9"),
            404,
            "The model 'gpt-9' does not exist or you do not have access to it.",
            "model",
            "model_not_found",
        ),
        (UnknownRouteError("GET", "/v1/x"), 404, "Invalid URL (GET /v1/x)", None, None),
        (
            MethodError("GET", "/v1/chat/completions", ("POST",)),
            405,
            "Not allowed to GET on /v1/chat/completions.",
            None,
            "method_not_supported",
        ),
        (RefusedError("some other reason"), 400, "some other reason", None, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, RefusedError) else "",
)
def test_each_refusal_has_its_status_and_message(
    refused: RefusedError, status: int, words: str, param: str | None, code: str | None
) -> None:
    """CHAT-1.3: Too large is 413; CHAT-1.8: a long prompt names both counts; and so on for each refusal."""
    reply = render_refusal(refused)
    error = error_of(reply)

    assert reply.status == status
    assert words in error["message"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)


def test_a_wrong_method_lists_the_allowed_ones() -> None:
    """API-2.2: 405 has the header `allow`."""
    reply = render_refusal(MethodError("PUT", "/v1/models", ("GET", "DELETE")))

    assert reply.headers == (("allow", "GET, DELETE"),)


@pytest.mark.parametrize(
    ("kind", "status", "type_", "code"),
    [
        (FaultKind.RATE_LIMIT, 429, "requests", "rate_limit_exceeded"),
        (FaultKind.SERVER_ERROR, 500, "server_error", "server_error"),
        (FaultKind.OVERLOADED, 503, "server_error", "server_overloaded"),
        (FaultKind.TIMEOUT, 504, "timeout_error", "timeout"),
        (FaultKind.INVALID_REQUEST, 400, "invalid_request_error", "invalid_request"),
        (FaultKind.AUTHENTICATION, 401, "invalid_request_error", "invalid_api_key"),
    ],
)
def test_each_fault_has_its_status_and_message(kind: FaultKind, status: int, type_: str, code: str) -> None:
    """CHAT-4.1: Each simulated failure has OpenAI's status and message, which says that it is simulated."""
    reply = render_fault(Fault(kind))
    error = error_of(reply)

    assert reply.status == status
    assert (error["type"], error["param"], error["code"]) == (type_, None, code)
    assert "simulated by llmsim" in error["message"]
    assert reply.headers == ()


@pytest.mark.parametrize("kind", FaultKind)
@pytest.mark.parametrize(
    ("seconds", "whole", "millis"),
    [(1.0, "1", "1000"), (0.25, "1", "250"), (1.001, "2", "1001"), (0.0, "0", "0"), (60.0, "60", "60000")],
)
def test_retry_after_is_in_seconds_and_milliseconds(
    kind: FaultKind, seconds: float, whole: str, millis: str
) -> None:
    """CHAT-4.3: `retry-after` in whole seconds, rounded up, and `retry-after-ms`."""
    reply = render_fault(Fault(kind, retry_after=seconds))

    assert dict(reply.headers) == {"retry-after": whole, "retry-after-ms": millis}


@pytest.mark.parametrize("kind", FaultKind)
def test_a_fault_may_have_its_own_message_and_status(kind: FaultKind) -> None:
    """SCRIPT-5.7: They are sent unchanged; type and code are those of its kind."""
    plain = json.loads(render_fault(Fault(kind)).body)["error"]

    reply = render_fault(Fault(kind, message="boom", status=599))

    assert reply.status == 599
    assert json.loads(reply.body)["error"] == plain | {"message": "boom"}


def test_a_bug_is_a_server_error_in_the_envelope() -> None:
    """ARCH-1.5: A bug of llmsim gets status 500 and a message that does not call it simulated."""
    reply = render_crash()
    error = error_of(reply)

    assert reply.status == 500
    assert (error["type"], error["code"]) == ("server_error", "internal_error")
    assert "simulated" not in error["message"]


def test_every_response_has_the_apis_headers() -> None:
    """API-2.3: Request id, processing time in whole milliseconds, version and organization."""
    assert dict(RESPONSE_HEADERS) == {
        "x-request-id": "req_{request_id}",
        "openai-processing-ms": "{elapsed_ms}",
        "openai-version": "2020-10-01",
        "openai-organization": "llmsim",
    }
