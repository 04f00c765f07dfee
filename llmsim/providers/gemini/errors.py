"""Error bodies of Google's APIs: refusals, faults and crashes.

Decisions:
* `{"error": {"code", "message", "status", "details"}}`: the status is a name of google.rpc.Code, and details are typed messages.
* How long to wait is in the details of a 429 and 503, as the API has it; the header `retry-after` is sent besides.

Source: google/rpc/code.proto and error_details.proto; error bodies of the API in continuedev/continue#10290 (key) and #9939 (model),
RooCodeInc/Roo-Code#3883 and continuedev/continue#10062 (quota), google-gemini/gemini-cli#4231 (length).
"""

import re
from typing import Any

import msgspec

from llmsim.domain import Fault, FaultKind
from llmsim.domain.quota import RateLimitError
from llmsim.errors import (
    ApiRuleError,
    AuthenticationError,
    BodyTooLargeError,
    ContextLengthError,
    ExhaustedError,
    ExpectationError,
    InputLengthError,
    InvalidFieldError,
    InvalidJsonError,
    MethodError,
    ModelUseError,
    RefusedError,
    ScenarioError,
    ShortenedError,
    StoreError,
    TransportError,
    UnknownModelError,
    UnknownRouteError,
    UnknownScriptError,
    VisionError,
)
from llmsim.providers.contract import Reply
from llmsim.providers.error_messages import (
    CRASH_MESSAGE,
    UNAVAILABLE_HEADERS,
    UNAVAILABLE_STATUS,
    fault_message,
    retry_headers,
    script_error,
    store_message,
    wait_headers,
)
from llmsim.providers.gemini.proto_json import PayloadError
from llmsim.wire.codec import encode, encode_for_message

