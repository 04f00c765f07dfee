"""A file of fixed size that processes share by mapping it, with a lock around each change.

Decisions:
* As in `quotas.py`: `flock` with a descriptor for each process, so that a process that is killed releases it; all of the file is
  allocated when it is made; one that was removed or truncated is found within a tenth of a second, and made anew.
"""

import contextlib
import fcntl
import mmap
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from llmsim.state.damage import unusable
from llmsim.state.directory import open_private

_BLOCK = 2**20
_CHECK_SECONDS = 0.1


class MappedFile:
    """A mapped file.

    Args:
        path: The file.
        magic: What it begins with.
        size: Its bytes.
    """

    def __init__(self, path: Path, magic: bytes, size: int) -> None:
        self._path = path
        self._magic = magic
        self._size = size
        self._file = -1
        self._owner = 0
        self._inode = 0
        self._map: mmap.mmap | None = None
        self._check_at = float("-inf")
        self._threads = threading.Lock()

    @property
    def memory(self) -> mmap.mmap | None:
        """The file as it is mapped, to be read without its lock; None if it is not open in this process."""
        return self._map if self._owner == os.getpid() else None

    @contextlib.contextmanager
    def locked(self) -> Iterator[mmap.mmap]:
        """Hold the lock of the file; return it as it is mapped.

        Raises:
            StoreError: It cannot be used.
        """
        with self._threads:
            try:
                memory = self._open()
                fcntl.flock(self._file, fcntl.LOCK_EX)
                try:
                    yield memory
                finally:
                    fcntl.flock(self._file, fcntl.LOCK_UN)
            except OSError as error:
                raise unusable(self._path, error.strerror) from error

    def _open(self) -> mmap.mmap:
        now = time.monotonic()
        if self._owner != os.getpid():
            # What was opened before a fork belongs to the parent, too.
            self._file, self._map, self._owner = -1, None, os.getpid()
        if self._map is not None:
            if now < self._check_at:
                return self._map
            self._check_at = now + _CHECK_SECONDS
            with contextlib.suppress(FileNotFoundError):
                status = self._path.stat()
                if status.st_ino == self._inode and status.st_size >= self._size:
                    return self._map
        if self._file >= 0:
            os.close(self._file)
            self._file, self._map = -1, None
        file = open_private(self._path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._map = self._map_file(file)
            self._inode = os.fstat(file).st_ino
            fcntl.flock(file, fcntl.LOCK_UN)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        self._check_at = now + _CHECK_SECONDS
        return self._map

    def _map_file(self, file: int) -> mmap.mmap:
        """Map the file, after it was made if it is not whole; it is locked."""
        if os.pread(file, len(self._magic), 0) != self._magic or os.fstat(file).st_size != self._size:
            os.ftruncate(file, 0)
            for begin in range(0, self._size, _BLOCK):
                os.pwrite(file, bytes(min(_BLOCK, self._size - begin)), begin)
            os.pwrite(file, self._magic, 0)
        return mmap.mmap(file, self._size)

    def remove(self) -> None:
        """Remove the file, if that is possible."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
