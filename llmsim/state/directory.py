"""The run directory: lock files, and the state that workers share.

Decisions:
* It is used only if it is the user's own and no other user may write into it: in a directory for temporary files anyone could have
  made it, or put links into it. One that llmsim chose itself must be closed to others altogether; one that was named may be
  readable, as systemd's are. All files are readable by their user only.
* A shared lock is held on it as long as the server runs: systemd-tmpfiles leaves a locked directory alone.
  Source: tmpfiles.d(5), "directories ... with a BSD file lock".
* Files are named by the master's process id. Master and workers hold one lock together, on a file of that name: what a killed
  master has left is removed once its last worker has drained.
"""

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from llmsim.errors import ConfigError

_USERS = "users"
"""Kind of the file that master and workers hold locked."""

FILE_KINDS = (
    "counters",
    "records",
    "prefixes",
    "sessions",
    "journal",
    "scripts",
    "attempts",
    "quotas",
    "clients",
    "settings",
    "rules",
    "objects",
    "engines",
    "opening",
    _USERS,
)
"""Names of the files, after the master's process id; SQLite puts others beside them, with suffixes of its own."""


class RunDirectory:
    """The run directory of a running server.

    Attributes:
        path: The directory.
    """

    def __init__(self, configured: str, environ: Mapping[str, str]) -> None:
        """Open the directory; see `run_directory`.

        Raises:
            ConfigError: It cannot be used.
        """
        self.path = run_directory(configured, environ)
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            raise _refusal(self.path, error.strerror) from None
        self._users = -1

    def lock(self, name: str) -> tuple[int, int]:
        """Lock a file for this process, and write its id into it.

        Returns:
            A descriptor to be kept open, -1 if another process holds the lock; and the process id found in the file, 0 if none.

        Raises:
            ConfigError: The file cannot be used.
        """
        path = self.path / name
        descriptor = -1
        try:
            descriptor = open_private(path)
            text = os.pread(descriptor, 32, 0).strip()
            holder = int(text) if text.isdigit() else 0
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return -1, holder
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            raise ConfigError(f"server.run_dir: cannot write {str(path)!r}: {error.strerror}") from None
        return descriptor, holder

    def mark_used(self) -> None:
        """Mark the files of this process as used, by it and the processes that it forks, as long as any of them lives.

        Raises:
            ConfigError: The file of the mark cannot be written.
        """
        path = self._file(os.getpid(), _USERS)
        try:
            self._users = open_private(path)
            fcntl.flock(self._users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"server.run_dir: cannot write {str(path)!r}: {error.strerror}") from None

    def sweep(self) -> None:
        """Remove the files of servers of which no process is left."""
        with contextlib.suppress(OSError):
            files = [file for file in self.path.glob("*.*") if _owner(file)]
            for owner in {_owner(file) for file in files}:
                if self._is_used(owner):
                    continue
                for file in files:
                    if _owner(file) == owner:
                        file.unlink(missing_ok=True)

    def _is_used(self, owner: int) -> bool:
        if owner != os.getpid() and _process_exists(owner):
            return True
        try:
            descriptor = os.open(self._file(owner, _USERS), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def _file(self, owner: int, kind: str) -> Path:
        return self.path / f"{owner}.{kind}"

    def close(self) -> None:
        """Remove the mark, and release the directory."""
        if self._users >= 0:
            with contextlib.suppress(OSError):
                self._file(os.getpid(), _USERS).unlink(missing_ok=True)
            os.close(self._users)
            self._users = -1
        os.close(self._descriptor)


def leftovers(path: Path) -> list[Path]:
    """Return the files in a run directory that belong to processes that are gone."""
    return [file for file in path.glob("*.*") if (owner := _owner(file)) and not _process_exists(owner)]


def _owner(file: Path) -> int:
    """Return the process id that a file of state is named by; 0 for other files."""
    pid, _, kind = file.name.partition(".")
    return int(pid) if pid.isdigit() and kind.startswith(FILE_KINDS) else 0


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def open_private(path: Path) -> int:
    """Open a file for reading and writing, created with mode 0600; never through a link."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file")
    return descriptor


def run_directory(configured: str, environ: Mapping[str, str]) -> Path:
    """Return the run directory, which is created if need be.

    Args:
        configured: The setting `server.run_dir`; empty to choose: systemd's `$RUNTIME_DIRECTORY`, else
            `llmsim` under `$XDG_RUNTIME_DIR`, else a directory of the user's own in the temporary one.
        environ: The environment.

    Raises:
        ConfigError: It cannot be created, belongs to another user, or is open to other users.
    """
    forbidden = 0o022
    if configured:
        path = Path(configured)
    elif given := environ.get("RUNTIME_DIRECTORY"):
        path = Path(given.split(":")[0])
    elif runtime := environ.get("XDG_RUNTIME_DIR"):
        path = Path(runtime) / "llmsim"
    else:
        path = Path(tempfile.gettempdir()) / f"llmsim-{os.getuid()}"
        forbidden = 0o077
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
    except (FileExistsError, NotADirectoryError):
        raise _refusal(path, "it is no directory, or below a file") from None
    except OSError as error:
        raise ConfigError(f"server.run_dir: cannot make {str(path)!r}: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise _refusal(path, "it is a link; name the directory itself")
    if status.st_uid != os.geteuid():
        raise _refusal(path, f"it belongs to the user {status.st_uid}, not to {os.geteuid()}")
    if status.st_mode & forbidden:
        mode = stat.S_IMODE(status.st_mode)
        raise _refusal(path, f"its mode {mode:o} lets other users in; `chmod 700` it")
    return path


def _refusal(path: Path, reason: str | None) -> ConfigError:
    return ConfigError(
        f"server.run_dir: {str(path)!r} is not used: {reason}. Or name another directory, best one that llmsim creates"
    )
