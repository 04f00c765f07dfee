"""The models that are served, as OpenAI lists them."""

from collections.abc import Mapping
from typing import Any

from llmsim.catalogue import Model
from llmsim.errors import UnknownModelError
from llmsim.providers.contract import Lookup
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


def render_list(models: Mapping[str, Model], params: Mapping[str, str]) -> bytes:  # noqa: ARG001 - a Lookup's shape
    """Render all served models."""
    return encode({"object": "list", "data": [_entry(model) for model in models.values()]})


def render_model(models: Mapping[str, Model], params: Mapping[str, str]) -> bytes:
    """Render the model named by the path.

    Raises:
        UnknownModelError: It is not served.
    """
    model = models.get(params["model"])
    if model is None:
        raise UnknownModelError(params["model"])
    return encode(_entry(model))


LIST_MODELS = Lookup(path="/v1/models", render=render_list)
RETRIEVE_MODEL = Lookup(path="/v1/models/{model}", render=render_model)
