"""Builders of turns and their parts."""

import itertools
from collections.abc import Sequence
from typing import Any

from llmsim.domain import (
    Choice,
    FinishReason,
    ReasoningSegment,
    Schedule,
    Segment,
    TextSegment,
    TokenizedText,
    ToolCallSegment,
    Turn,
    Usage,
)
from llmsim.domain.schedule import DEVIATES


def tokenized(*pieces: str, spans: Sequence[int] | None = None) -> TokenizedText:
    """Build a text of `pieces`, of one token each or of as many as `spans` says."""
    return TokenizedText(pieces, tuple(itertools.accumulate(spans or [1] * len(pieces))))


def choice(text: TokenizedText, *, hidden: int = 0, finish: FinishReason = FinishReason.STOP) -> Choice:
    """Build a choice of `hidden` reasoning tokens and a text."""
    thought = (ReasoningSegment(hidden),) if hidden else ()
    return Choice((*thought, TextSegment(text.tokens, text)), finish)


def turn(*choices: Choice, schedule: Schedule | None = None, **overrides: Any) -> Turn:
    """Build a turn of `choices`, by default of one with the text `Hello world`."""
    answers = choices or (choice(tokenized("Hello", " world")),)
    hidden = sum(
        segment.tokens
        for answer in answers
        for segment in answer.segments
        if isinstance(segment, ReasoningSegment)
    )
    facts: dict[str, Any] = {
        "id": "0123456789abcdef0123456789abc",
        "created": 1_750_000_000,
        "model": "gpt-4o",
        "choices": answers,
        "usage": Usage(prompt=9, completion=sum(answer.tokens for answer in answers), reasoning=hidden),
        "schedule": schedule or Schedule(ttft=0.0, itl=0.0),
    }
    return Turn(**(facts | overrides))


def shown_text(segment: Segment) -> TokenizedText | None:
    """Return what the client sees of a segment: its text, or the arguments of a call."""
    return segment.arguments if isinstance(segment, ToolCallSegment) else segment.text


def deviates(*values: float) -> str:
    """Register a table of unit deviates, and return its name for `Schedule.table`."""
    DEVIATES[name := repr(values)] = values
    return name