_MAX_VALUE = 200
"""Characters after which a value of the request is truncated in a message."""

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    431: "INVALID_ARGUMENT",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Name by HTTP status. Source: google/rpc/code.proto."""

_QUOTA_MESSAGE = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: "
    "https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: https://ai.dev/rate-limit. "
)

_FAULTS = {
    FaultKind.RATE_LIMIT: (429, "Resource has been exhausted (e.g. check quota)."),
    FaultKind.SERVER_ERROR: (
        500,
        "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting",
    ),
    FaultKind.OVERLOADED: (503, "The model is overloaded. Please try again later."),
    FaultKind.TIMEOUT: (504, "Deadline expired before operation could complete."),
    FaultKind.INVALID_REQUEST: (400, "Request contains an invalid argument."),
    FaultKind.AUTHENTICATION: (400, "API key not valid. Please pass a valid API key."),
}

_TYPE = "type.googleapis.com/google.rpc."
_SERVICE = "generativelanguage.googleapis.com"

_BAD_KEY = "API key not valid. Please pass a valid API key."
_NO_KEY = (
    "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API "
    "consumer identity to call this API."
)
_BAD_LOGIN = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication "
    "credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)

_VERB = re.compile(r"/models/([^/]{1,256}):(\w{1,64})$")
"""A method of a model that is not served."""


class _Error(msgspec.Struct):
    message: str
    status: str


class _ErrorBody(msgspec.Struct):
    error: _Error


_decode_error = msgspec.json.Decoder(_ErrorBody).decode

Details = tuple[dict[str, Any], ...]


def _error(status: int, message: str, details: Details = (), name: str | None = None) -> dict[str, Any]:
    name = name or _STATUSES.get(status) or ("FAILED_PRECONDITION" if status < 500 else "INTERNAL")
    error: dict[str, Any] = {"code": status, "message": message, "status": name}
    if details:
        error["details"] = details
    return {"error": error}


def _reply(
    status: int,
    message: str,
    details: Details = (),
    headers: tuple[tuple[str, str], ...] = (),
    name: str | None = None,
) -> Reply:
    return Reply(status, encode(_error(status, message, details, name)), headers)


def _error_info(reason: str, message: str = "") -> Details:
    info = {
        "@type": f"{_TYPE}ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": _SERVICE},
    }
    if not message:
        return (info,)
    return info, {"@type": f"{_TYPE}LocalizedMessage", "locale": "en-US", "message": message}


def _retry_info(seconds: float | None) -> Details:
    if seconds is None:
        return ()
    return ({"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{round(seconds, 3):g}s"},)


def render_refusal(error: RefusedError) -> Reply:
    """Render a refused request."""
    match error:
        case PayloadError():
            return _payload(error)
        case ApiRuleError():
            return _reply(error.status, error.message, name=error.code)
        case InvalidJsonError():
            message = f"Invalid JSON payload received. {error}"
            return _reply(400, message, _violations([("", message)]))
        case InvalidFieldError():
            return _reply(400, _field_message(error))
        case AuthenticationError():
            return _authentication(error)
        case BodyTooLargeError():
            return _reply(
                413, f"Request payload size exceeds the limit: {error.limit} bytes.", _violations([])
            )
        case TransportError(is_temporary=True):
            return _reply(503, f"{_FAULTS[FaultKind.OVERLOADED][1]} ({error})", (), UNAVAILABLE_HEADERS)
        case TransportError():
            return _reply(error.status, str(error))
        case ContextLengthError() | InputLengthError():
            return _reply(
                400,
                f"The input token count ({error.tokens}) exceeds the maximum number of tokens allowed ({error.window}).",
            )
        case VisionError():
            return _reply(400, f"Image input modality is not enabled for models/{_shown(error.model)}")
        case ShortenedError():
            return _reply(400, f"output_dimensionality is not supported for models/{_shown(error.model)}")
        case UnknownModelError() | ModelUseError():
            return _unknown_model(error)
        case UnknownScriptError() | ExhaustedError() | ExpectationError() | ScenarioError():
            return _reply(*script_error(error))
        case RateLimitError():
            return _rate_limit(error)
        case StoreError():
            return _reply(UNAVAILABLE_STATUS, store_message(error), (), UNAVAILABLE_HEADERS)
        case UnknownRouteError():
            return _reply(404, f"Method not found: {error.method} {error.path}{error.suggestion}")
        case MethodError(method="POST") if (found := _VERB.search(error.path)) is not None:
            return _unsupported(found[1], found[2])
        case MethodError():
            allowed = ", ".join(error.allowed)
            message = f"{error.path} takes {allowed}, not {error.method}"
            return _reply(405, message, (), (("allow", allowed),))
        case _:
            return _reply(400, str(error))


def _payload(error: PayloadError) -> Reply:
    found = [(one.field, one.description) for one in error.violations]
    return _reply(error.status, error.message, _violations(found))


def _violations(found: list[tuple[str, str]]) -> Details:
    """Return the details about fields; a problem of the body has no field."""
    if not found:
        return ()
    violations = [
        {"field": field, "description": description} if field else {"description": description}
        for field, description in found
    ]
    return ({"@type": f"{_TYPE}BadRequest", "fieldViolations": violations},)


def _authentication(error: AuthenticationError) -> Reply:
    if error.header is None:
        return _reply(403, _NO_KEY)
    if error.header == "authorization":
        return _reply(401, _BAD_LOGIN, _error_info("ACCESS_TOKEN_TYPE_UNSUPPORTED"))
    return _reply(400, _BAD_KEY, _error_info("API_KEY_INVALID", _BAD_KEY))


def _unknown_model(error: UnknownModelError | ModelUseError) -> Reply:
    verb = "generateContent"
    if isinstance(error, ModelUseError) and error.embeds:
        verb = "embedContent"
    return _unsupported(error.model, verb)


def _unsupported(model: str, verb: str) -> Reply:
    return _reply(
        404,
        f"models/{_shown(model)} is not found for API version v1beta, or is not supported for {verb}. Call ListModels to "
        "see the list of available models and their supported methods.",
    )


_METRICS = {
    "rpm": ("generate_content_paid_tier_requests", "GenerateRequestsPerMinutePerProjectPerModel-PaidTier"),
    "rpd": ("generate_content_paid_tier_requests", "GenerateRequestsPerDayPerProjectPerModel-PaidTier"),
    "tpm": ("generate_content_paid_tier_token_count", "GenerateContentTokensPerModelPerMinute-PaidTier"),
    "input_tpm": (
        "generate_content_paid_tier_input_token_count",
        "GenerateContentInputTokensPerModelPerMinute-PaidTier",
    ),
    "output_tpm": (
        "generate_content_paid_tier_output_token_count",
        "GenerateContentOutputTokensPerModelPerMinute-PaidTier",
    ),
    "concurrency": ("generate_content_concurrent_requests", "GenerateConcurrentRequestsPerProjectPerModel"),
}
"""Metric and id of the quota for each kind of limit."""


def _rate_limit(error: RateLimitError) -> Reply:
    limit = error.exceeded
    metric, quota = _METRICS[limit.kind]
    model = _shown(error.model)
    seconds = None if limit.wait_ms is None else limit.wait_ms / 1000
    message = f"{_QUOTA_MESSAGE}\n* Quota exceeded for metric: {_SERVICE}/{metric}, limit: {limit.limit}, model: {model}"
    if seconds is not None:
        message += f"\nPlease retry in {seconds:g}s."
    violation = {
        "quotaMetric": f"{_SERVICE}/{metric}",
        "quotaId": quota,
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": str(limit.limit),
    }
    links = [
        {
            "description": "Learn more about Gemini API quotas",
            "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
        }
    ]
    details = (
        {"@type": f"{_TYPE}QuotaFailure", "violations": [violation]},
        {"@type": f"{_TYPE}Help", "links": links},
        *_retry_info(seconds),
    )
    return _reply(429, message, details, wait_headers(limit.wait_ms))


def _field_message(error: InvalidFieldError) -> str:
    place = ".".join(_shown(str(step)) for step in error.path)
    if error.rule == "conflict":
        return str(error.wanted)
    if place == "dimensions":
        return f"output_dimensionality must be in the range [1, {error.wanted}]."
    return f"Invalid value at '{place}'"


def _fault_error(fault: Fault) -> tuple[int, str, Details]:
    status, message = _FAULTS[fault.kind]
    status = fault.status or status
    details = _retry_info(fault.retry_after)
    if fault.kind is FaultKind.AUTHENTICATION:
        details = _error_info("API_KEY_INVALID", _BAD_KEY)
    return status, fault_message(fault, message), details


def render_fault(fault: Fault) -> Reply:
    """Render a simulated failure."""
    return _reply(*_fault_error(fault), retry_headers(fault))


def render_stream_error(fault: Fault) -> bytes:
    """Render a simulated failure within a stream; it is that of the same failure before the stream."""
    return encode(_error(*_fault_error(fault)))


def render_crash() -> Reply:
    """Render a bug of llmsim."""
    return _reply(500, CRASH_MESSAGE)


_RPC_CODES = {
    "CANCELLED": 1,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "UNAUTHENTICATED": 16,
}
"""Code of google.rpc by name, other than that of HTTP."""


def rpc_status(reply: Reply) -> bytes:
    """Render an error as a `google.rpc.Status`, which a result of a batch has.

    It has no details: the SDK reads those of a result as texts, and fails on others.
    """
    error = _decode_error(reply.body).error
    return encode({"code": _RPC_CODES.get(error.status, 2), "message": error.message})


def _shown(value: object) -> str:
    text = encode_for_message(value)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}..."
