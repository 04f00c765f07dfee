"""The C heap of a worker: how it is laid out, and what is returned to the system.

Decisions:
* Each thread that parses a large body would have a heap of its own, and blocks of megabytes would stay on it, between small ones.
* What is free between two blocks that stay is returned by `malloc_trim` only. It is called when the process has grown, and has free memory
  that it could return: what was returned before still counts as free, so that alone says nothing. An idle worker, and one with small
  requests, does not call it. PERF: mostly 1 ms, up to 15 after a hostile mix.
"""

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_OPTIONS = ((-8, 2), (-3, 1 << 19))
"""M_ARENA_MAX, M_MMAP_THRESHOLD. Source: mallopt(3)."""

_GROWTH = 4 * 2**20
"""Bytes by which the process has grown when its heap is trimmed, and least free bytes."""

_STATM = Path("/proc/self/statm")
"""Sizes of this process in pages; the second is what is in memory. Source: proc(5)."""

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_TOP_PAD = -2
"""M_TOP_PAD: bytes by which the heap grows beyond what is asked for. Source: mallopt(3)."""

_USUAL_PAD, _LARGE_PAD = 128 * 2**10, 32 * 2**20


@contextlib.contextmanager
def growing_heap() -> Iterator[None]:
    """Grow the heap in large steps meanwhile.

    PERF: 0.03 s of the 0.28 that vocabularies take, of which each has hundreds of thousands of small blocks.
    """
    mallopt: Callable[[int, int], int] = getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)
    mallopt(_TOP_PAD, _LARGE_PAD)
    try:
        yield
    finally:
        mallopt(_TOP_PAD, _USUAL_PAD)


class _MallocInfo(ctypes.Structure):
    """Source: mallinfo2(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


class Heap:
    """The heap of this process; with other C libraries than glibc, which return free memory by themselves, it does nothing."""

    def __init__(self) -> None:
        libc: Any = ctypes.CDLL(None)
        self._trim = getattr(libc, "malloc_trim", None)
        self._info = getattr(libc, "mallinfo2", None)
        self._least = 1 << 62
        if self._info is not None:
            self._info.restype = _MallocInfo
        if hasattr(libc, "mallopt"):
            for option, value in _OPTIONS:
                libc.mallopt(option, value)

    def trim(self) -> None:
        """Return free memory to the system, if the process has grown since that was done last."""
        if self._trim is None or self._info is None:
            return
        if self._resident() > self._least + _GROWTH and self._free() > _GROWTH:
            self._trim(0)
            self._least = self._resident()
        self._least = min(self._least, self._resident())

    def _free(self) -> int:
        return int(self._info().fordblks) if self._info is not None else 0

    def _resident(self) -> int:
        """Return the bytes of the process that are in memory. PERF: 5 us."""
        return int(_STATM.read_bytes().split()[1]) * _PAGE_BYTES
