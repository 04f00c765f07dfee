"""Token schedules: when each token of a turn exists.

Decisions:
* Time is planned before the first byte leaves, as offsets from the arrival of the request.
  Rendering and pacing never sample, so a seeded turn replays to the tick.
* Gaps are not stored but read from a shared table of unit deviates at a start and stride
  drawn for the turn: a schedule is a few numbers, however long its turn is.
* A schedule names its table instead of holding it: tables are large and the same in every process, so a schedule
  can be stored as it is.
"""

from collections.abc import Sequence

import msgspec

DEVIATES: dict[str, Sequence[float]] = {}
"""Tables of unit deviates (mean 0, deviation 1) by name; the length of each is a power of two.

`planning.shapes` adds them, because only planning draws random numbers.
"""

_LOST = (0.0,)
"""The table of a schedule that was stored under settings that are no longer in force: all gaps are their mean."""


class Schedule(msgspec.Struct, frozen=True, gc=False):
    """The instants at which a choice's tokens come into being.

    Attributes:
        ttft: Time to first token, in seconds after the request arrived; >= 0.
        itl: Mean inter-token latency, in seconds; >= 0.
        spread: Standard deviation of the inter-token latency, in seconds; >= 0.
        table: Name of the table of deviates; read only with a spread.
        start: Where in the table this turn begins.
        stride: Odd step through the table, so that every entry is met before one recurs.
        stall_after: Token after which the stream stalls, counted from 1.
        stall: Duration of the stall in seconds, added to the gap; >= 0.
    """

    ttft: float
    itl: float
    spread: float = 0.0
    table: str = ""
    start: int = 0
    stride: int = 1
    stall_after: int = 0
    stall: float = 0.0

    @property
    def at_once(self) -> bool:
        """Whether all tokens exist as soon as the first does."""
        return self.itl == 0.0 and self.spread == 0.0 and self.stall == 0.0

    def gap(self, token: int) -> float:
        """Return the inter-token latency between output tokens `token` and `token + 1`.

        Args:
            token: Output token, counted from 1, reasoning included.

        Returns:
            Seconds; a sampled latency below zero is cut to zero.
        """
        gap = self.itl
        if self.spread != 0.0:
            try:
                deviates = DEVIATES[self.table]
            except KeyError:
                deviates = _LOST
            gap += self.spread * deviates[(self.start + token * self.stride) & (len(deviates) - 1)]
            # PERF: a third less time for a gap than with `max`.
            if gap < 0.0:
                gap = 0.0
        return gap + self.stall if token == self.stall_after else gap

    def due(self, tokens: int) -> float:
        """Return the instant at which `tokens` output tokens exist.

        Args:
            tokens: Output tokens of a choice, reasoning included; 0 is due at once.

        Returns:
            Seconds after the request arrived.
        """
        if tokens <= 0:
            return 0.0
        if self.spread == 0.0:
            instant = self.ttft + self.itl * (tokens - 1)
            return instant + self.stall if 0 < self.stall_after < tokens else instant
        instant = self.ttft
        for token in range(1, tokens):
            instant += self.gap(token)
        return instant
