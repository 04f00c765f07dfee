"""Errors of the Anthropic API."""

import json

import pytest
from anthropic.types import ErrorResponse

from llmsim.domain import Fault, FaultKind
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
from llmsim.providers.anthropic.errors import add_request_id, render_crash, render_fault, render_refusal
from llmsim.providers.anthropic.provider import check_headers
from llmsim.providers.contract import Reply

REFUSALS: list[tuple[RefusedError, int, str]] = [
    (InvalidJsonError("x"), 400, "invalid_request_error"),
    (InvalidFieldError(("a", 0), "missing", None), 400, "invalid_request_error"),
    (BodyTooLargeError(5), 413, "request_too_large"),
    (VisionError("m", ("messages", 0)), 400, "invalid_request_error"),
    (ContextLengthError(10, 11), 400, "invalid_request_error"),
    (UnknownModelError("m"), 404, "not_found_error"),
    (UnknownResponseError("msgbatch_1"), 404, "not_found_error"),
    (UnknownRouteError("GET", "/x"), 404, "not_found_error"),
    (MethodError("GET", "/x", ("POST",)), 405, "invalid_request_error"),
]


def read(reply: Reply) -> tuple[str, str]:
    body = json.loads(add_request_id(reply, "7").body)
    assert (body["type"], body["request_id"]) == ("error", "req_7")
    return body["error"]["type"], body["error"]["message"]


@pytest.mark.parametrize(("error", "status", "kind"), REFUSALS, ids=lambda value: type(value).__name__)
def test_refusals(error: RefusedError, status: int, kind: str) -> None:
    """ANTH-9.1: Every refusal has the envelope, the request id, a type and a message."""
    reply = render_refusal(error)

    assert (reply.status, read(reply)[0]) == (status, kind)
    assert read(reply)[1]


@pytest.mark.parametrize(
    ("kind", "status", "error_type"),
    [
        (FaultKind.INVALID_REQUEST, 400, "invalid_request_error"),
        (FaultKind.AUTHENTICATION, 401, "authentication_error"),
        (FaultKind.RATE_LIMIT, 429, "rate_limit_error"),
        (FaultKind.SERVER_ERROR, 500, "api_error"),
        (FaultKind.TIMEOUT, 504, "timeout_error"),
        (FaultKind.OVERLOADED, 529, "overloaded_error"),
    ],
)
def test_faults(kind: FaultKind, status: int, error_type: str) -> None:
    """ANTH-9.2: Each simulated failure has its status and type, and is valid for the SDK."""
    reply = render_fault(Fault(kind, retry_after=0.25))

    assert (reply.status, read(reply)[0]) == (status, error_type)
    assert dict(reply.headers)["retry-after-ms"] == "250"
    ErrorResponse.model_validate_json(add_request_id(reply, "x").body)


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (400, "invalid_request_error"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (502, "api_error"),
    ],
)
def test_a_fault_may_have_its_own_message_and_status(status: int, error_type: str) -> None:
    """SCRIPT-5.7: The message is rendered unchanged, and the type is that of the status, as in the API."""
    reply = render_fault(Fault(FaultKind.TIMEOUT, message="boom", status=status))

    assert reply.status == status
    assert json.loads(reply.body)["error"] == {"type": error_type, "message": "boom"}


def test_a_crash() -> None:
    """ANTH-9.2: A bug is an `api_error` with 500."""
    assert (render_crash().status, read(render_crash())[0]) == (500, "api_error")


def test_repeated_values_are_truncated() -> None:
    """ANTH-9.1: A message does not repeat a value of megabytes."""
    error = InvalidFieldError(("x" * 10_000, "type"), "choice", ("a",), "y" * 10_000)

    assert len(render_refusal(error).body) < 1000


def test_a_version_is_required() -> None:
    """ANTH-1.2: A request without a version is refused; any version is accepted."""
    for headers in ({}, {"anthropic-version": ""}):
        with pytest.raises(InvalidFieldError) as caught:
            check_headers(headers)
        assert read(render_refusal(caught.value))[1] == "anthropic-version: header is required"
    check_headers({"anthropic-version": "yesterday"})
