"""The block: creating, attaching, releasing and removing it."""

import errno
import itertools
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmsim.errors import StatsError
from llmsim.stats import Block, Outcome, Recorder, block_name, layout, snapshot

SHM = Path("/dev/shm")
linux = pytest.mark.skipif(not SHM.is_dir(), reason="looks at the segment as a file")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return a segment name for this test alone."""
    name = f"llmsim-t{os.getpid()}-{abs(hash(request.node.nodeid)) % 10**8}"
    yield name
    (SHM / name).unlink(missing_ok=True)


def _block(name: str, *, slots: int = 2) -> Block:
    return Block.create(name, endpoints=("completions", "responses"), slots=slots, now=100.0, wall=1.75e9)


def _python(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def _forked(work: Callable[[], object]) -> int:
    """Run `work` in a forked child that then exits; return its process id."""
    with warnings.catch_warnings():
        # From 3.12 on forking with threads is warned of, and a test runner may have some.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    try:
        work()
    finally:
        os._exit(0)


def test_an_instance_is_found_by_its_port() -> None:
    """STATS-1.1: The segment's name follows from the port alone."""
    assert block_name(8080) == "llmsim-8080"


def test_a_reader_sees_what_the_master_wrote(name: str) -> None:
    """STATS-1.1: Labels, slots, start and master are read from the segment; a reader needs no other source."""
    block = _block(name, slots=3)

    found = Block.attach(name)

    assert found.endpoints == ("completions", "responses")
    assert found.layout == block.layout
    assert found.layout.slots == 3
    assert (found.started, found.started_at, found.master) == (100.0, 1.75e9, os.getpid())
    found.close()
    block.close()
    block.unlink()


def test_a_stale_segment_is_replaced(name: str) -> None:
    """STATS-1.3: A block starts from zero, whatever segment had its name."""
    stale = _block(name)
    Recorder(stale, stale.claim(1)).began(0, 101.0)

    fresh = _block(name)

    assert snapshot(Block.attach(name), 102.0).total_requests == 0
    assert snapshot(stale, 102.0).total_requests == 1
    fresh.unlink()


def test_a_predecessor_does_not_remove_its_successor(name: str) -> None:
    """STATS-1.7: A block whose name was taken over leaves the name alone."""
    old = _block(name)
    fresh = _block(name)

    old.unlink()

    assert Block.attach(name).master == os.getpid()
    fresh.unlink()
    with pytest.raises(StatsError):
        Block.attach(name)


def test_only_the_creator_removes_it(name: str) -> None:
    """STATS-1.7: A forked worker or a reader that unlinks removes nothing."""
    block = _block(name)
    pid = _forked(block.unlink)
    os.waitpid(pid, 0)
    Block.attach(name).unlink()

    Block.attach(name).close()
    block.unlink()
    block.unlink()


def test_a_missing_block_says_what_to_do() -> None:
    """STATS-1.4: Where no simulator runs, the message names the port and what to do."""
    with pytest.raises(StatsError) as caught:
        Block.attach(block_name(1))

    assert str(caught.value) == (
        "no llmsim on port 1: start one with `llmsim serve`, or name the port with --port"
    )


@linux
@pytest.mark.parametrize(
    ("word", "value", "message"),
    [
        (layout.HEADER_MAGIC, 0, "is just starting"),
        (layout.HEADER_MAGIC, 7, "not a stats block"),
        (layout.HEADER_VERSION, 99, "writes stats layout 63, and this llmsim reads 8"),
        (layout.HEADER_SLOTS, 10**6, "bytes where"),
        (layout.HEADER_BYTES, 64, "bytes where"),
    ],
)
def test_another_layout_is_refused(name: str, word: int, value: int, message: str) -> None:
    """STATS-1.5: A layout that this version cannot read is refused, and the message says why."""
    block = _block(name)
    block.words[word] = value

    with pytest.raises(StatsError, match=message):
        Block.attach(name)
    block.unlink()


@linux
@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is just starting"), (b"short", "not a stats block"), (b"\1" * 4096, "not a stats block")],
)
def test_a_foreign_segment_is_refused(name: str, content: bytes, message: str) -> None:
    """STATS-1.5: A segment that no llmsim wrote, or that is being created, is refused."""
    (SHM / name).write_bytes(content)

    with pytest.raises(StatsError, match=message):
        Block.attach(name)


def test_another_users_block_says_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """STATS-1.4: A block that may not be read is distinguished from a missing one."""

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("_posixshmem.shm_open", deny)
    with pytest.raises(StatsError, match="belongs to another user"):
        Block.attach(name)
    with pytest.raises(StatsError, match="belongs to another user: stop that user's llmsim"):
        _block(name)


