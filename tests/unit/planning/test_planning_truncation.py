"""Prompts that are too long, and may be shortened."""

import pytest

from llmsim.catalogue import shipped_catalogue
from llmsim.config import Settings
from llmsim.domain import Message, Prompt
from llmsim.errors import ContextLengthError
from llmsim.planning.planner import Planner

PLANNER = Planner(Settings(), shipped_catalogue(), lambda: 0.0)
RULES = Message("developer", ("Be kind.",))
LONG = Message("user", ("a " * 3_000,))
LAST = Message("user", ("Hello",))


def tokens(*messages: Message, truncates: bool = True) -> int:
    return PLANNER.analyze(Prompt(model="gpt-4", messages=messages, truncates=truncates)).tokens


def test_the_oldest_messages_are_dropped() -> None:
    """RESP-6.7: As many as it takes; instructions and what fits stay, and only that is counted."""
    assert tokens(RULES, LONG, LONG, LONG, LAST) == tokens(RULES, LONG, LONG, LAST)
    assert tokens(RULES, LONG, LAST) == tokens(RULES, LONG, LAST, truncates=False)


def test_what_is_too_long_by_itself_is_refused() -> None:
    """RESP-6.7: The last message stays, and so it does without being let."""
    with pytest.raises(ContextLengthError):
        tokens(RULES, LAST, Message("user", ("a " * 9_000,)))
    with pytest.raises(ContextLengthError):
        tokens(LONG, LONG, LONG, truncates=False)
