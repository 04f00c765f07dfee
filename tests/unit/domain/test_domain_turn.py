"""Turns and passages: what they add up to."""

import pytest
from fakes import choice, passage, turn

from llmsim.domain import TokenizedText, Usage


def test_a_passage_is_as_long_as_its_last_piece_says() -> None:
    """CHAT-2.6: The tokens of a passage are those that exist when its last piece is whole."""
    emoji = passage("Hi", " 🦜", "!", spans=[1, 3, 1])

    assert emoji.tokens == 5
    assert emoji.cumulative_tokens == (1, 4, 5)
    assert emoji.text == "Hi 🦜!"


def test_an_empty_passage_costs_nothing() -> None:
    """CHAT-2.6: Nothing said is no token."""
    assert TokenizedText((), ()).tokens == 0
    assert TokenizedText((), ()).text == ""


def test_a_choice_costs_what_its_segments_cost() -> None:
    """CHAT-2.5: Reasoning counts among the tokens of a choice."""
    assert choice(passage("a", "b"), hidden=7).tokens == 9


def test_a_turn_is_as_long_as_its_longest_choice() -> None:
    """LAT-2.3: Choices come into being side by side: the longest one decides when the turn is whole."""
    answered = turn(choice(passage("a")), choice(passage("a", "b", "c"), hidden=2), choice(passage()))

    assert answered.length == 5


def test_total_is_prompt_and_completion() -> None:
    """CHAT-2.6: Reasoning is part of the completion and counts once."""
    assert Usage(prompt=9, completion=12, reasoning=10).total == 21


def test_passages_are_told_apart_by_identity() -> None:
    """CHAT-3.7: Two passages of the same words are two: what was rendered of one is never taken for the other."""
    assert passage("a") != passage("a")
    assert len({passage("a"), passage("a")}) == 2


def test_values_do_not_change() -> None:
    """ARCH-1.2: Nobody on the way of a request can change what was planned."""
    with pytest.raises(AttributeError):
        turn().model = "other"  # type: ignore[misc]
