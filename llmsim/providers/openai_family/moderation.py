"""Moderation that comes along with generated text: the parameter, and the results for what is asked and what is answered.

Decisions:
* What is flagged follows from the texts alone. A picture is never opened: it has the scores of an empty text.
* Scores are returned; nothing is blocked, whatever the policy: what the API does then is not recorded.

Source: openai SDK 3.57, types/chat/completion_create_params.py and types/responses/response_create_params.py (`Moderation`),
types/moderation.py and types/responses/response.py.
"""

from collections.abc import Iterable
from typing import Any, Literal

from msgspec import Struct

from llmsim.domain import RefusalSegment, Segment, TextSegment
from llmsim.providers.openai_family.moderation_scores import SEEN, THRESHOLD, score
from llmsim.providers.openai_family.request_fields import ModelId


class Mode(Struct):
    """What is done with what is flagged."""

    mode: Literal["score", "block"]


class Policy(Struct):
    """What is done with a flagged input, and a flagged output."""

    input: Mode | None = None
    output: Mode | None = None


class Moderation(Struct):
    """The moderation that is asked for."""

    model: ModelId
    policy: Policy | None = None


class ModerationInput(Struct, frozen=True):
    """What gets one result.

    Attributes:
        texts: Its texts.
        has_picture: Whether there is a picture with them.
    """

    texts: tuple[str, ...]
    has_picture: bool = False


def build_result(given: ModerationInput) -> dict[str, Any]:
    """Return the result of one input."""
    scores = score(given.texts)
    flags = {category: value >= THRESHOLD for category, value in scores.items()}
    kinds = {
        category: [
            *(["text"] if given.texts else []),
            *(["image"] if given.has_picture and category in SEEN else []),
        ]
        for category in scores
    }
    return {
        "flagged": any(flags.values()),
        "categories": flags,
        "category_scores": scores,
        "category_applied_input_types": kinds,
    }


def build_typed_result(given: ModerationInput, model: str) -> dict[str, Any]:
    """Return the result of one input as it comes along with generated text.

    Args:
        given: The input.
        model: Model of the moderation.
    """
    return {**build_result(given), "model": model, "type": "moderation_result"}


def answered_texts(segments: Iterable[Segment]) -> ModerationInput:
    """Return what is moderated of an answer: its texts and refusals."""
    return ModerationInput(
        tuple([one.text.text for one in segments if isinstance(one, TextSegment | RefusalSegment)])
    )
