"""What the model of a message does not take, refused in the API's words.

Decisions:
* The facts are the catalogue's; this module knows the words only. Models of other owners have no rules.
* A conversation that ends with a call of a tool that the API runs, or that offers one, is continued, as after `pause_turn`: that is no prefill.

Source: the reports that `scripts/catalogue-overlay.toml` names.
"""

from collections.abc import Callable, Mapping

from llmsim.catalogue import shipped_catalogue
from llmsim.errors import ApiRuleError
from llmsim.providers.anthropic.context_request import CompactEdit
from llmsim.providers.anthropic.messages_request import MessageRequest
from llmsim.providers.anthropic.tools import continues_turn

_OWNER = "anthropic"

_WINDOW_BETA = "model-context-window-exceeded-2025-08-26"
"""The beta with which older models stop at the end of the window, too. Source: Anthropic docs, handling-stop-reasons."""

_FALLBACK_BETA = "server-side-fallback"
"""The beta, whatever its date. Source: anthropic SDK, types/beta/beta_model_info.py; Anthropic docs, refusals-and-fallback."""

_RESERVING = "limit_beyond_window"
"""The rule of models that generate nothing if the window has no room for all tokens that a request allows."""


def _has_effort(request: MessageRequest) -> bool:
    return request.output_config is not None and request.output_config.effort is not None


def _ends_with_prefill(request: MessageRequest) -> bool:
    return bool(request.messages) and request.messages[-1].role == "assistant" and not continues_turn(request)


def _compacts(request: MessageRequest) -> bool:
    management = request.context_management
    edits = () if management is None else management.edits or ()
    return any(isinstance(edit, CompactEdit) for edit in edits)


def _thinks(request: MessageRequest, kind: str) -> bool:
    return request.thinking is not None and request.thinking.type == kind


_RULES: dict[str, tuple[Callable[[MessageRequest], bool], str]] = {
    "temperature": (
        lambda request: request.temperature not in (None, 1),
        "`temperature` is deprecated for this model.",
    ),
    "top_p": (lambda request: request.top_p is not None, "`top_p` is deprecated for this model."),
    "top_k": (lambda request: request.top_k is not None, "`top_k` is deprecated for this model."),
    "temperature_with_top_p": (
        lambda request: request.temperature is not None and request.top_p is not None,
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
    ),
    "thinking_budget": (
        lambda request: _thinks(request, "enabled"),
        (
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and "output_config.effort" '
            "to control thinking behavior."
        ),
    ),
    "adaptive_thinking": (
        lambda request: _thinks(request, "adaptive"),
        "adaptive thinking is not supported on this model",
    ),
    "effort": (_has_effort, "This model does not support the effort parameter."),
    "compaction": (
        _compacts,
        "'{model}' does not support the 'compact_20260112' context management strategy.",
    ),
    "prefill": (
        _ends_with_prefill,
        "This model does not support assistant message prefill. The conversation must end with a user message.",
    ),
}
"""For each rule, whether a request breaks it, and the refusal."""


def check_model_rules(request: MessageRequest) -> None:
    """Refuse what the model of a request does not take.

    Raises:
        ApiRuleError: The model does not take a parameter or value.
    """
    catalogue = shipped_catalogue()
    facts = catalogue.facts(request.model)
    if facts.owner != _OWNER:
        return
    most = facts.max_output_tokens
    if facts.known and request.max_tokens > most:
        raise ApiRuleError(
            f"max_tokens: {request.max_tokens} > {most}, which is the maximum allowed number of output tokens for {request.model}"
        )
    rules = catalogue.rules(facts)
    if isinstance(request.fallbacks, list) and request.fallbacks and not rules.fallback:
        raise ApiRuleError(f"'{request.model}' does not support the `fallbacks` parameter.")
    for name in rules.refused:
        if name == _RESERVING:
            continue
        is_broken, message = _RULES[name]
        if is_broken(request):
            raise ApiRuleError(message.replace("{model}", request.model))


def default_fallback(model: str) -> str:
    """Return the model that answers by default what `model` declines; empty if none does."""
    catalogue = shipped_catalogue()
    facts = catalogue.facts(model)
    return catalogue.rules(facts).fallback if facts.owner == _OWNER else ""


def reserves_limit(request: MessageRequest) -> bool:
    """Return whether the window must have room for all tokens that a request allows; later models stop at its end instead."""
    catalogue = shipped_catalogue()
    facts = catalogue.facts(request.model)
    return facts.owner == _OWNER and facts.known and _RESERVING in catalogue.rules(facts).refused


def stops_at_window(headers: Mapping[str, str]) -> bool:
    """Return whether a request asks that an older model stops at the end of its window."""
    return _WINDOW_BETA in headers.get("anthropic-beta", "")


def lists_fallbacks(headers: Mapping[str, str]) -> bool:
    """Return whether a request asks that models list what answers for them."""
    return _FALLBACK_BETA in headers.get("anthropic-beta", "")


def window_of(model: str) -> int:
    """Return the context window of a model in tokens; 0 if the model is not known."""
    facts = shipped_catalogue().facts(model)
    return facts.context_window if facts.known else 0
