"""The reasoning item.

Decisions:
* It opens with the first token and closes with the last of the reasoning. Tokens that are not told leave with the next
  that are seen. A summary carries no tokens, but its pieces wait until so much of the reasoning exists.
* Encrypted content is a function of the turn: it cannot be opened, only told from others and weighed.
"""

import base64
import hashlib
import zlib

from llmsim.domain import ReasoningSegment
from llmsim.providers.openai_family.responses.dialect import SUMMARY, Dialect
from llmsim.providers.openai_family.responses.history import SEALED_CHARACTERS
from llmsim.providers.openai_family.responses.options import ResponseOptions
from llmsim.providers.openai_family.responses.place import (
    NOTHING,
    ItemPosition,
    announce,
    conclude,
    whole_text,
)
from llmsim.providers.openai_family.responses.stream import EventStream

_MOST_SEALED = 256
"""Tokens of reasoning beyond which its encrypted content grows no longer: some 2 KB, as the API's."""

SEALED = (12, 2048)
"""Tokens that encrypted content weighs, at least and at most."""

_SEAL = base64.urlsafe_b64encode(hashlib.shake_128(b"llmsim").digest(6 * SEALED[1])) * 2
"""What encrypted content is made of."""


def sealed(seed: str, tokens: int) -> bytes:
    """Give encrypted content that is told from others by its `seed`.

    Args:
        seed: The turn's id, and where in the turn it stands.
        tokens: What it weighs; it is cut to what `SEALED` spans.
    """
    least, most = SEALED
    size = min(max(tokens, least), most) * SEALED_CHARACTERS
    head = b"gAAAAA" + base64.urlsafe_b64encode(seed.encode()).rstrip(b"=")
    start = zlib.crc32(head) % (most * SEALED_CHARACTERS)
    return head + _SEAL[start : start + size - len(head)]


class Thought:
    """What the model thinks."""

    def __init__(
        self, place: ItemPosition, segment: ReasoningSegment, options: ResponseOptions, dialect: Dialect
    ) -> None:
        self._place = place
        self._id = place.id(b"rs")
        self._manner = dialect.reasoning if options.summary is None else SUMMARY
        self._told = segment.text or NOTHING
        self._text = whole_text(self._told)
        self._stated = dialect.always_status
        sealing = b""
        if options.sealed:
            seed = place.turn.decode() + (str(place.at) if place.at else "")
            sealing = b',"encrypted_content":"%b"' % sealed(seed, min(segment.tokens, _MOST_SEALED))
        self.item = self._item(place.status, self._part(self._text) if self._told.pieces else b"", sealing)

    def _item(self, status: bytes, told: bytes = b"", sealing: bytes = b"") -> bytes:
        whole = self._manner.whole
        return b'{"id":"%b","type":"reasoning"%b%b,"content":[%b],"summary":[%b]}' % (
            self._id,
            b',"status":"%b"' % status if self._stated else b"",
            sealing,
            told if whole else b"",
            b"" if whole else told,
        )

    def _part(self, text: bytes) -> bytes:
        return b'{"type":"%b","text":"%b"}' % (self._manner.part, text)

    def tell(self, stream: EventStream) -> None:
        """Add its events."""
        place, told, manner = self._place, self._told, self._manner
        announce(stream, place, self._item(b"in_progress"), place.first)
        if told.pieces:
            where = b'"item_id":"%b","output_index":%d,"%b":0' % (self._id, place.at, manner.index)
            opened, closed = place.before + told.cumulative_tokens[0], place.before + told.tokens
            stream.tell(manner.opened, where + b',"part":' + self._part(b""), opened)
            stream.pour(manner.delta, where, told, place.before, carries=manner.whole)
            stream.tell(manner.done, where + b',"text":"%b"' % self._text, closed)
            stream.tell(manner.closed, where + b',"part":' + self._part(self._text), closed)
        conclude(stream, place, self.item, carries=False)
