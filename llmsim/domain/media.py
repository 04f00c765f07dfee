"""What is made or read besides text: pictures, sound, and verdicts about both."""

from typing import Literal

import msgspec


class MediaRequest(msgspec.Struct, frozen=True):
    """A request to an endpoint for media. Each message is a text by itself, counted without marks.

    Attributes:
        kind: What the endpoint does.
        tokens: Completion tokens of the media of each choice; None if its choices are generated as text.
        most_tokens: Most tokens of a generated text; None for no limit. Scripts may have longer ones.
    """

    kind: Literal["image", "speech", "transcript", "moderation"]
    tokens: int | None = 0
    most_tokens: int | None = None
