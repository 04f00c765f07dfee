"""What the model of a response does not take, and what the API calls otherwise, refused in the API's words.

Source: the reports that `scripts/catalogue-overlay.toml` names.
"""

from llmsim.errors import ApiRuleError
from llmsim.providers.openai_family.field_messages import listed
from llmsim.providers.openai_family.model_rules import (
    MEDIUM,
    UNSUPPORTED_PARAMETER,
    UNSUPPORTED_VALUE,
    RequestedModel,
    requested_model,
)
from llmsim.providers.openai_family.model_services import check_service
from llmsim.providers.openai_family.responses.request import Request

_PARAMETERS = frozenset({"frequency_penalty", "presence_penalty", "temperature", "top_p"})

MOVED = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
"""Parameters of chat completions, and where Responses has them.

Source: OpenHands/software-agent-sdk#755 (`param` is null), madox2/vim-ai#162, mkht/PSOpenAI#44.
"""


def check_model_rules(request: Request) -> None:
    """Refuse what the model of a request does not take, and names that parameters have in chat completions only.

    Raises:
        ApiRuleError: The model does not take a parameter or value, or Responses has it under another name.
    """
    for name, new_name in MOVED.items():
        if bytes(getattr(request, name)) not in (b"", b"null"):
            raise ApiRuleError(
                f"Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to '{new_name}'. Try again "
                "with the new parameter. See the API documentation for more information: "
                "https://platform.openai.com/docs/api-reference/responses/create.",
                None,
                UNSUPPORTED_PARAMETER,
            )
    effort = None if request.reasoning is None else request.reasoning.effort
    model = requested_model(request.model or "", effort)
    if model is None:
        return
    if model.rules.services:
        check_service(request.model or "", "responses", model.rules)
    for name in model.refused_parameters(request, _PARAMETERS):
        # Source: OpenHands/software-agent-sdk#1837: `code` is null.
        raise ApiRuleError(f"Unsupported parameter: '{name}' is not supported with this model.", name)
    _check_effort(model, request.model or "", effort, "reasoning.effort")
    verbosity = None if request.text is None else request.text.verbosity
    if verbosity is not None and verbosity != "medium" and model.refuses("verbosity"):
        raise _unsupported_value(request.model or "", "text.verbosity", verbosity, MEDIUM)
    if model.refuses("logprobs") and "message.output_text.logprobs" in (request.include or ()):
        message = "logprobs are not supported with reasoning models."
        raise ApiRuleError(message, "include", UNSUPPORTED_PARAMETER)
    _check_limit(request, model)


def check_effort(name: str, effort: str | None, param: str) -> None:
    """Refuse an effort that a model does not take.

    Args:
        name: The model.
        effort: The effort; None for the model's own.
        param: Its place in the request.

    Raises:
        ApiRuleError: The model does not take it.
    """
    model = requested_model(name, effort)
    if model is not None:
        _check_effort(model, name, effort, param)


def _check_effort(model: RequestedModel, name: str, effort: str | None, param: str) -> None:
    if effort is None:
        return
    if model.refuses("reasoning_effort"):
        message = f"Unsupported parameter: '{param}' is not supported with this model."
        raise ApiRuleError(message, param, UNSUPPORTED_PARAMETER)
    if model.efforts and effort not in model.efforts:
        raise _unsupported_value(name, param, effort, model.efforts)


def _unsupported_value(name: str, param: str, value: str, supported: tuple[str, ...]) -> ApiRuleError:
    return ApiRuleError(
        f"Unsupported value: '{value}' is not supported with the '{name}' model. Supported values are: "
        f"{listed(supported)}.",
        param,
        UNSUPPORTED_VALUE,
    )


def _check_limit(request: Request, model: RequestedModel) -> None:
    most, limit = model.most_output_tokens, request.max_output_tokens
    if limit is not None and limit > most:
        raise ApiRuleError(
            f"Invalid 'max_output_tokens': integer above maximum value. Expected a value <= {most}, but got {limit} instead.",
            "max_output_tokens",
            "integer_above_max_value",
        )
