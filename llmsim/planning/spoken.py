"""Texts that are spoken, too: the tokens of their sound.

Decisions:
* Sound follows the text that it speaks, as a segment of its own. A refusal is not spoken, nor a text
  that comes with calls.
* A limit cuts text and sound in their proportion: what is written is spoken. The sound takes what the text leaves, so that all
  tokens of the limit are used.
* The sound of all choices together is bounded: it is two thousand times as large as its text.
"""

import msgspec

from llmsim.domain import MediaSegment, Prompt, TextSegment, ToolCallSegment
from llmsim.media.sounds import spoken_parts
from llmsim.planning.content import Content, truncate

_MOST_PARTS = 6_000
"""Five minutes."""


def with_sound(content: Content, prompt: Prompt, limit: int) -> Content:
    """Return content with the sound of its text, if the prompt asks for any; both together have at most `limit` tokens."""
    if not prompt.speaks or any(isinstance(one, ToolCallSegment) for one in content.segments):
        return content
    text, most = _text(content), max(1, _MOST_PARTS // prompt.choices)
    if text is None:
        return content
    parts = min(spoken_parts(text.text.text), most)
    if content.tokens + parts > limit:
        hidden = content.tokens - text.tokens
        kept = (limit - hidden) * text.tokens // (text.tokens + parts)
        content = truncate(content, hidden + max(1, kept))
        parts = min(most, limit - content.tokens)
        if _text(content) is None or parts <= 0:
            return content
    return msgspec.structs.replace(content, segments=(*content.segments, MediaSegment(parts)))


def _text(content: Content) -> TextSegment | None:
    """Return the text of some content; None if it has none that can be spoken."""
    texts = [one for one in content.segments if isinstance(one, TextSegment) and one.text.pieces]
    return texts[0] if texts else None
