"""The frames of a stream, numbered as they are added.

Decisions:
* One frame holds one event, so that the n-th frame has the sequence number n.
* A frame that carries tokens carries all that exist when it leaves and that none before it has carried. So together
  they carry every token once, whatever is hidden between them.
"""

from collections.abc import Sequence

from llmsim.domain import TokenizedText
from llmsim.providers.openai_family.obfuscation import padding
from llmsim.providers.openai_family.responses.dialect import Framing
from llmsim.providers.openai_family.responses.numbered import Numbered
from llmsim.wire.codec import TokenizedTextMemo, escaped, spans
from llmsim.wire.frames import FrameBatch

_NUMBER = b',"sequence_number":'
_CLOSED = b'"' + _NUMBER


def _plain(passage: TokenizedText) -> tuple[bytes, ...]:
    return tuple(piece + _CLOSED for piece in escaped(passage))


def _padded(passage: TokenizedText) -> tuple[bytes, ...]:
    pieces = enumerate(escaped(passage), start=1)
    middle = b'","obfuscation":"'
    return tuple(piece + middle + padding(len(piece), place) + _CLOSED for place, piece in pieces)


_PLAIN = TokenizedTextMemo(_plain)
_PADDED = TokenizedTextMemo(_padded)


_BEFORE = {Framing.SSE: b'event: %b\ndata: {"type":"%b",%b', Framing.LINES: b'%.0b{"type":"%b",%b'}
"""What stands before the end of an event: its name, its name and its members. `%.0b` prints nothing."""

_BEHIND = {Framing.SSE: b"}\n\n", Framing.LINES: b"}\n"}

_WHOLE = {framing: before + _NUMBER + b"%d" + _BEHIND[framing] for framing, before in _BEFORE.items()}


def event(framing: Framing, kind: bytes, members: bytes, number: int) -> bytes:
    """Put one event on the wire."""
    return _WHOLE[framing] % (kind, kind, members, number)


class EventStream:
    """The frames of one turn.

    Args:
        framing: How events are put on the wire.
        padded: Whether delta events carry padding.
    """

    def __init__(self, framing: Framing, *, padded: bool) -> None:
        self._framing = framing
        self._whole = _WHOLE[framing]
        self._pieces = _PADDED if padded else _PLAIN
        self._number = 0
        self._carried = 0
        self._runs: list[FrameBatch] = []
        self._bodies: list[bytes] = []
        self._ends: list[int] = []
        self._tokens: dict[int, int] = {}

    def tell(self, kind: bytes, members: bytes, after: int, *, carries: bool = False) -> None:
        """Add one event that may leave when `after` tokens exist, and carries tokens only if it is said."""
        if carries and after > self._carried:
            self._tokens[len(self._bodies)] = after - self._carried
            self._carried = after
        self._bodies.append(self._whole % (kind, kind, members, self._number))
        self._ends.append(after)
        self._number += 1

    def pour(
        self,
        kind: bytes,
        members: bytes,
        passage: TokenizedText,
        before: int = 0,
        *,
        carries: bool = True,
        extras: Sequence[bytes] = (),
    ) -> None:
        """Add one delta event a piece of `passage`.

        Args:
            kind: Its name.
            members: What each of them says beside its piece.
            passage: Has at least one piece.
            before: Tokens that exist before those of the passage.
            carries: Whether they carry tokens.
            extras: What only one of them says: JSON members, each behind a comma.
        """
        self._close()
        head = _BEFORE[self._framing] % (kind, kind, members) + b',"delta":"'
        pieces: Sequence[bytes] = self._pieces(passage)
        if extras:
            pieces = [
                b"%b%b%b" % (piece[: -len(_NUMBER)], extra, _NUMBER)
                for piece, extra in zip(pieces, extras, strict=True)
            ]
        ends: Sequence[int] = (
            tuple([before + end for end in passage.cumulative_tokens])
            if before
            else passage.cumulative_tokens
        )
        tokens: Sequence[int] = ()
        if carries:
            tokens = spans(passage)
            owed = ends[0] - self._carried
            if owed != tokens[0]:
                tokens = (owed, *tokens[1:])
            self._carried = ends[-1]
        bodies = Numbered(pieces, self._number)
        self._runs.append(FrameBatch(head, bodies, _BEHIND[self._framing], ends, tokens))
        self._number += len(bodies)

    def _close(self) -> None:
        if not self._bodies:
            return
        tokens = tuple(self._tokens.get(at, 0) for at in range(len(self._bodies))) if self._tokens else ()
        self._runs.append(FrameBatch(b"", tuple(self._bodies), b"", tuple(self._ends), tokens))
        self._bodies.clear()
        self._ends.clear()
        self._tokens.clear()

    def end(self, done: bytes) -> tuple[FrameBatch, ...]:
        """Give all frames; `done`, if there is any, leaves behind the last event."""
        if done:
            self._bodies.append(done)
            self._ends.append(self._ends[-1])
        self._close()
        return tuple(self._runs)
