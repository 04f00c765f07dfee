"""What the kernel tells about running processes: CPU time, memory, and who uses the cores."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from .machine import Cores

_TICKS = os.sysconf("SC_CLK_TCK")


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
    """Who has used the cores, from its making to `stop`.

    Attributes:
        server: CPU time of the server, in seconds, once stopped.
        seconds: How long it was looked at.
    """

    def __init__(self, pids: tuple[int, ...], cores: Cores) -> None:
        self._pids = pids
        # Where they share cores nobody can tell whom others have hindered.
        both = tuple({*cores.server, *cores.client})
        self._pools = (both,) if cores.shared else (cores.server, cores.client)
        self._since, self.server = time.monotonic(), -cpu_seconds(pids)
        self._busy = [-busy_seconds(pool) for pool in self._pools]
        self.seconds = 0.0

    def stop(self) -> None:
        """Look at the clocks again."""
        self.seconds = time.monotonic() - self._since
        self.server += cpu_seconds(self._pids)
        self._busy = [busy + busy_seconds(pool) for busy, pool in zip(self._busy, self._pools, strict=True)]

    def foreign(self, client: float) -> float | None:
        """Give the share of the cores that others took, of the server's or of the client's, whichever is more.

        Args:
            client: CPU time of the client in a second.

        Returns:
            0 to 1; None where the server's processes are not known.
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
