"""The models that are served, as OpenAI lists them."""

from typing import Any

from llmsim.catalogue import Model
from llmsim.errors import UnknownModelError
from llmsim.providers.contract import EndpointContext, IncomingRequest, Reply, ResourceEndpoint
from llmsim.wire.codec import encode


def _entry(model: Model) -> dict[str, Any]:
    """Render one model.

    `context_window` and `max_output_tokens` are llmsim's; clients of the API ignore fields they do not know.
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


async def list_models(desk: EndpointContext, call: IncomingRequest) -> Reply:  # noqa: ARG001 - the shape of an operation
    """List all served models."""
    return Reply(200, encode({"object": "list", "data": [_entry(model) for model in desk.models.values()]}))


async def retrieve_model(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """Give the model named by the path.

    Raises:
        UnknownModelError: It is not served.
    """
    model = desk.models.get(call.params["model"])
    if model is None:
        raise UnknownModelError(call.params["model"])
    return Reply(200, encode(_entry(model)))


LIST_MODELS = ResourceEndpoint(method="GET", path="/v1/models", run=list_models)
RETRIEVE_MODEL = ResourceEndpoint(method="GET", path="/v1/models/{model}", run=retrieve_model)
