"""Latencies by endpoint and by model."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.stats import Block, Outcome, Recorder, histogram, layout, read_totals, snapshot
from llmsim.stats.counters import REQUEST_HISTOGRAMS
from llmsim.stats.histogram import HistogramWriter, PairedHistogramWriter
from llmsim.stats.histogram_totals import HistogramTotals

NOW = 1000.0
LABELS = ("completions", "messages")


@pytest.fixture
def block() -> Block:
    return Block.private(endpoints=LABELS, slots=4, now=900.0, wall=1.75e9)


def _request(recorder: Recorder, endpoint: int, model: str, ttft: float, gap: float, seconds: float) -> None:
    recorder.began(endpoint, NOW)
    row = recorder.accepted(endpoint, model, streaming=True, prompt_tokens=1)
    recorder.first_token(row, ttft)
    recorder.streamed(row, 1, 0.0, gap, NOW)
    recorder.ended(endpoint, Outcome.FINISHED, seconds, NOW, row)


def test_endpoints_and_models_have_latencies_of_their_own(block: Block) -> None:
    """STATS-5.9, STATS-5.10: A mix of a fast and a slow model at two endpoints shows each of them, over all workers."""
    for pid in (1, 2):
        recorder = Recorder(block, block.claim(pid))
        _request(recorder, 0, "fast", 0.1, 0.01, 0.4)
        _request(recorder, 1, "slow", 2.0, 0.1, 6.0)

    stats = snapshot(block, NOW)

    assert list(stats.latency_by_endpoint) == list(LABELS)
    assert list(stats.latency_by_model) == ["fast", "slow"]
    for found in (stats.latency_by_endpoint["completions"], stats.latency_by_model["fast"]):
        assert (found.ttft_ms.count, found.ttft_ms.mean) == (2, 100.0)
        assert found.inter_token_ms.max == 10.0
        assert (found.end_to_end_ms.p50, found.end_to_end_ms.p99) == (400.0, 400.0)
    assert stats.latency_by_endpoint["messages"] == stats.latency_by_model["slow"]
    assert stats.latency.end_to_end_ms.count == 4
    assert (stats.min_latency_ms, stats.max_latency_ms) == (400.0, 6000.0)


def test_what_has_no_latencies_is_left_out(block: Block) -> None:
    """STATS-5.9: Endpoints and models without any observation are not listed; a latency without any is empty."""
    recorder = Recorder(block, block.claim(1))
    recorder.accepted(1, "silent", streaming=True, prompt_tokens=1)
    recorder.ended(0, Outcome.FINISHED, 0.5, NOW, recorder.accepted(0, "m", streaming=False, prompt_tokens=1))

    stats = snapshot(block, NOW)

    assert list(stats.latency_by_endpoint) == ["completions"]
    assert list(stats.latency_by_model) == ["m"]
    assert stats.latency_by_model["m"].ttft_ms.count == 0
    assert stats.latency_by_model["m"].ttft_ms.mean is None


def test_models_beyond_the_first_sixteen_share_their_latencies(block: Block) -> None:
    """STATS-5.10: The first 16 models of a worker have latencies of their own, all others share `__other__`, the last one."""
    recorder = Recorder(block, block.claim(1))
    for number in range(70):
        _request(recorder, 0, f"model-{number:02}", 0.1, 0.01, 0.4)

    by_model = snapshot(block, NOW).latency_by_model

    assert list(by_model) == [*(f"model-{number:02}" for number in range(16)), "__other__"]
    assert by_model["__other__"].ttft_ms.count == 54


def test_a_successor_continues_latencies(block: Block) -> None:
    """STATS-2.2: A worker in a released slot counts on in the same histograms, extremes included."""
    slot = block.claim(1)
    _request(Recorder(block, slot), 0, "m", 0.2, 0.02, 1.0)
    block.release(slot)
    _request(Recorder(block, block.claim(2)), 0, "m", 0.1, 0.03, 2.0)

    found = snapshot(block, NOW).latency_by_model["m"]

    assert (found.ttft_ms.count, found.ttft_ms.min, found.ttft_ms.max) == (2, 100.0, 200.0)
    assert (found.end_to_end_ms.min, found.end_to_end_ms.max) == (1000.0, 2000.0)


def test_a_finished_request_that_was_never_accepted_is_counted(block: Block) -> None:
    """STATS-5.10: Its latency is that of `__other__`, so that both breakdowns add up."""
    Recorder(block, block.claim(1)).ended(0, Outcome.FINISHED, 0.5, NOW)

    assert list(snapshot(block, NOW).latency_by_model) == ["__other__"]


def _sum(rows: list[HistogramTotals]) -> tuple[list[int], int]:
    buckets = [sum(column) for column in zip(*(row.buckets for row in rows), strict=True)]
    return buckets or [0] * histogram.BUCKETS, sum(row.sum for row in rows)


latencies = st.floats(0.0, 80_000.0)
requests = st.tuples(
    st.integers(0, 3), st.integers(0, 1), st.integers(0, 20), latencies, latencies, latencies
)


@given(st.lists(requests, max_size=40), st.sets(st.integers(0, 3)))
def test_both_breakdowns_add_up(
    made: list[tuple[int, int, int, float, float, float]], deaths: set[int]
) -> None:
    """STATS-5.11: By endpoint and by model, histograms are the same in sum, to the unit, also when workers have died."""
    block = Block.private(endpoints=LABELS, slots=4, now=900.0)
    recorders = [Recorder(block, block.claim(os.getpid())) for _ in range(4)]
    for worker, endpoint, model, *times in made:
        _request(recorders[worker], endpoint, f"model-{model}", *times)
    for slot in deaths:
        block.release(slot)

    totals = read_totals(block, NOW)

    for name in REQUEST_HISTOGRAMS:
        whole = totals.histograms[name]
        assert whole.count == len(made)
        for parts in (totals.endpoint_histograms, totals.model_histograms):
            assert _sum([found[name] for found in parts.values()]) == (whole.buckets, whole.sum)
            assert (
                min((found[name].minimum for found in parts.values()), default=whole.minimum) == whole.minimum
            )
            assert max((found[name].maximum for found in parts.values()), default=0) == whole.maximum


@given(st.lists(st.tuples(st.booleans(), st.floats(-1.0, 100_000.0), st.integers(1, 9)), min_size=1))
def test_paired_writers_write_what_single_ones_do(values: list[tuple[bool, float, int]]) -> None:
    """STATS-5.1, STATS-5.3: A latency is counted in both histograms as it is counted in one, whoever else writes them."""
    words = memoryview(bytearray(8 * 4 * histogram.WORDS)).cast("q")
    starts = [number * histogram.WORDS for number in range(4)]
    for start in starts:
        words[start + histogram.MIN] = histogram.EMPTY_MIN
    # The first histogram is written by both pairs.
    pairs = (
        PairedHistogramWriter(words, starts[0], starts[1]),
        PairedHistogramWriter(words, starts[0], starts[2]),
    )
    single = HistogramWriter(words, starts[3])
    for is_second, seconds, count in values:
        pairs[is_second].add(seconds, count)
        single.add(seconds, count)

    def read(start: int) -> list[int]:
        return words[start : start + histogram.WORDS].tolist()

    assert read(starts[0]) == read(starts[3])
    assert [
        sum(pair)
        for pair in zip(read(starts[1])[: histogram.MIN], read(starts[2])[: histogram.MIN], strict=True)
    ] == read(starts[0])[: histogram.MIN]


def test_requests_of_one_model_and_endpoint_share_a_row(block: Block) -> None:
    """STATS-4.1: What a recorder keeps is bounded by rows and endpoints, whatever the models are called."""
    recorder = Recorder(block, block.claim(1))
    for number in range(500):
        for endpoint in range(2):
            recorder.accepted(endpoint, f"{number}", streaming=True, prompt_tokens=1)

    assert [len(known) for known in recorder._by_model] == [layout.MODEL_ROWS] * 2
