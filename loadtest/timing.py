"""The instants of one answer.

Decisions:
* An instant is when bytes were read, and all content read together has one instant: what a proxy or a
  busy server put together counts as gaps of zero, for so the client lived it.
* The origin is when the request was sent or, in the open model, when it should have been.
"""


class Timing:
    """Times of one answer, in milliseconds since its origin."""

    __slots__ = ("_last", "_origin", "gaps", "ttft")

    def __init__(self, origin: float) -> None:
        self._origin = origin
        self._last = 0.0
        self.ttft: float | None = None
        self.gaps: list[float] = []

    def content(self, now: float, deltas: int) -> None:
        """Note that content was read.

        Args:
            now: When, on the clock of the origin; seconds.
            deltas: How many events with content were read at that instant; at least 1.
        """
        if self.ttft is None:
            self.ttft = (now - self._origin) * 1000
        else:
            self.gaps.append((now - self._last) * 1000)
        if deltas > 1:
            self.gaps.extend([0.0] * (deltas - 1))
        self._last = now

    @property
    def deltas(self) -> int:
        """How many events had content."""
        return 0 if self.ttft is None else len(self.gaps) + 1

    def elapsed(self, now: float) -> float:
        """Milliseconds since the origin."""
        return (now - self._origin) * 1000
