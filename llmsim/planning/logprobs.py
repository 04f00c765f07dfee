"""How probable each token of a text was.

Decisions:
* A model is sure of most of its tokens: nine in ten were the most probable one, most of them by far. Their rivals
  share what is left, each half as probable as the one before.
* Rivals are the usual first tokens of English, which every vocabulary has.
"""

import math

from llmsim.domain import TokenizedText, TokenLogprob
from llmsim.planning.rng import Random
from llmsim.planning.tokens import Tokenizer

_RIVALS = tuple(
    text.encode()
    for text in [
        " the",
        " a",
        " and",
        " of",
        " to",
        " in",
        " is",
        " that",
        " it",
        " for",
        ",",
        ".",
        " with",
        " as",
        " on",
        " this",
        " be",
        " are",
        " by",
        " an",
        " or",
        " from",
        " at",
        " not",
        " we",
        " you",
        " can",
        " have",
        " will",
        " all",
    ]
)
_SURE = 0.9


def odds(
    passage: TokenizedText, top: int, words: Tokenizer, dice: Random
) -> tuple[tuple[TokenLogprob, ...], ...]:
    """Tell of each piece of `passage` how probable its tokens were.

    Args:
        passage: The text.
        top: How many of the most probable tokens are told at each place, the token itself included.
        words: The vocabulary it was cut with.
        dice: Make the probabilities.
    """
    return tuple(tuple(_token(token, top, dice) for token in words.tokens(piece)) for piece in passage.pieces)


def _token(token: bytes, top: int, dice: Random) -> TokenLogprob:
    # The square root of a throw is nearer to 1 than to 0, as the probability of a model's choice is.
    best = 0.35 + 0.65 * math.sqrt(dice.random())
    rank = 0 if dice.random() < _SURE else 1 + int(dice.random() * 2)
    shares = [best] + [(1 - best) * 0.5**place for place in range(1, max(top, rank + 1))]
    logprobs = [round(math.log(max(share, 1e-12)), 6) for share in shares]
    start = int(dice.random() * len(_RIVALS))
    rivals = (rival for rival in _RIVALS[start:] + _RIVALS[:start] if rival != token)
    names = [token if place == rank else next(rivals) for place in range(len(shares))]
    return TokenLogprob(token, logprobs[rank], tuple(zip(names[:top], logprobs[:top], strict=True)))
