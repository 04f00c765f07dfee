"""The models that are served, as Anthropic lists them: its own only, the newest first.

Source: anthropic SDK 2.12, types/model_info.py, model_capabilities.py and what they name.
"""

from typing import Any

from llmsim.catalogue import Model
from llmsim.errors import UnknownModelError
from llmsim.providers.anthropic.instants import rfc3339
from llmsim.providers.anthropic.paging import Page, render_page
from llmsim.providers.contract import EndpointContext, IncomingRequest, Reply, ResourceEndpoint
from llmsim.wire.codec import encode

_OWNER = "anthropic"

_LINES = ("opus", "sonnet", "haiku", "fable", "mythos")
"""Source: types/model_line.py; the catalogue's names are `Claude Opus 5`, `Claude Haiku 3.5`."""


def _can(supported: bool) -> dict[str, Any]:
    return {"supported": supported}


def _entry(model: Model) -> dict[str, Any]:
    words = model.name.lower().split()
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": rfc3339(model.created),
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": next((line for line in _LINES if line in words), None),
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output_tokens,
        "capabilities": {
            "batch": _can(True),
            "citations": _can(False),
            "code_execution": _can(False),
            "context_management": _can(False)
            | {
                "clear_thinking_20251015": _can(False),
                "clear_tool_uses_20250919": _can(False),
                "compact_20260112": _can(False),
            },
            "effort": _can(model.reasoning)
            | dict.fromkeys(("low", "medium", "high", "xhigh", "max"), _can(model.reasoning)),
            "image_input": _can(model.vision),
            "pdf_input": _can(model.vision),
            "server_tools": _can(False) | {"code_execution": _can(False), "web_search": _can(False)},
            "structured_outputs": _can(model.json),
            "thinking": _can(model.reasoning)
            | {
                "types": {
                    "adaptive": _can(model.reasoning),
                    "between_tools": _can(model.reasoning),
                    "disabled": _can(True),
                    "enabled": _can(model.reasoning),
                }
            },
        },
    }


async def list_models(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """List the served models of Anthropic."""
    page = Page.read(call.params)
    models = [model for model in desk.models.values() if model.owner == _OWNER]
    ids = [model.id for model in models]
    first, last = 0, len(models)
    try:
        if page.after is not None:
            first = ids.index(page.after) + 1
        if page.before is not None:
            last = ids.index(page.before)
    except ValueError:
        raise page.unknown() from None
    if page.before is not None and page.after is None:
        # The page right before that entry; more are those before the page.
        start = max(first, last - page.limit)
        return render_page([_entry(model) for model in models[start:last]], more=start > 0)
    stop = min(last, first + page.limit)
    return render_page([_entry(model) for model in models[first:stop]], more=stop < last)


async def retrieve_model(desk: EndpointContext, call: IncomingRequest) -> Reply:
    """Give the model that the path names by its id, an alias or a snapshot.

    Raises:
        UnknownModelError: It is not served, or not Anthropic's.
    """
    name = call.params["model_id"]
    model = desk.model(name)
    if model is None or model.owner != _OWNER:
        raise UnknownModelError(name)
    return Reply(200, encode(_entry(model)))


LIST_MODELS = ResourceEndpoint(method="GET", path="/v1/models", run=list_models)
RETRIEVE_MODEL = ResourceEndpoint(method="GET", path="/v1/models/{model_id}", run=retrieve_model)
