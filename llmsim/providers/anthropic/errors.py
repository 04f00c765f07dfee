"""Refusals and faults in Anthropic's envelope and words.

Decisions:
* `{"type": "error", "error": {"type", "message"}, "request_id"}`: rendering leaves the id out, and `sign` puts it
  in when the response gets its own. Source: anthropic SDK 2.12, types/shared/error_response.py.
* Messages are written as the API's validator does: `messages.0.role: Input should be 'user' or 'assistant'`.
"""

from typing import Any, assert_never

from llmsim.domain import Fault, FaultKind
from llmsim.errors import (
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
    UnknownModelError,
    UnknownResponseError,
    UnknownRouteError,
    UnknownScriptError,
    UnsupportedError,
    VisionError,
)
from llmsim.providers.contract import Reply
from llmsim.providers.error_messages import CRASH_MESSAGE, fault_message, retry_headers, script_error
from llmsim.wire.codec import encode

_SHOWN = 100
"""Characters of a value or key found in a request that are repeated."""

_TOLD = 1000
"""Characters of a problem that are told: it repeats keys of a request."""

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
"""Type by status. Source: Anthropic docs, api/errors; anthropic SDK 2.12, types/shared/error_type.py."""

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


def _reply(status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    error = {"type": _type(status), "message": message}
    return Reply(status, encode({"type": "error", "error": error}), headers)


def _type(status: int) -> str:
    return _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")


def add_request_id(reply: Reply, request_id: str) -> Reply:
    """Put the request id into an error."""
    return Reply(reply.status, signed(reply.body, request_id), reply.headers)


def signed(error: bytes, request_id: str) -> bytes:
    """Put the request id into the body of an error."""
    return b'%b,"request_id":"req_%b"}' % (error[:-1], request_id.encode())


def render_refusal(error: RefusedError) -> Reply:
    """Render a request that the API would not take."""
    match error:
        case InvalidJsonError():
            return _reply(400, f"The request body is not valid JSON: {error}")
        case InvalidFieldError():
            return _reply(400, _sentence(error))
        case InvalidSchemaError():
            return _reply(400, _unfit_schema(error))
        case UnsupportedError():
            return _unsupported(error)
        case BodyTooLargeError():
            return _reply(413, f"Request exceeds the maximum size: the limit is {error.limit} bytes")
        case VisionError():
            return _reply(400, f"{_place(error.path)}: {_shown(error.model)} does not support image input")
        case ContextLengthError():
            return _reply(400, f"prompt is too long: {error.tokens} tokens > {error.window} maximum")
        # A model that makes embeddings is none of Anthropic's.
        case UnknownModelError() | ModelUseError():
            return _reply(404, f"model: {_shown(error.model)}")
        case UnknownResponseError():
            return _reply(404, f"Not found: {_shown(error.id)}")
        case UnknownScriptError() | ExhaustedError() | ExpectationError():
            return _reply(*script_error(error))
        case UnknownRouteError():
            return _reply(404, f"Not Found: {error.method} {error.path}")
        case MethodError():
            allowed = ", ".join(error.allowed)
            message = f"Method Not Allowed: {error.path} takes {allowed}, not {error.method}"
            return _reply(405, message, (("allow", allowed),))
        case _:
            return _reply(400, str(error))


def _unsupported(error: UnsupportedError) -> Reply:
    """Refuse a feature in the way by which the SDK knows to go on without it.

    Source: anthropic SDK 2.12, lib/threads/_thread_state.py, `_unsupported_features`.
    """
    details = {"error_code": error.code, "unsupported": [str(step) for step in error.path]}
    told = {"type": _TYPES[400], "message": str(error), "details": details}
    return Reply(400, encode({"type": "error", "error": told}))


def render_fault(fault: Fault) -> Reply:
    """Render a simulated failure."""
    status, message = _FAULTS[fault.kind]
    return _reply(fault.status or status, fault_message(fault, message), retry_headers(fault))


def broken(fault: Fault) -> bytes:
    """Render a simulated failure in mid-stream; it has the words of the same failure as an answer."""
    status, message = _FAULTS[fault.kind]
    error = {"details": None, "type": _type(fault.status or status), "message": fault_message(fault, message)}
    return encode({"type": "error", "error": error})


def render_crash() -> Reply:
    """Render a bug of llmsim's own."""
    return _reply(500, CRASH_MESSAGE)


_NAMES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "array": "list",
    "object": "dictionary",
}


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else encode(value, default=str).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _place(path: tuple[str | int, ...]) -> str:
    return ".".join(_shown(str(step)) for step in path)


def _sentence(error: InvalidFieldError) -> str:
    """Say what is wrong with a field; a conflict brings its own sentence."""
    if error.rule == "conflict":
        return str(error.wanted)
    path = error.path
    if error.rule == "choice" and path[-1:] == ("type",) and len(path) > 1:
        expected = ", ".join(f"'{choice}'" for choice in error.wanted)
        return (
            f"{_place(path[:-1])}: Input tag '{_shown(error.found)}' found using 'type' does not match any of the "
            f"expected tags: {expected}"
        )
    place = _place(path)
    return f"{place}: {_fault_of(error)}" if place else _fault_of(error)


def _unfit_schema(error: InvalidSchemaError) -> str:
    """Say what is wrong with a schema; that of a tool is no schema, that of a text one that cannot be kept to."""
    if error.subject == "function":
        return (
            f"{_place(error.path)}: JSON schema is invalid. It must match JSON Schema draft 2020-12 "
            f"(https://json-schema.org/draft/2020-12). [{error.problem[:_TOLD]}]"
        )
    return f"{_place(error.path)}: {error.problem[:_TOLD]}"


def _fault_of(error: InvalidFieldError) -> str:
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
            return f"{_thing(error.found)} should have at least {wanted} {_unit(error.found)}"
        case "too_long":
            return f"{_thing(error.found)} should have at most {wanted} {_unit(error.found)}"
        case "pattern":
            return f"String should match pattern '{wanted}'"
        case "conflict":
            return str(wanted)
        case _:
            assert_never(error.rule)


def _alternatives(choices: tuple[Any, ...]) -> str:
    quoted = [f"'{choice}'" for choice in choices]
    return " or ".join(filter(None, (", ".join(quoted[:-1]), *quoted[-1:])))


def _thing(found: Any) -> str:
    return "List" if isinstance(found, list) else "Dictionary" if isinstance(found, dict) else "String"


def _unit(found: Any) -> str:
    return "items" if isinstance(found, list | dict) else "characters"
