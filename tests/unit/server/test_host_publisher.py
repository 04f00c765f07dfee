"""Which worker publishes for its host, and what becomes of instances that have ended."""

import os
import time

import pytest
from support.redis_server import ClientMaker

from llmsim.server.host_publisher import HostPublisher, _encode_block, _fold_ended, read_fleet
from llmsim.state.host_port import HostEntry
from llmsim.state.redis.hosts import RedisHostStore
from llmsim.state.redis.pushes import Pushes
from llmsim.stats import Block, Gauges, Outcome, Recorder


@pytest.fixture
def store(new_client: ClientMaker) -> RedisHostStore:
    """The store of a host."""
    client = new_client()
    return RedisHostStore(client, Pushes(client), "a")


def _block(slots: int) -> Block:
    block = Block.private(endpoints=("completions",), slots=slots, now=time.monotonic())
    for _ in range(slots):
        block.set_pid(block.claim(os.getpid()), os.getpid())
    return block


def test_the_first_worker_that_lives_publishes(store: RedisHostStore) -> None:
    """MACH-5.1: Of the workers that have given a sign of life lately the one in the lowest slot publishes."""
    block = _block(3)

    def first() -> list[bool]:
        return [HostPublisher(block, slot, 8080, store)._is_first() for slot in range(3)]

    assert first() == [True, True, True]
    for slot in range(3):
        Gauges(block, slot, 0.0).record_pulse(time.monotonic(), cpu=0.0, wait=0.0)
    assert first() == [True, False, False]
    Gauges(block, 0, 0.0).record_pulse(time.monotonic() - 10.0, cpu=0.0, wait=0.0)
    assert first() == [True, True, False]
    block.release(1)
    assert first() == [True, True, True]


async def test_instances_that_have_ended_are_bounded(store: RedisHostStore) -> None:
    """MACH-5.4: Of many instances that have ended the oldest are folded into one, and the sums are as before."""
    block = _block(1)
    recorder = Recorder(block, 0)
    for number in range(70):
        recorder.began(0, time.monotonic())
        row = recorder.accepted(0, "gpt-5", streaming=True, prompt_tokens=number)
        if number % 2:
            recorder.ended(0, Outcome.FINISHED, 0.5, time.monotonic(), row)
        await store.publish(f"{number}", _encode_block(block), number=0)
        await store.finish("a", f"{number}", _encode_block(block))
    before = (await read_fleet(store)).stats

    await _fold_ended(store, await store.read())
    await _fold_ended(store, await store.read())
    after = (await read_fleet(store)).stats

    assert len(await store.read()) == 33
    assert before.hosts is not None
    assert after.hosts is not None
    assert [(host.host, host.starts) for host in before.hosts] == [("a", 70)]
    assert [(host.host, host.starts) for host in after.hosts] == [("a", 32), ("former hosts", None)]
    assert after.request_counts == before.request_counts
    assert after.latency == before.latency
    assert before.total_requests == sum(range(1, 71))
    assert before.active_requests == 0


@pytest.mark.parametrize(("name", "is_final", "warnings"), [("a", False, 1), ("a", True, 0), ("b", False, 0)])
async def test_a_host_of_the_same_name_is_warned_of_once(
    name: str, is_final: bool, warnings: int, store: RedisHostStore, caplog: pytest.LogCaptureFixture
) -> None:
    """MACH-5.1: Another host that publishes under the same name is named in one warning, a predecessor that ended in none."""
    publisher = HostPublisher(_block(1), 0, 8080, store)
    other = HostEntry(name, "other", 1.0, is_final, b"")
    for _ in range(2):
        publisher._warn_of_namesake([HostEntry("a", publisher._instance, 0.5, False, b""), other])

    assert [record.getMessage()[:47] for record in caplog.records] == [
        "another host publishes its stats as 'a', too: s"
    ] * warnings
