"""Which process owns a lease, and whether it is still alive.

Decisions:
* A process is identified by its id and its start time: ids are reused, also for the next worker.
  Where the system does not report the start time (Linux does), the id alone has to do.
* A process that is exiting counts as dead: its clients see their connections close before it is gone, and retry.
"""

import functools
import os
from pathlib import Path

_STATE, _FLAGS, _STARTED = 0, 6, 19
"""Positions after the command's closing parenthesis. Source: proc(5), /proc/pid/stat, fields 3, 9 and 22."""

_EXITING = 0x4
"""Source: Linux, include/linux/sched.h, PF_EXITING: set before the files of a process are closed."""


def read_start_time(pid: int) -> str | None:
    """Return when a process started, in ticks since boot; empty if unknown, None if there is no such process."""
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
    return parse_start_time(stat)


def parse_start_time(stat: str) -> str | None:
    """Return when a process started; None if it is dead or exiting.

    Args:
        stat: Contents of `/proc/PID/stat`.
    """
    fields = stat.rpartition(")")[2].split()
    is_ending = fields[_STATE] in "ZX" or int(fields[_FLAGS]) & _EXITING
    return None if is_ending else fields[_STARTED]


@functools.lru_cache(1)
def owner_of(pid: int) -> str:
    """Return the owner name of a running process."""
    return f"{pid}:{read_start_time(pid)}"


def is_alive(owner: str) -> bool:
    """Return whether the process of that owner name is running."""
    pid, _, started = owner.partition(":")
    return pid.isdigit() and read_start_time(int(pid)) == started
