"""A mutex for a process and those that are forked later: one that is killed at any instant releases it.

Decisions:
* The robust mutex of POSIX threads: the kernel releases what a process holds that ends, and the next call to lock it says so. PERF: two
  calls of C take 0.5 us, without a system call unless another one holds it; `flock` takes 1.2 to 1.7 us, and what comes after its two
  system calls takes longer, too.
* It is in memory that belongs to no file: what is written into the run directory cannot damage it, and with it a process.
* A first try keeps the interpreter; to wait for another process or thread is to release it. It is held for microseconds, so no one waits
  for longer than a second: its holder is stopped then.
* Where the system has no such mutexes (macOS), there is `flock` in its place.
"""

import ctypes
import errno
import fcntl
import functools
import mmap
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZE = 64
"""Bytes of a mutex: 40 of glibc on x86-64, 48 on ARM."""

_LONGEST_WAIT = 1.0
"""Seconds."""

_PROCESS_SHARED = _ROBUST = 1
"""`PTHREAD_PROCESS_SHARED` and `PTHREAD_MUTEX_ROBUST` of Linux."""

_Memory = ctypes.c_char * SIZE

# The first keeps the interpreter while it calls, the other one releases it.
_at_once: Any = ctypes.PyDLL(None)
_waiting: Any = ctypes.CDLL(None)

_unlock: Any = ctypes.PyDLL(None).pthread_mutex_unlock if hasattr(_at_once, "pthread_mutex_unlock") else None
if _unlock is not None:
    _unlock.restype = None

HAS_ROBUST = hasattr(_at_once, "pthread_mutexattr_setrobust")
"""Whether the system has robust mutexes."""


_memories: dict[Path, mmap.mmap] = {}
"""The mutexes by the file that they guard: made before the fork, and kept over reloads."""


class _Instant(ctypes.Structure):
    """`struct timespec`."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class SharedMutex:
    """The mutex of a file, for processes and their threads.

    Attributes:
        table: What it guards.
        words: The same as words of eight bytes.
        acquire: Tries to lock it; unless it returns 0, `wait` has to follow.
        release: Releases it.
    """

    def __init__(self, table: mmap.mmap, path: Path, file: int) -> None:
        """Use a mutex.

        Args:
            table: The file as it is mapped.
            path: The file, for which `make_mutex` was called, in this process or before its fork.
            file: Descriptor of that file, of this process alone.
        """
        self.table = table
        self.words = memoryview(table).cast("q")
        self.acquire: Callable[[], int]
        self.release: Callable[[], object]
        if HAS_ROBUST:
            self._memory = _Memory.from_buffer(_memories[path])
            # PERF: a pointer that is made once, and no result that is thrown away.
            pointer = ctypes.byref(self._memory)
            self.acquire = functools.partial(_at_once.pthread_mutex_trylock, pointer)
            self.release = functools.partial(_unlock, pointer)
        else:
            self._file = file
            self._threads = threading.Lock()
            self.acquire, self.release = self._lock_file, self._unlock_file

    def wait(self, status: int) -> None:
        """Wait until it is locked, if another holds it; take it over from a process that has ended.

        Args:
            status: What `acquire` has returned.

        Raises:
            OSError: It was not released in time, or cannot be taken over.
        """
        if status == errno.EBUSY:
            seconds, fraction = divmod(time.time() + _LONGEST_WAIT, 1)
            until = _Instant(int(seconds), int(fraction * 1e9))
            status = _waiting.pthread_mutex_timedlock(self._memory, ctypes.byref(until))
        if status == errno.EOWNERDEAD:
            status = _at_once.pthread_mutex_consistent(self._memory)
        if status:
            raise OSError(status, os.strerror(status))

    def _lock_file(self) -> int:
        self._threads.acquire()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except BaseException:
            self._threads.release()
            raise
        return 0

    def _unlock_file(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._threads.release()


def make_mutex(path: Path) -> None:
    """Make the mutex of a file, for this process and those that it forks, unless it has one.

    Raises:
        OSError: The system refuses it.
    """
    if not HAS_ROBUST or path in _memories:
        return
    memory, attributes = mmap.mmap(-1, SIZE), _Memory()
    for status in (
        _at_once.pthread_mutexattr_init(attributes),
        _at_once.pthread_mutexattr_setpshared(attributes, _PROCESS_SHARED),
        _at_once.pthread_mutexattr_setrobust(attributes, _ROBUST),
        _at_once.pthread_mutex_init(_Memory.from_buffer(memory), attributes),
    ):
        if status:
            raise OSError(status, os.strerror(status))
    _memories[path] = memory


def remove_mutex(path: Path) -> None:
    """Forget the mutex of a file that is removed."""
    _memories.pop(path, None)
