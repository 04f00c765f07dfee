"""Signals of the dashboard: what ends it, what it passes on, and what of it is left to Textual."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from textual.app import App

_PATIENCE, _SERVER_PATIENCE = 5.0, 60.0
"""Seconds after which the process ends in any case once its terminal is gone: Textual may wait for ever to write to it."""


def handle_signals(pass_on: Callable[[int], None], *, has_server: bool) -> None:
    """Pass SIGTERM and SIGHUP on; a terminal that is gone is as SIGTERM.

    Args:
        pass_on: Takes the number of a signal.
        has_server: Whether a server has to end first.
    """

    def handle(number: int, _: object) -> None:
        # Without its terminal the dashboard has no purpose.
        is_gone = number == signal.SIGHUP and not os.isatty(0)
        if is_gone:
            end = threading.Timer(_SERVER_PATIENCE if has_server else _PATIENCE, os._exit, (1,))
            end.daemon = True
            end.start()
        pass_on(signal.SIGTERM if is_gone else number)

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


def stop_reading(app: App[None]) -> None:
    """End the thread that reads keys: Textual leaves it running if it has failed to end it, and does not report that."""
    event = getattr(app._driver, "exit_event", None)
    if isinstance(event, threading.Event):
        event.set()
