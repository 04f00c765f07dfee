"""What a model tells of its reasoning: a summary, or all of it.

Decisions:
* All of it is answered from a few texts of each length, which are made when they are first wanted: what
  renderers derive from them is shared by all requests.
"""

import functools

from llmsim.domain import TokenizedText
from llmsim.json_instances.common_words import COMMON_WORDS
from llmsim.planning.generators import Prose
from llmsim.planning.rng import Random, seeded
from llmsim.planning.tokens import Tokenizer

SHARES = {"concise": 0.05, "auto": 0.10, "detailed": 0.15}
"""Words of summary for each reasoning token."""


_VARIANTS = 8
_REMEMBERED = 512
_REMEMBERED_TOKENS = 2_000
"""Tokens up to which a text is remembered: at most a million tokens in all."""


def told_passage(level: str, reasoning: int, words: Tokenizer, dice: Random) -> TokenizedText:
    """Tell of `reasoning` tokens at `level`: a key of `SHARES`, or `full`."""
    if level != "full":
        return summary_passage(level, reasoning, dice)
    if reasoning > _REMEMBERED_TOKENS:
        return _prose(words).passage(reasoning, dice)
    return _thoughts(words, reasoning, int(dice.random() * _VARIANTS))


@functools.cache
def _prose(words: Tokenizer) -> Prose:
    return Prose(COMMON_WORDS, words)


@functools.lru_cache(_REMEMBERED)
def _thoughts(words: Tokenizer, tokens: int, variant: int) -> TokenizedText:
    return _prose(words).passage(tokens, seeded("thoughts", tokens, variant))


def summary_passage(level: str, reasoning: int, dice: Random) -> TokenizedText:
    """Make the summary of `reasoning` tokens, told while they are made.

    Args:
        level: A key of `SHARES`.
        reasoning: Reasoning tokens to be summarised; with none there is nothing to tell.
        dice: Choose the words.

    Returns:
        One piece a word, at least one; the pieces are spread evenly over the reasoning, and `ends` counts its tokens.
    """
    words = min(reasoning, max(1, round(SHARES[level] * reasoning))) if reasoning else 0
    pieces = [dice.choice(COMMON_WORDS) for _ in range(words)]
    text = tuple(
        (word.capitalize() if number == 0 else f" {word}") + ("." if number == words - 1 else "")
        for number, word in enumerate(pieces)
    )
    return TokenizedText(text, tuple(-(-(number + 1) * reasoning // words) for number in range(words)))
