"""The table of suites, and what settings make of it."""

import pytest

from loadtest.endpoints import ENDPOINTS, GENERATING, Ask, asks
from loadtest.gates import gate_from, judge
from loadtest.settings import FIELDS, Settings, SettingsError, described, load, variable_of, variables
from loadtest.suites import SUITES, Stage, Suite, planned

EVERYTHING = frozenset({"ttft", "itl", "e2e"})


@pytest.fixture(params=list(SUITES.values()), ids=lambda suite: suite.name)
def suite(request: pytest.FixtureRequest) -> Suite:
    return request.param  # type: ignore[no-any-return]


def test_the_suites_are_there() -> None:
    """LOAD-5.1: By name, with the loads they are known for."""
    peaks = {name: (suite.stages[0].level, suite.peak) for name, suite in SUITES.items()}

    assert list(SUITES) == [
        "quick-smoke",
        "smoke",
        "load",
        "stress",
        "spike",
        "soak",
        "high-concurrency",
        "open",
    ]
    assert SUITES["quick-smoke"].iterations == 3
    assert SUITES["smoke"].seconds == 10
    assert peaks["smoke"] == (1, 1)
    assert peaks["load"] == (10, 50)
    assert peaks["stress"] == (50, 500)
    assert peaks["high-concurrency"] == (100, 500)
    assert [name for name, suite in SUITES.items() if suite.is_open] == ["open"]


def test_a_suite_has_gates(suite: Suite) -> None:
    """LOAD-5.2: On failures, first tokens, and both tails of the whole; a tail is no narrower than what it is the tail of."""
    gates = {gate.figure: gate.at_most for gate in suite.gates}

    assert {"error_percent", "ttft_p95_ms", "e2e_p95_ms", "e2e_p99_ms"} <= set(gates)
    assert gates["error_percent"] <= 1
    assert gates["e2e_p95_ms"] <= gates["e2e_p99_ms"]
    assert gates["ttft_p95_ms"] <= gates.get("ttft_p99_ms", gates["ttft_p95_ms"])
    assert all(gate_from(f"{figure}={limit}").at_most == limit for figure, limit in gates.items())


def test_levels_go_evenly_from_stage_to_stage() -> None:
    """LOAD-5.1: From the level before to the stage's own; none behind the end."""
    suite = Suite(name="x", about="", stages=(Stage(0, 10), Stage(10, 10), Stage(20, 50)), gates=())
    levels = [suite.level(elapsed) for elapsed in (0, 9, 10, 20, 29.5, 30)]

    assert levels == [10, 10, 10, 30, 49, None]
    assert (suite.seconds, suite.peak) == (30, 50)


def test_a_plan_is_the_suite_as_it_is_called() -> None:
    """LOAD-5.4: Length, users, pauses and gates."""
    plan = planned(
        Settings(suite="load", duration=24, users=100, think=0.5, gates=("ttft_p95_ms=9", "itl_mean_ms=3"))
    )
    gates = {gate.figure: gate.at_most for gate in plan.gates}

    assert plan.seconds == pytest.approx(24)
    assert (plan.stages[0].level, plan.peak, plan.think) == (20, 100, 0.5)
    assert (gates["ttft_p95_ms"], gates["itl_mean_ms"]) == (9, 3)
    assert len(gates) == len(SUITES["load"].gates) + 1


def test_a_plan_can_be_scaled() -> None:
    """LOAD-5.4: By a factor on its length alone."""
    plan = planned(Settings(suite="soak", scale=0.1))

    assert plan.seconds == pytest.approx(180)
    assert plan.peak == SUITES["soak"].peak


@pytest.mark.parametrize("name", ["load", "open"])
def test_a_rate_opens_the_model(name: str) -> None:
    """LOAD-4.1, LOAD-5.4: Any suite can be had as arrivals; its shape stays."""
    plan = planned(Settings(suite=name, rate=200))

    assert plan.is_open
    assert plan.peak == 200
    assert plan.seconds == SUITES[name].seconds


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(suite="lode"), "no suite 'lode'; one of: quick-smoke, smoke"),
        (Settings(suite="open", users=3), "exclude each other"),
        (Settings(suite="load", users=3, rate=4), "exclude each other"),
        (Settings(suite="quick-smoke", duration=4), "3 iterations of one user"),
        (Settings(suite="quick-smoke", processes=2), "takes one process"),
        (Settings(suite="load", gates=("p95=3",)), "no figure 'p95'"),
        (Settings(suite="load", gates=("ttft_p95_ms",)), "no limit"),
    ],
)
def test_what_cannot_be_is_refused(settings: Settings, says: str) -> None:
    """LOAD-5.4: With the reason."""
    with pytest.raises(SettingsError, match=says):
        planned(settings)


