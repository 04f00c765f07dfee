"""What a request asks of its own response: texts of exact lengths, faults, latencies."""

from typing import Any

import pytest
from support.asgi import settings_of, twin
from support.driving import drive
from support.planning import FakeCounters

from llmsim.domain import (
    Fault,
    FaultKind,
    FinishReason,
    Message,
    Prompt,
    RequestedFault,
    RequestedGenerator,
    RequestedLatency,
    TextSegment,
    Turn,
    TurnOverrides,
    WireFaultKind,
)
from llmsim.planning.tokens import load_tokenizer
from llmsim.server.worker_context import WorkerContext

HELLO = (Message("user", ("Grüße, 🦜 parrot",)),)


class State:
    """The shared state, as far as planning needs it."""

    counters = FakeCounters()


def plan(overrides: TurnOverrides, *, model: str = "gpt-4o", tables: Any = None, **fields: Any) -> Turn:
    planner = twin(settings_of(**(tables or {})))
    prompt = Prompt(model=model, messages=HELLO, **fields)
    context = WorkerContext({}, planner, State(), None, None)  # type: ignore[arg-type]
    planned = drive(
        context.plan_turn(prompt, planner.analyze(prompt), None, in_thread=False, overrides=overrides)
    )
    if isinstance(planned, Fault):
        raise Failed(planned)
    return planned


class Failed(Exception):  # noqa: N818 - not an error of the test
    """A fault was planned."""

    @property
    def fault(self) -> Fault:
        """The fault."""
        return self.args[0]  # type: ignore[no-any-return]


def text_of(turn: Turn) -> str:
    return "".join(
        segment.text.text for segment in turn.choices[0].segments if isinstance(segment, TextSegment)
    )


GENERATORS = [
    None,
    *(RequestedGenerator(name) for name in ("lorem", "random", "echo")),
    RequestedGenerator("fixed", "Grüße, 🦜 parrot"),
]


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5", "claude-sonnet-4-5", "deepseek-chat"])
@pytest.mark.parametrize("generator", GENERATORS, ids=lambda one: one.name if one else "server's")
@pytest.mark.parametrize("tokens", [1, 2, 7, 99, 100, 101, 350, 5000])
def test_tokens_are_exact(model: str, generator: RequestedGenerator | None, tokens: int) -> None:
    """CTRL-1.6: A response has exactly the tokens that were asked for, reasoning included, with any generator."""
    turn = plan(TurnOverrides(tokens=tokens, generator=generator), model=model)

    assert turn.usage.completion == turn.choices[0].tokens == tokens
    assert turn.choices[0].finish is FinishReason.STOP


@pytest.mark.parametrize("generator", ["lorem", "random"])
def test_made_up_texts_count_as_their_tokenizer_counts(generator: Any) -> None:
    """CTRL-1.6: The tokens of a text are those of the model's own tokenizer."""
    count = load_tokenizer("o200k_base").count
    for tokens in (*range(2, 120), 777):
        text = text_of(plan(TurnOverrides(tokens=tokens, generator=RequestedGenerator(generator))))

        assert count(text) == tokens
        assert text.endswith(".")


def test_limits_hold() -> None:
    """CTRL-1.6: Where the request allows fewer tokens, the response ends for its length."""
    turn = plan(TurnOverrides(tokens=50), limit=20)

    assert (turn.usage.completion, turn.choices[0].finish) == (20, FinishReason.LENGTH)


def test_generators_keep_their_length() -> None:
    """CTRL-1.7: Without a number of tokens, a made-up text is as long as the settings have it, and others are as they are."""
    lorem = plan(
        TurnOverrides(generator=RequestedGenerator("lorem")),
        tables={"generator": "echo", "target_tokens": 333},
    )
    fixed = plan(TurnOverrides(generator=RequestedGenerator("fixed", "Hi")))
    echo = plan(TurnOverrides(generator=RequestedGenerator("echo")))

    assert lorem.usage.completion == 333
    assert text_of(fixed) == "Hi"
    assert text_of(echo) == HELLO[0].texts[0]


def test_seeds() -> None:
    """CTRL-1.5: A seed repeats text and timing, and comes before that of the request."""
    asked = TurnOverrides(seed=7, generator=RequestedGenerator("random"), latency=RequestedLatency("gpt-4o"))
    first, second = plan(asked), plan(asked, seed=9)
    other = plan(TurnOverrides(seed=8, generator=RequestedGenerator("random")))

    assert text_of(first) == text_of(second) != text_of(other)
    assert first.schedule == second.schedule


def test_latency() -> None:
    """CTRL-1.1: A profile, both figures, or one of them."""
    both = plan(TurnOverrides(latency=RequestedLatency(ttft_ms=200, itl_ms=20)))
    slow = {"latency": {"profile": "instant", "tbt_mean_ms": 30}}
    one = plan(TurnOverrides(latency=RequestedLatency(ttft_ms=200)), tables=slow)
    named = plan(TurnOverrides(latency=RequestedLatency("gpt-4o")))

    assert (both.schedule.ttft, both.schedule.itl, both.schedule.spread) == (0.2, 0.02, 0.0)
    assert (one.schedule.ttft, one.schedule.itl) == (0.2, 0.03)
    assert named.schedule.itl > 0 < named.schedule.spread


@pytest.mark.parametrize(
    ("requested", "fault"),
    [
        (RequestedFault(FaultKind.TIMEOUT), Fault(FaultKind.TIMEOUT, delay=2.0)),
        (RequestedFault(FaultKind.TIMEOUT, for_ms=5), Fault(FaultKind.TIMEOUT, delay=0.005)),
        (RequestedFault(FaultKind.TIMEOUT, status=504), Fault(FaultKind.TIMEOUT, status=504)),
        (RequestedFault(FaultKind.RATE_LIMIT), Fault(FaultKind.RATE_LIMIT, retry_after=3.0)),
        (
            RequestedFault(FaultKind.OVERLOADED, status=529, for_ms=100),
            Fault(FaultKind.OVERLOADED, delay=0.1, retry_after=3.0, status=529),
        ),
    ],
)
def test_errors(requested: RequestedFault, fault: Fault) -> None:
    """CTRL-1.3: An error has the times of the settings, or its own."""
    tables = {"errors": {"timeout_after_ms": 2000, "retry_after_ms": 3000}}
    with pytest.raises(Failed) as failed:
        plan(TurnOverrides(fault=requested), tables=tables)

    assert failed.value.fault == fault


def test_faults_on_the_wire() -> None:
    """CTRL-1.2: A fault has the place that was asked for, else that of the settings; no other is drawn."""
    tables = {
        "errors": {"rate_limit_rate": 1},
        "faults": {"after_tokens": 9, "stall_ms": 700, "reset_rate": 1},
    }
    placed = plan(TurnOverrides(fault=RequestedFault(WireFaultKind.CLOSE, after=5)), tables=tables)
    shared = plan(TurnOverrides(fault=RequestedFault(WireFaultKind.CLOSE, share=0.25)), tables=tables)
    stalled = plan(TurnOverrides(fault=RequestedFault(WireFaultKind.STALL)), tables=tables)

    places = [one.wire_fault.after for one in (placed, shared) if one.wire_fault is not None]
    assert places == [5, 25]
    assert (stalled.schedule.stall_after, stalled.schedule.stall) == (9, 0.7)
