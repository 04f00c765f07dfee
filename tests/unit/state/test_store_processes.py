"""The shared store among processes: at once, exact, and whoever is killed; and its file."""

import itertools
import multiprocessing
import os
import random
import signal
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.records import RecordStore

from llmsim.config import StoreSettings
from llmsim.errors import LlmsimError, StoreError
from llmsim.state import database
from llmsim.state.ports import Record

# Python 3.12 warns of a fork beside threads (xdist has some); a worker of gunicorn is such a fork.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

FORK = multiprocessing.get_context("fork")

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]

Work = Callable[[Callable[[], None]], object]
"""What a child does; its argument sends one byte to the parent."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "1.store"


@pytest.fixture
def store(path: Path) -> Iterator[RecordStore]:
    store = RecordStore(path, StoreSettings())
    yield store
    store.database.close()


def record(name: str, data: bytes = b"") -> Record:
    return Record(id=name, kind="response", created=1.0, model="gpt-5", metadata={}, data=data)


def numbered(name: str) -> Record:
    """Make a record whose data show whether it is whole."""
    return record(name, (name.encode() + b"\n") * 300)


def grown(one: Record) -> Record:
    return msgspec.structs.replace(one, data=one.data + b"x")


def count(store: RecordStore) -> int:
    """Return how many records there are; check that the file is sound and its totals are exact."""
    query = "SELECT records, bytes, (SELECT count(*) FROM record), (SELECT coalesce(sum(size), 0) FROM record) FROM totals"
    (verdict,) = store.database.run(
        lambda connection: connection.execute("PRAGMA integrity_check").fetchone()
    )
    records, size, *counted = store.database.run(lambda connection: connection.execute(query).fetchone())
    assert verdict == "ok"
    assert [records, size] == counted
    return int(records)


class Child:
    """A fork that sends single bytes, and exits without tidying up.

    Args:
        work: What it does.
    """

    def __init__(self, work: Work) -> None:
        self._reported, report = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                work(lambda: self._report(report))
                status = 0
            finally:
                os._exit(status)
        os.close(report)

    @staticmethod
    def _report(pipe: int) -> None:
        os.write(pipe, b"x")

    def wait(self, tellings: int = 1) -> None:
        """Wait until it has sent so many bytes more."""
        while tellings:
            got = len(os.read(self._reported, tellings))
            assert got, "the child is gone"
            tellings -= got

    def kill(self) -> int:
        """Kill it; return how many bytes it sent that nobody waited for."""
        os.kill(self.pid, signal.SIGKILL)
        return self.end()[0]

    def end_without_children(self) -> int:
        """Wait for its end, not for that of its children; give its exit status."""
        os.close(self._reported)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def end(self) -> tuple[int, int]:
        """Wait for its end; return how many bytes it sent that nobody waited for, and its exit status."""
        left = 0
        while got := len(os.read(self._reported, 65536)):
            left += got
        os.close(self._reported)
        return left, os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def together(store: RecordStore, processes: int, work: Callable[[int], Any]) -> list[Any]:
    """Have processes do their work at the same time; give what it gave."""
    start = FORK.Barrier(processes)
    results = FORK.SimpleQueue()

    def run(number: int) -> None:
        start.wait()
        given = None
        try:
            given = work(number)
        finally:
            results.put(given)
            store.database.close()

    workers = [FORK.Process(target=run, args=(number,)) for number in range(processes)]
    for worker in workers:
        worker.start()
    given = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * processes
    return given


def test_what_one_puts_another_finds_at_once(store: RecordStore) -> None:
    """STATE-4.1: A record can be found, changed and deleted by any process as soon as its put is done."""
    here, there = FORK.Pipe()

    def answer() -> None:
        for name in iter(there.recv, None):
            found = store.get("response", name)
            store.edit("response", name, grown)
            there.send((found, store.delete("response", name + "-")))

    child = FORK.Process(target=answer)
    child.start()
    there.close()
    for number in range(100):
        one = numbered(str(number))
        store.put(one)
        store.put(record(f"{number}-"))
        here.send(one.id)

        assert here.recv() == (one, True)
        assert store.get("response", one.id) == grown(one)
        assert store.get("response", f"{number}-") is None
    here.send(None)
    child.join()


def test_puts_of_many_processes_are_all_there(store: RecordStore) -> None:
    """STATE-4.2: Four processes that put 200 records each leave 800, each whole."""

    def put(process: int) -> None:
        for number in range(200):
            store.put(numbered(f"{process}-{number}"))

    together(store, 4, put)

    assert count(store) == 800
    for name in (f"{process}-{number}" for process in range(4) for number in range(200)):
        assert store.get("response", name) == numbered(name)


def test_bounds_hold_whoever_puts(path: Path) -> None:
    """STATE-4.2: However many put at once, the bounds hold, and each record is there or reported as evicted once."""
    store = RecordStore(path, StoreSettings(max_records=100))

    def put(process: int) -> int:
        return sum(store.put(numbered(f"{process}-{number}")) for number in range(300))

    evicted = together(store, 4, put)
    left = count(store)
    store.database.close()

    assert left <= 100
    assert sum(evicted) + left == 1200


def test_no_edit_is_lost(store: RecordStore) -> None:
    """STATE-4.2: Edits of one record by several processes come one after another."""
    store.put(record("a"))
    together(store, 4, lambda _: [store.edit("response", "a", grown) for _ in range(200)])

    assert store.get("response", "a") == record("a", b"x" * 800)


def test_a_record_is_deleted_once(store: RecordStore) -> None:
    """STATE-4.2: Of several processes that delete a record, one learns that it was there."""
    for number in range(200):
        store.put(record(str(number)))
    deleted = together(store, 4, lambda _: [n for n in range(200) if store.delete("response", str(n))])

    assert sorted(number for numbers in deleted for number in numbers) == list(range(200))
    assert count(store) == 0


def test_threads_share_a_store(path: Path) -> None:
    """STATE-4.2: Threads that put, edit and read at the same time are served one after another."""
    store = RecordStore(path, StoreSettings(max_records=50))
    store.put(record("a"))
    start = threading.Barrier(8)

    def work(thread: int) -> int:
        start.wait()
        evicted = 0
        for number in range(50):
            evicted += store.put(numbered(f"{thread}-{number}"))
            found = store.get("response", f"{thread}-{number}")
            assert found in (None, numbered(f"{thread}-{number}"))
            store.page("response", limit=3)
        return evicted

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            evicted = sum(pool.map(work, range(8)))
    finally:
        sys.setswitchinterval(interval)

    assert evicted + count(store) == 401
    store.database.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_writers_leave_it_whole(path: Path, seed: int) -> None:
    """STATE-4.3: With writers killed at any instant, the file stays sound, its totals exact, its bounds kept, its records whole."""
    dice = random.Random(seed)
    limits = StoreSettings(max_records=70, max_bytes=70_000)
    store = RecordStore(path, limits)

    def write(seed: int) -> Work:
        def work(report: Callable[[], None]) -> None:
            dice = random.Random(seed)
            while True:
                name = str(dice.randrange(100))
                match dice.randrange(8):
                    case 0:
                        store.delete("response", name)
                    case 1:
                        store.edit("response", name, lambda one: numbered(one.id))
                    case _:
                        one = numbered(name)
                        store.put(msgspec.structs.replace(one, data=one.data * dice.randrange(6)))
                report()

        return work

    writers = [Child(write(dice.getrandbits(32))) for _ in range(2)]
    for _ in range(25):
        victim = writers.pop(0)
        victim.wait(dice.randrange(1, 120))
        victim.kill()
        store.put(numbered("survivor"))
        # The other writer may have evicted it meanwhile.
        assert store.get("response", "survivor") in (None, numbered("survivor"))
        writers.append(Child(write(dice.getrandbits(32))))
    for writer in writers:
        writer.kill()

    assert count(store) <= 70
    found, more = store.page("response", limit=100)
    assert not more
    for one in found:
        line = one.id.encode() + b"\n"
        assert one.data == line * (len(one.data) // len(line))
        assert len(one.data) // len(line) % 300 == 0
    store.database.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_put_outlives_its_putter(path: Path, seed: int) -> None:
    """STATE-4.3: Of a killed process every put that was done is there, and at most the one that was not."""
    dice = random.Random(seed)
    store = RecordStore(path, StoreSettings(max_records=1_000_000))

    def put(life: int) -> Work:
        def work(report: Callable[[], None]) -> None:
            for number in itertools.count():
                store.put(numbered(f"{life}-{number}"))
                report()

        return work

    children = [Child(put(0))]
    for life in range(10):
        children.append(Child(put(life + 1)))
        child = children.pop(0)
        waited = dice.randrange(1, 200)
        child.wait(waited)
        done = waited + child.kill()
        there = [store.get("response", f"{life}-{number}") for number in range(done + 2)]

        assert there[:done] == [numbered(f"{life}-{number}") for number in range(done)]
        assert there[done] in (None, numbered(f"{life}-{done}"))
        assert there[done + 1] is None
    children[0].kill()

    count(store)
    store.database.close()


def test_who_is_killed_in_the_lock_lets_go(store: RecordStore) -> None:
    """STATE-4.3: A process killed in the middle of a write has changed nothing, and blocks no other."""
    store.put(record("a"))
    child = held_by_a_child(store)
    child.kill()

    assert store.put(record("b")) == 0
    assert store.edit("response", "a", grown) == 0
    assert count(store) == 2


def held_by_a_child(store: RecordStore, *, put: bool = False) -> Child:
    """Start a child that stops in the middle of a write of record `a`, which it puts first if wanted."""

    def hold(report: Callable[[], None]) -> None:
        if put:
            store.put(record("a"))

        def work(connection: sqlite3.Connection) -> None:
            with database.transaction(connection):
                connection.execute("UPDATE record SET data = x'00'")
                report()
                signal.pause()

        store.database.run(work)

    child = Child(hold)
    child.wait()
    return child


def test_readers_do_not_wait_for_a_writer(store: RecordStore) -> None:
    """STATE-4.4: While another process is in the middle of a change, everything can be read as it was before."""
    store.put(record("a"))
    child = held_by_a_child(store)

    assert store.get("response", "a") == record("a")
    assert store.page("response", limit=1) == ([record("a")], False)
    child.kill()


def test_writers_do_not_wait_for_ever(
    store: RecordStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STATE-4.5: When a process that writes does not go on, the others get an error after a while; later it works again."""
    monkeypatch.setattr(database, "_MAX_WAIT", 0.01)
    store.put(record("a"))
    child = held_by_a_child(store)
    for attempt in (
        lambda: store.put(record("b")),
        lambda: store.edit("response", "a", grown),
        lambda: store.delete("response", "a"),
    ):
        with pytest.raises(StoreError, match="database is locked") as refusal:
            attempt()
        assert str(path) in str(refusal.value)
    child.kill()

    assert store.put(record("b")) == 0
    assert count(store) == 2


