"""The recorder: requests, tokens, model names and seconds."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.domain import FaultKind
from llmsim.stats import Block, Outcome, Recorder, layout, snapshot

NOW = 1000.0


@pytest.fixture
def block() -> Block:
    return Block.private(endpoints=("completions", "responses"), slots=4, now=900.0, wall=1.75e9)


@pytest.fixture
def recorder(block: Block) -> Recorder:
    return Recorder(block, block.claim(1))


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_is_counted(block: Block, recorder: Recorder, outcome: Outcome) -> None:
    """STATS-3.2: A request that ended counts under its outcome, in the total and at its endpoint."""
    recorder.began(1, NOW)
    recorder.ended(1, outcome, 0.1, NOW)

    stats = snapshot(block, NOW + 1)
    report = stats.as_dict()
    names = {
        Outcome.RATE_LIMIT: "rate_limit_errors",
        Outcome.SERVER_ERROR: "server_errors",
        Outcome.OVERLOADED: "overloaded_errors",
        Outcome.TIMEOUT: "timeout_errors",
        Outcome.INVALID_REQUEST: "invalid_request_errors",
        Outcome.AUTHENTICATION: "authentication_errors",
    }
    assert report[names.get(outcome, f"{outcome.value}_requests")] == 1
    assert report["endpoints"]["responses"][outcome.value] == 1
    assert report["endpoints"]["completions"][outcome.value] == 0
    assert stats.active_requests == 0


@pytest.mark.parametrize("kind", FaultKind)
def test_each_simulated_failure_is_an_outcome(kind: FaultKind) -> None:
    """STATS-3.2: Every kind of simulated failure has an outcome of its own, of the same name."""
    outcome = Outcome.of(kind)

    assert outcome.value == kind.value
    assert outcome.is_fault
    assert outcome.is_error


def test_errors_are_simulated_failures_and_bugs(block: Block, recorder: Recorder) -> None:
    """STATS-3.6: Refused, abandoned and aborted requests are not errors; a bug is one, but not a server error."""
    for outcome in Outcome:
        recorder.began(0, NOW)
        recorder.ended(0, outcome, 0.1, NOW)

    stats = snapshot(block, NOW + 1)

    assert stats.total_errors == len(FaultKind) + 1
    assert stats.server_errors == 2
    assert stats.overloaded_errors == 1
    assert stats.last_60_seconds.errors[-1] == len(FaultKind) + 1


def test_requests_are_in_flight_until_they_end(block: Block, recorder: Recorder) -> None:
    """STATS-3.3: Requests that began and have not ended are in flight."""
    recorder.began(0, NOW)
    recorder.began(1, NOW)
    recorder.ended(0, Outcome.ABANDONED, 0.1, NOW)

    stats = snapshot(block, NOW)

    assert stats.active_requests == 1
    assert (stats.endpoints["completions"]["active"], stats.endpoints["responses"]["active"]) == (0, 1)
    assert stats.workers[0].active == 1


def test_in_flight_is_never_negative(block: Block, recorder: Recorder) -> None:
    """STATS-3.3: Even with an end that has no beginning no figure is negative, and the sums agree."""
    recorder.ended(0, Outcome.FINISHED, 0.1, NOW)

    stats = snapshot(block, NOW)

    assert stats.active_requests == 0
    assert stats.total_requests == stats.finished_requests == 1


def test_only_accepted_requests_stream_or_not(block: Block, recorder: Recorder) -> None:
    """STATS-3.4: An accepted request counts as streaming or not, by its model, with its prompt; a refused one does not."""
    recorder.began(0, NOW)
    recorder.ended(0, Outcome.REFUSED, 0.1, NOW)
    for streaming in (True, True, False):
        recorder.began(0, NOW)
        recorder.accepted(0, "gpt-5", streaming=streaming, prompt_tokens=10)

    stats = snapshot(block, NOW)

    assert (stats.streaming_requests, stats.non_streaming_requests, stats.total_requests) == (2, 1, 4)
    assert stats.prompt_tokens == 30
    assert stats.models["gpt-5"]["prompt_tokens"] == 30


def test_completion_tokens_count_when_they_leave(block: Block, recorder: Recorder) -> None:
    """STATS-3.5: Completion tokens are those that were sent, in the total, by model, by worker and by second."""
    row = recorder.accepted(0, "gpt-5", streaming=True, prompt_tokens=1)
    other = recorder.accepted(0, "gpt-4o", streaming=True, prompt_tokens=1)
    recorder.sent(row, 3, NOW)
    recorder.sent(other, 2, NOW)
    recorder.sent(row, 1, NOW)

    stats = snapshot(block, NOW + 1)

    assert (stats.completion_tokens, stats.total_tokens) == (6, 8)
    assert stats.models["gpt-5"]["completion_tokens"] == 4
    assert stats.workers[0].tokens == 6
    assert stats.last_60_seconds.tokens[-1] == 6


ends = st.one_of(st.none(), st.sampled_from(Outcome))


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 1), ends, st.booleans(), st.integers(0, 99)), max_size=60
    ),
    st.sets(st.integers(0, 3)),
)
def test_every_request_is_accounted_for(
    requests: list[tuple[int, int, Outcome | None, bool, int]], deaths: set[int]
) -> None:
    """STATS-3.1: Whatever requests workers get, and whichever of them die, every sum is exact."""
    block = Block.private(endpoints=("completions", "responses"), slots=4, now=900.0)
    recorders = [Recorder(block, block.claim(1)) for _ in range(4)]
    for worker, endpoint, outcome, streaming, tokens in requests:
        recorder = recorders[worker]
        recorder.began(endpoint, NOW)
        if outcome is not Outcome.REFUSED:
            row = recorder.accepted(0, f"model-{tokens % 3}", streaming=streaming, prompt_tokens=tokens)
            recorder.sent(row, tokens, NOW)
        if outcome is not None:
            recorder.ended(endpoint, outcome, 0.1, NOW)
    for slot in deaths:
        block.release(slot)

    stats = snapshot(block, NOW + 1)

    faults = stats.total_errors - stats.failed_requests
    in_flight = [worker for worker, _, outcome, _, _ in requests if outcome is None]
    assert (
        stats.total_requests
        == len(requests)
        == (
            stats.finished_requests
            + stats.refused_requests
            + faults
            + stats.abandoned_requests
            + stats.aborted_requests
            + stats.failed_requests
            + stats.active_requests
        )
    )
    assert stats.active_requests == sum(worker not in deaths for worker in in_flight)
    accepted = [request for request in requests if request[2] is not Outcome.REFUSED]
    assert stats.streaming_requests + stats.non_streaming_requests == len(accepted)
    assert stats.prompt_tokens == stats.completion_tokens == sum(request[4] for request in accepted)
    assert sum(stats.model_requests.values()) == len(accepted)
    assert sum(counts["requests"] for counts in stats.endpoints.values()) == len(requests)
    assert sum(worker.requests for worker in stats.workers) == len(requests)
    assert sum(worker.active for worker in stats.workers) == stats.active_requests
    assert sum(stats.last_60_seconds.requests) == len(requests)


def test_models_have_a_bounded_number_of_rows(block: Block, recorder: Recorder) -> None:
    """STATS-4.1: 63 models a worker have a row each, all further ones share `__other__`, and nothing is lost."""
    for number in range(1000):
        row = recorder.accepted(0, f"model-{number}", streaming=True, prompt_tokens=1)
        recorder.sent(row, 2, NOW)

    models = snapshot(block, NOW).models

    assert len(models) == layout.MODEL_ROWS == 64
    assert models["model-62"]["requests"] == 1
    assert models["__other__"]["requests"] == 1000 - 63
    assert sum(model["completion_tokens"] for model in models.values()) == 2000


def test_a_known_model_keeps_its_row(block: Block, recorder: Recorder) -> None:
    """STATS-4.1: A model that has a row keeps it when all rows are taken."""
    for number in range(1000):
        recorder.accepted(0, f"model-{number}", streaming=True, prompt_tokens=1)
    recorder.accepted(0, "model-5", streaming=True, prompt_tokens=1)

    assert snapshot(block, NOW).model_requests["model-5"] == 2


def test_memory_of_names_is_bounded(recorder: Recorder) -> None:
    """STATS-4.1: A recorder keeps no more names than it has rows, and none longer than the field."""
    for number in range(1000):
        recorder.accepted(0, f"{number}" * 500, streaming=True, prompt_tokens=1)

    assert len(recorder._rows) == 63
    assert max(map(len, recorder._rows)) <= layout.NAME_BYTES


@given(st.text())
def test_any_name_is_counted(model: str) -> None:
    """STATS-4.3: Any model name is counted under a readable name of at most 128 bytes."""
    block = Block.private(endpoints=("completions",), now=0.0)
    recorder = Recorder(block, block.claim(1))
    assert recorder.accepted(0, model, streaming=True, prompt_tokens=1) == recorder.accepted(
        0, model, streaming=False, prompt_tokens=1
    )

    [(name, count)] = snapshot(block, 1.0).model_requests.items()
    assert count == 2
    assert len(name.encode("utf-8")) <= layout.NAME_BYTES
    assert name == (
        model.strip() if len(model.encode("utf-8")) <= layout.NAME_BYTES and model.strip() else name
    )


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("", "__other__"),
        ("   \n", "__other__"),
        ("__other__", "__other__"),
        (" gpt-5 ", "gpt-5"),
        ("a\0b\0", "a\0b\0"),
        ("lone \ud800 surrogate", "lone ? surrogate"),
        ("x" * 10_000, "x" * 128),
        ("é" * 100, "é" * 64),
        ("a" + "é" * 100, "a" + "é" * 63),
        ("名" * 100, "名" * 42),
        ("aa" + "🦊" * 100, "aa" + "🦊" * 31),
    ],
)
def test_names_are_truncated_between_characters(
    block: Block, recorder: Recorder, model: str, name: str
) -> None:
    """STATS-4.2: A name is truncated where its field ends, never within a character; a blank one is `__other__`."""
    recorder.accepted(0, model, streaming=True, prompt_tokens=1)

    assert snapshot(block, NOW).model_requests == {name: 1}


def test_names_that_are_truncated_alike_share_a_row(block: Block, recorder: Recorder) -> None:
    """STATS-4.2: Names that differ only beyond the field count as one."""
    rows = {
        recorder.accepted(0, "x" * 128 + tail, streaming=True, prompt_tokens=1) for tail in ("", "a", "b")
    }

    assert len(rows) == 1
    assert snapshot(block, NOW).model_requests == {"x" * 128: 3}


def test_models_merge_by_name_over_workers(block: Block) -> None:
    """STATS-4.4: A model's counts are the sum over all workers, whichever row it has in each; most requests first."""
    names = deque(("gpt-5", "gpt-4o", "o3"))
    for _ in range(3):
        recorder = Recorder(block, block.claim(1))
        for name in (*names, "o3"):
            recorder.accepted(0, name, streaming=True, prompt_tokens=1)
        names.rotate()

    stats = snapshot(block, NOW)

    assert stats.model_requests == {"gpt-5": 3, "gpt-4o": 3, "o3": 6}
    assert list(stats.models) == ["o3", "gpt-4o", "gpt-5"]


