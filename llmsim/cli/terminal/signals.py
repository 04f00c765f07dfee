"""Signals of the dashboard: what ends it, what it passes on, and what of it is left to Textual."""

import os
import signal
from collections.abc import Callable
from types import FrameType


def handle_signals(pass_on: Callable[[int], None]) -> None:
    """Pass SIGTERM and SIGHUP on; a terminal that is gone is as SIGTERM.

    Args:
        pass_on: Takes the number of a signal.
    """

    def handle(number: int, _: object) -> None:
        # Without its terminal the dashboard has no purpose.
        pass_on(signal.SIGTERM if number == signal.SIGHUP and not os.isatty(0) else number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handle)


def resume_with_terminal_only() -> None:
    """Leave SIGCONT to Textual only while there is a terminal; to be called once Textual runs.

    NOTE: A terminal that closes sends SIGHUP and then SIGCONT. Textual begins to read keys anew at SIGCONT, in a thread that nothing
    stops then: the process never ends, and takes a core.
    """
    resume = signal.getsignal(signal.SIGCONT)
    if not callable(resume):
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if os.isatty(0):
            resume(number, frame)

    signal.signal(signal.SIGCONT, handle)
