"""The model of an engine: conservation, bounds, repeatability, and steps whose length is known."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from llmsim.config.engine_settings import EngineSettings
from llmsim.engine import Engine, EngineRequest, TraceRequest, run_trace

_ENGINES = st.builds(
    EngineSettings,
    step_base_ms=st.floats(1, 50),
    step_sequence_us=st.floats(0, 500),
    step_prefill_token_us=st.floats(0, 500),
    step_context_token_us=st.floats(0, 1),
    step_prefill_context_us=st.floats(0, 10),
    overhead_ms=st.floats(0, 30),
    max_num_batched_tokens=st.integers(8, 300),
    max_num_seqs=st.integers(1, 8),
    kv_tokens=st.none() | st.integers(1, 400),
    block_tokens=st.integers(1, 20),
)
_REQUESTS = st.lists(
    st.builds(
        TraceRequest,
        arrival=st.floats(0, 2),
        prompt_tokens=st.integers(0, 200),
        completion_tokens=st.integers(0, 60),
        cached_tokens=st.integers(0, 250),
    ),
    max_size=25,
)


def _admitted(requests):
    return [
        EngineRequest(index, one.arrival, one.prompt_tokens, one.completion_tokens, one.cached_tokens)
        for index, one in enumerate(requests)
    ]


def _engine(requests, **knobs):
    engine = Engine(EngineSettings(**knobs))
    for request in requests:
        engine.add(request)
    return engine


@given(_ENGINES, _REQUESTS)
def test_every_request_ends_with_all_its_tokens(knobs, requests):
    """ENG-1.7: Each request produces exactly its tokens, over all preemptions, and ends once."""
    engine = Engine(knobs)
    tokens, since, ended = {}, {}, []
    for request in _admitted(requests):
        engine.add(request)
    while (step := engine.step()) is not None:
        for one in step.preempted:
            if one in since:
                tokens[one] = tokens.get(one, 0) + step.number - since.pop(one)
        since.update(dict.fromkeys(step.started, step.number))
        for one in step.finished:
            tokens[one] = tokens.get(one, 0) + step.number - since.pop(one) + 1
            ended.append(one)

    assert sorted(ended) == list(range(len(requests)))
    assert tokens == {index: max(1, one.completion_tokens) for index, one in enumerate(requests)}
    assert (engine.requests, engine.running, engine.used_blocks) == (0, 0, 0)


@given(_ENGINES, _REQUESTS)
def test_a_step_keeps_the_bounds_of_the_engine(knobs, requests):
    """ENG-1.4, ENG-1.5: Never more sequences than places, tokens than a step has, or blocks than the KV cache has."""
    engine = Engine(knobs)
    for request in _admitted(requests):
        engine.add(request)
    while (step := engine.step()) is not None:
        assert step.decoding + step.prefilled <= max(knobs.max_num_batched_tokens, step.decoding)
        assert engine.running <= knobs.max_num_seqs
        # A request that does not fit alone runs all the same: it would wait for ever.
        assert engine.used_blocks <= engine.blocks or engine.running <= 1 or not engine.blocks
        assert step.end > step.start


@given(_ENGINES, _REQUESTS, st.data())
def test_a_hang_up_frees_its_place(knobs, requests, data):
    """ENG-1.7: A request that is removed, wherever it is, leaves nothing behind, and all others end."""
    engine = Engine(knobs)
    for request in _admitted(requests):
        engine.add(request)
    gone = data.draw(st.sets(st.integers(0, 30)))
    steps = data.draw(st.integers(0, 40))
    ended = set()
    for _ in range(steps):
        if (step := engine.step()) is not None:
            ended.update(step.finished)
    for one in gone:
        engine.remove(one)
    while (step := engine.step()) is not None:
        ended.update(step.finished)

    assert ended | gone >= set(range(len(requests)))
    assert (engine.requests, engine.running, engine.waiting, engine.used_blocks) == (0, 0, 0, 0)
    assert engine.next_start is None


@given(_ENGINES, _REQUESTS)
@settings(max_examples=30)
def test_the_same_arrivals_give_the_same_steps(knobs, requests):
    """ENG-1.2: The same arrivals give the same times, also if requests are added only when they arrive."""
    engine = Engine(knobs)
    todo = sorted(_admitted(requests), key=lambda request: (request.arrival, request.id))
    ends = {}
    while todo or engine.next_start is not None:
        start = engine.next_start
        while todo and (start is None or todo[0].arrival <= start):
            engine.add(todo.pop(0))
            start = engine.next_start
        step = engine.step()
        ends.update(dict.fromkeys(step.finished, step.end))
    after = knobs.output_overhead_ms / 1e3
    expected = [ends[index] + after - one.arrival for index, one in enumerate(requests)]

    assert [times.e2e for times in run_trace(knobs, requests)] == expected
    assert run_trace(knobs, requests) == run_trace(knobs, requests)


# What was preempted waits: it is not taken over as running.
@example(
    EngineSettings(max_num_batched_tokens=8, max_num_seqs=2, kv_tokens=18, block_tokens=9),
    [TraceRequest(0.0, 8, 5, 0), TraceRequest(0.0, 0, 2, 0)],
)
@given(_ENGINES, _REQUESTS)
@settings(max_examples=30)
def test_an_engine_that_goes_on_for_another_ends_all(knobs, requests):
    """ENG-3.1: What an engine held when it was lost ends in its successor, which is given the tokens produced so far."""
    first = Engine(knobs)
    known = {request.id: request for request in _admitted(requests)}
    for request in known.values():
        first.add(request)
    for _ in range(5):
        if (step := first.step()) is not None:
            for one in step.finished:
                del known[one]
    second = Engine(knobs, number=first.number, end=first.end)
    running = []
    for request in known.values():
        emitted, since = first.progress(request.id)
        request = replace(request, emitted=emitted)
        if since:
            running.append((since, request))
        else:
            second.add(request)
    for since, request in sorted(running, key=lambda one: one[0]):
        second.restore(request, since)
    made = {request.id: request.emitted + first.number - since + 1 for since, request in running}
    assert second.used_blocks <= first.used_blocks
    ended, preempted = [], set()
    while (step := second.step()) is not None:
        assert step.number > first.number
        assert step.start >= first.end
        ended.extend(step.finished)
        for one in step.finished:
            if one in made and one not in preempted:
                assert made[one] + step.number - first.number == max(1, known[one].completion_tokens)
        preempted.update(step.preempted)

    assert sorted(ended) == sorted(known)
    assert (second.running, second.used_blocks) == (0, 0)


def test_a_step_takes_what_its_terms_add_up_to():
    """ENG-1.1: Base, sequences, prefill and context add to the time of a step."""
    engine = _engine(
        [EngineRequest(1, 0.0, 100, 3), EngineRequest(2, 0.015, 50, 1)],
        step_base_ms=10,
        step_sequence_us=100,
        step_prefill_token_us=50,
        step_context_token_us=1,
        step_prefill_context_us=2,
    )

    first, second, third = engine.step(), engine.step(), engine.step()

    # 10 ms, 100 tokens of 50 us, and 100 tokens that have 50 tokens before them on average.
    assert first.end == pytest.approx(0.010 + 0.005 + 100 * 50 * 2e-9)
    assert (first.started, first.finished) == ((1,), ())
    assert second.end - second.start == pytest.approx(0.010 + 0.0001 + 50 * 50e-6 + 100e-6 + 50 * 25 * 2e-9)
    assert (second.started, second.finished, second.decoding, second.prefilled) == ((2,), (2,), 1, 50)
    assert third.end - third.start == pytest.approx(0.010 + 0.0001 + 101e-6)
    assert third.finished == (1,)
    assert engine.step() is None


def test_a_long_prompt_is_read_in_several_steps():
    """ENG-1.3: `max_num_batched_tokens` cuts a prompt into chunks, behind the tokens of those that decode."""
    engine = _engine(
        [EngineRequest(1, 0.0, 10, 9), EngineRequest(2, 0.001, 45, 2)], max_num_batched_tokens=20
    )

    steps = [engine.step() for _ in range(5)]

    assert [step.prefilled for step in steps] == [10, 19, 19, 7, 0]
    assert steps[3].started == (2,)


def test_cached_tokens_are_not_read():
    """ENG-1.6: Cached tokens of a prompt take no time to read; at least one token is."""
    engine = _engine([EngineRequest(1, 0.0, 100, 1, cached_tokens=80), EngineRequest(2, 0.0, 100, 1, 100)])

    assert engine.step().prefilled == 20 + 1


def test_a_full_cache_preempts_the_newest():
    """ENG-1.5: The sequence admitted last is preempted, waits, and is read anew with what it had produced."""
    engine = _engine(
        [EngineRequest(1, 0.0, 8, 20), EngineRequest(2, 0.0, 8, 20)], kv_tokens=24, block_tokens=4
    )

    steps = [engine.step() for _ in range(7)]

    assert [step.preempted for step in steps] == [(), (), (), (), (), (2,), ()]
    assert (engine.running, engine.waiting, engine.preemptions) == (1, 1, 1)
    assert engine.progress(2) == (5, 1) or engine.progress(2)[0] == 5


def test_sequences_of_one_request_take_a_place_each():
    """ENG-1.4: Several choices of one request run side by side."""
    engine = _engine([EngineRequest(1, 0.0, 8, 4, sequences=3)], max_num_seqs=4)

    engine.step()

    assert engine.running == 3
    assert engine.step().decoding == 3


@given(_ENGINES, _ENGINES, _REQUESTS, st.integers(0, 40))
def test_an_engine_that_is_changed_ends_all(before, after, requests, steps):
    """ENG-5.2: Whatever is changed while it runs, every request ends with its tokens, and blocks are counted as if nothing was."""
    engine = Engine(before)
    for request in _admitted(requests):
        engine.add(request)
    ended = []
    for _ in range(steps):
        if (step := engine.step()) is not None:
            ended += step.finished
    blocks = engine.used_blocks
    engine.use(after)
    engine.use(before)
    assert engine.used_blocks == blocks
    engine.use(after)
    while (step := engine.step()) is not None:
        ended += step.finished

    assert sorted(ended) == list(range(len(requests)))
    assert (engine.requests, engine.running, engine.waiting, engine.used_blocks) == (0, 0, 0, 0)


def test_a_change_holds_from_the_next_step_on():
    """ENG-5.2: The step after a change is as long as it says; a place that is added is taken."""
    requests = [EngineRequest(one, 0.0, 1, 5) for one in range(2)]
    quick = {"step_sequence_us": 0, "step_prefill_token_us": 0, "step_context_token_us": 0}
    engine = _engine(requests, step_base_ms=10, max_num_seqs=1, **quick)
    first, running = engine.step(), engine.running
    engine.use(EngineSettings(step_base_ms=20, max_num_seqs=2, **quick))
    second = engine.step()

    assert (first.end, running) == (pytest.approx(0.01), 1)
    assert (second.end, engine.running) == (pytest.approx(0.03), 2)


def test_a_request_that_is_known_late_keeps_its_turn():
    """ENG-1.3: The queue is in order of arrival, in whichever order requests become known."""
    engine = _engine([EngineRequest(0, 0.0, 5, 4)], max_num_seqs=1)
    engine.step()
    engine.add(EngineRequest(1, 0.003, 5, 1))
    engine.step()
    engine.add(EngineRequest(2, 0.002, 5, 1))
    engine.add(EngineRequest(3, 0.004, 5, 1))
    finished = []
    while (step := engine.step()) is not None:
        finished += step.finished

    assert finished == [0, 2, 1, 3]
