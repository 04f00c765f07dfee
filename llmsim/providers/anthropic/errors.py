"""Error bodies of the Anthropic API: refusals, faults and crashes.

Decisions:
* `{"type": "error", "error": {"type", "message"}, "request_id"}`: rendering leaves the id out, and `add_request_id` adds it
  once the response has its id. Source: anthropic SDK 2.14, types/shared/error_response.py.
* Messages are written as the API's validator does: `messages.0.role: Input should be 'user' or 'assistant'`.
"""

from typing import Any, assert_never

from llmsim.domain import Fault, FaultKind
from llmsim.domain.quota import RateLimitError
from llmsim.errors import (
    ApiRuleError,
    AuthenticationError,
    BodyTooLargeError,
    ContextLengthError,
    ExhaustedError,
    ExpectationError,
    InvalidFieldError,
    InvalidJsonError,
    InvalidSchemaError,
    MethodError,
    ModelUseError,
    RefusedError,
    ScenarioError,
    StoreError,
    TransportError,
    UnknownFieldError,
    UnknownModelError,
    UnknownResponseError,
    UnknownRouteError,
    UnknownScriptError,
    UnsupportedError,
    VisionError,
)
from llmsim.providers.anthropic.field_paths import with_kinds
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
from llmsim.providers.forms import FormError
from llmsim.wire.codec import encode, encode_for_message

_MAX_VALUE = 100
"""Characters after which a value or key of the request is truncated in a message."""

