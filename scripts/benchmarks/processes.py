"""Figures of the kernel on running processes: CPU time, memory, and use of the cores."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from .machine import Cores

_TICKS = os.sysconf("SC_CLK_TCK")


def read_cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time that processes have used so far."""
    ticks = 0
    for pid in pids:
        # The name, in parentheses, may contain spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def read_busy_seconds(cores: Iterable[int]) -> float:
    """Return the time that cores have spent on any processes so far."""
    names = {f"cpu{core}" for core in cores}
    lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
    return sum(sum(map(int, words[1:4])) for words in lines if words and words[0] in names) / _TICKS


def read_memory_kb(pids: Iterable[int]) -> int:
    """Return the resident memory of processes, in kB."""
    return sum(
        int(line.split()[1])
        for pid in pids
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )


class Usage:
    """Use of the cores, from the creation of this object to `stop`.

    Attributes:
        server: CPU time of the server, in seconds, once stopped.
        seconds: Length of the measurement.
    """

    def __init__(self, pids: tuple[int, ...], cores: Cores) -> None:
        self._pids = pids
        # On shared cores it is unknown which of the two was slowed down.
        both = tuple({*cores.server, *cores.client})
        self._pools = (both,) if cores.shared else (cores.server, cores.client)
        self._since, self.server = time.monotonic(), -read_cpu_seconds(pids)
        self._busy = [-read_busy_seconds(pool) for pool in self._pools]
        self.seconds = 0.0

    def stop(self) -> None:
        """End the measurement."""
        self.seconds = time.monotonic() - self._since
        self.server += read_cpu_seconds(self._pids)
        self._busy = [
            busy + read_busy_seconds(pool) for busy, pool in zip(self._busy, self._pools, strict=True)
        ]

    def foreign(self, client: float) -> float | None:
        """Return the share of the server's or the client's cores that other programs used, whichever is more.

        Args:
            client: CPU time of the client in a second.

        Returns:
            0 to 1; None if the server's processes are unknown.
        """
        if not self._pids:
            return None
        own = [self.server / self.seconds, client]
        if len(self._pools) == 1:
            own = [sum(own)]
        shares = [
            (busy / self.seconds - used) / len(pool)
            for busy, used, pool in zip(self._busy, own, self._pools, strict=True)
        ]
        return round(max(0.0, *shares), 3)
