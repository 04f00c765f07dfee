"""Sequences of numbers over all workers, in a memory-mapped file.

Decisions:
* `flock` around a mapped file, each process with a descriptor of its own: a process killed at
  any instant releases it, where a `multiprocessing.Lock` stays locked forever.
  PERF: 1.2 us alone, 2.0 us with four processes contending.
* The threads of a process share its descriptor, and `flock` does not tell them apart: a thread lock
  comes first. It dies with its process, so it can keep no other process waiting.
"""

import fcntl
import mmap
import os
import threading
from pathlib import Path

_NAMES = ("request", "sequence")
_SIZE = 8 * len(_NAMES)


class MappedCounters:
    """The counters of the processes of one machine; see `SharedCounters`.

    The file is opened by the first call, so that one object may be passed to forked processes:
    descriptors shared by a fork would share their lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._numbers = memoryview(b"").cast("q")
        self._threads = threading.Lock()

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._file, _SIZE)
        self._numbers = memoryview(mmap.mmap(self._file, _SIZE)).cast("q")

    async def next(self, name: str, count: int = 1) -> int:
        """See `SharedCounters`."""
        index = _NAMES.index(name)
        with self._threads:
            if self._file < 0:
                self._open()
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                number = self._numbers[index]
                self._numbers[index] = number + count
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        return number

    def restart(self) -> None:
        """Begin all sequences at 0 again; only while no other process has the file open."""
        self._path.write_bytes(bytes(_SIZE))

    def remove(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
