"""Refusals and faults in OpenAI's envelope and words.

Decisions:
* `{"error": {"message", "type", "param", "code"}}`, all four keys always.
  Source: openai/openai-openapi, `Error`; the words follow what the API answers today.
"""

import math
from typing import Any, assert_never

from llmsim.errors import (
    BodyTooLargeError,
    ContextLengthError,
    InvalidFieldError,
    InvalidJsonError,
    MethodError,
    RefusedError,
    UnknownModelError,
    UnknownRouteError,
    VisionError,
)
from llmsim.exchange import Fault, FaultKind
from llmsim.providers.contract import Reply
from llmsim.wire.codec import encode


def _reply(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Reply:
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Reply(status, encode({"error": error}), headers)


def render_refusal(error: RefusedError) -> Reply:
    """Render a request that the API would not take."""
    match error:
        case InvalidJsonError():
            return _reply(
                400,
                "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP "
                "library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you "
                "have trouble figuring out how to fix this, please contact us through our help center at "
                f"help.openai.com.) [{error}]",
            )
        case InvalidFieldError():
            return _invalid_field(error)
        case BodyTooLargeError():
            return _reply(
                413,
                f"Request body too large: the limit is {error.limit} bytes. Please reduce the size of your request.",
                code="request_too_large",
            )
        case VisionError():
            return _reply(
                400,
                f"Invalid content type. image_url is only supported by certain models, and {error.model} is not one of "
                "them.",
                param=_param((*error.path, "type")),
            )
        case ContextLengthError():
            return _reply(
                400,
                f"This model's maximum context length is {error.window} tokens. However, your messages resulted in "
                f"{error.tokens} tokens. Please reduce the length of the messages.",
                param="messages",
                code="context_length_exceeded",
            )
        case UnknownModelError():
            return _reply(
                404,
                f"The model '{error.model}' does not exist or you do not have access to it.",
                param="model",
                code="model_not_found",
            )
        case UnknownRouteError():
            return _reply(404, f"Invalid URL ({error.method} {error.path})")
        case MethodError():
            return _reply(
                405,
                f"Not allowed to {error.method} on {error.path}. (HINT: Perhaps you meant to use a different HTTP "
                f"method? It takes {', '.join(error.allowed)}.)",
                code="method_not_supported",
                headers=(("allow", ", ".join(error.allowed)),),
            )
        case _:
            return _reply(400, str(error))


_JSON_NAMES = {
    "str": "a string",
    "int": "an integer",
    "float": "a decimal",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def _kind_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal number"
        case str():
            return "a string"
        case list():
            return "an empty array" if not value else "an array"
        case _:
            return "an object"


def _param(path: tuple[str | int, ...]) -> str | None:
    """Write a path as OpenAI does: `messages[1].role`. Its keys may be the client's own: they are bounded, too."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{_shown(step)}" if text else _shown(step)
    return text or None


def _shown(value: Any) -> str:
    """Show a value found in a request, bounded: it may be megabytes."""
    text = value if isinstance(value, str) else encode(value, default=str).decode()
    return text if len(text) <= 100 else f"{text[:100]}..."


def _invalid_field(error: InvalidFieldError) -> Reply:
    param = _param(error.path)
    name = param or "body"
    found, wanted = error.found, error.wanted
    number = "decimal" if isinstance(found, float) or isinstance(wanted, float) else "integer"
    match error.rule:
        case "missing":
            message, code = f"Missing required parameter: '{name}'.", "missing_required_parameter"
        case "type":
            names = " or ".join(
                _JSON_NAMES.get(word, word) for word in str(wanted).split(" | ") if word != "null"
            )
            message = f"Invalid type for '{name}': expected {names}, but got {_kind_of(found)} instead."
            code = "invalid_type"
        case "choice":
            quoted = [f"'{choice}'" for choice in wanted]
            allowed = (
                " and ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1]))) if quoted else "documented"
            )
            message = f"Invalid value: '{_shown(found)}'. Supported values are: {allowed}."
            code = "invalid_value"
        case "minimum":
            message = (
                f"Invalid '{name}': {number} below minimum value. Expected a value >= {wanted}, but got "
                f"{_shown(found)} instead."
            )
            code = f"{number}_below_min_value"
        case "maximum":
            message = (
                f"Invalid '{name}': {number} above maximum value. Expected a value <= {wanted}, but got "
                f"{_shown(found)} instead."
            )
            code = f"{number}_above_max_value"
        case "too_short" | "too_long":
            message, code = _length_message(name, error)
        case "pattern":
            message = (
                f"Invalid '{name}': string does not match pattern. Expected a string that matches {wanted}."
            )
            code = "invalid_value"
        case "conflict":
            message, code = str(wanted), "invalid_value"
        case _:
            assert_never(error.rule)
    return _reply(400, message, param=param, code=code)


def _length_message(name: str, error: InvalidFieldError) -> tuple[str, str]:
    thing = (
        "array" if isinstance(error.found, list) else "object" if isinstance(error.found, dict) else "string"
    )
    length = len(error.found) if isinstance(error.found, str | list | dict) else 0
    unit = {"array": "length", "object": "number of properties", "string": "length"}[thing]
    if error.rule == "too_short":
        code = f"empty_{thing}" if length == 0 else f"{thing}_below_min_length"
        found = f"an empty {thing}" if length == 0 else f"{thing} of {unit} {length}"
        problem = f"empty {thing}" if length == 0 else f"{thing} too short"
        return (
            f"Invalid '{name}': {problem}. Expected {unit} >= {error.wanted}, but got {found} instead.",
            code,
        )
    return (
        f"Invalid '{name}': {thing} too long. Expected maximum {unit} {error.wanted}, but got {unit} {length} instead.",
        f"{thing}_above_max_length",
    )


def render_fault(fault: Fault) -> Reply:
    """Render a simulated failure."""
    headers: tuple[tuple[str, str], ...] = ()
    if fault.retry_after is not None:
        # Source: openai SDK, _base_client.py: retry-after-ms first, then retry-after. Whole seconds, as RFC 9110 wants.
        headers = (
            ("retry-after", str(math.ceil(fault.retry_after))),
            ("retry-after-ms", f"{fault.retry_after * 1000:.0f}"),
        )
    match fault.kind:
        case FaultKind.RATE_LIMIT:
            return _reply(
                429,
                "Rate limit reached for requests. Please try again later. (simulated by llmsim)",
                kind="rate_limit_error",
                code="rate_limit_exceeded",
                headers=headers,
            )
        case FaultKind.SERVER_ERROR:
            return _reply(
                500,
                "The server had an error while processing your request. Sorry about that! (simulated by llmsim)",
                kind="server_error",
                code="server_error",
                headers=headers,
            )
        case FaultKind.OVERLOADED:
            return _reply(
                503,
                "The engine is currently overloaded, please try again later. (simulated by llmsim)",
                kind="server_error",
                code="server_overloaded",
                headers=headers,
            )
        case FaultKind.TIMEOUT:
            return _reply(
                504,
                "The request timed out. (simulated by llmsim)",
                kind="timeout_error",
                code="timeout",
                headers=headers,
            )
        case FaultKind.INVALID_REQUEST:
            return _reply(
                400, "The request is invalid. (simulated by llmsim)", code="invalid_request", headers=headers
            )
        case FaultKind.AUTHENTICATION:
            return _reply(
                401,
                "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys. "
                "(simulated by llmsim)",
                kind="authentication_error",
                code="invalid_api_key",
                headers=headers,
            )
        case _:
            assert_never(fault.kind)


def render_crash() -> Reply:
    """Render a bug of llmsim's own."""
    return _reply(
        500,
        "llmsim failed while it answered this request; its log says why.",
        kind="server_error",
        code="internal_error",
    )
