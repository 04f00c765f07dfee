"""The models of a resource, as Azure OpenAI lists them.

Source: Azure OpenAI REST API reference, "Models - List", 2024-10-21; fields of the OpenAI API, which its SDKs require, are kept.
"""

from typing import Any

from llmsim.catalogue import Model
from llmsim.errors import UnknownModelError
from llmsim.providers.contract import EndpointContext, IncomingRequest, Reply
from llmsim.wire.codec import encode


def _build_model(model: Model) -> dict[str, Any]:
    embeds = model.dimensions > 0
    return {
        "id": model.id,
        "object": "model",
        "status": "succeeded",
        "created": model.created,
        "created_at": model.created,
        "updated_at": model.created,
        "owned_by": model.owner,
        "lifecycle_status": "generally-available",
        "deprecation": {},
        "capabilities": {
            "fine_tune": False,
            "inference": True,
            "completion": not embeds,
            "chat_completion": not embeds,
            "embeddings": embeds,
        },
    }


async def list_models(context: EndpointContext, request: IncomingRequest) -> Reply:  # noqa: ARG001 - the signature of all endpoints
    """List all served models."""
    models = [_build_model(model) for model in context.models.values()]
    return Reply(200, encode({"object": "list", "data": models}))


async def retrieve_model(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return the model that the path names.

    Raises:
        UnknownModelError: It is not served.
    """
    name = request.params["model"]
    model = context.models.get(name)
    if model is None:
        raise UnknownModelError(name)
    return Reply(200, encode(_build_model(model)))
