"""Suites: one table of loads and gates, how settings change them, and arrivals of the open model.

Decisions:
* A suite names the server that it is meant for (latency profile, tokens), because its gates depend on it.
* Gates are wide: they find a server that breaks or queues, on a small and busy machine too, not one that
  lost a millisecond. Stricter limits are set with `--gate`.
* Pauses between a user's requests are uniform from half to one and a half of the mean, so that users who
  started together do not stay together.
* Arrivals depend on the rate alone, never on responses: the waiting that a slow server causes is measured and
  cannot be hidden by sending fewer requests (coordinated omission).
* Each process generates its share of the rate. The sum of Poisson processes is a Poisson process; at a
  constant rate each begins at a random phase, so that processes do not send at the same instants.
"""

import difflib
import math
import random
from collections.abc import Callable, Iterator

import msgspec

from loadtest.gates import Gate, parse_gate
from loadtest.settings import Settings, SettingsError


class Stage(msgspec.Struct, frozen=True):
    """A part of the load: a linear change from the previous level to this one.

    Attributes:
        seconds: Its length; 0 changes the level at once.
        level: Users at its end, or requests per second in the open model.
    """

    seconds: float
    level: float


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the table.

    Attributes:
        name: Its name.
        about: Its purpose.
        stages: The load over time, from level 0.
        gates: Limits that must hold, or the run has failed.
        is_open: Whether levels are requests per second, which do not wait for responses.
        think: Mean pause between two requests of a user; s.
        iterations: How often each user sends all requests; None lets the stages decide.
        latency: Latency profile of the llmsim that is started for it.
        target_tokens: Length of that server's responses.
    """

    name: str
    about: str
    stages: tuple[Stage, ...]
    gates: tuple[Gate, ...]
    is_open: bool = False
    think: float = 1.0
    iterations: int | None = None
    latency: str = "claude-haiku"
    target_tokens: int = 50

    @property
    def seconds(self) -> float:
        """Length of the run."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def peak(self) -> float:
        """The highest level."""
        return max(stage.level for stage in self.stages)

    def level(self, elapsed: float) -> float | None:
        """Return the level at an instant; None once the suite is over."""
        before = 0.0
        for stage in self.stages:
            if elapsed < stage.seconds:
                return before + (stage.level - before) * elapsed / stage.seconds
            elapsed -= stage.seconds
            before = stage.level
        return None


def _gates(**limits: float) -> tuple[Gate, ...]:
    return tuple(Gate(figure=figure, at_most=limit) for figure, limit in limits.items())


_QUICK = _gates(error_percent=0, e2e_p95_ms=2000, e2e_p99_ms=3000, ttft_p95_ms=1000)
_STEADY = _gates(
    error_percent=0.1, e2e_p95_ms=2000, e2e_p99_ms=3000, ttft_p95_ms=600, ttft_p99_ms=1500, itl_p99_ms=150
)
_HARD = _gates(error_percent=1, e2e_p95_ms=5000, e2e_p99_ms=8000, ttft_p95_ms=2000, ttft_p99_ms=4000)

SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            name="quick-smoke",
            about="Does it respond at all? One user calls every endpoint three times.",
            stages=(Stage(0, 1), Stage(600, 1)),
            iterations=3,
            think=0,
            latency="fast",
            gates=_QUICK,
        ),
        Suite(
            name="smoke",
            about="Does it respond for ten seconds? One user.",
            stages=(Stage(0, 1), Stage(10, 1)),
            think=0,
            latency="fast",
            gates=_QUICK,
        ),
        Suite(
            name="load",
            about="A usual day: 10 to 50 users.",
            stages=(Stage(0, 10), Stage(30, 10), Stage(60, 50), Stage(90, 50), Stage(30, 10)),
            gates=_STEADY,
        ),
        Suite(
            name="stress",
            about="Where is its limit? 50 users, rising to 500.",
            stages=(
                Stage(0, 50),
                Stage(30, 50),
                Stage(60, 200),
                Stage(60, 350),
                Stage(60, 500),
                Stage(90, 500),
            ),
            gates=_HARD,
        ),
        Suite(
            name="spike",
            about="Does it survive a spike? 10 users, suddenly 300, and 10 again.",
            stages=(Stage(0, 10), Stage(30, 10), Stage(2, 300), Stage(58, 300), Stage(2, 10), Stage(28, 10)),
            gates=_HARD,
        ),
        Suite(
            name="soak",
            about="Is it stable? 30 users for half an hour.",
            stages=(Stage(60, 30), Stage(1740, 30)),
            gates=_STEADY,
        ),
        Suite(
            name="high-concurrency",
            about="Many open streams: 100 to 500 users without pauses, and long responses.",
            stages=(Stage(20, 100), Stage(40, 100), Stage(60, 500), Stage(120, 500)),
            think=0,
            latency="gpt-4o",
            target_tokens=100,
            gates=_gates(
                error_percent=1, e2e_p95_ms=8000, e2e_p99_ms=12000, ttft_p95_ms=2500, ttft_p99_ms=5000
            ),
        ),
        Suite(
            name="open",
            about="Requests that do not wait for responses: 50 each second.",
            stages=(Stage(0, 50), Stage(60, 50)),
            is_open=True,
            gates=_STEADY,
        ),
    )
}


def resolve_suite(settings: Settings) -> Suite:
    """Return the suite that the settings name, with their changes.

    Raises:
        SettingsError: There is no such suite, or the changes do not fit it.
    """
    suite = SUITES.get(settings.suite)
    if suite is None:
        near = difflib.get_close_matches(settings.suite.lower().replace("_", "-"), SUITES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise SettingsError(f"no suite {settings.suite!r}; one of: {', '.join(SUITES)}{hint}")
    if settings.users and (suite.is_open or settings.rate):
        raise SettingsError("users and rate exclude each other: in the open model there are no users")
    if suite.iterations is not None and (settings.rate or settings.duration or settings.users):
        raise SettingsError(f"{suite.name} is {suite.iterations} iterations of one user; try the suite smoke")
    if suite.iterations is not None and settings.processes > 1:
        raise SettingsError(f"{suite.name} is one user in one process")
    length = (settings.duration or suite.seconds * settings.scale) / suite.seconds
    stages = tuple(Stage(stage.seconds * length, stage.level) for stage in suite.stages)
    if settings.rate is not None and not suite.is_open:
        # The shape stays the same, now in requests per second.
        suite = msgspec.structs.replace(suite, is_open=True)
    if peak := settings.users or settings.rate:
        factor = peak / suite.peak
        stages = tuple(Stage(stage.seconds, stage.level * factor) for stage in stages)
    return msgspec.structs.replace(
        suite,
        stages=stages,
        think=suite.think if settings.think is None else settings.think,
        gates=_override_gates(suite.gates, settings.gates),
    )


def _override_gates(gates: tuple[Gate, ...], texts: tuple[str, ...]) -> tuple[Gate, ...]:
    """Replace gates on the same figures, and append the others."""
    return tuple({gate.figure: gate for gate in (*gates, *map(parse_gate, texts))}.values())


# Longest time for which a rate that changes is taken as constant, in s.
_STEP = 0.1


def generate_arrivals(
    rate: Callable[[float], float | None], *, poisson: bool, rng: random.Random
) -> Iterator[float]:
    """Generate the instants of arrivals, until the rate is None.

    Args:
        rate: Requests per second at an instant; None after the last.
        poisson: Whether gaps are exponential; else they are constant.
        rng: Source of the gaps, or of the phase.

    Yields:
        Seconds since the beginning, rising.
    """
    now = 0.0
    # Fraction of the next arrival that is still to come.
    missing = rng.expovariate(1) if poisson else rng.random()
    while True:
        current = rate(now)
        if current is None:
            return
        step = missing / current if current > 0 else math.inf
        if step > _STEP:
            now += _STEP
            missing -= current * _STEP
            continue
        now += step
        if rate(now) is None:
            return
        yield now
        missing = rng.expovariate(1) if poisson else 1.0
