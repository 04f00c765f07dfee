"""Sequences of numbers over all workers, in a file.

Decisions:
* `flock` around a read and a write, each process with a descriptor of its own: a process killed at any instant releases it, where
  a `multiprocessing.Lock` stays locked forever. Not a mapped file: a page beyond the end of one that was truncated kills the
  process that touches it. PERF: 3 us alone.
* The threads of a process share its descriptor, and `flock` does not distinguish them: a thread lock comes first. It dies with its
  process, so it can keep no other process waiting.
* A file that was removed or truncated is made anew, and goes on after the last number that this process has drawn.
"""

import contextlib
import fcntl
import os
import struct
import threading
from pathlib import Path

from llmsim.state.damage import unusable
from llmsim.state.directory import open_private

NAMES = ("request", "sequence")
_NUMBERS = struct.Struct(f"={len(NAMES)}q")


class FileCounters:
    """The counters of the processes of one machine; see `SharedCounters`.

    The file is opened by the first call, so that one object may be passed to forked processes:
    descriptors shared by a fork would share their lock.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._owner = 0
        self._inode = 0
        self._last = [0] * len(NAMES)
        self._threads = threading.Lock()

    def open(self) -> None:
        """Open the file, or make it anew.

        Raises:
            StoreError: It cannot be opened.
        """
        with self._threads:
            try:
                self._open()
            except OSError as error:
                raise unusable(self._path, error.strerror) from error

    def _open(self) -> None:
        if self._owner != os.getpid():
            # One that was opened before a fork belongs to the parent, too.
            self._file, self._owner = -1, os.getpid()
        if self._file >= 0:
            with contextlib.suppress(FileNotFoundError):
                if self._path.stat().st_ino == self._inode:
                    return
        file = open_private(self._path)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._inode = file, os.fstat(file).st_ino

    async def next(self, name: str, count: int = 1) -> int:
        """See `SharedCounters`."""
        index, number = NAMES.index(name), 0
        with self._threads:
            try:
                self._open()
                fcntl.flock(self._file, fcntl.LOCK_EX)
                try:
                    data = os.pread(self._file, _NUMBERS.size, 0)
                    stored = _NUMBERS.unpack(data.ljust(_NUMBERS.size, b"\0"))
                    numbers = [max(pair) for pair in zip(stored, self._last, strict=True)]
                    number = int(numbers[index])
                    numbers[index] += count
                    os.pwrite(self._file, _NUMBERS.pack(*numbers), 0)
                finally:
                    fcntl.flock(self._file, fcntl.LOCK_UN)
            except OSError as error:
                raise unusable(self._path, error.strerror) from error
            self._last = numbers
        return number

    def restart(self) -> None:
        """Begin all sequences at 0 again; only while no other process has the file open.

        Raises:
            StoreError: The file cannot be written.
        """
        self._last = [0] * len(NAMES)
        try:
            file = open_private(self._path)
            try:
                os.pwrite(file, bytes(_NUMBERS.size), 0)
            finally:
                os.close(file)
        except OSError as error:
            raise unusable(self._path, error.strerror) from error

    def remove(self) -> None:
        """Remove the file, if that is possible."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
