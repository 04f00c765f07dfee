"""Timelines: read, checked, and what holds when."""

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.config import Settings, check_changes, parse_timeline, with_changes
from llmsim.errors import ConfigError

SOURCE = b"""
name = "brown-out"
[[step]]
at_secs = 10
name = "healthy"
[step.latency]
ttft_mean_ms = 100
[[step]]
at_secs = 20
name = "slow"
ramp_secs = 10

latency.ttft_mean_ms = 1100
errors.rate_limit_rate = 0.5
errors.retry_after_ms = 2000
latency.profile = "instant"
[[step]]
at_secs = 40
"""


def problems(source: str, settings: Settings | None = None) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse_timeline(source.encode(), settings or Settings(), ("instant",))
    return str(refused.value).splitlines()


def test_steps_hold_until_the_next_one() -> None:
    """CTRL-3.1: A step says all that differs as long as it holds; the last one holds for ever."""
    timeline = parse_timeline(SOURCE, Settings(), ("instant",))
    settings = Settings()
    moments = [timeline.at(at, settings) for at in (0, 9.99, 10, 19.9, 35, 40, 1e9)]

    assert [moment.step for moment in moments] == [0, 0, 1, 1, 2, 3, 3]
    assert [moment.until for moment in moments] == [10, 10, 20, 20, 40, math.inf, math.inf]
    assert dict(moments[2].values) == {"latency.ttft_mean_ms": 100.0}
    assert moments[4].values["errors.rate_limit_rate"] == 0.5
    assert dict(moments[5].values) == {}
    assert [moment.name for moment in moments] == ["", "", "healthy", "healthy", "slow", "", ""]


def test_ramps() -> None:
    """CTRL-3.3: Numbers go from the step before, or the settings, to their end; whole ones stay whole; words change at once."""
    timeline = parse_timeline(SOURCE, Settings(), ("instant",))
    settings = Settings()
    begun, middle, last = (timeline.at(20 + after, settings) for after in (0, 5.05, 9.99))

    assert dict(begun.values) == {
        "latency.ttft_mean_ms": 100.0,
        "errors.rate_limit_rate": 0.0,
        "errors.retry_after_ms": 1000,
        "latency.profile": "instant",
    }
    assert begun.until == pytest.approx(20.1)
    assert middle.values["latency.ttft_mean_ms"] == pytest.approx(600)
    assert middle.values["errors.rate_limit_rate"] == pytest.approx(0.25)
    assert middle.values["errors.retry_after_ms"] == 1500
    assert isinstance(middle.values["errors.retry_after_ms"], int)
    assert last.until == 30
    assert timeline.at(30, settings).values["latency.ttft_mean_ms"] == 1100


def test_a_ramp_can_lead_back() -> None:
    """CTRL-3.3: What a step with a ramp leaves out goes back to the settings."""
    source = b"[[step]]\nat_secs=0\nerrors.timeout_rate=1\n[[step]]\nat_secs=10\nramp_secs=10\n[[step]]\nat_secs=30"
    timeline = parse_timeline(source, Settings())

    assert timeline.at(15, Settings()).values["errors.timeout_rate"] == pytest.approx(0.5)
    assert timeline.at(20, Settings()).values == {}


