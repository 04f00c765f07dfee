"""Who holds something, and whether that process still lives.

Decisions:
* A process is known by its id and the moment it was started: ids are used again, also for the next worker.
  Where the system does not tell that moment (it does on Linux), the id has to do.
* A process that is being ended is dead: its clients see their connections close before it is gone, and ask again.
"""

import functools
import os
from pathlib import Path

_STATE, _FLAGS, _STARTED = 0, 6, 19
"""Places behind the command's closing parenthesis. Source: proc(5), /proc/pid/stat, fields 3, 9 and 22."""

_EXITING = 0x4
"""Source: Linux, include/linux/sched.h, PF_EXITING: set before the files of a process are closed."""


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
    return started_of(stat)


def started_of(stat: str) -> str | None:
    """Tell when a process was started; None if it is dead, or as good as dead.

    Args:
        stat: What `/proc/PID/stat` says of it.
    """
    fields = stat.rpartition(")")[2].split()
    ends = fields[_STATE] in "ZX" or int(fields[_FLAGS]) & _EXITING
    return None if ends else fields[_STARTED]


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
