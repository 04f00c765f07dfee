"""The limits that all workers share: admission over processes, also when some are killed, and bounded memory."""

import contextlib
import fcntl
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.driving import drive

from llmsim.domain.quota import Amounts, Limits, limits_of
from llmsim.errors import StoreError
from llmsim.state.quotas import FileQuotaStore

# Python 3.12 warns of a fork beside threads (xdist has some); a worker of gunicorn is such a fork.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

FORK = multiprocessing.get_context("fork")
ONE: Amounts = (1, 10, 10, 0, 1)
KEY = b"k" * 16


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "1.quotas"


def open_store(path: Path, clock: Callable[[], float], most: int = 64, holders: int = 4) -> FileQuotaStore:
    return FileQuotaStore(path, clock, most, holders)


def admits(store: FileQuotaStore, limits: Limits, key: bytes = KEY) -> bool:
    return drive(store.admit(key, limits, ONE)).exceeded is None


def key(number: int) -> bytes:
    return number.to_bytes(16, "little")


def test_limit_counts_down_and_comes_back(path: Path, clock: Clock) -> None:
    """LIM-2.1: Three requests a minute are three at once, and one each 20 seconds."""
    store, limits = open_store(path, clock), limits_of((3, 0, 0, 0, 0))

    assert [admits(store, limits) for _ in range(4)] == [True, True, True, False]
    clock.now += 19.9
    assert not admits(store, limits)
    clock.now += 0.1001
    assert [admits(store, limits) for _ in range(2)] == [True, False]


def test_keys_and_models_are_apart(path: Path, clock: Clock) -> None:
    """LIM-2.1: What one key has used is not missing to another."""
    store, limits = open_store(path, clock), limits_of((1, 0, 0, 0, 0))

    assert [admits(store, limits, key(number)) for number in (1, 2, 1, 2)] == [True, True, False, False]


def test_a_client_that_waits_as_asked_is_admitted(path: Path, clock: Clock) -> None:
    """LIM-2.3: In 1,000 of 1,000 trials, with any limit and time of the clock."""
    store = open_store(path, clock)
    for trial in range(1000):
        limits = limits_of((trial % 7 + 1, 10 * (trial % 11 + 1), 0, 0, 0))
        clock.now += 61 + trial / 977
        while (exceeded := drive(store.admit(KEY, limits, ONE)).exceeded) is None:
            clock.now += 0.000_7
        assert exceeded.wait_ms is not None
        clock.now += exceeded.wait_ms / 1000 + 1e-6
        assert admits(store, limits)


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.floats(0, 30)), max_size=40))
def test_stores_of_one_file_act_as_one(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, bool, float]]
) -> None:
    """LIM-2.2: Whichever worker is asked, the answers are those of one store."""
    directory = tmp_path_factory.mktemp("quotas")
    clock, limits = Clock(), limits_of((5, 70, 0, 0, 9), 2)
    alone = open_store(directory / "1.quotas", clock)
    together = [open_store(directory / "2.quotas", clock) for _ in range(3)]
    for index, releases, seconds in asked:
        if releases:
            drive(alone.release(KEY))
            drive(together[index].release(KEY))
        clock.now += seconds
        one, other = drive(alone.admit(KEY, limits, ONE)), drive(together[index].admit(KEY, limits, ONE))
        assert one == other
    for store in (alone, *together):
        store.remove()


def test_charges_may_exceed_what_is_left(path: Path, clock: Clock) -> None:
    """LIM-2.5: Output that is generated counts in any case; the next request waits for it."""
    store, limits = open_store(path, clock), limits_of((0, 0, 0, 60, 0))

    drive(store.charge(KEY, limits, (0, 90, 0, 90, 0)))
    exceeded = drive(store.admit(KEY, limits, ONE)).exceeded

    assert exceeded is not None
    assert (exceeded.kind, exceeded.wait_ms) == ("output_tpm", 31_000)


