"""Bursts: several tokens in one event."""

import random
import statistics
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.turns import choice, tokenized, turn

from llmsim.domain import (
    Choice,
    FinishReason,
    ReasoningSegment,
    TextSegment,
    TokenLogprob,
    ToolCall,
    ToolCallSegment,
    ToolKind,
    Turn,
)
from llmsim.planning.bursts import Bursts


def joined(answered: Turn, tokens: int, acceptance: float = 1.0, seed: int = 1) -> Any:
    return Bursts(tokens, acceptance).join(answered, random.Random(seed)).choices[0].segments


def test_an_event_carries_several_tokens() -> None:
    """LAT-5.1: The first token alone, then as many as configured; the last event has the rest."""
    (segment,) = joined(turn(choice(tokenized(*"abcdefgh"))), 3)

    assert segment.text.pieces == ("a", "bcd", "efg", "h")
    assert segment.text.cumulative_tokens == (1, 4, 7, 8)
    assert segment.tokens == 8


def test_pieces_of_several_tokens_stay_whole() -> None:
    """LAT-5.1: A piece that has more tokens than a burst is one event."""
    (segment,) = joined(turn(choice(tokenized("a", "bb", "c", "dddd", "e", spans=(1, 2, 1, 4, 1)))), 3)

    assert segment.text.pieces == ("a", "bbc", "dddd", "e")
    assert segment.text.cumulative_tokens == (1, 4, 8, 9)


@given(
    st.lists(st.integers(1, 5), min_size=0, max_size=40),
    st.integers(2, 9),
    st.floats(0, 1),
    st.integers(0, 1000),
)
def test_text_and_tokens_are_the_same(spans: list[int], tokens: int, acceptance: float, seed: int) -> None:
    """LAT-5.1: Only the cuts differ: each burst ends where a piece ends, and has at most its tokens or one piece."""
    text = tokenized(*(f"w{number} " for number in range(len(spans))), spans=spans)
    (segment,) = joined(turn(choice(text)), tokens, acceptance, seed)
    ends = segment.text.cumulative_tokens

    assert segment.text.text == text.text
    assert segment.text.tokens == text.tokens
    assert set(ends) <= set(text.cumulative_tokens)
    for before, after in pairwise(ends):
        assert after - before <= tokens or after - before in spans


def test_a_share_of_the_tokens_joins() -> None:
    """LAT-5.1: Each further token joins with the probability that is configured, as drafts are accepted."""
    (segment,) = joined(turn(choice(tokenized(*"w" * 20_000))), 4, 0.7)
    sizes = [len(piece) for piece in segment.text.pieces[1:-1]]

    assert set(sizes) == {1, 2, 3, 4}
    assert statistics.fmean(sizes) == pytest.approx(1 + 0.7 + 0.49 + 0.343, rel=0.03)


def test_arguments_reasoning_and_hidden_reasoning() -> None:
    """LAT-5.1: All that is streamed comes in bursts; what is hidden stays as it is."""
    call = ToolCall("c1", "read", ToolKind.FUNCTION)
    segments = (
        ReasoningSegment(4, tokenized(*"abcd")),
        ReasoningSegment(9),
        ToolCallSegment(7, tokenized(*"123456"), 1, call),
    )
    shown, hidden, called = joined(turn(Choice(segments, FinishReason.TOOL_CALLS)), 5)

    assert shown.text.pieces == ("a", "bcd")
    assert hidden == segments[1]
    assert called.arguments.pieces == ("1", "23456")
    assert (called.tokens, called.header_tokens, called.call) == (7, 1, call)


def test_logprobs_follow_their_tokens() -> None:
    """LAT-5.1: An event has those of all its tokens."""
    logprobs = tuple((TokenLogprob(letter.encode(), -1.0),) for letter in "abcde")
    segment = TextSegment(5, tokenized(*"abcde"), logprobs)
    (kept,) = joined(turn(Choice((segment,), FinishReason.STOP)), 2)

    assert [b"".join(one.token for one in tokens).decode() for tokens in kept.logprobs] == ["a", "bc", "de"]


def test_the_schedule_is_the_same() -> None:
    """LAT-5.2: Tokens exist when they exist without bursts."""
    answered = turn()

    assert Bursts(4).join(answered, random.Random(1)).schedule is answered.schedule
