"""What the kernel tells about running processes: children, CPU time, memory."""

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def children(pid: int) -> tuple[int, ...]:
    """Give the processes that a process has started."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return tuple(int(child) for path in lists for child in path.read_text().split())


def cpu_seconds(pids: Iterable[int]) -> float:
    """Give the CPU time that processes have used so far."""
    ticks = 0
    for pid in pids:
        # The name, in brackets, may hold blanks.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def memory_kb(pids: Iterable[int]) -> int:
    """Give the memory of processes that is resident, in kB."""
    return sum(
        int(line.split()[1])
        for pid in pids
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
