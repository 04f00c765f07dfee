"""Snapshots: the JSON of GET /llmsim/stats."""

import json
import os
import subprocess
import sys

import orjson
import pytest

from llmsim.stats import COUNTERS, Block, Outcome, Recorder, Snapshot, is_alive, snapshot

NOW = 1000.0

ORIGINAL_NAMES = (
    "uptime_secs total_requests active_requests streaming_requests non_streaming_requests completions_requests "
    "responses_requests prompt_tokens completion_tokens total_tokens total_errors rate_limit_errors server_errors "
    "timeout_errors requests_per_second avg_latency_ms min_latency_ms max_latency_ms model_requests"
)
OWN_NAMES = (
    "started_at taken_at finished_requests refused_requests abandoned_requests aborted_requests failed_requests "
    "overloaded_errors invalid_request_errors authentication_errors tokens_per_second "
    "websocket_connections websocket_connections_total evicted_records journal_dropped waited_writes verdict loop_lag_ms endpoints models workers latency last_60_seconds latency_by_endpoint latency_by_model timeline resources"
)


@pytest.fixture
def block() -> Block:
    return Block.private(endpoints=("completions",), slots=2, now=900.0, wall=1.75e9)


@pytest.fixture
def recorder(block: Block) -> Recorder:
    slot = block.claim(1)
    block.set_pid(slot, os.getpid())
    return Recorder(block, slot)


def test_the_json_has_the_names_of_the_original_and_ours(block: Block) -> None:
    """STATS-7.1: The object has every name of llmsim 0.4.0 and ours; others are counters of the table."""
    report = snapshot(block, NOW).as_dict()

    expected = f"{ORIGINAL_NAMES} {OWN_NAMES}".split()
    assert [name for name in expected if name not in report] == []
    assert set(report) - set(expected) <= {counter.name for counter in COUNTERS} | {
        each.total for each in Outcome
    }


def test_every_label_has_its_requests() -> None:
    """STATS-7.2: `<label>_requests` counts each endpoint, and `responses_requests` is 0 without such an endpoint."""
    block = Block.private(endpoints=("completions", "messages"), now=0.0)
    recorder = Recorder(block, block.claim(1))
    recorder.began(1, 1.0)

    report = snapshot(block, 2.0).as_dict()

    counted = (report["completions_requests"], report["messages_requests"], report["responses_requests"])
    assert counted == (0, 1, 0)
    only = Block.private(endpoints=("responses",), now=0.0)
    Recorder(only, only.claim(1)).began(0, 1.0)
    assert snapshot(only, 2.0).as_dict()["responses_requests"] == 1


def test_json_can_be_parsed_back(block: Block, recorder: Recorder) -> None:
    """STATS-7.3: A snapshot read from the JSON is the snapshot, whichever encoder wrote it."""
    recorder.began(0, NOW)
    recorder.accepted(0, 'quote " back \\ 名 \x1b[2J', streaming=True, prompt_tokens=1)
    recorder.ended(0, Outcome.FINISHED, 0.25, NOW)
    stats = snapshot(block, NOW + 1, wall=1.75e9)

    assert Snapshot.from_json(orjson.dumps(stats.as_dict())) == stats
    assert Snapshot.from_json(json.dumps(stats.as_dict()).encode()) == stats


def test_nothing_yet_is_zero_or_null(block: Block) -> None:
    """STATS-5.6: Without a finished request the mean is 0 and the extremes are null; an empty histogram is all null."""
    report = snapshot(block, NOW).as_dict()

    assert report["avg_latency_ms"] == 0.0
    assert report["min_latency_ms"] is None
    assert report["max_latency_ms"] is None
    assert report["latency"]["ttft_ms"] == {
        "count": 0,
        "mean": None,
        "min": None,
        "max": None,
        "p50": None,
        "p90": None,
        "p99": None,
        "p99_9": None,
    }
    assert report["workers"] == ()


def test_latencies_are_in_milliseconds(block: Block, recorder: Recorder) -> None:
    """STATS-5.2: Count, mean, minimum and maximum of each histogram are exact, in milliseconds."""
    row = recorder.accepted(0, "m", streaming=True, prompt_tokens=0)
    recorder.first_token(row, 0.2)
    recorder.gap(row, 0.04, 3)
    recorder.gap(row, 0.02)
    recorder.late(0.0005)
    recorder.ended(0, Outcome.FINISHED, 1.5, NOW)

    latency = snapshot(block, NOW).latency

    assert (latency.ttft_ms.count, latency.ttft_ms.mean) == (1, 200.0)
    gaps = latency.inter_token_ms
    assert (gaps.count, gaps.mean, gaps.min, gaps.max) == (4, 35.0, 20.0, 40.0)
    assert (gaps.p50, gaps.p99_9) == (pytest.approx(40.0, rel=0.125), 40.0)
    assert latency.lateness_ms.max == 0.5
    assert (latency.end_to_end_ms.count, latency.end_to_end_ms.p50) == (1, 1500.0)


