"""The usage of a turn, counted over its choices."""

from llmsim.domain import CacheUse, Choice, ReasoningSegment, Usage


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
