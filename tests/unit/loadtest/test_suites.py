"""The table of suites, how settings change it, gates, settings and requests."""

import pytest

from loadtest.endpoints import ENDPOINTS, GENERATING, RequestTemplate, build_requests
from loadtest.gates import check_gates, parse_gate
from loadtest.settings import (
    FIELDS,
    Settings,
    SettingsError,
    describe_settings,
    load_settings,
    to_variables,
    variable_name,
)
from loadtest.suites import SUITES, Stage, Suite, resolve_suite

EVERYTHING = frozenset({"ttft", "itl", "e2e"})


@pytest.fixture(params=list(SUITES.values()), ids=lambda suite: suite.name)
def suite(request: pytest.FixtureRequest) -> Suite:
    return request.param  # type: ignore[no-any-return]


def test_the_suites_are_there() -> None:
    """LOAD-5.1: All suites are in the table, with their loads."""
    peaks = {name: (suite.stages[0].level, suite.peak) for name, suite in SUITES.items()}

    names = "quick-smoke smoke load stress spike soak high-concurrency open"
    assert list(SUITES) == names.split()
    assert SUITES["quick-smoke"].iterations == 3
    assert SUITES["smoke"].seconds == 10
    assert peaks["smoke"] == (1, 1)
    assert peaks["load"] == (10, 50)
    assert peaks["stress"] == (50, 500)
    assert peaks["high-concurrency"] == (100, 500)
    assert [name for name, suite in SUITES.items() if suite.is_open] == ["open"]


def test_a_suite_has_gates(suite: Suite) -> None:
    """LOAD-5.2: Each suite has gates on failures, first tokens, and both tails of the end-to-end latency; p99 is not below p95."""
    gates = {gate.figure: gate.at_most for gate in suite.gates}

    assert {"error_percent", "ttft_p95_ms", "e2e_p95_ms", "e2e_p99_ms"} <= set(gates)
    assert gates["error_percent"] <= 1
    assert gates["e2e_p95_ms"] <= gates["e2e_p99_ms"]
    assert gates["ttft_p95_ms"] <= gates.get("ttft_p99_ms", gates["ttft_p95_ms"])
    assert all(parse_gate(f"{figure}={limit}").at_most == limit for figure, limit in gates.items())


def test_levels_go_evenly_from_stage_to_stage() -> None:
    """LOAD-5.1: A level changes linearly to that of its stage; there is none after the end."""
    suite = Suite(name="x", about="", stages=(Stage(0, 10), Stage(10, 10), Stage(20, 50)), gates=())
    levels = [suite.level(elapsed) for elapsed in (0, 9, 10, 20, 29.5, 30)]

    assert levels == [10, 10, 10, 30, 49, None]
    assert (suite.seconds, suite.peak) == (30, 50)


def test_settings_change_a_suite() -> None:
    """LOAD-5.4: Length, users, pauses and gates can be changed."""
    plan = resolve_suite(
        Settings(suite="load", duration=24, users=100, think=0.5, gates=("ttft_p95_ms=9", "itl_mean_ms=3"))
    )
    gates = {gate.figure: gate.at_most for gate in plan.gates}

    assert plan.seconds == pytest.approx(24)
    assert (plan.stages[0].level, plan.peak, plan.think) == (20, 100, 0.5)
    assert (gates["ttft_p95_ms"], gates["itl_mean_ms"]) == (9, 3)
    assert len(gates) == len(SUITES["load"].gates) + 1


def test_a_suite_can_be_scaled() -> None:
    """LOAD-5.4: A factor changes the length only."""
    plan = resolve_suite(Settings(suite="soak", scale=0.1))

    assert plan.seconds == pytest.approx(180)
    assert plan.peak == SUITES["soak"].peak


@pytest.mark.parametrize("name", ["load", "open"])
def test_a_rate_opens_the_model(name: str) -> None:
    """LOAD-4.1, LOAD-5.4: With a rate any suite is an open model of the same shape."""
    plan = resolve_suite(Settings(suite=name, rate=200))

    assert plan.is_open
    assert plan.peak == 200
    assert plan.seconds == SUITES[name].seconds


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(suite="lode"), "no suite 'lode'; one of: quick-smoke, smoke"),
        (Settings(suite="open", users=3), "exclude each other"),
        (Settings(suite="load", users=3, rate=4), "exclude each other"),
        (Settings(suite="quick-smoke", duration=4), "3 iterations of one user"),
        (Settings(suite="quick-smoke", processes=2), "one user in one process"),
        (Settings(suite="load", gates=("p95=3",)), "no figure 'p95'"),
        (Settings(suite="load", gates=("ttft_p95_ms",)), "no limit"),
    ],
)
def test_contradictory_settings_are_refused(settings: Settings, message: str) -> None:
    """LOAD-5.4: Settings that exclude each other are refused, with the reason."""
    with pytest.raises(SettingsError, match=message):
        resolve_suite(settings)


