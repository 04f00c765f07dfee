"""The table of counters, and the sums that follow from it."""

import os
from typing import TypeVar

import pytest

from llmsim.stats import COUNTERS, HISTOGRAMS, Block, Outcome, Per, Recorder, histogram, read_totals, snapshot
from llmsim.stats.counters import fingerprint, names

NOW = 1000.0

Key = TypeVar("Key")


@pytest.fixture
def block() -> Block:
    """A block of two workers that counted one request each, one of them unfinished."""
    block = Block.private(endpoints=("completions", "responses"), slots=3, now=900.0, wall=1.75e9)
    for number in range(2):
        recorder = Recorder(block, block.claim(os.getpid()))
        recorder.began(number, NOW)
        recorder.stream_opened()
        recorder.websocket_opened()
        row = recorder.accepted(0, "gpt-5", streaming=number == 0, prompt_tokens=10)
        recorder.first_token(row, 0.5)
        recorder.sent(row, 3 + number, NOW)
        recorder.evicted(2)
    recorder.stream_closed()
    recorder.ended(1, Outcome.FINISHED, 1.5, NOW)
    return block


def _nonzero(counts: dict[Key, int]) -> dict[Key, int]:
    return {name: count for name, count in counts.items() if count}


def test_totals_are_exact_integers(block: Block) -> None:
    """STATS-3.9: The sums have every counter by what it is counted by, every histogram in its buckets, unrounded."""
    totals = read_totals(block, NOW + 1)

    assert _nonzero(totals.counts) == {
        "open_streams": 1,
        "websocket_connections": 2,
        "websocket_connections_total": 2,
        "evicted_records": 4,
    }
    assert list(totals.models) == ["gpt-5"]
    assert _nonzero(totals.models["gpt-5"]) == {
        "streaming_requests": 1,
        "non_streaming_requests": 1,
        "prompt_tokens": 20,
        "completion_tokens": 7,
    }
    assert [_nonzero(row.counts) for row in totals.endpoints.values()] == [{"requests": 1}, {"requests": 1}]
    assert [row.in_flight for row in totals.endpoints.values()] == [1, 0]
    assert _nonzero(totals.outcomes) == {Outcome.FINISHED: 1}
    assert list(totals.histograms) == list(HISTOGRAMS)
    ttft = totals.histograms["ttft"]
    assert (ttft.count, ttft.sum, ttft.minimum, ttft.maximum) == (2, 1_000_000, 500_000, 500_000)
    assert ttft.buckets[histogram.bucket(500_000)] == 2
    assert totals.recent.tokens[-1] == 7
    assert [(worker.requests, worker.in_flight, worker.completion_tokens) for worker in totals.workers] == [
        (1, 1, 3),
        (1, 0, 4),
    ]
    assert [worker.counts["open_streams"] for worker in totals.workers] == [1, 0]
    assert all(worker.health is not None for worker in totals.workers)


def test_totals_of_nothing_are_zeros() -> None:
    """STATS-3.9: A block that has counted nothing has the same sums, all of them 0."""
    totals = read_totals(Block.private(endpoints=("completions",), now=900.0), NOW)

    assert (
        set(totals.counts.values())
        == set(totals.model_counts.values())
        == set(totals.outcomes.values())
        == {0}
    )
    assert totals.histograms["lateness"].buckets == [0] * histogram.BUCKETS


@pytest.mark.parametrize("name", names(Per.WORKER))
def test_a_counter_needs_no_more_than_its_line(name: str) -> None:
    """STATS-3.9: A counter by worker can be added to by its name, and is in the sums and in the JSON."""
    block = Block.private(endpoints=("completions",), now=900.0)
    Recorder(block, block.claim(os.getpid())).count(name, 7)

    totals = read_totals(block, NOW)

    assert totals.counts[name] == totals.workers[0].counts[name] == 7
    report = snapshot(block, NOW).as_dict()
    assert (report["workers"][0] if name == "open_streams" else report)[name] == 7


def test_an_unknown_counter_is_refused() -> None:
    """STATS-3.9: A name that the table does not have is not counted."""
    block = Block.private(endpoints=("completions",), now=900.0)

    with pytest.raises(KeyError):
        Recorder(block, block.claim(1)).count("no_such_counter")


def test_counters_have_names_and_help() -> None:
    """STATS-3.9: No two figures share a name, and each says what it counts."""
    figures = [counter.name for counter in COUNTERS] + [outcome.total for outcome in Outcome]

    assert len(figures) == len(set(figures))
    assert all(counter.help.endswith(".") for counter in COUNTERS)
    assert all(text.endswith(".") for text in (*HISTOGRAMS.values(), *(outcome.help for outcome in Outcome)))


def test_another_table_is_another_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """STATS-1.5: The layout version changes with the names in the table and with their order."""
    before = fingerprint()
    monkeypatch.setattr("llmsim.stats.counters.COUNTERS", COUNTERS[1::-1] + COUNTERS[2:])

    assert fingerprint() != before


def test_gauges_return_to_zero_with_their_worker(block: Block) -> None:
    """STATS-2.7: What a dead worker's gauges showed is gone when its slot is released; its counters stay."""
    block.release(0)

    assert _nonzero(read_totals(block, NOW).workers[0].counts) == {
        "websocket_connections_total": 1,
        "evicted_records": 2,
    }
