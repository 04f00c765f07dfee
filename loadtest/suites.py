"""The suites: one table of loads and gates, and what the settings make of it.

Decisions:
* A suite says what server it is meant for (latency profile, tokens), for its gates mean nothing without.
* Gates are wide: they find a server that breaks or queues, on a small and busy machine too, not one that
  lost a millisecond. Who wants to hold a line on machines of his own sets `--gate`.
* Pauses between a user's requests are even from half to one and a half of the mean, so that users who
  started together do not stay together.
"""

import msgspec

from loadtest.gates import Gate, gate_from
from loadtest.settings import Settings, SettingsError


class Stage(msgspec.Struct, frozen=True):
    """A piece of the load: from the level before, evenly, to this one.

    Attributes:
        seconds: How long it takes; 0 jumps.
        level: Users at its end, or requests per second in the open model.
    """

    seconds: float
    level: float


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        name: What it is called by.
        about: What it is for.
        stages: The load over time, from level 0.
        gates: What must hold, else the run has failed.
        is_open: Whether levels are requests per second, that arrive whether or not answers come.
        think: Mean pause between two requests of a user; s.
        iterations: How often each user asks all there is to ask; None lets the stages decide.
        latency: Profile of the llmsim that is started for it.
        target_tokens: Length of its answers.
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
        """Give the level at an instant; None once the suite is over."""
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
            about="Does it answer at all? One user asks every endpoint three times.",
            stages=(Stage(0, 1), Stage(600, 1)),
            iterations=3,
            think=0,
            latency="fast",
            gates=_QUICK,
        ),
        Suite(
            name="smoke",
            about="Does it answer for ten seconds? One user.",
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
            about="Where does it bend? 50 users, and ever more up to 500.",
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
            about="Does it survive a crowd? 10 users, at once 300, and 10 again.",
            stages=(Stage(0, 10), Stage(30, 10), Stage(2, 300), Stage(58, 300), Stage(2, 10), Stage(28, 10)),
            gates=_HARD,
        ),
        Suite(
            name="soak",
            about="Does it stay well? 30 users for half an hour.",
            stages=(Stage(60, 30), Stage(1740, 30)),
            gates=_STEADY,
        ),
        Suite(
            name="high-concurrency",
            about="Many open streams: 100 to 500 users who do not pause, and long answers.",
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
            about="Requests that do not wait for answers: 50 arrive each second.",
            stages=(Stage(0, 50), Stage(60, 50)),
            is_open=True,
            gates=_STEADY,
        ),
    )
}


def planned(settings: Settings) -> Suite:
    """Give the suite that the settings name, changed as they say.

    Raises:
        SettingsError: There is no such suite, or it cannot be changed like that.
    """
    suite = SUITES.get(settings.suite)
    if suite is None:
        raise SettingsError(f"no suite {settings.suite!r}; one of: {', '.join(SUITES)}")
    if settings.users and (suite.is_open or settings.rate):
        raise SettingsError("users and rate exclude each other: in the open model nobody waits for answers")
    if suite.iterations is not None and (settings.rate or settings.duration or settings.users):
        raise SettingsError(f"{suite.name} is {suite.iterations} iterations of one user; try the suite smoke")
    if suite.iterations is not None and settings.processes > 1:
        raise SettingsError(f"{suite.name} is one user, and takes one process")
    length = (settings.duration or suite.seconds * settings.scale) / suite.seconds
    stages = tuple(Stage(stage.seconds * length, stage.level) for stage in suite.stages)
    if settings.rate is not None and not suite.is_open:
        # What rises and falls goes on doing so, now in requests per second.
        suite = msgspec.structs.replace(suite, is_open=True)
    if peak := settings.users or settings.rate:
        factor = peak / suite.peak
        stages = tuple(Stage(stage.seconds, stage.level * factor) for stage in stages)
    return msgspec.structs.replace(
        suite,
        stages=stages,
        think=suite.think if settings.think is None else settings.think,
        gates=changed(suite.gates, settings.gates),
    )


def changed(gates: tuple[Gate, ...], texts: tuple[str, ...]) -> tuple[Gate, ...]:
    """Put gates in the place of those on the same figures, or behind the others."""
    found = {gate.figure: gate for gate in gates}
    for text in texts:
        gate = gate_from(text)
        found[gate.figure] = gate
    return tuple(found.values())