@linux
def test_a_lack_of_memory_fails_the_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """STATS-1.10: A full /dev/shm stops the start with a message, and leaves nothing behind."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(StatsError, match="enlarge /dev/shm"):
        _block(name)
    assert not (SHM / name).exists()


@linux
def test_memory_is_reserved(name: str) -> None:
    """STATS-1.10: Every page of the block is reserved when it is created."""
    block = _block(name)

    assert (SHM / name).stat().st_blocks * 512 >= block.layout.bytes
    block.unlink()


def test_a_readers_exit_leaves_the_segment(name: str) -> None:
    """STATS-1.6: A process that attached, and then another, exit without output, and the segment remains."""
    block = _block(name)
    Recorder(block, block.claim(1)).began(0, 101.0)
    code = (
        "import sys; from llmsim.stats import Block, snapshot\n"
        "print(snapshot(Block.attach(sys.argv[1]), 102.0).total_requests)"
    )

    runs = [_python(code, name) for _ in range(2)]

    assert [(run.stdout, run.stderr, run.returncode) for run in runs] == [("1\n", "", 0)] * 2
    assert snapshot(Block.attach(name), 102.0).total_requests == 1
    block.unlink()


def test_a_killed_reader_leaves_the_segment(name: str) -> None:
    """STATS-1.6: A reader that is killed does not remove it either."""
    block = _block(name)
    code = (
        "import os, sys; from llmsim.stats import Block; Block.attach(sys.argv[1]); os.kill(os.getpid(), 9)"
    )

    assert _python(code, name).returncode == -signal.SIGKILL
    Block.attach(name).close()
    block.unlink()


def test_a_reader_cannot_write(name: str) -> None:
    """STATS-1.6: A reader's block is read-only."""
    block = _block(name)
    block.claim(1)
    found = Block.attach(name)

    with pytest.raises(TypeError, match="read-only"):
        found.words[0] = 1
    with pytest.raises(TypeError, match="read-only"):
        found.set_pid(0, 1)
    block.unlink()


def test_the_creators_exit_is_silent(name: str) -> None:
    """STATS-1.8: A process that ends with recorders and views alive prints nothing, closed or not."""
    code = (
        "import sys, os; from llmsim.stats import Block, Recorder\n"
        "block = Block.create(sys.argv[1], endpoints=('a',), slots=1, now=0.0)\n"
        "recorder = Recorder(block, block.claim(1)); view = block.words[3:9]; octets = memoryview(block.octets)\n"
        "if len(sys.argv) > 2: view.release(); octets.release(); block.close()\n"
        "pid = os.fork()\n"
        "if pid: os.waitpid(pid, 0); block.unlink()\n"
    )

    runs = [_python(code, name), _python(code, name, "close")]

    assert [(run.stdout, run.stderr, run.returncode) for run in runs] == [("", "", 0)] * 2
    with pytest.raises(StatsError):
        Block.attach(name)


def test_closing_with_views_alive_is_silent(name: str) -> None:
    """STATS-1.8: Closing does not fail while a view exists; counting after it does."""
    block = _block(name)
    recorder = Recorder(block, block.claim(1))
    view = memoryview(block.words)[1:3]

    block.close()

    assert view[0] >= 0
    with pytest.raises(ValueError, match="released"):
        recorder.began(0, 1.0)
    block.close()
    block.unlink()


def test_forked_workers_and_master_share_it(name: str) -> None:
    """STATS-1.1: The master and other processes read the counts of forked workers."""
    block = _block(name)
    slots = [block.claim(os.getpid()) for _ in range(2)]

    def work(slot: int) -> None:
        block.set_pid(slot, os.getpid())
        recorder = Recorder(block, slot)
        for _ in range(1000):
            recorder.began(slot, 101.0)

    for pid in [_forked(lambda slot=slot: work(slot)) for slot in slots]:
        os.waitpid(pid, 0)

    stats = snapshot(Block.attach(name), 102.0)

    assert stats.total_requests == 2000
    assert [worker.requests for worker in stats.workers] == [1000, 1000]
    assert len({worker.pid for worker in stats.workers} | {os.getpid()}) == 3
    block.unlink()


def test_reading_while_it_is_written(name: str) -> None:
    """STATS-3.3: Whenever it is read, a busy block adds up; killed at any moment, its worker leaves nothing in flight."""
    block = _block(name)
    slot = block.claim(os.getpid())

    def work() -> None:
        recorder = Recorder(block, slot)
        for number in itertools.count():
            now = 101.0 + number / 1000
            recorder.began(number % 2, now)
            row = recorder.accepted(0, f"model-{number % 80}", streaming=True, prompt_tokens=1)
            recorder.sent(row, 1, now)
            recorder.first_token(row, number % 1000 / 1e4)
            recorder.ended(number % 2, Outcome.FINISHED, number % 1000 / 1e4, now)

    pid = _forked(work)
    found = Block.attach(name)
    seen = [snapshot(found, 102.0) for _ in range(100)]
    while not seen[-1].finished_requests:
        seen.append(snapshot(found, 102.0))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    block.release(slot)

    for stats in seen:
        assert stats.active_requests in (0, 1)
        assert stats.total_requests == stats.finished_requests + stats.active_requests
        assert stats.streaming_requests <= stats.total_requests
        assert all(model == "__other__" or model.startswith("model-") for model in stats.models)
    assert [stats.total_requests for stats in seen] == sorted(stats.total_requests for stats in seen)
    last = snapshot(found, 102.0)
    assert last.active_requests == 0
    assert last.total_requests == last.finished_requests + last.aborted_requests
    assert last.aborted_requests in (0, 1)
    block.unlink()


