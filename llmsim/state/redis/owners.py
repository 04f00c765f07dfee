"""Which process owns what, over machines: names by which a host finds its own processes that are dead.

Decisions:
* A name begins with a digest of the host's name, of the machine's boot, and of the namespace in which process ids count. Two hosts
  that were given one name by mistake, or two containers of one machine, never take each other's processes for dead.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from llmsim.config import Settings
from llmsim.state.owners import is_alive, owner_of


def host_name(settings: Settings) -> str:
    """Return the name of this host: the one that was set, else its host name and port."""
    return settings.state.host or f"{os.uname().nodename}:{settings.server.port}"


class HostOwners:
    """The processes of one host.

    Attributes:
        prefix: What their names begin with, and those of no other host.

    Args:
        host: Name of the host.
    """

    def __init__(self, host: str) -> None:
        machine = [host, os.uname().nodename]
        with contextlib.suppress(OSError):
            machine.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        with contextlib.suppress(OSError):
            machine.append(str(Path("/proc/self/ns/pid").readlink()))
        self.prefix = (
            hashlib.sha256("\n".join(machine).encode("utf-8", "surrogatepass")).hexdigest()[:16] + "/"
        )

    def own(self) -> str:
        """Return the name of this process."""
        return self.prefix + owner_of(os.getpid())

    def find_dead(self, owners: Iterable[bytes]) -> list[bytes]:
        """Return those that are processes of this host and no longer run."""
        prefix = self.prefix.encode()
        return [
            owner
            for owner in owners
            if owner.startswith(prefix) and not is_alive(owner[len(prefix) :].decode("ascii", "replace"))
        ]
