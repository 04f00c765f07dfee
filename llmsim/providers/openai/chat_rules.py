"""What the model of a chat completion does not take, refused in the API's words.

Source: the reports that `scripts/catalogue-overlay.toml` names.
"""

from llmsim.errors import ApiRuleError, InvalidFieldError
from llmsim.providers.openai.chat_request import (
    AudioPart,
    ChatRequest,
    SchemaFormat,
    SystemMessage,
    UserMessage,
)
from llmsim.providers.openai_family.field_messages import listed
from llmsim.providers.openai_family.model_rules import (
    MEDIUM,
    UNSUPPORTED_PARAMETER,
    UNSUPPORTED_VALUE,
    RequestedModel,
    requested_model,
)
from llmsim.providers.openai_family.model_services import check_service
from llmsim.providers.openai_family.request_fields import JsonFormat

_PARAMETERS = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "parallel_tool_calls",
        "presence_penalty",
        "stop",
        "temperature",
        "top_p",
    }
)

_GUIDE = (
    " Learn more about supported models at the Structured Outputs guide: "
    "https://platform.openai.com/docs/guides/structured-outputs"
)


def check_model_rules(request: ChatRequest) -> None:
    """Refuse what the model of a request does not take.

    Raises:
        ApiRuleError: The model does not take a parameter or value.
    """
    model = requested_model(request.model, request.reasoning_effort)
    if model is None:
        return
    if model.rules.services:
        check_service(request.model, "chat", model.rules)
        if model.rules.has_sound:
            check_sound(request)
    refused = model.refused_parameters(request, _PARAMETERS)
    if refused and model.rules.searches:
        raise _incompatible_arguments(refused)
    for name in refused:
        raise _refused_parameter(name, getattr(request, name))
    if request.reasoning_effort is not None or request.verbosity is not None:
        _check_effort(request, model)
    if (request.max_tokens or request.max_completion_tokens or 0) > model.most_output_tokens:
        raise _excessive_limit(request, model)
    if request.response_format is not None:
        _check_format(request, model)
    if model.refuses("system_messages"):
        for index, message in enumerate(request.messages):
            if isinstance(message, SystemMessage):
                param = f"messages[{index}].role"
                raise ApiRuleError(
                    f"Unsupported value: '{param}' does not support 'system' with this model.",
                    param,
                    UNSUPPORTED_VALUE,
                )


def check_sound(request: ChatRequest) -> None:
    """Refuse sound to a model of OpenAI's that has none, and a model of sound that is given none.

    Source: CherryHQ/cherry-studio#1179 (no sound), lofcz/LLMTornado#150 and openai/openai-python#2454 (a recording). The words for a
    spoken answer are those for other values that a model does not take.

    Raises:
        ApiRuleError: The model has no sound, or needs some.
    """
    model = requested_model(request.model, request.reasoning_effort)
    if model is None:
        return
    recording = next(
        (
            index
            for index, message in enumerate(request.messages)
            if isinstance(message, UserMessage)
            and any(isinstance(part, AudioPart) for part in message.content)
        ),
        None,
    )
    modalities = request.modalities or []
    if model.rules.has_sound:
        if recording is None and "audio" not in modalities:
            message = "This model requires that either input content or output modality contain audio."
            raise ApiRuleError(message, "model", "invalid_value")
    elif recording is not None:
        param = f"messages[{recording}]"
        message = f"Invalid '{param}'. Content blocks are expected to be either text or image_url type."
        raise ApiRuleError(message, param, "invalid_value")
    elif "audio" in modalities:
        param = f"modalities[{modalities.index('audio')}]"
        message = f"Unsupported value: '{param}' does not support 'audio' with this model."
        raise ApiRuleError(message, param, UNSUPPORTED_VALUE)


def check_prediction(request: ChatRequest) -> None:
    """Refuse what excludes a prediction.

    Source: OpenAI, guides/predicted-outputs, "Limitations"; the words are those of other parameters that exclude each other.

    Raises:
        InvalidFieldError: The request has such a parameter.
    """
    excluded = {
        "n": (request.n or 1) > 1,
        "logprobs": bool(request.logprobs),
        "presence_penalty": (request.presence_penalty or 0) > 0,
        "frequency_penalty": (request.frequency_penalty or 0) > 0,
        "max_completion_tokens": request.max_completion_tokens is not None,
        "tools": bool(request.tools or request.functions),
        "modalities": "audio" in (request.modalities or ()),
    }
    for name, is_used in excluded.items():
        if is_used:
            message = f"The '{name}' parameter is not supported when 'prediction' is set."
            raise InvalidFieldError((name,), "conflict", message)


def _incompatible_arguments(names: list[str]) -> ApiRuleError:
    """Return the refusal of a model that searches the web."""
    plural = "s" if len(names) > 1 else ""
    return ApiRuleError(f"Model incompatible request argument{plural} supplied: {', '.join(sorted(names))}")


def _refused_parameter(name: str, value: float) -> ApiRuleError:
    if name == "temperature":
        return ApiRuleError(
            f"Unsupported value: 'temperature' does not support {value:.15g} with this model. Only the default (1) value is "
            "supported.",
            name,
            UNSUPPORTED_VALUE,
        )
    hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
    message = f"Unsupported parameter: '{name}' is not supported with this model.{hint}"
    return ApiRuleError(message, name, UNSUPPORTED_PARAMETER)


def _check_effort(request: ChatRequest, model: RequestedModel) -> None:
    effort, verbosity = request.reasoning_effort, request.verbosity
    if effort is not None and model.refuses("reasoning_effort"):
        raise ApiRuleError("Unrecognized request argument supplied: reasoning_effort")
    if effort is not None and model.efforts and effort not in model.efforts:
        raise _unsupported_value("reasoning_effort", effort, model.efforts)
    if verbosity not in (None, "medium") and model.refuses("verbosity"):
        raise _unsupported_value("verbosity", verbosity, MEDIUM)


def _unsupported_value(name: str, value: str | None, supported: tuple[str, ...]) -> ApiRuleError:
    return ApiRuleError(
        f"Unsupported value: '{name}' does not support '{value}' with this model. Supported values are: {listed(supported)}.",
        name,
        UNSUPPORTED_VALUE,
    )


def _excessive_limit(request: ChatRequest, model: RequestedModel) -> ApiRuleError:
    """Return the refusal of a limit above what a known model can write; a request has no more than one limit.

    Source: ChatGPTNextWeb/NextChat#3195, enoch3712/ExtractThinker#346; `code` is null.
    """
    name = "max_completion_tokens" if request.max_tokens is None else "max_tokens"
    most, limit = model.most_output_tokens, getattr(request, name)
    return ApiRuleError(
        f"{name} is too large: {limit}. This model supports at most {most} completion tokens, whereas you provided "
        f"{limit}.",
        name,
    )


def _check_format(request: ChatRequest, model: RequestedModel) -> None:
    match request.response_format:
        case JsonFormat() if model.refuses("json_object"):
            kind, guide = "json_object", ""
        case SchemaFormat() if model.refuses("json_schema"):
            kind, guide = "json_schema", _GUIDE
        case _:
            return
    message = (
        f"Invalid parameter: 'response_format' of type '{kind}' is not supported with this model.{guide}"
    )
    raise ApiRuleError(message, "response_format")
