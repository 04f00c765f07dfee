"""The pace of a stream whose tokens an engine produces: each is due at the end of its step, as far as that is known."""

from collections.abc import Sequence

from llmsim.domain import Turn
from llmsim.server.engine.reader import AwaitedInstant, EnginePlace
from llmsim.server.pacing import PacedStream
from llmsim.stats import Recorder, Row
from llmsim.wire.frames import FrameBatch


class EngineStream(PacedStream):
    """One streamed turn in progress; see `PacedStream`."""

    __slots__ = ("_place",)

    def __init__(
        self,
        place: EnginePlace,
        turn: Turn,
        frames: Sequence[FrameBatch],
        *,
        arrival: float,
        recorder: Recorder,
        row: Row,
        ends_abruptly: bool = False,
    ) -> None:
        """Prepare to send; see `PacedStream`.

        Args:
            place: Its place in the engine.
            turn: The response.
            frames: Its frames.
            arrival: Instant of the request's arrival.
            recorder: Counts what is observed.
            row: Where it is counted in the stats.
            ends_abruptly: Whether the client is disconnected behind the last frame.
        """
        self._place = place
        super().__init__(
            turn, frames, arrival=arrival, recorder=recorder, row=row, ends_abruptly=ends_abruptly
        )
        self._at_once = False

    def _find(self, after: int) -> float:
        """Return the instant at which `after` tokens exist, as far as it is known."""
        return self._place.due(after)

    def take(self, now: float) -> bytes:
        """Return all frames that are due at `now`, for writing at once; empty when none is due."""
        if type(self.due) is AwaitedInstant:
            self.due = self._place.due(self._tokens)
        return super().take(now)

    def take_parts(self, now: float) -> list[bytes]:
        """Return the same in parts, to be joined."""
        if type(self.due) is AwaitedInstant:
            self.due = self._place.due(self._tokens)
        return super().take_parts(now)
