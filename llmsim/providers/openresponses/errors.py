"""Refusals and faults in the envelope of OpenResponses.

Decisions:
* The words are those the OpenAI family shares; the types are the specification's own, and `code` and `param` are
  there also when they are null.

Source: openresponses/openresponses, src/pages/specification.mdx, "Error Types".
"""

from llmsim.domain import Fault, FaultKind
from llmsim.errors import RefusedError
from llmsim.providers.contract import Reply
from llmsim.wire.codec import encode
from llmsim.wire.complaints import CRASHED, ErrorBody, failed, refused

_TYPES = {
    FaultKind.RATE_LIMIT: "too_many_requests",
    FaultKind.SERVER_ERROR: "server_error",
    FaultKind.OVERLOADED: "server_error",
    FaultKind.TIMEOUT: "model_error",
    FaultKind.INVALID_REQUEST: "invalid_request",
    FaultKind.AUTHENTICATION: "invalid_request",
}


def _reply(complaint: ErrorBody, kind: str) -> Reply:
    error = {
        "type": kind,
        "code": complaint.code,
        "message": complaint.message,
        "param": complaint.param,
    }
    return Reply(complaint.status, encode({"error": error}), complaint.headers)


def render_complaint(complaint: ErrorBody) -> Reply:
    """Render what a client did wrong."""
    return _reply(complaint, "not_found" if complaint.status == 404 else "invalid_request")


def render_refusal(error: RefusedError) -> Reply:
    """Render a request that the API would not take."""
    return render_complaint(refused(error))


def render_fault(fault: Fault) -> Reply:
    """Render a simulated failure."""
    return _reply(failed(fault), _TYPES[fault.kind])


def render_crash() -> Reply:
    """Render a bug of llmsim's own."""
    return _reply(CRASHED, "server_error")
