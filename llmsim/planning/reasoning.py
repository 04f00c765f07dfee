"""Reasoning before the answer: how many tokens, and what the client sees of it.

Decisions:
* Full reasoning comes from a few texts of each length, which are made when they are first needed: what renderers
  derive from them is shared by all requests.
"""

import functools

from llmsim.domain import TokenizedText
from llmsim.json_instances.common_words import COMMON_WORDS
from llmsim.planning.generators import Prose
from llmsim.planning.rng import Random, seeded_rng
from llmsim.planning.tokens import Tokenizer

EFFORTS = {"none": 0.0, "minimal": 0.5, "low": 1.5, "medium": 3.0, "high": 6.0, "xhigh": 10.0, "max": 15.0}
"""Reasoning tokens for each visible token. Source of the words: openai SDK, shared/reasoning_effort.py."""

SHARES = {"concise": 0.05, "auto": 0.10, "detailed": 0.15}
"""Words of summary for each reasoning token."""

_VARIANTS = 8
_CACHED = 512
_CACHED_TOKENS = 2_000
"""Tokens up to which a text is cached: at most a million tokens in all."""


def reasoning_tokens(effort: str, visible: int) -> int:
    """Return how many reasoning tokens precede `visible` tokens of answer.

    Args:
        effort: A key of `EFFORTS`.
        visible: Tokens of the answer before any limit cuts it.
    """
    return round(EFFORTS[effort] * visible)


def reasoning_text(level: str, tokens: int, tokenizer: Tokenizer, rng: Random) -> TokenizedText:
    """Return the text for `tokens` reasoning tokens at `level`: a key of `SHARES`, or `full`."""
    if level != "full":
        return reasoning_summary(level, tokens, rng)
    if tokens > _CACHED_TOKENS:
        return _prose(tokenizer).compose(tokens, rng)
    return _full_reasoning(tokenizer, tokens, int(rng.random() * _VARIANTS))


@functools.cache
def _prose(tokenizer: Tokenizer) -> Prose:
    return Prose(COMMON_WORDS, tokenizer)


@functools.lru_cache(_CACHED)
def _full_reasoning(tokenizer: Tokenizer, tokens: int, variant: int) -> TokenizedText:
    return _prose(tokenizer).compose(tokens, seeded_rng("thoughts", tokens, variant))


def reasoning_summary(level: str, tokens: int, rng: Random) -> TokenizedText:
    """Return a summary of `tokens` reasoning tokens, streamed while they are generated.

    Args:
        level: A key of `SHARES`.
        tokens: Reasoning tokens to summarize; without any the summary is empty.
        rng: Draws the words.

    Returns:
        One piece a word, at least one; the pieces are spread evenly over the reasoning, and `cumulative_tokens` counts
        its tokens.
    """
    count = min(tokens, max(1, round(SHARES[level] * tokens))) if tokens else 0
    words = [rng.choice(COMMON_WORDS) for _ in range(count)]
    pieces = tuple(
        (word.capitalize() if number == 0 else f" {word}") + ("." if number == count - 1 else "")
        for number, word in enumerate(words)
    )
    return TokenizedText(pieces, tuple(-(-(number + 1) * tokens // count) for number in range(count)))