@pytest.mark.parametrize("attempt", range(3))
def test_all_may_open_it_at_once(path: Path, attempt: int) -> None:
    """STATE-4.6: Many processes that come first at the same time find one store."""
    store = RecordStore(path, StoreSettings())
    together(store, 12, lambda process: store.put(record(str(process))))

    assert count(store) == 12
    store.database.close()


def test_a_store_may_be_used_before_and_after_a_fork(store: RecordStore) -> None:
    """STATE-4.7: A parent, its children and theirs use one object, in any order."""
    store.put(record("before"))

    def work(report: Callable[[], None]) -> None:
        # SQLite forbids to carry a connection over a fork; what it would break seldom shows.
        assert store.database._connection is None
        assert store.get("response", "before") == record("before")
        store.put(record("child"))
        grandchild = Child(lambda report: store.put(record("grandchild")))
        assert grandchild.end() == (0, 0)
        store.put(record("child again"))

    child = Child(work)
    store.put(record("parent"))
    assert child.end() == (0, 0)
    store.put(record("parent again"))

    assert count(store) == 6


def test_a_child_outlives_its_parent(store: RecordStore) -> None:
    """STATE-4.7: A child whose parent had used the store, and is gone, goes on beside those that come later."""
    here, there = FORK.Pipe()

    def have_a_child(report: Callable[[], None]) -> None:
        def work(report: Callable[[], None]) -> None:
            for name in iter(there.recv, None):
                store.put(record(name))
                there.send(store.get("response", "other"))

        store.put(record("parent"))
        Child(work)

    assert Child(have_a_child).end_without_children() == 0
    there.close()
    here.send("orphan")
    assert here.recv() is None
    store.put(record("other"))
    here.send("orphan again")
    assert here.recv() == record("other")
    here.send(None)

    assert count(store) == 4


