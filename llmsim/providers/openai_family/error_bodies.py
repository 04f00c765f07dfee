"""Error bodies of the OpenAI family of APIs: status, message, param and code.

Decisions:
* Two providers share the messages, not the envelope: each puts an error body into its own, with its own types.

Source: the messages are those of the OpenAI API today.
"""

from typing import assert_never

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
    InputError,
    InputLengthError,
    InvalidFieldError,
    InvalidJsonError,
    InvalidSchemaError,
    MethodError,
    ModelUseError,
    RefusedError,
    RequestTokensError,
    ScenarioError,
    ShortenedError,
    StoreError,
    ToolChoiceError,
    TransportError,
    UnknownFieldError,
    UnknownModelError,
    UnknownResponseError,
    UnknownRouteError,
    UnknownScriptError,
    VisionError,
)
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
from llmsim.providers.openai_family.field_messages import field_message, format_path, quote, schema_message
from llmsim.providers.openai_family.rate_limits import format_duration


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """An error, without its provider's envelope.

    Attributes:
        status: HTTP status code.
        message: For a person.
        param: The field at fault, e.g. `messages[1].role`; None if no field is.
        code: For a program; None where the API gives no code.
        headers: Headers of the HTTP response.
        type: The error's type, where it is not the one of all refusals.
    """

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    type: str | None = None


CRASHED = ErrorBody(
    status=500,
    message=CRASH_MESSAGE,
    code="internal_error",
)
"""A bug of llmsim's own."""


_MISSING_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. "
    "Authorization: Bearer YOUR_KEY)."
)
_WRONG_KEY = (
    "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."
)

_SCRIPT_CODES: dict[type[RefusedError], str] = {
    UnknownScriptError: "script_not_found",
    ExhaustedError: "script_exhausted",
    ExpectationError: "script_expectation_failed",
}


def error_for_refusal(error: RefusedError) -> ErrorBody:
    """Return the error for a refused request."""
    match error:
        case InvalidJsonError():
            return ErrorBody(
                status=400, message=f"We could not parse the JSON body of your request. [{error}]"
            )
        case FormError():
            return ErrorBody(status=400, message=f"Could not parse multipart form. [{error}]")
        case InvalidFieldError():
            return _field_error(error)
        case UnknownFieldError():
            param = format_path(error.path)
            message = f"Unknown parameter: '{param}'."
            return ErrorBody(status=400, message=message, param=param, code="unknown_parameter")
        case InvalidSchemaError():
            return _schema_error(error)
        case ApiRuleError():
            return ErrorBody(status=error.status, message=error.message, param=error.param, code=error.code)
        case ToolChoiceError(choice="required"):
            return ErrorBody(
                status=400,
                message="Tool choice 'required' must be specified with 'tools' parameter.",
                param="tool_choice",
            )
        case ToolChoiceError():
            return ErrorBody(
                status=400,
                message=f"Tool choice '{quote(error.choice)}' not found in 'tools' parameter.",
                param="tool_choice",
            )
        case AuthenticationError():
            return ErrorBody(
                status=401,
                message=_MISSING_KEY if error.header is None else _WRONG_KEY,
                code="invalid_api_key",
            )
        case BodyTooLargeError():
            return ErrorBody(
                status=413,
                message=f"Request body too large: the limit is {error.limit} bytes. "
                "Please reduce the size of your request.",
                code="request_too_large",
            )
        case TransportError(is_temporary=True):
            return ErrorBody(
                status=UNAVAILABLE_STATUS,
                message=f"The engine is currently overloaded, please try again later: {error}.",
                headers=UNAVAILABLE_HEADERS,
                type="server_error",
            )
        case TransportError():
            return ErrorBody(status=error.status, message=f"{error}.")
        case VisionError():
            return ErrorBody(
                status=400,
                message="Invalid content type. image_url is only supported by certain models, and "
                f"{error.model} is not one of them.",
                param=format_path((*error.path, "type")),
            )
        case ContextLengthError(requested=int() as requested):
            # Source: error bodies in langchain-ai/langchain#1349 and jerryjliu/llama_index#574; `param` and `code` are null.
            return ErrorBody(
                status=400,
                message=f"This model's maximum context length is {error.window} tokens, however you requested "
                f"{error.tokens + requested} tokens ({error.tokens} in your prompt; {requested} for the "
                "completion). Please reduce your prompt; or completion length.",
            )
        case ContextLengthError():
            return ErrorBody(
                status=400,
                message=f"This model's maximum context length is {error.window} tokens. However, your messages "
                f"resulted in {error.tokens} tokens. Please reduce the length of the messages.",
                param="messages",
                code="context_length_exceeded",
            )
        case ModelUseError() | InputError() | InputLengthError() | RequestTokensError() | ShortenedError():
            return _embedding_error(error)
        case UnknownModelError():
            return ErrorBody(
                status=404,
                message=f"The model '{error.model}' does not exist or you do not have access to it.",
                param="model",
                code="model_not_found",
            )
        case UnknownResponseError(param=None):
            return ErrorBody(status=404, message=f"{error.noun} with id '{quote(error.id)}' not found.")
        case UnknownResponseError():
            return ErrorBody(
                status=400,
                message=f"Previous response with id '{quote(error.id)}' not found.",
                param=error.param,
                code="previous_response_not_found",
            )
        case UnknownScriptError() | ExhaustedError() | ExpectationError():
            status, message = script_error(error)
            return ErrorBody(status=status, message=message, code=_SCRIPT_CODES[type(error)])
        case ScenarioError():
            status, message = script_error(error)
            kind = "server_error" if status >= 500 else None
            return ErrorBody(status=status, message=message, code=error.code, type=kind)
        case RateLimitError():
            return rate_limit_error(error)
        case StoreError():
            return ErrorBody(
                status=UNAVAILABLE_STATUS,
                message=store_message(error),
                code="store_unavailable",
                headers=UNAVAILABLE_HEADERS,
                type="server_error",
            )
        case UnknownRouteError():
            message = f"Invalid URL ({error.method} {error.path}){error.suggestion}"
            return ErrorBody(status=404, message=message)
        case MethodError():
            return ErrorBody(
                status=405,
                message=f"Not allowed to {error.method} on {error.path}. (HINT: Perhaps you meant to use a different "
                f"HTTP method? It takes {', '.join(error.allowed)}.)",
                code="method_not_supported",
                headers=(("allow", ", ".join(error.allowed)),),
            )
        case _:
            return ErrorBody(status=400, message=str(error))


