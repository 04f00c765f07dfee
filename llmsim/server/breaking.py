"""How an answer breaks off: the frames that still leave, and the line that is cut.

Decisions:
* What goes wrong in mid-stream is a frame like any other, so that it is due at its instant; where the line is cut, the
  frame is empty and marks that instant.
"""

from collections.abc import Callable, Sequence

from llmsim.domain import Fault, Turn
from llmsim.wire.frames import FrameBatch, single, truncate


class CutError(Exception):
    """The line to the client is to be cut, and the server alone can do it. No bug: the end is booked already."""


def breaking_runs(
    turn: Turn, runs: Sequence[FrameBatch], told: Callable[[Fault, int], bytes]
) -> tuple[FrameBatch, ...]:
    """Give the frames that leave of a stream; all of them unless its turn breaks off.

    Args:
        turn: What is answered.
        runs: Its frames.
        told: How the fault is told, from the fault and the number of frames that have left.
    """
    breakage, end = turn.stream_fault, turn.truncated_after
    if breakage is None or end is None:
        return tuple(runs)
    kept = truncate(runs, end)
    data = b"" if breakage.disconnect else told(breakage.fault, sum(len(run.required_tokens) for run in kept))
    return (*kept, single(data, end))
