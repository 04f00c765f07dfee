"""Refusals and faults in the envelope of OpenResponses.

Decisions:
* The messages are those of the OpenAI family; the types are the specification's own. `code` and `param` are there
  even if they are null.

Source: openresponses/openresponses, src/pages/specification.mdx, "Error Types".
"""

from llmsim.domain import Fault, FaultKind
from llmsim.errors import RefusedError
from llmsim.providers.contract import Reply
from llmsim.providers.openai_family.error_bodies import CRASHED, ErrorBody, error_for_fault, error_for_refusal
from llmsim.wire.codec import encode

_TYPES = {
    FaultKind.RATE_LIMIT: "too_many_requests",
    FaultKind.SERVER_ERROR: "server_error",
    FaultKind.OVERLOADED: "server_error",
    FaultKind.TIMEOUT: "model_error",
    FaultKind.INVALID_REQUEST: "invalid_request",
    FaultKind.AUTHENTICATION: "invalid_request",
}


_REFUSALS = {404: "not_found", 429: "too_many_requests"}
"""Type of a refusal by its status."""


def _reply(error: ErrorBody, error_type: str) -> Reply:
    members = {"type": error_type, "code": error.code, "message": error.message, "param": error.param}
    return Reply(error.status, encode({"error": members}), error.headers)


def render_error(error: ErrorBody) -> Reply:
    """Render a client's error."""
    return _reply(error, _REFUSALS.get(error.status, "invalid_request"))


def render_refusal(error: RefusedError) -> Reply:
    """Render a refused request."""
    return render_error(error_for_refusal(error))


def render_fault(fault: Fault) -> Reply:
    """Render a simulated failure."""
    return _reply(error_for_fault(fault), _TYPES[fault.kind])


def render_crash() -> Reply:
    """Render a bug of llmsim's own."""
    return _reply(CRASHED, "server_error")
