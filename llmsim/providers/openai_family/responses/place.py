"""Where an item stands among all that a turn puts out.

Decisions:
* Ids of items follow from the turn's id and the item's place, so that they are the same wherever it is shown.
"""

from typing import Protocol

import msgspec

from llmsim.domain import TokenizedText
from llmsim.providers.openai_family.responses.stream import EventStream
from llmsim.wire.codec import TokenizedTextMemo, escaped

NOTHING = TokenizedText((), ())

whole_text = TokenizedTextMemo(lambda passage: b"".join(escaped(passage)))
"""The whole text as it stands between the quotes of a JSON string."""


class ItemPosition(msgspec.Struct, frozen=True):
    """Where an item stands.

    Attributes:
        turn: Id of the turn.
        at: How many items stand before it.
        before: How many tokens exist before its first.
        end: How many exist when it is done.
        done: Whether all of it is said: it is `completed` then, and otherwise `incomplete`.
    """

    turn: bytes
    at: int
    before: int
    end: int
    done: bool

    @property
    def first(self) -> int:
        """How many tokens exist with its first."""
        return min(self.before + 1, self.end)

    @property
    def status(self) -> bytes:
        """How it is in the end."""
        return b"completed" if self.done else b"incomplete"

    def id(self, prefix: bytes) -> bytes:
        """Give its id."""
        return b"%b_%b%02x" % (prefix, self.turn, self.at)


class OutputItem(Protocol):
    """One item of a turn.

    Attributes:
        item: As JSON, when all is said.
    """

    item: bytes

    def tell(self, stream: EventStream) -> None:
        """Add its events, from its announcement to its end."""
        ...


def announce(stream: EventStream, place: ItemPosition, item: bytes, after: int) -> None:
    """Tell that an item is there."""
    stream.tell(b"response.output_item.added", b'"item":%b,"output_index":%d' % (item, place.at), after)


def conclude(stream: EventStream, place: ItemPosition, item: bytes, *, carries: bool) -> None:
    """Tell that an item is done; tokens that no other event could carry may leave with it."""
    members = b'"item":%b,"output_index":%d' % (item, place.at)
    stream.tell(b"response.output_item.done", members, place.end, carries=carries)
