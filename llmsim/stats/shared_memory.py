"""A named segment of shared memory: created by one process, read by any other of the machine.

Decisions:
* The calls are those that Python's SharedMemory makes, without that: it starts a process, the resource tracker. On 3.11 that removes
  a segment when any process that attached to it exits; and after a master was killed, the tracker that its last worker leaves
  behind would remove the successor's segment of the same name. A stale segment costs some hundred KB until the next start
  replaces it. PERF: 60 ms of processor time of each start.
* A reader maps the segment read-only: it cannot write, and at no moment would a Ctrl-C make it the owner.
"""

# Typeshed has no stub for this module.
import _posixshmem  # type: ignore[import-not-found]
import contextlib
import errno
import mmap
import os
import sys

from llmsim.errors import StatsError


class SharedSegment:
    """A mapped segment.

    Attributes:
        name: The name by which other processes find it.
        memory: The mapping; shared with forked children.
    """

    def __init__(self, name: str, memory: mmap.mmap, *, inode: int, creator: int | None) -> None:
        self.name = name
        self.memory = memory
        self._inode = inode
        self._creator = creator

    @classmethod
    def create(cls, name: str, size: int) -> "SharedSegment":
        """Create a segment of zeros, replacing any other of that name.

        Args:
            name: Without a leading slash; at most 30 bytes, for macOS.
            size: In bytes.

        Raises:
            StatsError: The memory cannot be allocated, or the name belongs to another user.
        """
        try:
            with contextlib.suppress(FileNotFoundError):
                _posixshmem.shm_unlink(f"/{name}")
            created = _posixshmem.shm_open(f"/{name}", os.O_CREAT | os.O_EXCL | os.O_RDWR, mode=0o600)
            try:
                os.ftruncate(created, size)
            finally:
                os.close(created)
            memory, inode = _map(name, write=True)
        except OSError as error:
            raise StatsError(_failure(name, size, error)) from error
        return cls(name, memory, inode=inode, creator=os.getpid())

    @classmethod
    def open(cls, name: str) -> "SharedSegment":
        """Map another process's segment, read-only.

        Raises:
            FileNotFoundError: No segment has that name.
            PermissionError: It belongs to another user.
            ValueError: It has no size yet: its creator is not done.
        """
        memory, inode = _map(name, write=False)
        return cls(name, memory, inode=inode, creator=None)

    def close(self) -> None:
        """Release the mapping, at once or with the last view of it."""
        with contextlib.suppress(BufferError):
            self.memory.close()

    def unlink(self) -> None:
        """Remove the name, if this process created the segment and no successor has taken the name."""
        if self._creator != os.getpid():
            return
        with contextlib.suppress(FileNotFoundError):
            descriptor = _posixshmem.shm_open(f"/{self.name}", os.O_RDONLY, mode=0)
            inode = os.fstat(descriptor).st_ino
            os.close(descriptor)
            if inode == self._inode:
                _posixshmem.shm_unlink(f"/{self.name}")
        self._creator = None


def _map(name: str, *, write: bool) -> tuple[mmap.mmap, int]:
    descriptor = _posixshmem.shm_open(f"/{name}", os.O_RDWR if write else os.O_RDONLY, mode=0)
    try:
        status = os.fstat(descriptor)
        if write and sys.platform == "linux":
            # Without this a full /dev/shm kills the worker that first touches a page, by SIGBUS.
            try:
                os.posix_fallocate(descriptor, 0, status.st_size)
            except OSError:
                _posixshmem.shm_unlink(f"/{name}")
                raise
        access = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
        return mmap.mmap(descriptor, status.st_size, access=access), status.st_ino
    finally:
        os.close(descriptor)


def _failure(name: str, size: int, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return f"no room for the stats segment {name}: it takes {size // 1024} KB of shared memory; enlarge /dev/shm"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"the stats segment {name} belongs to another user: stop that user's llmsim, or use another port"
        )
    return f"cannot create the stats segment {name}: {error.strerror}"
