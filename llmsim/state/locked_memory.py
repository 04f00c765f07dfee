"""Memory of a fixed size that the processes of a server share, with a lock around each change.

Decisions:
* The memory belongs to no file: a process with access to the run directory cannot truncate it. It is
  allocated before the fork, so the workers of a reload begin with memory of their own.
* `flock` with a descriptor for each process orders writers, so that a process that is killed releases it. The file of the lock is
  empty; one that was removed is made anew.
"""

import contextlib
import fcntl
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from llmsim.state.damage import unusable
from llmsim.state.directory import open_private


class LockedMemory:
    """Memory that is shared with the processes that are forked later.

    Args:
        path: The file of the lock.
        size: Its bytes, which are zero at first.

    Attributes:
        memory: The memory, to be read without its lock.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.memory = mmap.mmap(-1, size)
        self._path = path
        self._file = -1
        self._owner = 0
        self._threads = threading.Lock()

    @contextlib.contextmanager
    def locked(self) -> Iterator[mmap.mmap]:
        """Hold the lock; return the memory.

        Raises:
            StoreError: The file of the lock cannot be opened.
        """
        with self._threads:
            try:
                file = self._open()
                fcntl.flock(file, fcntl.LOCK_EX)
                try:
                    yield self.memory
                finally:
                    fcntl.flock(file, fcntl.LOCK_UN)
            except OSError as error:
                raise unusable(self._path, error.strerror) from error

    def _open(self) -> int:
        """Return the descriptor of the lock, opened anew in another process and where the file is another."""
        if self._owner != os.getpid():
            # What was opened before a fork belongs to the parent, too.
            self._file, self._owner = -1, os.getpid()
        if self._file >= 0:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(self._path.stat(), os.fstat(self._file)):
                    return self._file
            os.close(self._file)
            self._file = -1
        self._file = open_private(self._path)
        return self._file

    def remove(self) -> None:
        """Remove the file, if that is possible."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
