"""Errors of Azure OpenAI: those of the service before the model, and the OpenAI API's for all else.

Decisions:
* What the gateway finds (address, key, deployment, limits) is `{"error": {"code", "message"}}`; what the model finds has the envelope of
  the OpenAI API, as that answers behind the gateway.
* A message names what is wrong with an address only where it adds to Azure's words, marked `(llmsim)`: "Resource not found" is all that
  Azure says.
* A fault of the code `content_filter` is a prompt that the content filter blocks, with what it found in `innererror`.

Source: error bodies in chatboxai/chatbox#646, microsoft/semantic-kernel#5319 and assafelovic/gpt-researcher#980 (deployment);
BerriAI/litellm, tests of the Azure exception mapping (content filter); recorded responses of the API with status 429.
"""

import math
from collections.abc import Callable

from llmsim.domain import Fault, FaultKind
from llmsim.domain.quota import RateLimitError
from llmsim.errors import (
    ApiRuleError,
    AuthenticationError,
    MethodError,
    RefusedError,
    UnknownModelError,
    UnknownRouteError,
)
from llmsim.providers.azure.content_filters import BLOCKED_PROMPT
from llmsim.providers.contract import Headers, Reply
from llmsim.providers.error_messages import fault_message, retry_headers, wait_headers
from llmsim.providers.openai_family.field_messages import quote
from llmsim.providers.openai_family.model_services import ModelServiceError
from llmsim.wire.codec import encode

CONTENT_FILTER = "content_filter"
"""The code of a prompt, or a response, that the content filter blocks."""

_WRONG_KEY = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active "
    "subscription and use a correct regional API endpoint for your resource."
)
_WRONG_BEARER = (
    "Unauthorized. Access token is missing, invalid, audience is incorrect (https://cognitiveservices.azure.com), or have "
    "expired."
)
_NO_DEPLOYMENT = (
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a "
    "moment and try again."
)
_BLOCKED = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt "
    "and retry. To learn more about our content filtering policies please read our documentation: "
    "https://go.microsoft.com/fwlink/?linkid=2198766"
)
_SUPPORT = (
    "You can retry your request, or contact us through an Azure support request at: https://go.microsoft.com/fwlink/?linkid=2213926 "
    "if you keep seeing this error."
)
_OTHER_MODEL = (
    "Please choose different model and try again. You can learn more about which models can be used with each operation here: "
    "https://go.microsoft.com/fwlink/?linkid=2197993."
)
_OPERATIONS = {"chat": "chatCompletion", "completions": "completion", "images": "imageGeneration"}
"""What Azure calls an endpoint that does not serve a model, where that differs. Source: microsoft/graphrag#1557."""
_MORE = "To increase your default rate limit, visit: https://aka.ms/oai/quotaincrease."

_FAULTS = {
    FaultKind.SERVER_ERROR: (
        500,
        "server_error",
        f"The server had an error processing your request. Sorry about that! {_SUPPORT}",
    ),
    FaultKind.OVERLOADED: (
        503,
        "server_error",
        f"The server is currently overloaded with other requests. Sorry about that! {_SUPPORT}",
    ),
}
"""Status, type and message of what fails behind the gateway."""

_GATEWAY_FAULTS = {
    FaultKind.RATE_LIMIT: (
        429,
        "RateLimitReached",
        f"Your requests have exceeded the call rate limit. {_MORE}",
    ),
    FaultKind.TIMEOUT: (408, "Timeout", "The operation was timeout."),
    FaultKind.AUTHENTICATION: (401, "401", _WRONG_KEY),
}
"""Status, code and message of what fails at the gateway."""


def _reply(status: int, code: str, message: str, headers: Headers = ()) -> Reply:
    return Reply(status, encode({"error": {"code": code, "message": message}}), headers)


def refusal_renderer(render_other: Callable[[RefusedError], Reply]) -> Callable[[RefusedError], Reply]:
    """Return what renders refused requests.

    Args:
        render_other: Renders what the model refuses, as the OpenAI API does.
    """

    def render_refusal(error: RefusedError) -> Reply:
        match error:
            case UnknownRouteError():
                return _reply(404, "404", f"Resource not found{error.suggestion}")
            case MethodError():
                headers = (("allow", ", ".join(error.allowed)),)
                return _reply(405, "405", f"Method Not Allowed: {error.method}", headers)
            case UnknownModelError():
                return _reply(404, "DeploymentNotFound", _NO_DEPLOYMENT)
            case AuthenticationError(header="authorization"):
                return _reply(401, "401", _WRONG_BEARER)
            case AuthenticationError():
                return _reply(401, "401", _WRONG_KEY)
            case RateLimitError():
                return _rate_limit_reply(error)
            case ModelServiceError():
                operation = _OPERATIONS.get(error.service, error.service)
                message = f"The {operation} operation does not work with the specified model, {error.model[:100]}. {_OTHER_MODEL}"
                return _reply(400, "OperationNotSupported", message)
            case ApiRuleError(code="BadRequest"):
                return _reply(error.status, "BadRequest", error.message)
            case _:
                return render_other(error)

    return render_refusal


def _rate_limit_reply(error: RateLimitError) -> Reply:
    limit, model = error.exceeded, quote(error.model)
    kind = "token" if limit.kind.endswith("tpm") else "call"
    wait = "later" if limit.wait_ms is None else f"after {math.ceil(limit.wait_ms / 1000)} seconds"
    message = (
        f"Your requests to {model} for {model} in llmsim have exceeded the {kind} rate limit for your current OpenAI S0 pricing "
        f"tier. Please retry {wait}. {_MORE}"
    )
    return _reply(429, "RateLimitReached", message, wait_headers(limit.wait_ms))


def fault_renderer(render_other: Callable[[Fault], Reply]) -> Callable[[Fault], Reply]:
    """Return what renders simulated failures.

    Args:
        render_other: Renders a request that the model refuses, as the OpenAI API does.
    """

    def render_fault(fault: Fault) -> Reply:
        headers = retry_headers(fault)
        if fault.code == CONTENT_FILTER:
            return _blocked_prompt(fault, headers)
        if (found := _GATEWAY_FAULTS.get(fault.kind)) is not None:
            status, code, message = found
            return _reply(fault.status or status, fault.code or code, fault_message(fault, message), headers)
        if (failed := _FAULTS.get(fault.kind)) is not None:
            status, kind, message = failed
            members = {
                "message": fault_message(fault, message),
                "type": kind,
                "param": None,
                "code": fault.code,
            }
            return Reply(fault.status or status, encode({"error": members}), headers)
        return render_other(fault)

    return render_fault


def _blocked_prompt(fault: Fault, headers: Headers) -> Reply:
    status = fault.status or 400
    error = {
        "message": fault_message(fault, _BLOCKED),
        "type": None,
        "param": "prompt",
        "code": CONTENT_FILTER,
        "status": status,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": BLOCKED_PROMPT},
    }
    return Reply(status, encode({"error": error}), headers)
