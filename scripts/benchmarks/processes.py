"""What the kernel tells about running processes: children, CPU time, memory, and who uses the cores."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from .machine import Cores

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


def busy_seconds(cores: Iterable[int]) -> float:
    """Give the time that cores have spent on processes so far, whoever's."""
    names = {f"cpu{core}" for core in cores}
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    return sum(sum(map(int, words[1:4])) for words in lines if words and words[0] in names) / _TICKS


def memory_kb(pids: Iterable[int]) -> int:
    """Give the memory of processes that is resident, in kB."""
    return sum(
        int(line.split()[1])
        for pid in pids
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )


class Usage:
    """Who has used the server's cores, from its making to `stop`.

    Attributes:
        cpu: CPU time of the server, in seconds, once stopped.
    """

    def __init__(self, pids: tuple[int, ...], cores: Cores) -> None:
        self._pids, self._cores = pids, cores
        self._since, self._cpu, self._busy = time.monotonic(), cpu_seconds(pids), busy_seconds(cores.server)
        self.cpu = 0.0
        self._seconds = 0.0
        self._all = 0.0

    def stop(self) -> None:
        """Look at the clocks again."""
        self._seconds = time.monotonic() - self._since
        self.cpu = cpu_seconds(self._pids) - self._cpu
        self._all = busy_seconds(self._cores.server) - self._busy

    def shares(self, client: float) -> tuple[float | None, float | None]:
        """Give the server's CPU time in a second, and others' share of its cores; None where its processes are not known.

        Args:
            client: CPU time of the client in a second, which is not others' where it shares a core.
        """
        if not self._pids:
            return None, None
        server = self.cpu / self._seconds
        others = self._all / self._seconds - server - (client if self._cores.shared else 0)
        return round(server, 3), round(max(0.0, others / len(self._cores.server)), 3)
