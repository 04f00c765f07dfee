"""How long a fuzzer looks, and how long a case may take."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import pytest
from hypothesis import HealthCheck, Phase, settings

LONG = pytest.mark.fuzz
"""Mark of the tests that take minutes: `scripts/test tests/fuzz -m fuzz`."""

MOST_CPU_SECONDS = 1.0
"""CPU time that one case may take; other requests of the worker wait for as long."""


class _OverLimitError(BaseException):
    """Not an `Exception`, so that nothing under test handles it."""


def examples(count: int, *, shrink: bool = False) -> settings:
    """Return settings for so many examples, not the same ones in each run."""
    phases = (Phase.explicit, Phase.generate, *((Phase.shrink,) if shrink else ()))
    return settings(
        max_examples=count,
        deadline=None,
        phases=phases,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def cpu_limit(seconds: float = MOST_CPU_SECONDS) -> Iterator[None]:
    """Fail once the process has used so much CPU time in the block; `re` can be interrupted, too."""

    def fail(number: int, frame: FrameType | None) -> None:
        raise _OverLimitError

    before = signal.signal(signal.SIGPROF, fail)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    except _OverLimitError:
        # The traceback of a signal has no line in places, and pytest cannot show it.
        raise AssertionError(f"one case took more than {seconds} s of CPU time") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
