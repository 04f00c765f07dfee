"""Turns and texts: their totals."""

import pytest
from support.turns import choice, tokenized, turn

from llmsim.domain import TokenizedText, Usage


def test_the_last_piece_has_the_tokens_of_the_text() -> None:
    """CHAT-2.6: A text has as many tokens as exist when its last piece is complete."""
    emoji = tokenized("Hi", " 🦜", "!", spans=[1, 3, 1])

    assert emoji.tokens == 5
    assert emoji.cumulative_tokens == (1, 4, 5)
    assert emoji.text == "Hi 🦜!"


def test_an_empty_text_has_no_tokens() -> None:
    """CHAT-2.6: An empty text has no tokens."""
    assert TokenizedText((), ()).tokens == 0
    assert TokenizedText((), ()).text == ""


def test_a_choice_has_the_tokens_of_its_segments() -> None:
    """CHAT-2.5: Reasoning counts among the tokens of a choice."""
    assert choice(tokenized("a", "b"), hidden=7).tokens == 9


def test_a_turn_is_as_long_as_its_longest_choice() -> None:
    """LAT-2.3: Choices are generated side by side: the longest one decides when the turn is complete."""
    answered = turn(choice(tokenized("a")), choice(tokenized("a", "b", "c"), hidden=2), choice(tokenized()))

    assert answered.length == 5


def test_total_is_prompt_and_completion() -> None:
    """CHAT-2.6: Reasoning is part of the completion and counts once."""
    assert Usage(prompt=9, completion=12, reasoning=10).total == 21


def test_texts_are_compared_by_identity() -> None:
    """CHAT-3.7: Two equal texts are distinct objects: what was rendered of one is never used for the other."""
    assert tokenized("a") != tokenized("a")
    assert len({tokenized("a"), tokenized("a")}) == 2


def test_values_do_not_change() -> None:
    """ARCH-1.2: A planned turn cannot be changed."""
    with pytest.raises(AttributeError):
        turn().model = "other"  # type: ignore[misc]