def test_slots_are_claimed_once() -> None:
    """STATS-2.1: Each claim returns another slot; with none left it fails."""
    block = Block.private(endpoints=("completions",), slots=2, now=0.0)

    assert [block.claim(11), block.claim(12)] == [0, 1]
    with pytest.raises(StatsError, match="all 2 stats slots are taken"):
        block.claim(13)


def test_the_lowest_free_slot_is_claimed() -> None:
    """STATS-2.1: A released slot is claimed before one that was never used."""
    block = Block.private(endpoints=("completions",), slots=4, now=0.0)
    block.claim(11)
    block.claim(12)
    block.release(0)

    assert block.claim(13) == 0


def test_release_counts_requests_in_flight_as_aborted() -> None:
    """STATS-2.3: Requests that a dead worker had begun and not ended are aborted, at their endpoints."""
    block = Block.private(endpoints=("completions", "responses"), slots=2, now=0.0)
    slot, other = block.claim(11), block.claim(12)
    dead, living = Recorder(block, slot), Recorder(block, other)
    for endpoint in (0, 0, 0, 1):
        dead.began(endpoint, 1.0)
    dead.ended(0, Outcome.FINISHED, 0.5, 1.0)
    living.began(0, 1.0)

    block.release(slot)

    stats = snapshot(block, 2.0)
    assert (stats.total_requests, stats.finished_requests, stats.aborted_requests) == (5, 1, 3)
    assert stats.active_requests == 1
    assert (stats.endpoints["completions"]["aborted"], stats.endpoints["responses"]["aborted"]) == (2, 1)


def test_releasing_twice_changes_nothing() -> None:
    """STATS-2.4: A slot that is free, because it was released or never claimed, is not changed."""
    block = Block.private(endpoints=("completions",), slots=2, now=0.0)
    Recorder(block, block.claim(11)).began(0, 1.0)
    block.release(0)
    before = bytes(block.octets)

    block.release(0)
    block.release(1)

    assert bytes(block.octets) == before


def test_a_successor_continues_the_totals() -> None:
    """STATS-2.2: A worker in a released slot continues its predecessor's counts."""
    block = Block.private(endpoints=("completions",), slots=1, now=0.0)
    for pid in (11, 12, 13):
        recorder = Recorder(block, block.claim(pid))
        recorder.began(0, 1.0)
        row = recorder.accepted(0, "gpt-5", streaming=True, prompt_tokens=7)
        recorder.sent(row, 3, 1.0)
        recorder.ended(0, Outcome.FINISHED, pid / 10, 1.0)
        block.release(0)

    stats = snapshot(block, 2.0)

    assert (stats.total_requests, stats.finished_requests, stats.active_requests) == (3, 3, 0)
    assert (stats.prompt_tokens, stats.completion_tokens) == (21, 9)
    assert stats.model_requests == {"gpt-5": 3}
    assert (stats.min_latency_ms, stats.max_latency_ms) == (1100.0, 1300.0)
    assert stats.last_60_seconds.requests[-1] == 3
    [worker] = stats.workers
    assert (worker.slot, worker.pid, worker.alive, worker.requests) == (0, None, False, 3)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ((), "at least one"),
        (("a", "a"), "no duplicates"),
        (("Chat",), "lower case"),
        (("",), "lower case"),
        (("a" * 33,), "at most 32"),
        (("total",), "already a name"),
        (("finished",), "already a name"),
        (("streaming",), "already a name"),
    ],
)
def test_labels_are_names(labels: tuple[str, ...], message: str) -> None:
    """STATS-1.11: A label that is not a name, or repeats one in the JSON, is refused."""
    with pytest.raises(ValueError, match=message):
        Block.private(endpoints=labels, now=0.0)


def test_a_block_has_slots() -> None:
    """STATS-1.11: A block without slots is refused."""
    with pytest.raises(ValueError, match="0 stats slots"):
        Block.private(endpoints=("completions",), slots=0, now=0.0)


def test_a_long_label_is_whole() -> None:
    """STATS-1.11: A label of 32 characters is kept."""
    assert Block.private(endpoints=("a" * 32, "b"), now=0.0).endpoints == ("a" * 32, "b")