def test_a_fork_waits_for_the_threads(store: RecordStore) -> None:
    """STATE-4.7: A fork beside a thread that uses the store harms neither side."""
    going = True
    started = threading.Event()

    def put() -> int:
        number = 0
        while going:
            store.put(numbered(f"thread-{number}"))
            number += 1
            started.set()
        return number

    with ThreadPoolExecutor(1) as pool:
        puts = pool.submit(put)
        started.wait()
        children = [Child(lambda report, n=n: store.put(record(f"child-{n}"))) for n in range(20)]
        ends = [child.end() for child in children]
        going = False

    assert ends == [(0, 0)] * 20
    assert count(store) == 20 + puts.result()


def test_a_restart_begins_with_nothing(store: RecordStore) -> None:
    """STATE-5.1: A new start of the server has no records of the last one, also where that one was killed."""
    store.put(record("a"))
    Child(lambda report: store.put(record("b"))).end()
    store.database.restart()

    assert store.get("response", "a") is None
    assert count(store) == 0


def test_a_restart_takes_whatever_is_there(path: Path) -> None:
    """STATE-5.1: What stands in the file's place, and beside it, is replaced."""
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).write_bytes(b"not a database, but long enough to be one" * 100)
    store = RecordStore(path, StoreSettings())
    store.database.restart()
    store.put(record("a"))

    assert count(store) == 1
    store.database.close()


