"""`GET /v1beta/models` and `/v1beta/models/{model}`: the served models of Google.

Source: google-genai SDK 3.6, types.Model and pagers.py; ai.google.dev/api/models.
"""

from typing import Any

from llmsim.catalogue import Model
from llmsim.errors import ApiRuleError
from llmsim.providers.contract import EndpointContext, IncomingRequest, Reply
from llmsim.providers.gemini.pages import page_size, page_token
from llmsim.wire.codec import encode

_OWNER = "google"

_DEFAULT_PAGE = 50
_LARGEST_PAGE = 1000
_LONGEST_NAME = 200


def _entry(model: Model) -> dict[str, Any]:
    embeds = model.dimensions > 0
    entry: dict[str, Any] = {
        "name": f"models/{model.id}",
        "version": "001",
        "displayName": model.name,
        "description": f"{model.name} (simulated by llmsim)",
        "inputTokenLimit": model.context_window,
        "outputTokenLimit": model.max_output_tokens or 1,
        "supportedGenerationMethods": ["embedContent", "countTokens", "batchEmbedContents"]
        if embeds
        else ["generateContent", "countTokens", "streamGenerateContent"],
    }
    if not embeds:
        entry |= {"temperature": 1, "topP": 0.95, "topK": 64, "maxTemperature": 2}
        if model.reasoning:
            entry["thinking"] = True
    return entry


async def list_models(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List the served models of Google, in pages.

    Raises:
        ApiRuleError: The size of a page or its token is invalid.
    """
    models = [model for model in context.models.values() if model.owner == _OWNER]
    size, token = page_size(request, _DEFAULT_PAGE, _LARGEST_PAGE), page_token(request)
    start = 0
    if token:
        ids = [model.id for model in models]
        if token not in ids:
            raise ApiRuleError("Page token is invalid.")
        start = ids.index(token)
    page: dict[str, Any] = {"models": [_entry(model) for model in models[start : start + size]]}
    if start + size < len(models):
        page["nextPageToken"] = models[start + size].id
    return Reply(200, encode(page))


async def retrieve_model(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return the model that the path names by id, alias or snapshot.

    Raises:
        ApiRuleError: The model is not served, or not Google's.
    """
    name = request.path_params["model"]
    model = context.model(name)
    if model is None or model.owner != _OWNER:
        raise ApiRuleError(
            f"Model is not found: models/{name[:_LONGEST_NAME]} for api version v1beta", status=404
        )
    return Reply(200, encode(_entry(model)))
