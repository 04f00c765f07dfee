"""The models that are served, as OpenAI lists them."""

from typing import Any

from llmsim.catalogue import Model
from llmsim.errors import UnknownModelError
from llmsim.providers.contract import EndpointContext, IncomingRequest, Reply, ResourceEndpoint
from llmsim.wire.codec import encode


def _build_model(model: Model) -> dict[str, Any]:
    """Build one model.

    `context_window` and `max_output_tokens` are llmsim's own; clients ignore fields that they do not know.
    Source: openai SDK, types/model.py.
    """
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owner,
        "context_window": model.context_window,
        "max_output_tokens": model.max_output_tokens,
    }


async def list_models(context: EndpointContext, request: IncomingRequest) -> Reply:  # noqa: ARG001 - the signature of all endpoints
    """List all served models."""
    return Reply(
        200, encode({"object": "list", "data": [_build_model(model) for model in context.models.values()]})
    )


async def retrieve_model(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return the model that the path names.

    Raises:
        UnknownModelError: It is not served.
    """
    model = context.models.get(request.params["model"])
    if model is None:
        raise UnknownModelError(request.params["model"])
    return Reply(200, encode(_build_model(model)))


LIST_MODELS = ResourceEndpoint(
    method="GET", label="models", path="/v1/models", run=list_models, is_public=True
)
RETRIEVE_MODEL = ResourceEndpoint(
    method="GET", label="models", path="/v1/models/{model}", run=retrieve_model, is_public=True
)