@given(st.floats(0, 60))
def test_the_next_change_is_known(elapsed: float) -> None:
    """CTRL-3.4: Until a moment says that it ends the same holds, and every state of a ramp is valid."""
    timeline, settings = parse_timeline(SOURCE, Settings(), ("instant",)), Settings()
    moment = timeline.at(elapsed, settings)
    with_changes(settings, moment.values)

    assert moment.until > elapsed or math.isclose(moment.until, elapsed)
    if moment.until < math.inf:
        between = elapsed + (moment.until - elapsed) * 0.4
        assert timeline.at(between, settings).values == moment.values


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("x = ", "not TOML"),
        ("", "step: wanted 1 to 200 tables [[step]]"),
        ("step = 3", "step: wanted 1 to 200 tables"),
        ("[[stepp]]\nat_secs = 0", 'unknown key "stepp"; did you mean "step"?'),
        ("[[step]]\nat_sec = 0", 'step 1: unknown key "at_sec"; did you mean "at_secs"?'),
        ("[[step]]", "step 1: at_secs: wanted a number from 0 to 2592000, found nothing"),
        ("[[step]]\nat_secs = -1", "step 1: at_secs: wanted a number"),
        ("[[step]]\nat_secs = nan", "step 1: at_secs: wanted a number"),
        ("[[step]]\nat_secs = true", "step 1: at_secs: wanted a number"),
        ("[[step]]\nat_secs=5\n[[step]]\nat_secs=5", "step 2: at_secs: wanted more than 5, found 5"),
        ("[[step]]\nat_secs=0\nramp_secs=9\n[[step]]\nat_secs=5", "step 1: ramp_secs: wanted at most 5"),
        ("[[step]]\nat_secs=0\nname=3", "step 1: name: wanted a text"),
        ("[[step]]\nat_secs=0\nlatency=3", "step 1: latency: wanted a table, [step.latency], found 3"),
        ("[[step]]\nat_secs=0\nlatency.profil='a'", "step 1: latency.profil: unknown setting; did you mean"),
        ("[[step]]\nat_secs=0\nserver.port=1", "step 1: server.port: cannot be changed at run time"),
        ("[[step]]\nat_secs=0\nlatency.profile='x'", 'step 1: latency.profile: unknown profile "x"'),
        ("[[step]]\nat_secs=0\nerrors={timeout_rate=0.6,rate_limit_rate=0.6}", "step 1: errors: the rates"),
        ("[[step]]\nat_secs=0\nramp_secs=1\nlatency.ttft_mean_ms=5", "a ramp needs a number to begin with"),
        (
            "[[step]]\nat_secs=0\nlatency.ttft_mean_ms=5\n[[step]]\nat_secs=1\nramp_secs=1",
            "step 2: latency.ttft_mean_ms: a ramp needs a number to end with",
        ),
    ],
)
def test_mistakes(source: str, problem: str) -> None:
    """CTRL-3.5: A mistake is reported with its step, and the nearest right word."""
    assert any(problem in found for found in problems(source)), problems(source)


def test_mistakes_name_their_lines() -> None:
    """CTRL-3.5: By file and line, where these are known; a key that is missing by the line of its step."""
    source = b"[[step]]\n\n[[step]]\nat_secs = 2\nerrors.timeout_rte = 0.6\n[step.latency]\nprofile = 'x'"
    with pytest.raises(ConfigError) as caught:
        parse_timeline(source, Settings(), ("fast",), name="a.toml")

    assert [line.split(": ")[:3] for line in str(caught.value).splitlines()] == [
        ["a.toml:1", "step 1", "at_secs"],
        ["a.toml:5", "step 2", "errors.timeout_rte"],
        ["a.toml:7", "step 2", "latency.profile"],
    ]


def test_mistakes_in_json_name_their_lines() -> None:
    """CTRL-3.5: As those in TOML do; a key that is given twice is one of them."""
    source = b"""{"step": [
      {},
      {"at_secs": 2, "errors": {
        "timeout_rte": 0.6},
       "latency": {"ttft_mean_ms": 1,
                   "ttft_mean_ms": 2}}
    ]}"""
    with pytest.raises(ConfigError) as caught:
        parse_timeline(source, Settings(), ("fast",), "json")
    with pytest.raises(ConfigError, match=r"^a\.json:2: not JSON: Expecting value at column 1"):
        parse_timeline(b'{"step":\n}', Settings(), (), "json", "a.json")

    assert [line.split(": ")[:3] for line in str(caught.value).splitlines()] == [
        ["line 6", "step 2", "latency.ttft_mean_ms"],
        ["line 2", "step 1", "at_secs"],
        ["line 4", "step 2", "errors.timeout_rte"],
    ]


def test_a_timeline_fits_the_settings() -> None:
    """CTRL-2.4: It is checked against the settings that it changes."""
    settings = with_changes(Settings(), check_changes({"errors.rate_limit_rate": 0.7}))

    assert "rates add up" in problems("[[step]]\nat_secs=0\nerrors.timeout_rate=0.6", settings)[0]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["step", "at_secs", "latency", "profile", "name", "errors", "timeout_rate"]),
                inner,
            )
        ),
    )
)
def test_any_document_is_read_or_refused(document: Any) -> None:
    """CTRL-3.5: Nothing but a ConfigError leaves the parser."""
    try:
        parse_timeline(msgspec.json.encode(document), Settings(), ("instant",), "json")
    except ConfigError as error:
        str(error).encode("utf-8", "surrogateescape")


EXAMPLES = sorted((Path(__file__).parents[3] / "docs" / "examples" / "timelines").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples(path: Path) -> None:
    """CTRL-3.1: The timelines of the documentation are valid, and end with what was before."""
    timeline = parse_timeline(path.read_bytes(), Settings())

    assert len(EXAMPLES) == 4
    assert path.name in path.parents[2].joinpath("control.md").read_text(encoding="utf-8")
    assert timeline.steps[-1].at <= 60
