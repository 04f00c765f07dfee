"""What models do not take, as the catalogue has it."""

import msgspec

REFUSABLE = frozenset(
    {
        "adaptive_thinking",
        "compaction",
        "effort",
        "frequency_penalty",
        "functions_with_json",
        "functions_with_hosted_tools",
        "json_object",
        "json_schema",
        "limit_beyond_window",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "no_thinking",
        "parallel_tool_calls",
        "prefill",
        "presence_penalty",
        "reasoning_effort",
        "stop",
        "system_messages",
        "temperature",
        "temperature_with_top_p",
        "thinking_budget",
        "thinking_level",
        "top_k",
        "top_p",
        "unsigned_calls",
        "verbosity",
    }
)
"""What a model may refuse: parameters by name, and `adaptive_thinking`, `thinking_budget` (thinking with a budget of tokens), `prefill`
(a beginning of the answer), `system_messages`, `json_object` and `json_schema` (formats), `temperature_with_top_p` (both at once), `no_thinking` (thinking that
is switched off), `thinking_level`, `compaction` (of the context, on demand), `limit_beyond_window` (a prompt that leaves no room in the window for
the tokens that it allows), `unsigned_calls` (calls of earlier turns without the signature of the thinking before them), and `functions_with_json` and
`functions_with_hosted_tools` (functions beside a format, or beside tools that the API runs)."""


SERVICES = (
    "chat",
    "completions",
    "embeddings",
    "image_edits",
    "image_variations",
    "images",
    "moderations",
    "realtime",
    "responses",
    "speech",
    "transcriptions",
    "translations",
)
"""What endpoints are called where models name those that serve them."""


class ModelRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the models with a common prefix do not take, as reports of refusals have it.

    Attributes:
        prefix: As in `Family`; the longest one applies, and no other.
        refused: What they never take, of `REFUSABLE`.
        refused_reasoning: What they do not take while they reason: unless the effort is `none`.
        efforts: The reasoning efforts that they take; empty for any.
        has_phase: Whether their messages have a phase: commentary or final answer.
        services: The only endpoints that serve them, of `SERVICES`; empty for those that generate text.
        has_sound: Whether they hear and speak.
        thinking_budgets: The least and the greatest budget of thinking, but for 0 and -1; empty for the API's own bounds.
        searches: Whether they search the web with each request; they take no value of what they refuse, not even the default.
        fallback: The model that answers what they decline, if asked to; empty if none does.
    """

    prefix: str
    refused: tuple[str, ...] = ()
    refused_reasoning: tuple[str, ...] = ()
    efforts: tuple[str, ...] = ()
    has_phase: bool = False
    services: tuple[str, ...] = ()
    has_sound: bool = False
    searches: bool = False
    thinking_budgets: tuple[int, ...] = ()
    fallback: str = ""


NO_RULES = ModelRules(prefix="")
"""The rules of a model that takes everything."""
