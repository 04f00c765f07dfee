"""Moderation of a response: its input and its output, each with one result.

Decisions:
* What the request sends is the input; turns before it were moderated when they were sent. Instructions and items that it refers to count.
* Only a response that is done has results.

Source: openai SDK 3.57, types/responses/response.py (`Moderation`).
"""

from collections.abc import Sequence

from llmsim.domain import Message, Turn
from llmsim.providers.openai_family.moderation import ModerationInput, answered_texts, build_typed_result
from llmsim.wire.codec import encode


def moderate_input(model: str, messages: Sequence[Message], *, has_picture: bool) -> tuple[bytes, str]:
    """Return the result of what is asked, and the model of the moderation."""
    texts = tuple([text for message in messages for text in message.texts])
    return encode(build_typed_result(ModerationInput(texts, has_picture=has_picture), model)), model


def render_moderation(turn: Turn, given: bytes, model: str) -> bytes:
    """Render the value of `moderation`.

    Args:
        turn: The turn.
        given: The result of what is asked, by `moderate_input`.
        model: Model of the moderation.
    """
    output = encode(build_typed_result(answered_texts(turn.choices[0].segments), model))
    return b'{"input":%b,"output":%b}' % (given, output)
