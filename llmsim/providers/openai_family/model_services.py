"""Which endpoint serves a model: one that is asked for what it does not do is refused in the API's words.

Decisions:
* Each endpoint has words of its own for it, and some have strange ones: the audio endpoints claim that their address does not exist.
* Completions serve chat models, which the real API refuses: load tools ask with whatever model there is.
* Names that are no model of OpenAI's are served everywhere: what is behind a gateway is not known.

Source: infiniflow/ragflow#1835 (embeddings), danny-avila/LibreChat#5026 (chat), BerriAI/litellm#6020 (moderations), openai/openai-go#85
and openai/openai-dotnet#387 (speech), openai/openai-dotnet#290 (transcriptions), BerriAI/litellm#11265 (images). Those of completions,
Responses, edits and variations are made after the others.
"""

from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from llmsim.catalogue import shipped_catalogue
from llmsim.errors import ApiRuleError
from llmsim.model_rules import ModelRules
from llmsim.providers.contract import GenerationEndpoint, IncomingRequest, ParsedRequest
from llmsim.providers.openai_family.field_messages import listed

O = TypeVar("O")  # noqa: E741 - options, as in the contract

_SHOWN = 100
"""Characters of a model's name that a message shows."""

_TEXT_SERVICES = frozenset({"chat", "completions", "responses"})
"""What serves the models that name no endpoint."""

_WORDS: dict[str, tuple[int, str, str | None, str | None]] = {
    "chat": (
        404,
        "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use v1/completions?",
        "model",
        None,
    ),
    "completions": (
        404,
        "This is not a text model and thus not supported in the v1/completions endpoint.",
        "model",
        None,
    ),
    "embeddings": (403, "You are not allowed to generate embeddings from this model", None, None),
    "moderations": (
        400,
        "Invalid value for 'model' = {model}. Please check the OpenAI documentation and try again.",
        "model",
        None,
    ),
    "responses": (
        404,
        "The requested model '{model}' is not supported with the Responses API.",
        "model",
        "model_not_supported",
    ),
    "speech": (404, "Invalid URL (POST /v1/audio/speech)", None, None),
    "transcriptions": (404, "Invalid URL (POST /v1/audio/transcriptions)", None, None),
    "translations": (404, "Invalid URL (POST /v1/audio/translations)", None, None),
    "images": (400, "Invalid value: '{model}'. Supported values are: {models}.", "model", "invalid_value"),
    "image_edits": (
        400,
        "Invalid value: '{model}'. Supported values are: {models}.",
        "model",
        "invalid_value",
    ),
    "image_variations": (
        400,
        "Value must be 'dall-e-2', but got '{model}'.",
        "model",
        "invalid_value",
    ),
}
"""Status, message, param and code by endpoint."""

_PICTURES = ("gpt-image-1", "gpt-image-2", "dall-e-2", "dall-e-3")


class ModelServiceError(ApiRuleError):
    """The endpoint does not serve the model.

    Attributes:
        model: The model id as requested.
        service: The endpoint, of `SERVICES`.
    """

    def __init__(self, model: str, service: str) -> None:
        status, message, param, code = _WORDS[service]
        catalogue = shipped_catalogue()
        serving = [name for name in _PICTURES if service in catalogue.rules(catalogue.facts(name)).services]
        text = message.format(model=model[:_SHOWN], models=listed(tuple(serving)))
        super().__init__(text, param, code, status)
        self.model, self.service = model, service


def check_service(model: str, service: str, rules: ModelRules) -> None:
    """Refuse a model of OpenAI's that an endpoint does not serve.

    Args:
        model: Its name as requested.
        service: The endpoint, of `SERVICES`.
        rules: The model's rules.

    Raises:
        ModelServiceError: The endpoint does not serve it.
    """
    if service not in (rules.services or _TEXT_SERVICES):
        raise ModelServiceError(model, service)


def with_service(endpoint: GenerationEndpoint[O], service: str) -> GenerationEndpoint[O]:
    """Return an endpoint that refuses the models which it does not serve."""
    parse: Callable[[IncomingRequest], ParsedRequest[O]] = endpoint.http.parse

    def parse_served(incoming: IncomingRequest) -> ParsedRequest[O]:
        parsed = parse(incoming)
        catalogue = shipped_catalogue()
        facts = catalogue.facts(parsed.prompt.model)
        if facts.owner == "openai":
            check_service(parsed.prompt.model, service, catalogue.rules(facts))
        return parsed

    return replace(endpoint, http=replace(endpoint.http, parse=parse_served))
