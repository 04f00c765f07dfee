"""What the figures were obtained on, and who runs where.

Decisions:
* Servers get the first cores and the client the others. Where there are too few the client shares the last one, and the
  rows say so: such figures are a lower bound.
"""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]
_PACKAGES = ("falcon", "gunicorn", "uvicorn", "uvloop", "httptools", "orjson", "msgspec", "tiktoken")


class Cores(msgspec.Struct, frozen=True):
    """Which cores are whose.

    Attributes:
        server: Those of the servers.
        client: Those of the client.
    """

    server: tuple[int, ...]
    client: tuple[int, ...]

    @property
    def shared(self) -> bool:
        """Whether the client takes time from the server."""
        return not set(self.server).isdisjoint(self.client)


def cores_for(workers: int, available: tuple[int, ...]) -> Cores:
    """Divide the cores between `workers` workers and a client."""
    server = available[: min(workers, len(available))]
    return Cores(server, available[len(server) :] or available[-1:])


def available_cores() -> tuple[int, ...]:
    """Give the cores that this process may use."""
    return tuple(sorted(os.sched_getaffinity(0)))


@contextmanager
def on(cores: tuple[int, ...]) -> Iterator[None]:
    """Start processes on these cores within the block; they inherit what their parent may use."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The environment of a run.

    Attributes:
        cpu: Model of the processor.
        cores: How many this process may use.
        kernel: Name and version.
        python: Version.
        packages: Versions of what the server is made of.
        version: llmsim's.
        commit: Of the checkout, with `+` where files differ from it; None outside of one.
        load_average: Of the minute before the run: what else was running.
        client: Which client measured.
        pinned: Who runs on which core.
    """

    cpu: str
    cores: int
    kernel: str
    python: str
    packages: dict[str, str]
    version: str
    commit: str | None
    load_average: float
    client: str
    pinned: str


def cpu_model() -> str:
    """Tell the processor's model."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()


def commit() -> str | None:
    """Tell what is checked out."""

    def git(*words: str) -> str:
        asked = subprocess.run(("git", *words), cwd=ROOT, capture_output=True, text=True, check=False)
        return asked.stdout.strip() if asked.returncode == 0 else ""

    try:
        found = git("rev-parse", "--short", "HEAD")
        return (
            found + ("+" if git("status", "--porcelain", "--untracked-files=no") else "") if found else None
        )
    except FileNotFoundError:
        return None


def describe(*, version: str, client: str) -> Machine:
    """Describe this machine before anything is measured."""
    available = available_cores()
    split = cores_for(1, available)
    pinned = "one core only, shared by server and client"
    if not split.shared:
        pinned = f"one worker on core {split.server[0]}, the client on {', '.join(map(str, split.client))}"
    return Machine(
        cpu=cpu_model(),
        cores=len(available),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages={name: importlib.metadata.version(name) for name in _PACKAGES},
        version=version,
        commit=commit(),
        load_average=round(os.getloadavg()[0], 2),
        client=client,
        pinned=pinned,
    )