def test_gates_compare_figures_with_limits() -> None:
    """LOAD-5.2: A figure at its limit passes, one above it fails."""
    gates = tuple(parse_gate(text) for text in ("error_percent=1", "ttft_p95_ms=100", "e2e_p99_ms=100"))
    figures = {"error_percent": 0.5, "ttft_p95_ms": 100.0, "e2e_p99_ms": 100.1}

    verdicts = check_gates(gates, figures, requests=200, measures=EVERYTHING)

    assert [(gate.figure, gate.found, gate.passed) for gate in verdicts] == [
        ("error_percent", 0.5, True),
        ("ttft_p95_ms", 100.0, True),
        ("e2e_p99_ms", 100.1, False),
    ]


def test_an_unmeasured_figure_fails() -> None:
    """LOAD-5.3: A figure that was not measured fails, unless no request has such a figure."""
    gates = (parse_gate("error_percent=1"), parse_gate("ttft_p95_ms=100"))
    none = {"error_percent": None, "ttft_p95_ms": None}

    assert [gate.passed for gate in check_gates(gates, none, requests=0, measures=EVERYTHING)] == [
        False,
        False,
    ]
    figures = {"error_percent": 0.0, "ttft_p95_ms": None}
    assert [gate.passed for gate in check_gates(gates, figures, requests=9, measures=EVERYTHING)] == [
        True,
        False,
    ]
    assert [gate.passed for gate in check_gates(gates, figures, requests=9, measures=frozenset())] == [True]


def test_settings_are_variables() -> None:
    """LOAD-1.3: Settings are the same after they were written as variables and read again."""
    settings = Settings(
        suite="load",
        endpoints=("chat", "models"),
        model=("a", "b"),
        openai_prefix="",
        rate=2.5,
        gates=("itl_max_ms=9",),
    )

    assert load_settings(to_variables(settings)) == settings
    assert load_settings({"LOADTEST_OPENAI_PREFIX": "", "PATH": "/bin"}).openai_prefix == ""
    assert load_settings({"LOADTEST_MODEL": " a, b ,"}).model == ("a", "b")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("LOADTEST_MODLE", "x", "LOADTEST_MODLE: no such setting; did you mean LOADTEST_MODEL?"),
        ("LOADTEST_RATE", "fast", "LOADTEST_RATE: .*got 'fast'"),
        ("LOADTEST_RATE", "0", "LOADTEST_RATE: .*> 0"),
        ("LOADTEST_USERS", "1.5", "LOADTEST_USERS: "),
        ("LOADTEST_ARRIVALS", "random", "LOADTEST_ARRIVALS: "),
    ],
)
def test_a_wrong_setting_is_named(variable: str, value: str, message: str) -> None:
    """LOAD-1.3: The message names the variable and its value."""
    with pytest.raises(SettingsError, match=message):
        load_settings({variable: value})


@pytest.mark.parametrize("text", ["gateway/openai", "/gateway/openai/", "/gateway/openai"])
def test_slashes_of_a_prefix_may_be_anywhere(text: str) -> None:
    """LOAD-1.2: A prefix may have slashes at both ends or none."""
    settings = load_settings({"LOADTEST_OPENAI_PREFIX": text, "LOADTEST_ANTHROPIC_PREFIX": "/"})

    assert {request.path for request in build_requests(settings)} >= {
        "/gateway/openai/v1/embeddings",
        "/v1/messages",
    }


def test_every_setting_is_described() -> None:
    """LOAD-1.3: Every setting has a description, for help and documentation."""
    rows = describe_settings()

    assert [name for name, _, _ in rows] == [variable_name(name) for name in FIELDS]
    assert all(about for _, _, about in rows)


def requests(**settings: str) -> dict[str, RequestTemplate]:
    loaded = load_settings({f"LOADTEST_{name.upper()}": value for name, value in settings.items()})
    return {request.name: request for request in build_requests(loaded)}


def test_every_endpoint_has_requests() -> None:
    """LOAD-1.4: Endpoints that generate text get streamed requests and others."""
    found = requests(endpoints=",".join(ENDPOINTS))

    assert {request.endpoint for request in found.values()} == set(ENDPOINTS)
    for endpoint in GENERATING:
        assert found[f"{endpoint} stream"].stream_check is not None
        assert b'"stream":true' in found[f"{endpoint} stream"].bodies[0]
        assert found[endpoint].body_check is not None
        assert b'"stream":true' not in found[endpoint].bodies[0]


def test_requests_suit_any_server() -> None:
    """LOAD-1.2: Paths, keys and models are settings, and each API gets the key in its own header."""
    found = requests(
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
    """LOAD-1.3: An unknown endpoint is refused, with the known names."""
    with pytest.raises(SettingsError, match="no endpoint 'chats'; one of: chat, responses"):
        requests(endpoints="chats")
