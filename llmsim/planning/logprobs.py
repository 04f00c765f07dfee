"""How probable each token of a text was.

Decisions:
* A model is sure of most of its tokens: nine in ten were the most probable one, most of them by far. The alternatives
  share what is left, each half as probable as the one before.
* Alternatives are the usual first tokens of English, which every vocabulary has.
"""

import math
from collections.abc import Sequence

from msgspec.structs import replace

from llmsim.domain import RefusalSegment, Segment, TextSegment, TokenizedText, TokenLogprob
from llmsim.planning.rng import Random
from llmsim.planning.tokens import Tokenizer

_WORDS = (
    "the a and of to in is that it for with as on this be are by an or from at not we you can have will all"
)
_ALTERNATIVES = tuple(f" {word}".encode() for word in _WORDS.split())
_ALTERNATIVES = (*_ALTERNATIVES[:10], b",", b".", *_ALTERNATIVES[10:])
"""In the order of their frequency."""

_SURE = 0.9


def with_logprobs(
    segments: Sequence[Segment], top: int, tokenizer: Tokenizer, rng: Random
) -> tuple[Segment, ...]:
    """Add the log probabilities of their tokens to segments of text.

    Args:
        segments: All segments of a choice.
        top: How many of the most probable tokens to list at each place, the token itself included.
        tokenizer: The vocabulary of the texts.
        rng: Draws the probabilities.
    """
    return tuple(
        replace(segment, logprobs=token_logprobs(segment.text, top, tokenizer, rng))
        if isinstance(segment, TextSegment | RefusalSegment)
        else segment
        for segment in segments
    )


def token_logprobs(
    text: TokenizedText, top: int, tokenizer: Tokenizer, rng: Random
) -> tuple[tuple[TokenLogprob, ...], ...]:
    """Return the log probabilities of the tokens of each piece of `text`; see `with_logprobs`."""
    return tuple(tuple(_token(token, top, rng) for token in tokenizer.encode(piece)) for piece in text.pieces)


def _token(token: bytes, top: int, rng: Random) -> TokenLogprob:
    # The square root of a uniform sample is nearer to 1 than to 0, as the probability of a model's choice is.
    best = 0.35 + 0.65 * math.sqrt(rng.random())
    rank = 0 if rng.random() < _SURE else 1 + int(rng.random() * 2)
    shares = [best] + [(1 - best) * 0.5**place for place in range(1, max(top, rank + 1))]
    logprobs = [round(math.log(max(share, 1e-12)), 6) for share in shares]
    start = int(rng.random() * len(_ALTERNATIVES))
    others = (other for other in _ALTERNATIVES[start:] + _ALTERNATIVES[:start] if other != token)
    names = [token if place == rank else next(others) for place in range(len(shares))]
    if not top:
        return TokenLogprob(token, logprobs[rank])
    return TokenLogprob.ranked(token, logprobs[rank], tuple(zip(names[:top], logprobs[:top], strict=True)))