_LIMITS = {
    "rpm": "requests per min (RPM)",
    "tpm": "tokens per min (TPM)",
    "input_tpm": "input tokens per min (TPM)",
    "output_tpm": "output tokens per min (TPM)",
    "rpd": "requests per day (RPD)",
    "concurrency": "concurrent requests",
}


def rate_limit_error(error: RateLimitError) -> ErrorBody:
    """Return the error for a request that exceeds a limit.

    Source: error bodies in BuilderIO/micro-agent#86, FoundationAgents/MetaGPT#523, TheR1D/shell_gpt#653.
    """
    limit = error.exceeded
    more = "Visit https://platform.openai.com/account/rate-limits to learn more."
    where = f"for {quote(error.model)} in organization llmsim on {_LIMITS[limit.kind]}: Limit {limit.limit}"
    if limit.requested > limit.limit:
        message = (
            f"Request too large {where}, Requested {limit.requested}. The input or output tokens must be reduced in order to "
            f"run successfully. {more}"
        )
    else:
        wait = "later" if limit.wait_ms is None else f"in {format_duration(limit.wait_ms * 1000)}"
        message = f"Rate limit reached {where}, Used {limit.used}, Requested {limit.requested}. Please try again {wait}. {more}"
    return ErrorBody(
        status=429,
        message=message,
        code="rate_limit_exceeded",
        headers=wait_headers(limit.wait_ms),
        type="tokens" if limit.kind.endswith("tpm") else "requests",
    )


def _embedding_error(
    error: ModelUseError | InputError | InputLengthError | RequestTokensError | ShortenedError,
) -> ErrorBody:
    """Return the error for a refused embeddings request, or for a chat request to an embedding model.

    Source: error bodies in infiniflow/ragflow#1835, embeddings-benchmark/mteb#1200, neo4j-labs/agent-memory#104,
    OpenDataBox/CrackSQL#27, sbintuitions/JMTEB#14 and truefoundry/models#846. `param` and `code` are null in most.
    """
    match error:
        case ModelUseError(media=True):
            message = f"Invalid value for 'model' = {quote(error.model)}. Please check the OpenAI documentation and try again."
            return ErrorBody(status=400, message=message, param="model", code="invalid_value")
        case ModelUseError(embeds=True):
            message = "You are not allowed to generate embeddings from this model"
            return ErrorBody(status=403, message=message)
        case ModelUseError():
            message = (
                "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to "
                "use v1/completions?"
            )
            return ErrorBody(status=404, message=message, param="model")
        case InputError():
            message = "'$.input' is invalid. Please check the API reference: "
            return ErrorBody(status=400, message=f"{message}https://platform.openai.com/docs/api-reference.")
        case InputLengthError():
            param = format_path(("input",) if error.index is None else ("input", error.index))
            message = f"Invalid '{param}': maximum context length is {error.window} tokens."
            return ErrorBody(status=400, message=message)
        case RequestTokensError():
            message = f"Requested {error.tokens} tokens, max {error.limit} tokens per request"
            code = "max_tokens_per_request"
            return ErrorBody(status=400, message=message, code=code, type=code)
        case ShortenedError():
            return ErrorBody(status=400, message="This model does not support specifying dimensions.")
        case _:
            assert_never(error)


def _field_error(error: InvalidFieldError) -> ErrorBody:
    message, code = field_message(error)
    return ErrorBody(status=400, message=message, param=format_path(error.path), code=code)


def _schema_error(error: InvalidSchemaError) -> ErrorBody:
    message = schema_message(error)
    if error.subject == "function":
        param, code = format_path(error.path), "invalid_function_parameters"
        return ErrorBody(status=400, message=message, param=param, code=code)
    # Source: recorded refusals: chat completions name the format as a whole and give no code.
    if error.path[0] == "response_format":
        return ErrorBody(status=400, message=message, param="response_format")
    return ErrorBody(status=400, message=message, param=format_path(error.path), code="invalid_json_schema")


_FAULTS = {
    FaultKind.RATE_LIMIT: (
        429,
        "Rate limit reached for requests. Please try again later.",
        "rate_limit_exceeded",
    ),
    FaultKind.SERVER_ERROR: (
        500,
        "The server had an error while processing your request. Sorry about that!",
        "server_error",
    ),
    FaultKind.OVERLOADED: (
        503,
        "The engine is currently overloaded, please try again later.",
        "server_overloaded",
    ),
    FaultKind.TIMEOUT: (504, "The request timed out.", "timeout"),
    FaultKind.INVALID_REQUEST: (400, "The request is invalid.", "invalid_request"),
    FaultKind.AUTHENTICATION: (401, "Incorrect API key provided.", "invalid_api_key"),
}


def error_for_fault(fault: Fault) -> ErrorBody:
    """Return the error for a simulated failure."""
    status, message, code = _FAULTS[fault.kind]
    return ErrorBody(
        status=fault.status or status,
        message=fault_message(fault, message),
        code=fault.code or code,
        headers=retry_headers(fault),
    )
