"""Who holds something, and whether that process still lives.

Decisions:
* A process is known by its id and the moment it was started: ids are used again, also for the next worker.
  Where the system does not tell that moment (it does on Linux), the id has to do.
"""

import functools
import os
from pathlib import Path

_STARTED = 19
"""Place of `starttime` behind the command's closing parenthesis. Source: proc(5), /proc/pid/stat, field 22."""


def _started(pid: int) -> str | None:
    """Tell when a process was started, in ticks since boot; empty where nobody tells, None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            return ""
        return ""
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[_STARTED]


@functools.lru_cache(1)
def holder(pid: int) -> str:
    """Give the name of a process that is there."""
    return f"{pid}:{_started(pid)}"


def own_holder() -> str:
    """Give this process's name."""
    return holder(os.getpid())


def lives(name: str) -> bool:
    """Tell whether the process of that name is there."""
    pid, _, started = name.partition(":")
    return pid.isdigit() and _started(int(pid)) == started
