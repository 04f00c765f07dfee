"""Log probabilities: of every token, ordered and possible."""

import math
import random

from hypothesis import given
from hypothesis import strategies as st

from llmsim.planning.logprobs import token_logprobs
from llmsim.planning.tokens import load_tokenizer

WORDS = load_tokenizer("o200k_base")


@given(st.text(max_size=60), st.integers(0, 20), st.integers(0, 1000))
def test_logprobs_are_possible(text: str, top: int, seed: int) -> None:
    """FIT-3.1: Tokens join to the text; alternatives are ordered and distinct, and their probabilities add up to at most 1."""
    tokenized = WORDS.tokenize(text)
    logprobs_of_pieces = token_logprobs(tokenized, top, WORDS, random.Random(seed))

    assert [b"".join(token.token for token in piece).decode() for piece in logprobs_of_pieces] == list(
        tokenized.pieces
    )
    for token in (token for piece in logprobs_of_pieces for token in piece):
        logprobs = [logprob for _, logprob in token.top]
        assert token.logprob <= 0
        assert len(logprobs) == top
        assert logprobs == sorted(logprobs, reverse=True)
        assert len({other for other, _ in token.top}) == top
        assert sum(map(math.exp, logprobs)) <= 1 + 1e-5
        assert dict(token.top).get(token.token, token.logprob) == token.logprob


def test_a_model_is_mostly_sure() -> None:
    """FIT-3.1: Nine tokens in ten were the most probable ones."""
    text = WORDS.tokenize("The weather is fine today and will be so tomorrow. " * 40)
    tokens = [token for piece in token_logprobs(text, 3, WORDS, random.Random(7)) for token in piece]
    first = sum(1 for token in tokens if token.top[0][0] == token.token)

    assert 0.8 < first / len(tokens) < 0.97
