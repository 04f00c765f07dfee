"""The prompt of a request that was read: its configuration checked, contents and tools parsed.

Decisions:
* The model thinks unless the request forbids it, as Google's do: an effort is set for every request, and the catalogue knows which models
  do not think at all.
* A budget bounds the thinking; -1, and no budget, leave it to the model.

Source: google-genai SDK 3.6, types.GenerateContentConfig; ai.google.dev/api/generate-content.
"""

from llmsim.domain import AutomaticCache, Prompt, ResponseFormat
from llmsim.providers.gemini.conversation import parse_conversation
from llmsim.providers.gemini.media_output import with_media
from llmsim.providers.gemini.messages import GenerateContentRequest, GenerationConfig, ThinkingConfig
from llmsim.providers.gemini.model_rules import check_thinking, check_tools
from llmsim.providers.gemini.schemas import RuleError, checked_schema, json_schema
from llmsim.providers.gemini.tools import parse_tool_choice, parse_tools

_MOST_CANDIDATES = 8
_MOST_STOPS = 5
_MOST_LOGPROBS = 20

_JSON_TYPES = ("application/json", "text/x.enum")
_MIME_TYPES = ("text/plain", "application/json", "application/xml", "application/yaml", "text/x.enum")

_EFFORTS = {
    None: "medium",
    "THINKING_LEVEL_UNSPECIFIED": "medium",
    "MINIMAL": "minimal",
    "LOW": "low",
    "MEDIUM": "medium",
    "HIGH": "high",
    "XHIGH": "xhigh",
}

_RANGES: tuple[tuple[str, float, float], ...] = (
    ("temperature", 0.0, 2.0),
    ("top_p", 0.0, 1.0),
    ("presence_penalty", -2.0, 2.0),
    ("frequency_penalty", -2.0, 2.0),
)


def parse_prompt(body: GenerateContentRequest, model: str, *, stream: bool, checks_models: bool) -> Prompt:
    """Return the prompt of a request that was read.

    Raises:
        ApiRuleError: It breaks a rule.
    """
    config = body.generation_config or GenerationConfig()
    _check_config(config)
    conversation = parse_conversation(
        body.contents, body.system_instruction, model, checks_models=checks_models
    )
    tools = parse_tools(body)
    if checks_models and body.tools:
        check_tools(body, model)
    thinking = config.thinking_config or ThinkingConfig()
    check_thinking(thinking, model, checks_models=checks_models)
    budget = thinking.thinking_budget
    prompt = Prompt(
        model=model,
        messages=conversation.messages,
        images=conversation.images,
        attachments=conversation.attachments,
        limit=config.max_output_tokens,
        stop=tuple(config.stop_sequences),
        choices=config.candidate_count or 1,
        seed=config.seed,
        effort="none" if budget == 0 else _EFFORTS[thinking.thinking_level],
        reasoning_limit=budget if budget is not None and budget > 0 else None,
        summary="auto" if thinking.include_thoughts else None,
        cache=AutomaticCache(),
        stream=stream,
        tools=tools,
        tool_choice=parse_tool_choice(body, tools),
        form=_format(config),
        logprobs=(config.logprobs or 0) if config.response_logprobs else None,
    )
    return with_media(prompt, config, checks_models=checks_models)


def _check_config(config: GenerationConfig) -> None:
    """Check ranges, and fields that contradict each other.

    Raises:
        RuleError: One is out of its range.
    """
    problems: list[tuple[str, str]] = []

    def refuse(name: str, problem: str) -> None:
        problems.append((f"generation_config.{name}", f"{name} {problem}"))

    for name, least, most in _RANGES:
        value = getattr(config, name)
        if value is not None and not least <= value <= most:
            refuse(name, f"must be in the range [{least}, {most}].")
    if config.candidate_count is not None and config.candidate_count not in range(1, _MOST_CANDIDATES + 1):
        refuse("candidate_count", f"must be in the range [1, {_MOST_CANDIDATES}].")
    if config.max_output_tokens is not None and config.max_output_tokens < 1:
        refuse("max_output_tokens", "must be positive.")
    if config.top_k is not None and config.top_k < 1:
        refuse("top_k", "must be positive.")
    if len(config.stop_sequences) > _MOST_STOPS:
        refuse("stop_sequences", f"must have at most {_MOST_STOPS} entries.")
    if not all(config.stop_sequences):
        refuse("stop_sequences", "must not be empty strings.")
    if config.logprobs is not None and not config.response_logprobs:
        refuse("logprobs", "can only be set when response_logprobs is true.")
    elif config.logprobs is not None and config.logprobs not in range(_MOST_LOGPROBS + 1):
        refuse("logprobs", f"must be in the range [0, {_MOST_LOGPROBS}].")
    kind = config.response_mime_type
    if kind and kind not in _MIME_TYPES:
        problems.append(
            (
                "generation_config.response_mime_type",
                "allowed mimetypes are `text/plain`, `application/json`, `application/xml`, `application/yaml` and `text/x.enum`.",
            )
        )
    has_schema = config.response_schema is not None or config.response_json_schema is not None
    if has_schema and kind not in _JSON_TYPES:
        name = "response_schema" if config.response_schema is not None else "response_json_schema"
        refuse(name, "can only be set when response_mime_type is application/json or text/x.enum.")
    if config.response_schema is not None and config.response_json_schema is not None:
        refuse("response_json_schema", "must not be set together with response_schema.")
    if problems:
        raise RuleError(*problems)


def _format(config: GenerationConfig) -> ResponseFormat | None:
    if config.response_mime_type not in _JSON_TYPES:
        return None
    if config.response_schema is not None:
        path = "generation_config.response_schema"
        return ResponseFormat(json_schema(config.response_schema, path, is_response=True))
    if config.response_json_schema is not None:
        return ResponseFormat(
            checked_schema(config.response_json_schema, "generation_config.response_json_schema")
        )
    return ResponseFormat()