def test_nothing_is_left_of_it(store: RecordStore, path: Path) -> None:
    """STATE-5.2: Removing the store removes all of its files; doing so twice is no error."""
    store.put(record("a"))
    assert len(list(path.parent.iterdir())) == 4
    store.database.remove()
    store.database.remove()

    assert list(path.parent.iterdir()) == []


def test_nothing_is_left_of_the_killed(store: RecordStore, path: Path) -> None:
    """STATE-5.2: What processes that were killed have left beside the file goes with it."""
    child = held_by_a_child(store, put=True)
    child.kill()
    assert len(list(path.parent.iterdir())) == 4
    store.database.remove()

    assert list(path.parent.iterdir()) == []


def test_closing_it_is_not_the_end(store: RecordStore) -> None:
    """STATE-5.3: What was closed is opened again when it is used; closing it twice is no error."""
    store.put(record("a"))
    store.database.close()
    store.database.close()

    assert store.get("response", "a") == record("a")


def test_nobody_else_can_read_it(store: RecordStore, path: Path) -> None:
    """STATE-5.4: All of its files are their owner's alone."""
    mask = os.umask(0)
    try:
        store.put(record("a"))
    finally:
        os.umask(mask)

    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    names = (path.name, f"{path.name}-wal", f"{path.name}-shm", "1.opening")
    assert modes == dict.fromkeys(names, 0o600)


def test_what_is_no_store_is_reported(path: Path) -> None:
    """STATE-5.5: A directory in the place of the file, and one that is not there, are refused by name, with the reason."""
    path.mkdir()
    for place, reason in ((path, "unable to open"), (path.parent / "no" / "1.store", "No such file")):
        with pytest.raises(StoreError, match=reason) as refusal:
            RecordStore(place, StoreSettings()).get("response", "a")
        assert str(place) in str(refusal.value)
        assert isinstance(refusal.value, LlmsimError)


def test_a_full_disk_is_reported(store: RecordStore, path: Path) -> None:
    """STATE-5.5: Where there is no room, a put is refused and has done nothing; with room it works again."""

    def room(pages: int) -> None:
        store.database.run(
            lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        )

    def put_until_it_fails() -> None:
        for number in itertools.count():
            store.put(numbered(str(number)))
            done.append(number)

    done: list[int] = []
    store.put(record("a"))
    room(20)
    with pytest.raises(StoreError, match=r"full.*store.max_bytes.*server.run_dir") as refusal:
        put_until_it_fails()
    assert str(path) in str(refusal.value)
    assert count(store) == 1 + len(done)
    with pytest.raises(StoreError):
        store.edit("response", "a", lambda one: record("a", b"x" * 50_000))
    assert store.get("response", "a") == record("a")
    room(1000)

    assert store.put(numbered("b")) == 0
    assert count(store) == 2 + len(done)


def test_a_mistake_of_ours_is_no_store_error(store: RecordStore) -> None:
    """STATE-5.5: Only what is wrong with the file is reported as that."""
    with pytest.raises(sqlite3.IntegrityError):
        store.put(msgspec.structs.replace(record("a"), created=float("nan")))

    assert count(store) == 0
