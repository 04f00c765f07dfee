"""Moderation of a chat completion: what is asked, and what is answered are scored as `/v1/moderations` scores texts.

Decisions:
* The conversation is one input, each choice an output.

Source: openai SDK, types/chat/completion_create_params.py (`Moderation`), chat_completion.py and chat_completion_chunk.py.
"""

from collections.abc import Sequence
from typing import Any

from llmsim.domain import Message, Turn
from llmsim.providers.openai_family.moderation import (
    Moderation,
    ModerationInput,
    answered_texts,
    build_typed_result,
)
from llmsim.wire.codec import encode


def _results(model: str, inputs: Sequence[ModerationInput]) -> dict[str, Any]:
    results = [build_typed_result(one, model) for one in inputs]
    return {"type": "moderation_results", "model": model, "results": results}


def moderate_input(wanted: Moderation, messages: Sequence[Message], *, has_picture: bool) -> bytes:
    """Render the results of what is asked."""
    texts = tuple([text for message in messages for text in message.texts])
    return encode(_results(wanted.model, (ModerationInput(texts, has_picture=has_picture),)))


def render_moderation(turn: Turn, model: str, given: bytes) -> bytes:
    """Render the member `moderation` of a completion.

    Args:
        turn: The turn.
        model: Model of the moderation.
        given: The results of what is asked, by `moderate_input`.
    """
    answers = [answered_texts(choice.segments) for choice in turn.choices]
    return b'"moderation":{"input":%b,"output":%b}' % (given, encode(_results(model, answers)))