def test_a_successor_finds_its_predecessors_rows(block: Block) -> None:
    """STATS-4.5: A worker in a released slot counts a model in the row that it has there, also when rows are short."""
    first = Recorder(block, block.claim(1))
    rows = {
        name: first.accepted(0, name, streaming=True, prompt_tokens=1).first
        for name in ("é" * 100, "b", "a\0")
    }
    block.release(0)
    second = Recorder(block, block.claim(2))

    assert {name: second.accepted(0, name, streaming=True, prompt_tokens=1).first for name in rows} == rows
    assert second.accepted(0, "new", streaming=True, prompt_tokens=1).first not in rows.values()
    assert snapshot(block, NOW).model_requests["b"] == 2


def test_a_name_is_there_before_its_count(block: Block) -> None:
    """STATS-4.6: A row with a name and no count is not shown, nor is one with half a name."""
    recorder = Recorder(block, block.claim(1))
    row = recorder._find_row("half-done")
    assert snapshot(block, NOW).models == {}

    recorder._words[row + layout.MODEL_NAME_BYTES] = 0
    successor = Recorder(block, 0)
    successor.accepted(0, "x", streaming=True, prompt_tokens=1)
    assert snapshot(block, NOW).model_requests == {"x": 1}


def test_seconds_of_the_ring_are_reused(block: Block, recorder: Recorder) -> None:
    """STATS-6.1: After 64 seconds an entry is another second's, and the old counts are gone."""
    for second in range(200):
        for _ in range(second % 5):
            recorder.began(0, NOW + second)

    recent = snapshot(block, NOW + 200).last_60_seconds

    assert recent.requests == tuple(second % 5 for second in range(140, 200))
    assert len(recent.tokens) == len(recent.errors) == 60


