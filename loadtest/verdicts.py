"""Which of the verdicts that an llmsim gave on itself are worth telling."""

import msgspec

from loadtest.summary import Server

# How many times as late makes a verdict worth telling beside the last one.
_MUCH = 2.0


def lateness(said: Server) -> tuple[bool, float]:
    """Give how bad a verdict is, to be compared with others."""
    return said.state == "late", said.recent_p99_ms or 0.0


def worst_told(at_end: Server, worst: Server | None, after: float) -> Server:
    """Add the worst verdict of the run to the one at its end, if that is much milder.

    Args:
        at_end: What the server said last.
        worst: The worst that it said before.
        after: When it said that; s.
    """
    if worst is None or worst.state != "late":
        return at_end
    if at_end.state == "late" and lateness(worst)[1] < _MUCH * lateness(at_end)[1]:
        return at_end
    return msgspec.structs.replace(at_end, worst_text=worst.text, worst_after_seconds=round(after, 1))
