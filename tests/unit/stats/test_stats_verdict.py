"""The verdict: whether the simulator is on time, and advice that the figures support."""

import pytest

from llmsim.stats import Block, Gauges, Recorder, histogram, snapshot
from llmsim.stats.health import Demand, WorkerHealth
from llmsim.stats.verdict import judge


def _worker(
    slot: int = 0,
    *,
    late: float = 0.001,
    tokens: int = 1000,
    cpu: float = 0.1,
    wait: float = 0.0,
    lag: float = 0.001,
    streams: int = 5,
    silence: float = 0.0,
    waited: int = 0,
) -> WorkerHealth:
    """Return the health of a worker of which `tokens` tokens were `late`."""
    lateness = [0] * histogram.BUCKETS
    lateness[histogram.bucket(int(late * 1e6))] = tokens
    return WorkerHealth(
        slot=slot,
        open_streams=streams,
        cpu=None,
        wait=None,
        lag=None,
        silence=silence,
        lateness=lateness,
        lag_max=lag,
        demand=Demand(cpu, wait),
        waited_writes=waited,
    )


@pytest.mark.parametrize(
    ("late", "state", "text"),
    [
        (0.001, "on_time", "on time: p99 lateness 1.0 ms"),
        (0.012, "on_time", "on time, with little to spare: p99 lateness 12 ms"),
        (0.031, "late", "simulator-limited: p99 lateness 3"),
        (2.5, "late", "simulator-limited: p99 lateness 2,"),
    ],
)
def test_the_state_follows_p99(late: float, state: str, text: str) -> None:
    """STATS-9.1, STATS-9.3: From 20 ms on p99 of lateness is late, below on time; text and figure say the same."""
    verdict = judge([_worker(late=late, cpu=0.99)], cores=4)

    assert verdict.state == state
    assert verdict.text.startswith(text)
    assert verdict.p99_lateness_ms == pytest.approx(late * 1000, rel=0.125)


def test_a_few_late_tokens_prove_nothing() -> None:
    """STATS-9.12: Fewer than some dozens of tokens are too few to judge, unless they are on time."""
    few = judge([_worker(late=0.5, tokens=20), _worker(late=0.5, tokens=27)], cores=4)
    assert few.state == "idle"
    assert few.text.startswith("too few to judge: p99 lateness 5")
    assert few.text.endswith(" of 47 tokens")
    assert judge([_worker(late=0.5, tokens=48)], cores=4).state == "late"
    on_time = judge([_worker(late=0.0, tokens=1)], cores=4)
    assert (on_time.state, on_time.p99_lateness_ms) == ("on_time", 0.0)


@pytest.mark.parametrize(
    ("streams", "text"),
    [
        (0, "nothing measured: no token was due in the last 30 s"),
        (1200, "nothing measured: no token was due in the last 30 s, of 1,200 open streams"),
    ],
)
def test_nothing_due_is_idle(streams: int, text: str) -> None:
    """STATS-9.3: Without a token that was due the state is idle, and the text counts the streams that wait for their first one."""
    verdict = judge([_worker(tokens=0, streams=streams)], cores=4)

    assert (verdict.state, verdict.text, verdict.p99_lateness_ms) == ("idle", text, None)
    assert judge([], cores=4).state == "idle"


@pytest.mark.parametrize(
    ("workers", "advice"),
    [
        ([_worker(late=0.03, cpu=0.98), _worker(1, cpu=0.8)], "add workers"),
        ([_worker(late=0.03, cpu=0.98)], "add workers"),
        ([_worker(late=0.03, cpu=0.5, wait=0.4), _worker(1, cpu=0.5)], "no free core: add or free cores"),
        (
            [_worker(slot, late=0.03, cpu=0.98) for slot in range(4)],
            "no free core: add or free cores",
        ),
        (
            [_worker(0, cpu=0.1), _worker(1, late=0.03, cpu=0.98), _worker(2, cpu=0.2)],
            "worker 1 is overloaded and others idle: open more connections",
        ),
        (
            [_worker(0), _worker(1, late=0.5, cpu=0.2, lag=2.0)],
            "worker 1 was held up for 2.0 s but not busy: look for what stops it",
        ),
        (
            [_worker(0, late=0.03, lag=0.15)],
            "worker 0 was held up for 150 ms but not busy: look for what stops it",
        ),
    ],
)
def test_advice_follows_from_the_figures(workers: list[WorkerHealth], advice: str) -> None:
    """STATS-9.4: Advice follows from which workers needed a core, which got one, and whose loop lagged."""
    verdict = judge(workers, cores=4)

    assert verdict.state == "late"
    assert verdict.text.startswith("simulator-limited: p99 lateness ")
    assert verdict.text.endswith(f" ms, {advice}")


def test_slow_readers_are_not_the_simulators_fault() -> None:
    """STATS-9.4, STATS-9.13: Clients are blamed where writes were seen to wait for them, and nowhere else."""
    blamed = judge([_worker(late=0.5, waited=3)], cores=4)
    unknown = judge([_worker(late=0.5)], cores=4)

    assert blamed.state == unknown.state == "late"
    assert "simulator-limited" not in blamed.text + unknown.text
    assert "clients read more slowly than tokens come (3 writes waited)" in blamed.text
    assert "of unknown cause: no worker was busy or held up, and no write waited for a client" in unknown.text


@pytest.mark.parametrize("tokens", [0, 1000])
def test_a_worker_that_stands_still_is_late(tokens: int) -> None:
    """STATS-9.5: Open streams of a worker without a pulse are late, whatever was sent before."""
    verdict = judge([_worker(0), _worker(1, tokens=tokens, streams=7, silence=3.14)], cores=4)

    assert verdict.state == "late"
    assert verdict.text == "simulator-limited: worker 1 has stood still for 3.1 s, with 7 open streams"


def test_a_worker_without_streams_may_stand_still() -> None:
    """STATS-9.5: Without an open stream nothing is due, and nothing late."""
    assert judge([_worker(streams=0, silence=60.0)], cores=4).state == "on_time"


def test_bursts_are_seen_and_forgotten() -> None:
    """STATS-9.2: A late burst after an hour of punctual tokens is late at once, and on time again after 40 s."""
    block = Block.private(endpoints=("completions",), slots=1, now=0.0)
    recorder = Recorder(block, block.claim(1))
    gauges = Gauges(block, 0, 0.0)
    states = []
    for second in range(3700):
        recorder.late(0.5 if 3600 <= second < 3603 else 0.001, 1000)
        gauges.record_pulse(second + 1.0, cpu=0.0, wait=0.0, samples=10)
        states.append(snapshot(block, second + 1.0).verdict.state)

    assert states[:3600] == ["on_time"] * 3600
    assert states[3600:3632] == ["late"] * 32
    assert states[3645:] == ["on_time"] * (3700 - 3645)