def test_idle_seconds_are_zero(block: Block, recorder: Recorder) -> None:
    """STATS-6.1: Seconds in which nothing happened count nothing, also when their entry is an older second's."""
    recorder.began(0, NOW)
    recorder.began(0, NOW + 64)

    assert sum(snapshot(block, NOW + 65).last_60_seconds.requests) == 1
    assert sum(snapshot(block, NOW + 200).last_60_seconds.requests) == 0


def test_the_running_second_is_not_shown(block: Block, recorder: Recorder) -> None:
    """STATS-6.1: Only complete seconds are shown: the last one is that before now."""
    recorder.began(0, NOW + 0.1)

    assert sum(snapshot(block, NOW + 0.9).last_60_seconds.requests) == 0
    assert snapshot(block, NOW + 1.0).last_60_seconds.requests[-1] == 1
    assert snapshot(block, NOW + 60.9).last_60_seconds.requests[0] == 1
    assert sum(snapshot(block, NOW + 61.0).last_60_seconds.requests) == 0


def test_a_late_event_counts_in_its_own_second(block: Block, recorder: Recorder) -> None:
    """STATS-6.1: An event of the second before, counted after one of this second, erases nothing."""
    for now in (NOW, NOW + 1, NOW + 0.9, NOW + 1.1):
        recorder.began(0, now)

    assert snapshot(block, NOW + 2).last_60_seconds.requests[-2:] == (2, 2)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 90), st.integers(1, 9)), max_size=80))
def test_the_ring_is_the_sum_of_all_workers(events: list[tuple[int, int, int]]) -> None:
    """STATS-6.1: Each second shows the sum over all workers, whenever each of them counted last."""
    block = Block.private(endpoints=("completions",), slots=3, now=900.0)
    recorders = [Recorder(block, block.claim(1)) for _ in range(3)]
    rows = [recorder.accepted(0, "m", streaming=True, prompt_tokens=0) for recorder in recorders]
    for worker, second, tokens in sorted(events, key=lambda event: event[1]):
        recorders[worker].sent(rows[worker], tokens, NOW + second)

    recent = snapshot(block, NOW + 91).last_60_seconds

    assert recent.tokens == tuple(
        sum(tokens for _, second, tokens in events if second == shown) for shown in range(31, 91)
    )
