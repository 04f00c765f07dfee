"""Frames: bytes ready for the wire, and how many output tokens must exist before each may leave.

Decisions:
* Frames come in runs that share their head and tail, so that a renderer builds both once a
  request and the pacer puts any number of neighbouring frames together in one join.
  PERF: 100 events cost 1.5 us as one join, 67 ns each when joined one by one, 600 ns each as a dict.
* A run never sleeps and never reads JSON; when a frame is due is the schedule's matter.
"""

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

SSE_DONE = b"data: [DONE]\n\n"

SSE_HEADERS = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    # Proxies that buffer (nginx) would turn paced tokens into bursts.
    ("x-accel-buffering", "no"),
)
"""HTTP headers of a stream of server-sent events."""


class FrameBatch(msgspec.Struct, frozen=True, gc=False):
    """Consecutive frames that differ in their bodies only.

    Attributes:
        head: What stands before each body.
        bodies: One a frame, in the order in which they leave.
        tail: What stands behind each body.
        required_tokens: `required_tokens[i]` tokens of each choice must exist before frame `i` may leave; never falling,
            neither within a run nor from one run to the next.
        tokens: Completion tokens that leave with each frame; empty when the run carries none.
    """

    head: bytes
    bodies: Sequence[bytes]
    tail: bytes
    required_tokens: Sequence[int]
    tokens: Sequence[int] = ()

    def data(self, start: int, stop: int) -> bytes:
        """Put frames `start` to `stop` (exclusive, at least one) together."""
        head, tail = self.head, self.tail
        if stop - start == 1:
            return b"%b%b%b" % (head, self.bodies[start], tail)
        return b"%b%b%b" % (head, (tail + head).join(self.bodies[start:stop]), tail)


def broken_off(runs: Sequence[FrameBatch], after: int) -> tuple[FrameBatch, ...]:
    """Leave out of a stream what waits for more than `after` tokens."""
    kept = []
    for run in runs:
        left = bisect_right(run.required_tokens, after)
        if left == len(run.required_tokens):
            kept.append(run)
            continue
        if left:
            kept.append(
                FrameBatch(
                    run.head, run.bodies[:left], run.tail, run.required_tokens[:left], run.tokens[:left]
                )
            )
        break
    return tuple(kept)


def single(data: bytes, after: int) -> FrameBatch:
    """Make a run of the one frame `data`, which carries no token and waits for `after` of them."""
    return FrameBatch(b"", (data,), b"", (after,))


def sse(data: bytes, event: str | None = None) -> bytes:
    """Frame `data` (one line) as a server-sent event, named `event` if the API names its events."""
    if event is None:
        return b"data: %b\n\n" % data
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