def test_status_books_nothing(path: Path, clock: Clock) -> None:
    """LIM-3.1: What is left can be read, also of a key that has not been used."""
    store, limits = open_store(path, clock), limits_of((3, 0, 0, 0, 0))

    assert drive(store.status(KEY, limits)).rates()[0][1] == 3
    admits(store, limits)
    assert [drive(store.status(KEY, limits)).rates()[0][1] for _ in range(2)] == [2, 2]


def test_threads_share_the_limit(path: Path, clock: Clock) -> None:
    """LIM-2.2: Threads of a process do not admit more together than one would."""
    store, limits = open_store(path, clock), limits_of((100, 0, 0, 0, 0))

    with ThreadPoolExecutor(4) as pool:
        admitted = sum(pool.map(lambda _: admits(store, limits), range(200)))

    assert admitted == 100


def run_workers(work: Callable[[int], None], count: int) -> list[int]:
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                work(number)
            finally:
                os._exit(0)
        pids.append(pid)
    return pids


def test_processes_share_the_limit(path: Path, clock: Clock) -> None:
    """LIM-2.2: Four workers admit exactly the limit, though the store was open before they were forked."""
    store, limits = open_store(path, clock), limits_of((500, 0, 0, 0, 0))
    store.open()
    reading, writing = os.pipe()

    def work(_: int) -> None:
        admitted = sum(admits(store, limits) for _ in range(200))
        os.write(writing, b"%4d" % admitted)

    for pid in run_workers(work, 4):
        os.waitpid(pid, 0)

    assert sum(int(os.read(reading, 4)) for _ in range(4)) == 500
    os.close(reading)
    os.close(writing)


