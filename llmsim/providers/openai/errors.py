"""Refusals and faults in OpenAI's envelope and words.

Decisions:
* `{"error": {"message", "type", "param", "code"}}`, all four keys always.
  Source: openai/openai-openapi, `Error`.
"""

from typing import Any

from msgspec.structs import replace

from llmsim.domain import Fault, FaultKind, Turn
from llmsim.errors import InvalidJsonError, RefusedError
from llmsim.providers.contract import Reply
from llmsim.wire.codec import encode
from llmsim.wire.complaints import CRASHED, ErrorBody, failed, refused, told
from llmsim.wire.frames import sse

_TYPES = {
    FaultKind.RATE_LIMIT: "rate_limit_error",
    FaultKind.SERVER_ERROR: "server_error",
    FaultKind.OVERLOADED: "server_error",
    FaultKind.TIMEOUT: "timeout_error",
    FaultKind.INVALID_REQUEST: "invalid_request_error",
    FaultKind.AUTHENTICATION: "authentication_error",
}


def _reply(complaint: ErrorBody, kind: str) -> Reply:
    error = {
        "message": complaint.message,
        "type": kind,
        "param": complaint.param,
        "code": complaint.code,
    }
    return Reply(complaint.status, encode({"error": error}), complaint.headers)


def render_complaint(complaint: ErrorBody) -> Reply:
    """Render what a client did wrong."""
    return _reply(complaint, complaint.kind or "invalid_request_error")


def render_refusal(error: RefusedError) -> Reply:
    """Render a request that the API would not take."""
    complaint = refused(error)
    if isinstance(error, InvalidJsonError):
        complaint = replace(
            complaint,
            message="We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
            "HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If "
            f"you have trouble figuring out how to fix this, please contact us through our help center at "
            f"help.openai.com.) [{error}]",
        )
    return render_complaint(complaint)


def render_fault(fault: Fault) -> Reply:
    """Render a simulated failure."""
    complaint = failed(fault)
    if fault.kind is FaultKind.AUTHENTICATION:
        message = "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."
        complaint = replace(complaint, message=told(fault, message))
    return _reply(complaint, _TYPES[fault.kind])


def render_stream_fault(turn: Turn, options: Any, fault: Fault, frames: int) -> bytes:  # noqa: ARG001 - one shape for all
    """Render what a stream of chunks ends with that goes wrong: the error as an event, and no `[DONE]`.

    Source: openai SDK 3.54, _streaming.py: an event whose data has `error` raises.
    """
    return sse(render_fault(fault).body)


def render_crash() -> Reply:
    """Render a bug of llmsim's own."""
    return _reply(CRASHED, "server_error")
