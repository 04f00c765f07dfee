"""The message: a text, or a refusal.

Decisions:
* It opens with its first visible token, so that the first text is not announced ahead of its time.
* Probabilities are told of a text only, in the delta of its tokens, and all together where the text is whole.
* PERF: the text stands four times in a stream, and is escaped once.
"""

import msgspec

from llmsim.domain import RefusalSegment, TextSegment
from llmsim.providers.openai_family.logprobs import listed_odds
from llmsim.providers.openai_family.responses.place import (
    ItemPosition,
    announce,
    conclude,
    whole_text,
)
from llmsim.providers.openai_family.responses.stream import EventStream


class _Part(msgspec.Struct, frozen=True):
    """A kind of part, and its events.

    Attributes:
        head: The part up to its probabilities.
        odds: Its probabilities where none are told, as a JSON member; empty if it has none.
        name: What the text is called in it.
        delta: Event that carries a piece.
        done: Event that carries all of the text.
    """

    head: bytes
    odds: bytes
    name: bytes
    delta: bytes
    done: bytes


_TEXT = _Part(
    b'{"type":"output_text","annotations":[]',
    b',"logprobs":[]',
    b"text",
    b"response.output_text.delta",
    b"response.output_text.done",
)
_REFUSAL = _Part(b'{"type":"refusal"', b"", b"refusal", b"response.refusal.delta", b"response.refusal.done")


class Message:
    """What the model says, or why it does not."""

    def __init__(self, place: ItemPosition, segment: TextSegment | RefusalSegment) -> None:
        kind = _TEXT if isinstance(segment, TextSegment) else _REFUSAL
        said = segment.text
        self._place = place
        self._kind = kind
        self._id = place.id(b"msg")
        self._said = said
        self._before = place.before
        self._odds: tuple[bytes, ...] = ()
        all_odds = kind.odds
        if segment.logprobs and all_odds:
            self._odds = tuple([listed_odds(odds) for odds in segment.logprobs])
            all_odds = b',"logprobs":[%b]' % b",".join(filter(None, self._odds))
        # What the part and the event of the whole text have in common.
        self._whole = b'%b,"%b":"%b"' % (all_odds, kind.name, whole_text(said))
        self.item = self._item(place.status, b"%b%b}" % (kind.head, self._whole))

    def _item(self, status: bytes, part: bytes) -> bytes:
        return b'{"id":"%b","type":"message","status":"%b","content":[%b],"role":"assistant"}' % (
            self._id,
            status,
            part,
        )

    def tell(self, stream: EventStream) -> None:
        """Add its events."""
        place, said, kind, whole = self._place, self._said, self._kind, self._whole
        first = self._before + said.cumulative_tokens[0] if said.pieces else place.end
        where = b'"item_id":"%b","content_index":0,"output_index":%d' % (self._id, place.at)
        announce(stream, place, self._item(b"in_progress", b""), first)
        part = b'%b,"part":%b%b,"%b":""}' % (where, kind.head, kind.odds, kind.name)
        stream.tell(b"response.content_part.added", part, first)
        if self._odds:
            extras = [b',"logprobs":[%b]' % odds for odds in self._odds]
            stream.pour(kind.delta, where, said, self._before, extras=extras)
        elif said.pieces:
            stream.pour(kind.delta, where + kind.odds, said, self._before)
        stream.tell(kind.done, where + whole, place.end)
        part = b'%b,"part":%b%b}' % (where, kind.head, whole)
        stream.tell(b"response.content_part.done", part, place.end)
        conclude(stream, place, self.item, carries=False)