def test_gates_hold_figures_against_limits() -> None:
    """LOAD-5.2: A figure at its limit passes, above it fails."""
    gates = tuple(gate_from(text) for text in ("error_percent=1", "ttft_p95_ms=100", "e2e_p99_ms=100"))
    figures = {"error_percent": 0.5, "ttft_p95_ms": 100.0, "e2e_p99_ms": 100.1}

    verdicts = judge(gates, figures, requests=200, measures=EVERYTHING)

    assert [(gate.figure, gate.found, gate.passed) for gate in verdicts] == [
        ("error_percent", 0.5, True),
        ("ttft_p95_ms", 100.0, True),
        ("e2e_p99_ms", 100.1, False),
    ]


def test_what_was_not_measured_has_not_passed() -> None:
    """LOAD-5.3: Unless nothing was asked that has such a figure."""
    gates = (gate_from("error_percent=1"), gate_from("ttft_p95_ms=100"))
    none = {"error_percent": None, "ttft_p95_ms": None}

    assert [gate.passed for gate in judge(gates, none, requests=0, measures=EVERYTHING)] == [False, False]
    figures = {"error_percent": 0.0, "ttft_p95_ms": None}
    assert [gate.passed for gate in judge(gates, figures, requests=9, measures=EVERYTHING)] == [True, False]
    assert [gate.passed for gate in judge(gates, figures, requests=9, measures=frozenset())] == [True]


def test_settings_are_variables() -> None:
    """LOAD-1.3: Written and read again, they are the same."""
    settings = Settings(
        suite="load",
        endpoints=("chat", "models"),
        model=("a", "b"),
        openai_prefix="",
        rate=2.5,
        gates=("itl_max_ms=9",),
    )

    assert load(variables(settings)) == settings
    assert load({"LOADTEST_OPENAI_PREFIX": "", "PATH": "/bin"}).openai_prefix == ""
    assert load({"LOADTEST_MODEL": " a, b ,"}).model == ("a", "b")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("LOADTEST_MODLE", "x", "LOADTEST_MODLE: no such setting; did you mean LOADTEST_MODEL?"),
        ("LOADTEST_RATE", "fast", "LOADTEST_RATE: .*got 'fast'"),
        ("LOADTEST_RATE", "0", "LOADTEST_RATE: .*> 0"),
        ("LOADTEST_USERS", "1.5", "LOADTEST_USERS: "),
        ("LOADTEST_ARRIVALS", "random", "LOADTEST_ARRIVALS: "),
    ],
)
def test_a_wrong_setting_is_named(variable: str, value: str, says: str) -> None:
    """LOAD-1.3: With what was found."""
    with pytest.raises(SettingsError, match=says):
        load({variable: value})


@pytest.mark.parametrize("text", ["gateway/openai", "/gateway/openai/", "/gateway/openai"])
def test_slashes_of_a_prefix_may_be_anywhere(text: str) -> None:
    """LOAD-1.2: A path is made of it in any case."""
    settings = load({"LOADTEST_OPENAI_PREFIX": text, "LOADTEST_ANTHROPIC_PREFIX": "/"})

    assert {ask.path for ask in asks(settings)} >= {"/gateway/openai/v1/embeddings", "/v1/messages"}


def test_every_setting_says_what_it_is() -> None:
    """LOAD-1.3: For help and documentation."""
    rows = described()

    assert [name for name, _, _ in rows] == [variable_of(name) for name in FIELDS]
    assert all(about for _, _, about in rows)


def every_ask(**settings: str) -> dict[str, Ask]:
    return {ask.name: ask for ask in asks(load({f"LOADTEST_{k.upper()}": v for k, v in settings.items()}))}


def test_every_endpoint_is_asked() -> None:
    """LOAD-1.4: What generates is asked streamed and not."""
    found = every_ask(endpoints=",".join(ENDPOINTS))

    assert {ask.endpoint for ask in found.values()} == set(ENDPOINTS)
    for endpoint in GENERATING:
        assert found[f"{endpoint} stream"].reader is not None
        assert b'"stream":true' in found[f"{endpoint} stream"].bodies[0]
        assert found[endpoint].whole is not None
        assert b'"stream":true' not in found[endpoint].bodies[0]


def test_asks_are_for_any_server() -> None:
    """LOAD-1.2: Paths, keys and models are settings, and each API gets the key as it wants it."""
    found = every_ask(
        endpoints=",".join(ENDPOINTS), openai_prefix="", anthropic_prefix="/a", api_key="sk-1", model="m1,m2"
    )

    assert found["chat"].path == "/v1/chat/completions"
    assert found["embeddings"].path == "/v1/embeddings"
    assert found["messages"].path == "/a/v1/messages"
    assert found["chat"].headers["authorization"] == "Bearer sk-1"
    assert found["messages"].headers["x-api-key"] == "sk-1"
    assert "anthropic-version" in found["messages"].headers
    assert [b'"m1"' in body for body in found["responses stream"].bodies] == [True, False]


def test_an_unknown_endpoint_is_refused() -> None:
    """LOAD-1.3: With the names that there are."""
    with pytest.raises(SettingsError, match="no endpoint 'chats'; one of: chat, responses"):
        every_ask(endpoints="chats")
