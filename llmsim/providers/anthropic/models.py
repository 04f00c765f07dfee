"""`GET /v1/models`: the served models of Anthropic, the newest first.

Source: anthropic SDK 2.14, types/model_info.py, model_capabilities.py and what they name.
"""

from collections.abc import Mapping
from typing import Any

from llmsim.catalogue import Model, shipped_catalogue
from llmsim.errors import InvalidFieldError, UnknownModelError
from llmsim.providers.anthropic.model_rules import default_fallback, lists_fallbacks
from llmsim.providers.anthropic.resources import parse_page, render_page, rfc3339
from llmsim.providers.contract import EndpointContext, IncomingRequest, Reply, ResourceEndpoint
from llmsim.wire.codec import encode

_OWNER = "anthropic"

_LINES = ("opus", "sonnet", "haiku", "fable", "mythos")
"""Source: types/model_line.py; the catalogue's names are `Claude Opus 5`, `Claude Haiku 3.5`."""


_ACTIVE = "active"
_STAGES = (_ACTIVE, "deprecated", "retired")


def _parse_lifecycle(params: Mapping[str, str]) -> list[str]:
    """Return the stages whose models a list is to have; empty for the default.

    Raises:
        InvalidFieldError: There is no such stage.
    """
    sent = params.get("lifecycle[]") or params.get("lifecycle")
    stages = sent.split(",") if sent else []
    for index, stage in enumerate(stages):
        if stage not in _STAGES:
            raise InvalidFieldError(("lifecycle", index), "choice", _STAGES, stage)
    return stages


def _support(supported: bool) -> dict[str, Any]:
    return {"supported": supported}


def _entry(model: Model, request: IncomingRequest) -> dict[str, Any]:
    fallback = default_fallback(model.id)
    words = model.name.lower().split()
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": rfc3339(model.created),
        "lifecycle": _ACTIVE,
        "deprecated_at": None,
        "retires_at": None,
        "line": next((line for line in _LINES if line in words), None),
        "max_input_tokens": model.context_window,
        "max_tokens": model.max_output_tokens,
        **(
            {"allowed_fallback_models": [fallback] if fallback else []}
            if lists_fallbacks(request.headers)
            else {}
        ),
        "capabilities": {
            "batch": _support(True),
            "citations": _support(True),
            "code_execution": _support(False),
            "context_management": _support(True)
            | {
                "clear_thinking_20251015": _support(model.reasoning),
                "clear_tool_uses_20250919": _support(True),
                "compact_20260112": _support("compaction" not in shipped_catalogue().rules(model).refused),
            },
            "effort": _support(model.reasoning)
            | dict.fromkeys(("low", "medium", "high", "xhigh", "max"), _support(model.reasoning)),
            "image_input": _support(model.vision),
            "pdf_input": _support(model.vision),
            "server_tools": _support(False)
            | {"code_execution": _support(False), "web_search": _support(False)},
            "structured_outputs": _support(model.json),
            "thinking": _support(model.reasoning)
            | {
                "types": {
                    "adaptive": _support(model.reasoning),
                    "between_tools": _support(model.reasoning),
                    "disabled": _support(True),
                    "enabled": _support(model.reasoning),
                }
            },
        },
    }


async def list_models(context: EndpointContext, request: IncomingRequest) -> Reply:
    """List the served models of Anthropic, all of which are active."""
    page = parse_page(request.params)
    shown = _parse_lifecycle(request.params)
    models = [
        model
        for model in context.models.values()
        if model.owner == _OWNER and (not shown or _ACTIVE in shown)
    ]
    ids = [model.id for model in models]
    first, last = 0, len(models)
    try:
        if page.after is not None:
            first = ids.index(page.after) + 1
        if page.before is not None:
            last = ids.index(page.before)
    except ValueError:
        raise page.unknown_cursor() from None
    if page.before is not None and page.after is None:
        # The page ends right before that entry; `has_more` is about entries before the page.
        start = max(first, last - page.limit)
        return render_page([_entry(model, request) for model in models[start:last]], more=start > 0)
    stop = min(last, first + page.limit)
    return render_page([_entry(model, request) for model in models[first:stop]], more=stop < last)


async def retrieve_model(context: EndpointContext, request: IncomingRequest) -> Reply:
    """Return the model that the path names by id, alias or snapshot.

    Raises:
        UnknownModelError: The model is not served, or not Anthropic's.
    """
    name = request.params["model_id"]
    model = context.model(name)
    if model is None or model.owner != _OWNER:
        raise UnknownModelError(name)
    return Reply(200, encode(_entry(model, request)))


LIST_MODELS = ResourceEndpoint(method="GET", path="/v1/models", run=list_models, is_public=True)
RETRIEVE_MODEL = ResourceEndpoint(
    method="GET", path="/v1/models/{model_id}", run=retrieve_model, is_public=True
)