def test_histograms_add_up_over_workers(block: Block, recorder: Recorder) -> None:
    """STATS-5.7: A histogram is the sum over all workers, its extremes those of any of them."""
    other = Recorder(block, block.claim(2))
    rows = [one.accepted(0, "m", streaming=True, prompt_tokens=0) for one in (recorder, other)]
    for _ in range(99):
        recorder.first_token(rows[0], 0.1)
    other.first_token(rows[1], 0.9)

    ttft = snapshot(block, NOW).latency.ttft_ms

    assert (ttft.count, ttft.min, ttft.max, ttft.mean) == (100, 100.0, 900.0, 108.0)
    assert ttft.p99 == pytest.approx(100.0, rel=0.125)
    assert ttft.p99_9 == 900.0


def test_end_to_end_is_of_finished_requests(block: Block, recorder: Recorder) -> None:
    """STATS-5.5: Durations of refused, failed, faulted or abandoned requests are not in the end-to-end latency."""
    for outcome in Outcome:
        recorder.began(0, NOW)
        recorder.ended(0, outcome, 0.25 if outcome is Outcome.FINISHED else 60.0, NOW)

    stats = snapshot(block, NOW)

    assert stats.latency.end_to_end_ms.count == 1
    assert (stats.avg_latency_ms, stats.min_latency_ms, stats.max_latency_ms) == (250.0, 250.0, 250.0)


def test_rates_are_means_of_ten_seconds(block: Block, recorder: Recorder) -> None:
    """STATS-6.2: Requests and tokens per second are the mean of the last ten complete seconds."""
    row = recorder.accepted(0, "m", streaming=True, prompt_tokens=0)
    for second in range(20):
        for _ in range(second):
            recorder.began(0, NOW + second)
        recorder.sent(row, 10 * second, NOW + second)

    stats = snapshot(block, NOW + 19.5)

    assert stats.requests_per_second == sum(range(9, 19)) / 10
    assert stats.tokens_per_second == sum(range(9, 19))


def test_rates_of_a_young_server_are_means_of_its_uptime(block: Block, recorder: Recorder) -> None:
    """STATS-6.2: Until there are ten complete seconds, rates are the mean over the uptime."""
    for _ in range(6):
        recorder.began(0, 901.0)

    assert snapshot(block, 903.0).requests_per_second == 2.0
    assert snapshot(block, 909.9).requests_per_second == pytest.approx(6 / 9.9, abs=0.001)
    assert snapshot(block, 910.0).requests_per_second == 0.6
    assert snapshot(block, 900.0).requests_per_second == 0.0


def test_uptime_is_whole_seconds(block: Block) -> None:
    """STATS-7.4: The uptime is whole seconds since the block was created, whatever the wall clock does; never negative."""
    stats = snapshot(block, 1012.9, wall=1.0)

    assert stats.uptime_secs == 112
    assert isinstance(stats.as_dict()["uptime_secs"], int)
    assert (stats.started_at, stats.taken_at) == (1.75e9, 1.0)
    assert snapshot(block, 5.0).uptime_secs == 0


def test_workers_show_slot_process_and_counts(block: Block, recorder: Recorder) -> None:
    """STATS-7.5: A worker shows its slot, process, whether that exists, and its counts; unused slots are left out."""
    recorder.began(0, NOW)
    row = recorder.accepted(0, "m", streaming=True, prompt_tokens=1)
    recorder.sent(row, 5, NOW)

    assert snapshot(block, NOW).as_dict()["workers"] == (
        {
            "slot": 0,
            "pid": os.getpid(),
            "alive": True,
            "requests": 1,
            "active": 1,
            "tokens": 5,
            "open_streams": 0,
            "cpu_percent": None,
            "cpu_wait_percent": None,
            "loop_lag_ms": None,
        },
    )


def test_a_dead_worker_is_seen(block: Block, recorder: Recorder) -> None:
    """STATS-7.5: A worker whose process is dead is shown as not alive until its slot is released."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    block.set_pid(0, gone.pid)

    [worker] = snapshot(block, NOW).workers
    assert (worker.pid, worker.alive) == (gone.pid, False)


def test_liveness(monkeypatch: pytest.MonkeyPatch) -> None:
    """STATS-7.5: Another user's process is alive; process groups are no processes."""
    assert is_alive(os.getpid())
    assert not is_alive(0)
    assert not is_alive(-1)

    def deny(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.kill", deny)
    assert is_alive(1)


def test_a_slot_whose_worker_has_not_started_has_no_process(block: Block) -> None:
    """STATS-7.5: Between claim and the worker's start a slot shows no process."""
    block.claim(0)

    [worker] = snapshot(block, NOW).workers
    assert (worker.pid, worker.alive) == (None, False)


def test_websockets_and_evictions_are_counted(block: Block, recorder: Recorder) -> None:
    """STATS-3.7, STATS-3.8: open connections are those accepted and not ended; a dead worker's end with its slot."""
    for _ in range(3):
        recorder.websocket_opened()
    recorder.websocket_closed()
    recorder.evicted(5)

    assert block.open_websockets() == 2
    assert snapshot(block, NOW).websocket_connections == 2
    assert snapshot(block, NOW).evicted_records == 5
    block.release(0)
    assert block.open_websockets() == 0
    assert snapshot(block, NOW).websocket_connections_total == 3
