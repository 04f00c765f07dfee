"""Shared counters: unique numbers without gaps, over threads and processes, also when some are killed."""

import asyncio
import fcntl
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.driving import drive
from support.redis_server import ClientMaker, RedisServer

from llmsim.state.counters import FileCounters
from llmsim.state.ports import SharedCounters
from llmsim.state.redis.client import RedisClient
from llmsim.state.redis.counters import RedisCounters

# Python 3.12 warns of a fork beside threads (xdist has some); a worker of gunicorn is such a fork.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "1.counters"


def in_process(work: Callable[[], None]) -> int:
    """Run `work` in a fork that leaves without tidying up; give its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


@pytest.fixture(params=["file", "redis"])
def counters(request: pytest.FixtureRequest, path: Path) -> SharedCounters:
    """Counters of each backend."""
    if request.param == "file":
        return FileCounters(path)
    client: RedisClient = request.getfixturevalue("new_client")()
    return RedisCounters(client)


async def test_sequences_count_from_zero_each_for_itself(counters: SharedCounters) -> None:
    """ARCH-3.8: Each name is a sequence 0, 1, 2, … of its own."""
    assert [await counters.next("request") for _ in range(3)] == [0, 1, 2]
    assert [await counters.next("sequence") for _ in range(2)] == [0, 1]
    assert await counters.next("request") == 3


async def test_hosts_count_together(redis_server: RedisServer, new_client: ClientMaker) -> None:
    """MACH-3.1: The numbers of all hosts are those of one sequence, and another prefix has its own."""
    settings = redis_server.settings()
    one, other = (RedisCounters(new_client(settings)) for _ in range(2))
    apart = RedisCounters(new_client())
    numbers = await asyncio.gather(*(counters.next("request") for counters in (one, other) * 20))

    assert sorted(numbers) == list(range(40))
    assert await apart.next("request") == 0


async def test_several_numbers_are_reserved_at_once(counters: SharedCounters) -> None:
    """ARCH-3.8: The first of them is returned, and the sequence goes on after the last."""
    assert await counters.next("request", 5) == 0
    assert await counters.next("request", 2) == 5
    assert await counters.next("request") == 7


async def test_an_unknown_sequence_is_a_mistake(counters: SharedCounters) -> None:
    """ARCH-3.8: There are no sequences but those that are named."""
    with pytest.raises(ValueError, match="not in tuple"):
        await counters.next("lines")


def test_who_opens_the_file_later_counts_on(path: Path) -> None:
    """ARCH-3.8: The numbers belong to the file, so that a successor takes the next one."""
    drive(FileCounters(path).next("request"))
    drive(FileCounters(path).next("request"))

    assert drive(FileCounters(path).next("request")) == 2


def test_a_restart_begins_at_zero(path: Path) -> None:
    """CHAT-4.4: A new start of the server repeats the numbers of the last one."""
    drive(FileCounters(path).next("request"))
    counters = FileCounters(path)
    counters.restart()

    assert drive(counters.next("request")) == 0


def test_the_file_goes_with_its_server(path: Path) -> None:
    """ARCH-3.8: Taking the file away twice is no error."""
    counters = FileCounters(path)
    drive(counters.next("request"))
    counters.remove()
    counters.remove()

    assert not path.exists()


def test_nobody_else_can_write_the_file(path: Path) -> None:
    """ARCH-3.8: The file is its owner's alone."""
    drive(FileCounters(path).next("request"))

    assert path.stat().st_mode & 0o777 == 0o600


def test_processes_share_out_every_number_once(path: Path) -> None:
    """ARCH-3.8: Four processes that take 500 numbers each take the first 2,000, each once."""
    counters = FileCounters(path)
    results = FORK.SimpleQueue()

    def take() -> None:
        results.put([drive(counters.next("request")) for _ in range(500)])

    takers = [FORK.Process(target=take) for _ in range(4)]
    for taker in takers:
        taker.start()
    taken = [results.get() for _ in takers]
    for taker in takers:
        taker.join()

    assert sorted(number for numbers in taken for number in numbers) == list(range(2000))
    assert all(numbers == sorted(numbers) for numbers in taken)


def test_threads_share_out_every_number_once(path: Path) -> None:
    """ARCH-3.7: Requests that are planned off the loop take their numbers beside those planned on it."""
    counters = FileCounters(path)
    start = threading.Barrier(8)

    def take(_: int) -> list[int]:
        start.wait()
        return [drive(counters.next("request")) for _ in range(500)]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(take, range(8)))
    finally:
        sys.setswitchinterval(interval)

    assert sorted(number for numbers in taken for number in numbers) == list(range(4000))


def test_a_killed_holder_holds_nobody_up(path: Path) -> None:
    """ARCH-3.8: Processes killed while they take numbers leave the others free to go on, with no number twice."""
    reported, report = os.pipe()

    def take_for_ever() -> None:
        counters = FileCounters(path)
        drive(counters.next("request"))
        os.write(report, b"x")
        while True:
            drive(counters.next("request"))

    for _ in range(8):
        pid = in_process(take_for_ever)
        os.read(reported, 1)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os.close(reported)
    os.close(report)
    survivor = FileCounters(path)
    first = drive(survivor.next("request"))

    assert first >= 8
    assert [drive(survivor.next("request")) for _ in range(3)] == [first + 1, first + 2, first + 3]


def test_a_holder_killed_inside_the_lock_lets_go(path: Path) -> None:
    """ARCH-3.8: The lock of a process that died with it is free."""
    reported, report = os.pipe()

    def hold() -> None:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        os.write(report, b"x")
        signal.pause()

    pid = in_process(hold)
    os.read(reported, 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reported)
    os.close(report)

    assert drive(FileCounters(path).next("request")) == 0
