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
from llmsim.providers.anthropic.provider import admit
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
    """ANTH-9.1: Every refusal is in the envelope, with the request id, and says something."""
    reply = render_refusal(error)

    assert (reply.status, read(reply)[0]) == (status, kind)
    assert read(reply)[1]


@pytest.mark.parametrize(
    ("kind", "status", "named"),
    [
        (FaultKind.INVALID_REQUEST, 400, "invalid_request_error"),
        (FaultKind.AUTHENTICATION, 401, "authentication_error"),
        (FaultKind.RATE_LIMIT, 429, "rate_limit_error"),
        (FaultKind.SERVER_ERROR, 500, "api_error"),
        (FaultKind.TIMEOUT, 504, "timeout_error"),
        (FaultKind.OVERLOADED, 529, "overloaded_error"),
    ],
)
def test_faults(kind: FaultKind, status: int, named: str) -> None:
    """ANTH-9.2: Status and type of each failure on purpose; the SDK's type takes it."""
    reply = render_fault(Fault(kind, retry_after=0.25))

    assert (reply.status, read(reply)[0]) == (status, named)
    assert dict(reply.headers)["retry-after-ms"] == "250"
    ErrorResponse.model_validate_json(add_request_id(reply, "x").body)


@pytest.mark.parametrize(
    ("status", "named"),
    [
        (400, "invalid_request_error"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (502, "api_error"),
    ],
)
def test_a_fault_may_have_words_and_a_status_of_its_own(status: int, named: str) -> None:
    """SCRIPT-5.7: The words are said as they are, and the type is that of the status, as the API's own are."""
    reply = render_fault(Fault(FaultKind.TIMEOUT, message="boom", status=status))

    assert reply.status == status
    assert json.loads(reply.body)["error"] == {"type": named, "message": "boom"}


def test_a_crash() -> None:
    """ANTH-9.2: A bug is an `api_error` with 500."""
    assert (render_crash().status, read(render_crash())[0]) == (500, "api_error")


def test_what_is_repeated_is_bounded() -> None:
    """ANTH-9.1: A value of megabytes is not sent back."""
    error = InvalidFieldError(("x" * 10_000, "type"), "choice", ("a",), "y" * 10_000)

    assert len(render_refusal(error).body) < 1000


def test_a_version_is_asked_for() -> None:
    """ANTH-1.2: A request without a version is refused; any version is taken."""
    for headers in ({}, {"anthropic-version": ""}):
        with pytest.raises(InvalidFieldError) as caught:
            admit(headers)
        assert read(render_refusal(caught.value))[1] == "anthropic-version: header is required"
    admit({"anthropic-version": "yesterday"})
