"""What is changed at run time, in memory that the processes of one machine share.

Decisions:
* The memory is mapped before the first fork and has no name: a worker that is started later inherits it from the master, nothing can
  truncate it, and it ends with the server, as the changes do. A reload maps its own, so that it begins with what its files say.
* There are two places. A change is written to the one that is not read, then the epoch names it: a writer that is killed half-way has
  changed nothing, and readers need no lock. PERF: 0.05 us to look at the epoch.
* `flock` on a file of its own orders writers: a process that is killed at any instant releases it.
"""

import fcntl
import mmap
import os
import zlib
from pathlib import Path

from llmsim.state.damage import unusable
from llmsim.state.directory import open_private
from llmsim.state.settings_port import NO_CHANGES, StoredChanges

_PLACE_BYTES = 1 << 20
"""Room of a place; pages that are not used take no memory."""

MOST_BYTES = _PLACE_BYTES - 64

_PAGE = mmap.PAGESIZE
_WORD = 8
_EPOCH, _SIZES, _CHECKS = 0, 1, 3
"""Words of the first page: the epoch, then size and checksum of each place."""

_TRIES = 100


class SharedSettings:
    """The changes of the processes of one machine; see `RuntimeSettings`.

    Args:
        path: The file that orders writers.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._memory = mmap.mmap(-1, _PAGE + 2 * _PLACE_BYTES)
        self._words = memoryview(self._memory)[:_PAGE].cast("Q")

    @property
    def epoch(self) -> int:
        """See `RuntimeSettings`."""
        return self._words[_EPOCH]

    async def read(self) -> StoredChanges:
        """See `RuntimeSettings`."""
        words = self._words
        for _ in range(_TRIES):
            epoch = words[_EPOCH]
            if epoch == 0:
                return NO_CHANGES
            place = epoch & 1
            size, check = words[_SIZES + place], words[_CHECKS + place]
            start = _PAGE + place * _PLACE_BYTES
            data = self._memory[start : start + size]
            # A place is written anew at the second change after this one.
            if words[_EPOCH] == epoch and zlib.crc32(data) == check:
                return StoredChanges(epoch, data)
        raise unusable(self._path, "its changes follow each other too fast to be read")

    async def replace(self, data: bytes, *, epoch: int) -> bool:
        """See `RuntimeSettings`."""
        if len(data) > MOST_BYTES:
            raise ValueError(f"{len(data)} bytes where {MOST_BYTES} fit")
        words = self._words
        try:
            lock = open_private(self._path)
        except OSError as error:
            raise unusable(self._path, error.strerror) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if words[_EPOCH] != epoch:
                return False
            place = (epoch + 1) & 1
            start = _PAGE + place * _PLACE_BYTES
            self._memory[start : start + len(data)] = data
            words[_SIZES + place], words[_CHECKS + place] = len(data), zlib.crc32(data)
            words[_EPOCH] = epoch + 1
            return True
        finally:
            # Closing releases the lock.
            os.close(lock)

    def remove(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
