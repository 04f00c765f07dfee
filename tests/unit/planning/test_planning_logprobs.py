"""Log probabilities: of every token, ordered and possible."""

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from llmsim.planning.logprobs import token_logprobs
from llmsim.planning.tokens import load_tokenizer

WORDS = load_tokenizer("o200k_base")


@given(st.text(max_size=60), st.integers(0, 20), st.integers(0, 1000))
def test_odds_are_possible(text: str, top: int, seed: int) -> None:
    """FIT-3.1: Tokens join to the text; rivals are told in order, none twice, and their shares make up no more than 1."""
    passage = WORDS.tokenize(text)
    told = token_logprobs(passage, top, WORDS, random.Random(seed))

    assert [b"".join(token.token for token in piece).decode() for piece in told] == list(passage.pieces)
    for token in (token for piece in told for token in piece):
        logprobs = [logprob for _, logprob in token.top]
        assert token.logprob <= 0
        assert len(logprobs) == top
        assert logprobs == sorted(logprobs, reverse=True)
        assert len({rival for rival, _ in token.top}) == top
        assert sum(map(math.exp, logprobs)) <= 1 + 1e-5
        assert dict(token.top).get(token.token, token.logprob) == token.logprob


def test_a_model_is_mostly_sure() -> None:
    """FIT-3.1: Nine tokens in ten were the most probable ones."""
    passage = WORDS.tokenize("The weather is fine today and will be so tomorrow. " * 40)
    told = [token for piece in token_logprobs(passage, 3, WORDS, random.Random(7)) for token in piece]
    first = sum(1 for token in told if token.top[0][0] == token.token)

    assert 0.8 < first / len(told) < 0.97
