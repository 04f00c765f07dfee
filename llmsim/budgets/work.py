"""The work of one request on schemas and patterns: steps, and time for patterns.

Decisions:
* All loops of a request draw from one budget, so bounds do not multiply. What is not done within it is left out: values are the
  simplest, and what was not checked counts as conforming.
* Steps are counted first, so a seeded response is the same on any machine. The clock is a fuse that 20 times the time of all steps
  does not reach.
* Patterns cannot be counted in steps. Module `regex` can be interrupted, lets other threads run while it searches, and compiles in
  linear time where `re` takes 7 ms and more for a set after `(?i)`.
"""

import threading
import time
from typing import Any

from llmsim.budgets.limits import LIMITS
from llmsim.budgets.pattern_size import compiled_size
from llmsim.budgets.remembered import remembered

_FUSE_SECONDS = 1.0
_UNFIT = (ValueError, OverflowError, RecursionError, MemoryError)
"""What `_compile` raises."""

_STEPS_A_LOOK = 1024


_MOST_PARTS = 10_000
"""Parts of a compiled pattern, of some 400 bytes and 3 us each."""

_MOST_KEPT = 1_000
"""Parts of one that is kept."""


def _compile(pattern: str) -> Any:
    if "{" in pattern:
        size = compiled_size(pattern)
        if size > _MOST_PARTS:
            raise ValueError(f"its repeats make more than {_MOST_PARTS:,} parts of it")
        if size > _MOST_KEPT:
            return _compile_anew(pattern)
    return _compile_once(pattern)


@remembered(maxsize=256, max_chars=400)
def _compile_once(pattern: str) -> Any:
    return _compile_anew(pattern)


def _compile_anew(pattern: str) -> Any:
    # PERF: 7 ms of the start of a server that is sent no pattern.
    import regex

    try:
        # Its own cache would keep up to 500 patterns of any length.
        return regex.compile(pattern, cache_pattern=False)
    except regex.error as error:
        raise ValueError(str(error)) from None


def pattern_problem(pattern: str) -> str | None:
    """Return why `regex` does not compile a pattern; None if it does."""
    try:
        _compile(pattern)
    except _UNFIT as error:
        return str(error)
    return None


class PatternBudget:
    """The time that is left to the patterns of one request."""

    __slots__ = ("_compiled", "_seconds")

    def __init__(self) -> None:
        self._compiled: dict[str, Any] = {}
        self._seconds = LIMITS.pattern_ms / 1000

    @property
    def is_spent(self) -> bool:
        """Whether no time is left."""
        return self._seconds <= 0

    def search(self, pattern: str, text: str) -> bool | None:
        """Return whether `pattern` is found in `text`; None if that is not known in time. One that is too long is found everywhere."""
        if len(pattern) > LIMITS.pattern_chars:
            return True
        if self._seconds <= 0:
            return None
        start = time.thread_time()
        try:
            expression = self._compiled.get(pattern)
            if expression is None:
                expression = self._compiled[pattern] = _compile(pattern)
            return expression.search(text, timeout=self._seconds) is not None
        except TimeoutError:
            self._seconds = 0.0
        except _UNFIT:
            pass
        finally:
            self._seconds -= time.thread_time() - start
        return None


class WorkBudget:
    """What is left of the budget of one request. Not to be used by two threads at a time.

    Attributes:
        patterns: The part of it for patterns.
    """

    __slots__ = ("_floor", "_left", "_look", "_started", "_thread", "patterns")

    def __init__(self, steps: int | None = None, patterns: PatternBudget | None = None) -> None:
        """Open a budget.

        Args:
            steps: Steps of work; None for those of the limits.
            patterns: The time for patterns, if it is that of another budget.
        """
        self._left = LIMITS.schema_steps if steps is None else steps
        self._floor = 0
        self._look = self._left - _STEPS_A_LOOK
        self.patterns = PatternBudget() if patterns is None else patterns
        self._thread = 0
        self._started = 0.0

    @property
    def left(self) -> int:
        """Steps that are left of the current share."""
        return max(0, self._left - self._floor)

    @property
    def is_spent(self) -> bool:
        """Whether no step is left of the current share."""
        return self._left <= self._floor

    def open_share(self, parts: int) -> None:
        """Begin a share: what follows may use one of `parts` equal parts of what is left."""
        self._left = max(0, self._left)
        self._floor = self._left - self._left // max(1, parts)

    def spend(self, steps: int = 1) -> bool:
        """Spend some steps; return whether there were any left."""
        self._left -= steps
        if self._left < self._look:
            self._look_at_clock()
        return self._left >= self._floor

    def _look_at_clock(self) -> None:
        self._look = self._left - _STEPS_A_LOOK
        now = time.thread_time()
        if self._thread != (thread := threading.get_ident()):
            self._thread, self._started = thread, now
        elif now - self._started > _FUSE_SECONDS:
            self._left = self._floor = -1

    def may_match(self, pattern: str, text: str) -> bool:
        """Return whether `pattern` is found in `text`, or may be: what is not known counts as found."""
        return not self.spend() or self.patterns.search(pattern, text) is not False
