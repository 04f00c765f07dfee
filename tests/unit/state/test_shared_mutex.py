"""The mutex in mapped memory: over processes and threads, and when its holder is killed; with and without robust mutexes."""

import mmap
import os
import signal
import threading
from pathlib import Path

import pytest

from llmsim.state import shared_mutex
from llmsim.state.shared_mutex import SharedMutex, make_mutex

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture(params=["robust", "flock"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a mutex, of each kind."""
    if request.param == "flock":
        monkeypatch.setattr(shared_mutex, "HAS_ROBUST", False)
    elif not shared_mutex.HAS_ROBUST:
        pytest.skip("the system has no robust mutexes")
    path = tmp_path / "memory"
    path.write_bytes(bytes(mmap.PAGESIZE))
    make_mutex(path)
    return path


def open_memory(path: Path) -> tuple[int, mmap.mmap]:
    """Open the file for one process."""
    file = os.open(path, os.O_RDWR)
    return file, mmap.mmap(file, mmap.PAGESIZE)


def open_mutex(path: Path) -> SharedMutex:
    """Open the mutex of the file likewise."""
    file, table = open_memory(path)
    return SharedMutex(table, path, file)


def lock(mutex: SharedMutex) -> None:
    """Lock it, however long that takes."""
    if status := mutex.acquire():
        mutex.wait(status)


def count(path: Path, times: int) -> None:
    """Add to a number in the memory, in two steps."""
    mutex = open_mutex(path)
    for _ in range(times):
        lock(mutex)
        number = int.from_bytes(mutex.table[0:8], "little") + 1
        os.sched_yield()
        mutex.table[0:8] = number.to_bytes(8, "little")
        mutex.release()


def test_processes_exclude_each_other(path: Path) -> None:
    """LIM-2.2: Nothing is lost of what several processes add up."""
    pids = []
    for _ in range(3):
        if not (pid := os.fork()):
            count(path, 2000)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)

    assert int.from_bytes(path.read_bytes()[:8], "little") == 6000


def test_threads_exclude_each_other(path: Path) -> None:
    """LIM-2.2: A thread that waits for another one of its process lets it go on."""
    mutex, order = open_mutex(path), []
    lock(mutex)

    def wait() -> None:
        lock(mutex)
        order.append("second")
        mutex.release()

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.1)
    order.append("first")
    mutex.release()
    thread.join(10)

    assert order == ["first", "second"]


def test_killed_process_releases_it(path: Path) -> None:
    """LIM-2.7: Whatever its holder was at when it was killed, the next one has it, again and again."""
    mutex = open_mutex(path)
    for _ in range(3):
        if not (pid := os.fork()):
            held = open_mutex(path)
            lock(held)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        for _ in range(2):
            lock(mutex)
            mutex.release()


def test_damaged_mutex_is_an_error(path: Path) -> None:
    """LIM-2.1: A mutex that cannot be taken over raises the error of the system."""
    with pytest.raises(OSError, match=r"not recoverable|Invalid"):
        open_mutex(path).wait(131)


def test_mutex_of_a_stopped_process_is_waited_for_no_longer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LIM-2.1: A process that holds it and does not go on costs others an error, not their time."""
    if not shared_mutex.HAS_ROBUST:
        pytest.skip("flock waits")
    monkeypatch.setattr(shared_mutex, "_LONGEST_WAIT", 0.05)
    lock(open_mutex(path))

    with pytest.raises(OSError, match="timed out"):
        lock(open_mutex(path))
