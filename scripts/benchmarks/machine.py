"""The machine of a run, and which process runs on which core.

Decisions:
* Servers get the first cores and the client the others. If there are too few, the client shares the last one, and the
  rows are marked: such figures are a lower bound.
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
    """Cores of server and client.

    Attributes:
        server: Cores of the server.
        client: Cores of the client.
    """

    server: tuple[int, ...]
    client: tuple[int, ...]

    @property
    def shared(self) -> bool:
        """Whether the client takes CPU time from the server."""
        return not set(self.server).isdisjoint(self.client)


def split_cores(workers: int, available: tuple[int, ...]) -> Cores:
    """Divide the cores between `workers` workers and a client."""
    server = available[: min(workers, len(available))]
    return Cores(server, available[len(server) :] or available[-1:])


def available_cores() -> tuple[int, ...]:
    """Return the cores that this process may use."""
    return tuple(sorted(os.sched_getaffinity(0)))


@contextmanager
def pinned_to(cores: tuple[int, ...]) -> Iterator[None]:
    """Start processes on these cores within the block; they inherit the affinity of this process."""
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
        cores: Number of cores that this process may use.
        kernel: Name and version.
        python: Version.
        packages: Versions of the server's dependencies.
        version: Version of llmsim.
        commit: Commit of the checkout, with `+` if files differ from it; None outside of a checkout.
        load_average: Load average of the minute before the run.
        client: Clients that measured.
        pinned: Which process runs on which core.
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


def read_cpu_model() -> str:
    """Return the processor's model."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()


def read_version() -> str:
    """Return the version of the checkout that is measured."""
    text = (ROOT / "llmsim" / "__init__.py").read_text(encoding="utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]


def read_commit() -> str | None:
    """Return the commit that is checked out; None if there is none."""

    def git(*words: str) -> str:
        done = subprocess.run(("git", *words), cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        found = git("rev-parse", "--short", "HEAD")
        return (
            found + ("+" if git("status", "--porcelain", "--untracked-files=no") else "") if found else None
        )
    except FileNotFoundError:
        return None


def describe_machine(*, version: str, client: str) -> Machine:
    """Describe this machine before anything is measured."""
    available = available_cores()
    split = split_cores(1, available)
    pinned = "one core only, shared by server and client"
    if not split.shared:
        pinned = f"one worker on core {split.server[0]}, the client on {', '.join(map(str, split.client))}"
    return Machine(
        cpu=read_cpu_model(),
        cores=len(available),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages={name: importlib.metadata.version(name) for name in _PACKAGES},
        version=version,
        commit=read_commit(),
        load_average=round(os.getloadavg()[0], 2),
        client=client,
        pinned=pinned,
    )
