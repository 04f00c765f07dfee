"""The C heap of a worker: how it is laid out, and what is returned to the system.

Decisions:
* Each thread that parses a large body would have a heap of its own, and blocks of megabytes would stay on it, between small ones.
* What is free between two blocks that stay is returned by `malloc_trim` only. It is called when the size of the process has
  changed, so an idle worker, and one with small requests, does not call it. PERF: mostly 1 ms, up to 15 after a hostile mix.
"""

import ctypes
from pathlib import Path
from typing import Any

_OPTIONS = ((-8, 2), (-3, 1 << 19))
"""M_ARENA_MAX, M_MMAP_THRESHOLD. Source: mallopt(3)."""

_CHANGE = 2048
"""Pages of 4 KB by which a worker has grown or shrunk when its heap is trimmed."""

_PAGES = Path("/proc/self/statm")


class Heap:
    """The heap of this process; with other C libraries than glibc, which return free memory by themselves, it does nothing."""

    def __init__(self) -> None:
        libc: Any = ctypes.CDLL(None)
        self._trim = getattr(libc, "malloc_trim", None) if _PAGES.exists() else None
        self._trimmed = 0
        if self._trim is not None:
            for option, value in _OPTIONS:
                libc.mallopt(option, value)

    def trim(self) -> None:
        """Return free memory to the system, if the process has grown or shrunk since it was done last."""
        if self._trim is None:
            return
        if abs(self._pages() - self._trimmed) > _CHANGE:
            self._trim(0)
            self._trimmed = self._pages()

    def _pages(self) -> int:
        return int(_PAGES.read_bytes().split()[1])
