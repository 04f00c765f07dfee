"""Other models that answer where the requested one declines.

Decisions:
* Only a refusal that the settings draw is answered by another model; one of a script stays what it is. The first model of the list always
  answers: the simulator refuses once.
* `default` is the catalogue's model, whatever the category of the refusal; the refusal stands on models without one.
* In a stream the message begins with the requested model, whole it has the one that answered. Source: recorded streams, which the SDK
  relabels.

Source: anthropic SDK 2.14, types/beta/beta_fallbacks_param.py, beta_fallback_param.py, beta_fallback_block.py,
beta_fallback_message_iteration_usage.py, and tests/lib/streaming/fixtures/fallback_response.txt.
"""

from collections.abc import Sequence
from typing import Any

from llmsim.domain import RefusalSegment, Turn
from llmsim.errors import InvalidFieldError
from llmsim.providers.anthropic.messages_request import MessageRequest
from llmsim.providers.anthropic.model_rules import default_fallback

_KEYS = ("model", "max_tokens", "thinking", "output_config", "speed")
_MOST_CHARS = 256


def parse_fallback(request: MessageRequest) -> str:
    """Return the model that answers where the requested one declines; empty if none does.

    Raises:
        InvalidFieldError: An entry has no model, or a key that there is not.
    """
    if isinstance(request.fallbacks, str):
        return default_fallback(request.model)
    entries: Sequence[dict[str, Any]] = request.fallbacks or ()
    for index, entry in enumerate(entries):
        model = entry.get("model")
        if model is None:
            raise InvalidFieldError(("fallbacks", index, "model"), "missing", None)
        if not isinstance(model, str):
            raise InvalidFieldError(("fallbacks", index, "model"), "type", "str", model)
        if other := next((key for key in entry if key not in _KEYS), None):
            place = ("fallbacks", index, other[:100])
            raise InvalidFieldError(
                place, "conflict", f"fallbacks.{index}.{other[:100]}: Extra inputs are not permitted"
            )
    return str(entries[0]["model"])[:_MOST_CHARS] if entries else ""


def has_declined(turn: Turn) -> bool:
    """Return whether the requested model has declined a turn that another one answers."""
    return any(
        isinstance(segment, RefusalSegment) and not segment.text.pieces
        for segment in turn.choices[0].segments
    )


def render_fallback(turn: Turn, model: str) -> dict[str, Any]:
    """Render the block with which another model begins."""
    trigger = {"type": "refusal", "category": None}
    return {"type": "fallback", "from": {"model": turn.model}, "to": {"model": model}, "trigger": trigger}
