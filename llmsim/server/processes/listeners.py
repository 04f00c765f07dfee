"""The listening sockets: one for each worker, held by the master.

Decisions:
* Each worker has a socket of its own on the port (`SO_REUSEPORT`), so the kernel spreads connections evenly.
* The master holds them all, where gunicorn would let each worker make and close its own: then a kill or
  a reload resets every connection that waits in the worker's queue. Here the queue outlives the worker,
  and its successor takes it over.
* A socket that no worker is to take over is closed by the master at once, so that it closes with its worker.
"""

import contextlib
import errno
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gunicorn.sock import TCP6Socket, TCPSocket


class Listeners:
    """The master's sockets, and the worker that serves each.

    Attributes:
        sockets: All of them; the list itself is the arbiter's, which closes them when the server stops.
    """

    def __init__(self, host: str, port: int, backlog: int, log: Any) -> None:
        self._kind = TCP6Socket if ":" in host else TCPSocket
        self._address = (host, port)
        self._options = SimpleNamespace(reuse_port=True, backlog=backlog, is_ssl=False)
        self._log = log
        self._workers: dict[Any, int] = {}
        self.sockets: list[Any] = []
        self._add()

    def _add(self) -> Any:
        listener = self._kind(self._address, self._options, self._log)
        self.sockets.append(listener)
        self._workers[listener] = 0
        return listener

    def assign(self, age: int, wanted: int) -> Any:
        """Choose the socket that a worker about to be forked serves.

        Args:
            age: The worker's age, gunicorn's ever rising number.
            wanted: Number of workers that are to run.

        Returns:
            One that no worker serves, else a new one up to the number wanted, else that of the oldest worker, which a
            reload is about to retire.
        """
        listener = min(self.sockets, key=self._workers.__getitem__)
        if self._workers[listener] and len(self.sockets) < wanted:
            listener = self._add()
        self._workers[listener] = age
        return listener

    def keep_only(self, mine: Any) -> None:
        """Close all but one, in a worker after the fork: a copy here would keep a socket open that no worker serves."""
        for listener in self.sockets:
            if listener is not mine:
                listener.close()

    def release(self, age: int) -> None:
        """Release the socket of a dead worker, so that the next one serves it."""
        for listener, worker in self._workers.items():
            if worker == age:
                self._workers[listener] = 0

    def shrink(self, wanted: int) -> None:
        """Close the sockets beyond `wanted`: those of the oldest workers, which are the ones that are retired."""
        youngest_first = sorted(self.sockets, key=self._workers.__getitem__, reverse=True)
        for listener in youngest_first[max(1, wanted) :]:
            self.sockets.remove(listener)
            del self._workers[listener]
            listener.close()


def exclusive_bind_error(host: str, port: int) -> OSError | None:
    """Try to bind the port without sharing it.

    Returns:
        Why that failed; None if it did not.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def bind_advice(error: OSError) -> str:
    """Return what helps where an address could not be bound."""
    match error.errno:
        case errno.EADDRINUSE:
            return "choose another with --port"
        case errno.EACCES:
            return "ports below 1024 are for root; choose another with --port"
        case _:
            return "name an address of this machine with --host, or leave it out"


_LISTEN = "0A"
"""State of a listening socket. Source: Linux, include/net/tcp_states.h, TCP_LISTEN."""


def port_holders(port: int, proc: Path = Path("/proc")) -> list[str]:
    """Return the processes that listen on a port, as `pid 42 (nginx)`; those of other users are not seen.

    Args:
        port: The port.
        proc: Where the system shows its processes; nothing is found without it.
    """
    sockets: set[str] = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            # Source: proc(5), /proc/net/tcp: number, local address, remote address, state, ..., inode.
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    if not sockets:
        return []
    found = []
    for process in sorted((one for one in proc.glob("[0-9]*")), key=lambda one: int(one.name)):
        with contextlib.suppress(OSError):
            if any(str(link.readlink()) in sockets for link in (process / "fd").iterdir()):
                name = (process / "comm").read_text(errors="replace").strip()
                found.append(f"pid {process.name} ({name})")
    return found
