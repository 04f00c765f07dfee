"""What the model of a request does not take, as far as chat completions and Responses have it in common.

Decisions:
* The facts are the catalogue's: which parameters and values a model refuses. The APIs' own modules know the words.
* A parameter that is sent with its default is taken: reports show refusals of other values.
* Models of other owners have no rules here: what they take behind a gateway is not known.

Source: the reports that `scripts/catalogue-overlay.toml` names.
"""

from typing import Any

from llmsim.budgets import remembered
from llmsim.catalogue import Model, shipped_catalogue
from llmsim.model_rules import ModelRules

_OWNER = "openai"

_UNLIMITED = 1 << 62

_DEFAULTS: dict[str, Any] = {
    "temperature": 1,
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": False,
}

UNSUPPORTED_PARAMETER = "unsupported_parameter"
UNSUPPORTED_VALUE = "unsupported_value"
MEDIUM = ("medium",)
"""The verbosity of a model that has no other."""


class RequestedModel:
    """The model of one request, and what it refuses of it.

    Attributes:
        most_output_tokens: Most completion tokens that it can write, if that is known.
        efforts: The reasoning efforts that it takes; empty for any.
        reasons: Whether it reasons for this request.
        rules: What it does not take, as the catalogue has it.
    """

    def __init__(self, facts: Model, rules: ModelRules, effort: str | None) -> None:
        is_limited = facts.known and facts.max_output_tokens > 0
        self.most_output_tokens = facts.max_output_tokens if is_limited else _UNLIMITED
        self.rules, self.efforts = rules, rules.efforts
        self.reasons = facts.reasoning and (effort or facts.default_effort) != "none"
        self._refused = (*rules.refused, *rules.refused_reasoning) if self.reasons else rules.refused
        self._refused_set = frozenset(self._refused)

    def refuses(self, name: str) -> bool:
        """Check whether it refuses a parameter."""
        return name in self._refused_set

    def refuses_any(self, names: frozenset[str]) -> bool:
        """Check whether it refuses any of some parameters."""
        return not names.isdisjoint(self._refused_set)

    def refused_parameters(self, request: Any, names: frozenset[str]) -> list[str]:
        """Return those of `names` that the request sets, not to a default that is taken, and that the model refuses."""
        return [
            name
            for name in self._refused
            if name in names
            and (value := getattr(request, name)) is not None
            and (self.rules.searches or value != _DEFAULTS.get(name))
        ]


@remembered(maxsize=256, max_chars=256)
def requested_model(name: str, effort: str | None) -> RequestedModel | None:
    """Return the model of a request; None if it is not one of OpenAI's.

    Args:
        name: Its name.
        effort: The requested reasoning effort.
    """
    catalogue = shipped_catalogue()
    facts = catalogue.facts(name)
    if facts.owner != _OWNER:
        return None
    return RequestedModel(facts, catalogue.rules(facts), effort)


def has_phase(name: str) -> bool:
    """Check whether messages of a model have a phase."""
    catalogue = shipped_catalogue()
    return catalogue.rules(catalogue.facts(name)).has_phase