def test_killed_processes_leave_the_limit_as_it_is(path: Path, clock: Clock) -> None:
    """LIM-2.7: Workers that are killed at any instant keep nobody waiting, and nothing that they booked is lost."""
    store, limits = open_store(path, clock), limits_of((1_000_000, 0, 0, 0, 0))
    reading, writing = os.pipe()

    def work(_: int) -> None:
        while True:
            admits(store, limits)
            os.write(writing, b"a")

    booked = 0
    for _ in range(5):
        pids = run_workers(work, 2)
        booked += len(os.read(reading, 50))
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.set_blocking(reading, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                booked += len(os.read(reading, 4096))
        os.set_blocking(reading, True)

    used = 1_000_000 - drive(store.status(KEY, limits)).rates()[0][1]
    # A worker may have been killed between its booking and its report.
    assert booked <= used <= booked + 10
    assert admits(store, limits)
    os.close(reading)
    os.close(writing)


def test_concurrency_is_held_and_released(path: Path, clock: Clock) -> None:
    """LIM-2.6: Two at a time; the third gets in when one has ended, and is not asked to wait for a time."""
    store, limits = open_store(path, clock), limits_of((0, 0, 0, 0, 0), 2)

    assert [admits(store, limits) for _ in range(3)] == [True, True, False]
    exceeded = drive(store.admit(KEY, limits, ONE)).exceeded
    assert exceeded is not None
    assert (exceeded.kind, exceeded.used, exceeded.wait) == ("concurrency", 2, None)
    drive(store.release(KEY))
    assert [admits(store, limits) for _ in range(2)] == [True, False]


def test_a_request_beyond_the_concurrency_takes_nothing_of_rates(path: Path, clock: Clock) -> None:
    """LIM-2.1: All limits allow it, or none counts it."""
    store, limits = open_store(path, clock), limits_of((10, 0, 0, 0, 0), 1)

    assert [admits(store, limits) for _ in range(5)] == [True, False, False, False, False]
    assert drive(store.status(KEY, limits)).rates()[0][1] == 9


def test_requests_of_a_killed_process_are_given_back(path: Path, clock: Clock) -> None:
    """LIM-2.6: What a killed worker held is free; what others hold is not."""
    store, limits = open_store(path, clock), limits_of((0, 0, 0, 0, 0), 3)
    assert admits(store, limits)
    held, parent = FORK.Event(), threading.Event()

    def work(_: int) -> None:
        admits(store, limits)
        admits(store, limits)
        held.set()
        parent.wait()

    (pid,) = run_workers(work, 1)
    held.wait()
    assert not admits(store, limits)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    # What was seen alive counts as alive for a moment.
    store._holders._alive.clear()

    assert [admits(store, limits) for _ in range(3)] == [True, True, False]


def test_a_million_keys_take_no_more_memory(path: Path, clock: Clock) -> None:
    """LIM-2.7: The file is as large after many keys as after one, and those in use are kept."""
    store, limits = open_store(path, clock, most=4096), limits_of((1, 0, 0, 0, 0))
    busy = limits_of((0, 0, 0, 0, 1))
    admits(store, busy)
    size = path.stat().st_size

    for number in range(20_000):
        drive(store.admit(key(number * 7919), limits, ONE))
        clock.now += 0.05

    assert path.stat().st_size == size
    assert not admits(store, busy)


def test_held_requests_are_not_forgotten(path: Path, clock: Clock) -> None:
    """LIM-2.6: A key whose requests are in progress is kept before one that has used its rates."""
    store, limits = open_store(path, clock, most=8), limits_of((0, 0, 0, 0, 0), 1)
    admits(store, limits)

    for number in range(50):
        admits(store, limits_of((1, 0, 0, 0, 0)), key(number))

    assert not admits(store, limits)


def test_workers_after_a_reload_follow_the_file(path: Path, clock: Clock) -> None:
    """LIM-2.7: Workers with other settings share what the first has made."""
    limits = limits_of((1, 0, 0, 0, 0))
    old, new = open_store(path, clock, most=64), open_store(path, clock, most=1024, holders=9)
    old.open()
    new.open()

    assert [admits(old, limits), admits(new, limits)] == [True, False]


@pytest.mark.parametrize(
    "harm", [os.unlink, lambda path: os.truncate(path, 100), lambda path: os.truncate(path, 0)]
)
def test_a_damaged_file_is_made_anew(path: Path, clock: Clock, harm: Callable[[Path], None]) -> None:
    """LIM-2.7: A file that was removed or truncated costs what was used, not the worker."""
    store, limits = open_store(path, clock), limits_of((1, 0, 0, 0, 0))
    admits(store, limits)
    harm(path)
    store._check_at = 0.0

    assert [admits(store, limits) for _ in range(2)] == [True, False]


def test_clock_that_is_set_back_does_not_stop_the_refill(path: Path, clock: Clock) -> None:
    """LIM-2.3: After the clock was set back an hour the limit comes back in its time."""
    store, limits = open_store(path, clock), limits_of((1, 0, 0, 0, 0))
    admits(store, limits)
    clock.now -= 3600

    assert not admits(store, limits)
    clock.now += 60.001
    assert admits(store, limits)


def test_unusable_file_is_named(tmp_path: Path, clock: Clock) -> None:
    """LIM-2.1: Where limits cannot be kept, requests get the error of a store that cannot be used."""
    (tmp_path / "1.quotas").mkdir()

    with pytest.raises(StoreError, match=r"1\.quotas"):
        admits(open_store(tmp_path / "1.quotas", clock), limits_of((1, 0, 0, 0, 0)))


def test_lock_is_not_shared_with_a_fork(path: Path, clock: Clock) -> None:
    """LIM-2.2: A process that was forked waits for its parent's lock."""
    store, limits = open_store(path, clock), limits_of((5, 0, 0, 0, 0))
    store.open()
    fcntl.flock(store._file, fcntl.LOCK_EX)
    reading, writing = os.pipe()

    def work(_: int) -> None:
        admits(store, limits)
        os.write(writing, b"a")

    (pid,) = run_workers(work, 1)
    os.set_blocking(reading, False)
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    fcntl.flock(store._file, fcntl.LOCK_UN)
    os.waitpid(pid, 0)

    assert os.read(reading, 1) == b"a"
    os.close(reading)
    os.close(writing)
