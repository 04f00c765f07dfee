"""The usage of a turn, counted over its choices."""

from llmsim.domain import CacheUse, Choice, Prompt, ReasoningSegment, Usage
from llmsim.planning.predictions import with_prediction
from llmsim.planning.prompt_facts import PromptFacts


def usage_of(prompt_tokens: int, choices: tuple[Choice, ...], use: CacheUse) -> Usage:
    """Count the tokens of a turn.

    PERF: 0.3 us against 1.5 us for two sums of generators.

    Args:
        prompt_tokens: Tokens of its prompt.
        choices: Its choices.
        use: What the prompt cache did.
    """
    completion = thought = 0
    for choice in choices:
        for segment in choice.segments:
            completion += segment.tokens
            if type(segment) is ReasoningSegment:
                thought += segment.tokens
    return Usage(
        prompt=prompt_tokens,
        completion=completion,
        reasoning=thought,
        cached=use.read,
        cache_written=use.written,
    )


def turn_usage(prompt: Prompt, facts: PromptFacts, choices: tuple[Choice, ...], use: CacheUse) -> Usage:
    """Count the tokens of a turn, those of a predicted text too; see `usage_of`."""
    usage = usage_of(facts.tokens, choices, use)
    if prompt.prediction is None:
        return usage
    return with_prediction(usage, prompt.prediction, choices, facts.tokenizer)
