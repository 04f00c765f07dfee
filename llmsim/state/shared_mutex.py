"""A mutex in mapped memory, for all processes that map it: one that is killed at any instant releases it.

Decisions:
* The robust mutex of POSIX threads: the kernel releases what a process holds that ends, and the next call to lock it says so. PERF: two
  calls of C take 0.5 us, without a system call unless another one holds it; `flock` takes 1.2 to 1.7 us, and what comes after its two
  system calls takes longer, too.
* A first try keeps the interpreter; to wait for another process or thread is to release it.
* Where the system has no such mutexes (macOS), there is `flock` in its place.
"""

import ctypes
import errno
import fcntl
import functools
import mmap
import os
import threading
from collections.abc import Callable
from typing import Any

SIZE = 64
"""Bytes of a mutex: 40 of glibc on x86-64, 48 on ARM."""

_PROCESS_SHARED = _ROBUST = 1
"""`PTHREAD_PROCESS_SHARED` and `PTHREAD_MUTEX_ROBUST` of Linux."""

_Memory = ctypes.c_char * SIZE

# The first keeps the interpreter while it calls, the other one releases it.
_at_once: Any = ctypes.PyDLL(None)
_waiting: Any = ctypes.CDLL(None)

HAS_ROBUST = hasattr(_at_once, "pthread_mutexattr_setrobust")
"""Whether the system has robust mutexes."""


class SharedMutex:
    """A mutex, for processes and their threads.

    Attributes:
        table: The memory that it is in.
        acquire: Tries to lock it; unless it returns 0, `wait` has to follow.
        release: Releases it.

    NOTE: the object has to live while it is locked: of memory that is no longer mapped the kernel releases nothing.
    """

    def __init__(self, table: mmap.mmap, at: int, file: int) -> None:
        """Use a mutex.

        Args:
            table: Memory that is mapped from a file.
            at: Where its `SIZE` bytes begin, which `make_mutex` has made.
            file: Descriptor of that file, of this process alone.
        """
        self.table = table
        self.acquire: Callable[[], int]
        self.release: Callable[[], object]
        if HAS_ROBUST:
            self._memory = _Memory.from_buffer(table, at)
            self.acquire = functools.partial(_at_once.pthread_mutex_trylock, self._memory)
            self.release = functools.partial(_at_once.pthread_mutex_unlock, self._memory)
        else:
            self._file = file
            self._threads = threading.Lock()
            self.acquire, self.release = self._lock_file, self._unlock_file

    def wait(self, status: int) -> None:
        """Wait until it is locked, if another holds it; take it over from a process that has ended.

        Args:
            status: What `acquire` has returned.

        Raises:
            OSError: It is damaged.
        """
        if status == errno.EBUSY:
            status = _waiting.pthread_mutex_lock(self._memory)
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


def make_mutex(table: mmap.mmap, at: int) -> None:
    """Make a mutex in memory that no other process uses yet.

    Raises:
        OSError: The system refuses it.
    """
    if not HAS_ROBUST:
        return
    attributes = _Memory()
    for status in (
        _at_once.pthread_mutexattr_init(attributes),
        _at_once.pthread_mutexattr_setpshared(attributes, _PROCESS_SHARED),
        _at_once.pthread_mutexattr_setrobust(attributes, _ROBUST),
        _at_once.pthread_mutex_init(_Memory.from_buffer(table, at), attributes),
    ):
        if status:
            raise OSError(status, os.strerror(status))