_MAX_PROBLEM = 1000
"""Characters after which the problem of a schema is truncated, as it repeats keys of the request."""

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Type by status. Source: Anthropic docs, api/errors; anthropic SDK 2.14, types/shared/error_type.py."""

_FAULTS = {
    FaultKind.RATE_LIMIT: (
        429,
        "This request would exceed your organization's rate limit. Please try again later.",
    ),
    FaultKind.SERVER_ERROR: (500, "Internal server error"),
    FaultKind.OVERLOADED: (529, "Overloaded"),
    FaultKind.TIMEOUT: (504, "Request timed out"),
    FaultKind.INVALID_REQUEST: (400, "The request is invalid."),
    FaultKind.AUTHENTICATION: (401, "invalid x-api-key"),
}


_KEY_MESSAGES = {
    None: "x-api-key header is required",
    "x-api-key": "invalid x-api-key",
    "authorization": "Invalid bearer token",
}
"""Message about a missing or wrong key, by the header that holds it."""


def _reply(
    status: int, message: str, headers: tuple[tuple[str, str], ...] = (), *, code: str | None = None
) -> Reply:
    error: dict[str, Any] = {"type": _type(status), "message": message}
    if code is not None:
        # Source: anthropic SDK, types/file_expired_error.py.
        error["details"] = {"error_code": code}
    return Reply(status, encode({"type": "error", "error": error}), headers)


def _type(status: int) -> str:
    return _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")


def add_request_id(reply: Reply, request_id: str) -> Reply:
    """Add the request id to an error."""
    return Reply(reply.status, with_request_id(reply.body, request_id), reply.headers)


def with_request_id(error: bytes, request_id: str) -> bytes:
    """Return the body of an error with the request id."""
    return b'%b,"request_id":"req_%b"}' % (error[:-1], request_id.encode())


def render_refusal(error: RefusedError) -> Reply:
    """Render a refused request."""
    match error:
        case ApiRuleError():
            return _reply(error.status, error.message, code=error.code)
        case InvalidJsonError():
            return _reply(400, f"The request body is not valid JSON: {error}")
        case FormError():
            return _reply(400, f"The request body is not valid multipart/form-data: {error}")
        case InvalidFieldError():
            return _reply(400, _field_message(error))
        case UnknownFieldError():
            place = _place(with_kinds(error.path, error.document))
            return _reply(400, f"{place}: Extra inputs are not permitted")
        case InvalidSchemaError():
            return _reply(400, _schema_message(error))
        case UnsupportedError():
            return _unsupported(error)
        case AuthenticationError():
            page = f"CORS requests must set '{error.header}' header"
            return _reply(401, _KEY_MESSAGES.get(error.header, page))
        case BodyTooLargeError():
            return _reply(413, f"Request exceeds the maximum size: the limit is {error.limit} bytes")
        case TransportError(is_temporary=True):
            return _reply(529, f"Overloaded: {error}", UNAVAILABLE_HEADERS)
        case TransportError():
            return _reply(error.status, str(error))
        case VisionError():
            return _reply(400, f"{_place(error.path)}: {_shown(error.model)} does not support image input")
        case ContextLengthError(requested=int() as requested):
            return _reply(
                400,
                f"input length and `max_tokens` exceed context limit: {error.tokens} + {requested} > {error.window}, decrease "
                "input length or `max_tokens` and try again",
            )
        case ContextLengthError():
            return _reply(400, f"prompt is too long: {error.tokens} tokens > {error.window} maximum")
        # No model of Anthropic makes embeddings.
        case UnknownModelError() | ModelUseError():
            return _reply(404, f"model: {_shown(error.model)}")
        case UnknownResponseError():
            return _reply(404, f"Not found: {_shown(error.id)}")
        case UnknownScriptError() | ExhaustedError() | ExpectationError() | ScenarioError():
            return _reply(*script_error(error))
        case RateLimitError():
            return _reply(429, _rate_limit_message(error), wait_headers(error.exceeded.wait_ms))
        case StoreError():
            return _reply(UNAVAILABLE_STATUS, store_message(error), UNAVAILABLE_HEADERS)
        case UnknownRouteError():
            return _reply(404, f"Not Found: {error.method} {error.path}{error.suggestion}")
        case MethodError():
            allowed = ", ".join(error.allowed)
            message = f"Method Not Allowed: {error.path} takes {allowed}, not {error.method}"
            return _reply(405, message, (("allow", allowed),))
        case _:
            return _reply(400, str(error))


_LIMITS = {
    "rpm": "requests per minute",
    "tpm": "tokens per minute",
    "input_tpm": "input tokens per minute",
    "output_tpm": "output tokens per minute",
    "rpd": "requests per day",
}


def _rate_limit_message(error: RateLimitError) -> str:
    """Return the message for a request that exceeds a limit.

    Source: error bodies in stagewise-io/stagewise#927, anthropics/claude-code#55132.
    """
    sales = "You may also contact sales at https://claude.com/contact-sales to discuss your options for a rate limit increase."
    limit = error.exceeded
    if limit.kind == "concurrency":
        return (
            f"Number of concurrent connections has exceeded your rate limit. Please try again later. {sales}"
        )
    return (
        f"This request would exceed your organization's rate limit of {limit.limit:,} {_LIMITS[limit.kind]} (org: llmsim, model: "
        f"{_shown(error.model)}). For details, refer to: https://docs.claude.com/en/api/rate-limits. You can see the response "
        f"headers for current usage. Please reduce the prompt length or the maximum tokens requested, or try again later. {sales}"
    )


def _unsupported(error: UnsupportedError) -> Reply:
    """Refuse a feature in the form in which the SDK recognizes that it can continue without it.

    Source: anthropic SDK 2.14, lib/threads/_thread_state.py, `_unsupported_features`.
    """
    details = {"error_code": error.code, "unsupported": [str(step) for step in error.path]}
    body = {"type": _TYPES[400], "message": str(error), "details": details}
    return Reply(400, encode({"type": "error", "error": body}))


def render_fault(fault: Fault) -> Reply:
    """Render a simulated failure."""
    status, message = _FAULTS[fault.kind]
    return _reply(fault.status or status, fault_message(fault, message), retry_headers(fault))


def render_stream_error(fault: Fault) -> bytes:
    """Render a simulated failure within a stream; its message is that of the same failure before the stream."""
    status, message = _FAULTS[fault.kind]
    error = {"details": None, "type": _type(fault.status or status), "message": fault_message(fault, message)}
    return encode({"type": "error", "error": error})


def render_crash() -> Reply:
    """Render a bug of llmsim."""
    return _reply(500, CRASH_MESSAGE)


_NAMES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "array": "list",
    "object": "dictionary",
}


def _shown(value: object) -> str:
    text = encode_for_message(value)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}..."


def _place(path: tuple[str | int, ...]) -> str:
    return ".".join(_shown(str(step)) for step in path)


def _field_message(error: InvalidFieldError) -> str:
    """Return the message for an invalid field; that of a conflict comes with the error."""
    path = error.path
    if error.rule == "choice" and path[-1:] == ("type",) and len(path) > 1:
        expected = ", ".join(f"'{choice}'" for choice in error.wanted)
        return (
            f"{_place(path[:-1])}: Input tag '{_shown(error.found)}' found using 'type' does not match any of the "
            f"expected tags: {expected}"
        )
    place = "" if error.rule == "conflict" else _place(path)
    message = _rule_message(error)
    return f"{place}: {message}" if place else message


def _schema_message(error: InvalidSchemaError) -> str:
    if error.subject == "function":
        return (
            f"{_place(error.path)}: JSON schema is invalid. It must match JSON Schema draft 2020-12 "
            f"(https://json-schema.org/draft/2020-12). [{error.problem[:_MAX_PROBLEM]}]"
        )
    return f"{_place(error.path)}: {error.problem[:_MAX_PROBLEM]}"


def _rule_message(error: InvalidFieldError) -> str:
    wanted = error.wanted
    match error.rule:
        case "missing":
            return "Field required"
        case "type":
            names = [_NAMES.get(name, name) for name in str(wanted).split(" | ") if name != "null"]
            return f"Input should be a valid {' or a valid '.join(names)}"
        case "choice":
            return f"Input should be {_alternatives(wanted)}"
        case "minimum":
            return f"Input should be greater than or equal to {wanted}"
        case "maximum":
            return f"Input should be less than or equal to {wanted}"
        case "too_short":
            return f"{_kind(error.found)} should have at least {wanted} {_unit(error.found)}"
        case "too_long":
            return f"{_kind(error.found)} should have at most {wanted} {_unit(error.found)}"
        case "pattern":
            return f"String should match pattern {wanted}"
        case "conflict":
            return str(wanted)
        case _:
            assert_never(error.rule)


def _alternatives(choices: tuple[object, ...]) -> str:
    quoted = [f"'{choice}'" for choice in choices]
    return " or ".join(filter(None, (", ".join(quoted[:-1]), *quoted[-1:])))


def _kind(found: object) -> str:
    return "List" if isinstance(found, list) else "Dictionary" if isinstance(found, dict) else "String"


def _unit(found: object) -> str:
    return "items" if isinstance(found, list | dict) else "characters"
