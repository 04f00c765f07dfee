"""Engines that come with llmsim, used by name."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from llmsim.catalogue import load_catalogue
from llmsim.cli import main
from llmsim.config import Settings, load
from llmsim.config.engine_profiles import engine_profiles
from llmsim.config.runtime import check_changes, decide, merged_changes, with_changes
from llmsim.engine import TraceRequest, run_trace
from llmsim.errors import ConfigError

PROFILES = load_catalogue().profiles
NAMES = sorted(engine_profiles())


def test_there_are_three_and_they_run() -> None:
    """CAL-3.1: At least three engines come along; each serves a request in a plausible time."""
    assert len(NAMES) >= 3
    assert not set(NAMES) & set(PROFILES)
    for profile in engine_profiles().values():
        (alone,) = run_trace(profile.engine, [TraceRequest(0.0, 1_024, 100)])
        assert 0.01 < alone.ttft < 2
        assert 0.1 < alone.e2e < 20


@pytest.mark.parametrize("name", NAMES)
def test_an_engine_is_a_latency_profile(name: str, tmp_path: Path) -> None:
    """CAL-3.1: A flag, a variable, the file and a pattern of models take its name."""
    path = tmp_path / "llmsim.toml"
    path.write_text(f'[latency.models."gpt-5*"]\nprofile = "{name}"\n')
    engine = engine_profiles()[name].engine
    by_flag = load(environ={}, flags={"latency.profile": name}, profiles=PROFILES).settings.latency
    by_variable = load(environ={"LLMSIM_LATENCY": name}, profiles=PROFILES).settings.latency
    by_pattern = load(path, environ={}, profiles=PROFILES).settings.latency

    assert (by_flag.engine, by_flag.profile) == (engine, None)
    assert by_variable.engine == engine
    assert by_pattern.engine is None
    assert by_pattern.models["gpt-5*"].engine == engine


def test_an_engine_of_ones_own_counts_first(tmp_path: Path) -> None:
    """CAL-3.1: A table `[latency.engine]` beside the name is what is used."""
    path = tmp_path / "llmsim.toml"
    path.write_text(f'[latency]\nprofile = "{NAMES[0]}"\n[latency.engine]\nstep_base_ms = 3\n')
    engine = load(path, environ={}, profiles=PROFILES).settings.latency.engine

    assert engine is not None
    assert (engine.step_base_ms, engine.max_num_seqs) == (3, 256)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    """CAL-3.1: A misspelt engine is refused as a misspelt profile is."""
    with pytest.raises(ConfigError, match=f'did you mean "{NAMES[0]}"'):
        load(environ={}, flags={"latency.profile": NAMES[0] + "x"}, profiles=PROFILES)


def test_an_engine_is_chosen_at_run_time() -> None:
    """CAL-3.1, ENG-5.5: By its name, for all models or those of a pattern; settings of the same change come on top."""
    engine = engine_profiles()[NAMES[0]].engine
    chosen = {"latency.profile": NAMES[0]}
    start = with_changes(Settings(), {"latency.engine.step_base_ms": 3})
    by_name = with_changes(start, check_changes(chosen, PROFILES)).latency
    changed = with_changes(
        start, check_changes(chosen | {"latency.engine.max_num_seqs": 7}, PROFILES)
    ).latency
    by_pattern = with_changes(
        start, check_changes({"latency.models": {"*": {"profile": NAMES[0]}}}, PROFILES)
    ).latency

    assert (by_name.engine, by_name.profile) == (engine, None)
    assert changed.engine == msgspec.structs.replace(engine, max_num_seqs=7)
    assert (by_pattern.models["*"].engine, by_pattern.models["*"].profile) == (engine, None)


def test_another_profile_takes_the_place_of_a_ready_engine() -> None:
    """ENG-5.5: That of the start, until it is taken back; an engine that has figures of its own stays. Of changes the last counts."""
    named = {"latency.profile": NAMES[0]}
    ready = with_changes(Settings(), named)
    own = with_changes(Settings(), {"latency.engine.step_base_ms": 3})
    plain, off = {"latency.profile": "gpt-5"}, {"latency.engine": msgspec.UNSET}

    assert with_changes(ready, plain).latency.engine is None
    assert with_changes(ready, merged_changes(plain, {"latency.profile": None})).latency == ready.latency
    assert with_changes(own, plain).latency.engine == own.latency.engine
    assert with_changes(own, merged_changes(off, named)).latency.engine == ready.latency.engine
    assert with_changes(own, merged_changes(named, off)).latency.engine is None
    assert decide(named, "latency.engine")
    assert not decide(plain | {"errors.timeout_rate": 1}, "latency.models")


def test_they_are_listed_with_origin_and_error() -> None:
    """CAL-3.2: `llmsim profiles` names each engine, what it was measured on, the source and the error."""
    shown = CliRunner().invoke(main, ["profiles"], env={"COLUMNS": "200"})

    assert shown.exit_code == 0
    for name, profile in engine_profiles().items():
        assert f"{name}  {profile.about}" in shown.output
        assert profile.origin in shown.output
        assert profile.error in shown.output
