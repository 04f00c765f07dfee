"""Refusals and faults in OpenAI's envelope and wording.

Decisions:
* `{"error": {"message", "type", "param", "code"}}`, all four keys always.
  Source: openai/openai-openapi, `Error`.
* A wrong key is an `invalid_request_error`; the type of a rate limit is what is limited, `requests` or `tokens`.
  Source: error bodies in TheR1D/shell_gpt#653, rotemweiss57/gpt-newspaper#10 and Pythagora-io/gpt-pilot#17.
"""

from msgspec.structs import replace

from llmsim.domain import Fault, FaultKind
from llmsim.errors import InvalidJsonError, RefusedError
from llmsim.providers.contract import Reply
from llmsim.providers.error_messages import fault_message
from llmsim.providers.openai_family.error_bodies import CRASHED, ErrorBody, error_for_fault, error_for_refusal
from llmsim.wire.codec import encode

_TYPES = {
    FaultKind.RATE_LIMIT: "requests",
    FaultKind.SERVER_ERROR: "server_error",
    FaultKind.OVERLOADED: "server_error",
    FaultKind.TIMEOUT: "timeout_error",
    FaultKind.INVALID_REQUEST: "invalid_request_error",
    FaultKind.AUTHENTICATION: "invalid_request_error",
}


def _reply(error: ErrorBody, error_type: str) -> Reply:
    members = {"message": error.message, "type": error_type, "param": error.param, "code": error.code}
    return Reply(error.status, encode({"error": members}), error.headers)


def render_error(error: ErrorBody) -> Reply:
    """Render a client's error."""
    return _reply(error, error.type or "invalid_request_error")


def render_refusal(error: RefusedError) -> Reply:
    """Render a refused request."""
    body = error_for_refusal(error)
    if isinstance(error, InvalidJsonError):
        body = replace(
            body,
            message="We could not parse the JSON body of your request. (HINT: This likely means you aren't using your "
            "HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If "
            f"you have trouble figuring out how to fix this, please contact us through our help center at "
            f"help.openai.com.) [{error}]",
        )
    return render_error(body)


def render_fault(fault: Fault) -> Reply:
    """Render a simulated failure."""
    error = error_for_fault(fault)
    if fault.kind is FaultKind.AUTHENTICATION:
        message = "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."
        error = replace(error, message=fault_message(fault, message))
    return _reply(error, _TYPES[fault.kind])


def render_crash() -> Reply:
    """Render a bug of llmsim's own."""
    return _reply(CRASHED, "server_error")
