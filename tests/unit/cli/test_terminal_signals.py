"""Signals of the dashboard in the terminal."""

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from llmsim.cli.terminal.signals import handle_signals, resume_with_terminal_only

_NUMBERS = (signal.SIGCONT, signal.SIGHUP, signal.SIGTERM)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = [signal.getsignal(number) for number in _NUMBERS]
    yield
    for number, handler in zip(_NUMBERS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("has_terminal", [True, False])
def test_nothing_is_resumed_without_a_terminal(monkeypatch: pytest.MonkeyPatch, has_terminal: bool) -> None:
    """TUI-4.5: A terminal that closes sends SIGHUP and SIGCONT: it is the end, and nothing goes on."""
    resumed: list[int] = []
    passed_on: list[int] = []
    ended: list[Any] = []
    monkeypatch.setattr(os, "isatty", lambda descriptor: has_terminal)
    monkeypatch.setattr(threading, "Timer", lambda *arguments: ended.append(arguments) or threading.Thread())
    signal.signal(signal.SIGCONT, lambda number, frame: resumed.append(number))
    resume_with_terminal_only()
    handle_signals(passed_on.append, has_server=False)
    for number in (signal.SIGHUP, signal.SIGCONT):
        signal.raise_signal(number)

    assert resumed == [signal.SIGCONT] * has_terminal
    assert [after for after, _, _ in ended] == [5.0] * (not has_terminal)
    assert passed_on == [signal.SIGHUP if has_terminal else signal.SIGTERM]
