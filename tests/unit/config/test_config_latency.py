"""Settings of latency that depend on each other."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from llmsim.catalogue import load_catalogue
from llmsim.config import LatencyFigures, LatencySettings, Settings, load
from llmsim.errors import ConfigError

PROFILES = load_catalogue().profiles


def loaded(folder: Path, toml: str, **options: Any) -> LatencySettings:
    path = folder / "latency.toml"
    path.write_text(toml, encoding="utf-8")
    return load(path, environ={}, profiles=PROFILES, **options).settings.latency


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        (
            'ttft_shape = "lognomal"',
            'latency.ttft_shape: unknown ttft shape "lognomal"; did you mean "lognormal"?',
        ),
        ('ttft_shape = "empirical"', 'latency.ttft_shape: "empirical" needs ttft_quantiles or ttft_file'),
        (
            'tbt_shape = "gamma"\ntbt_quantiles = [1, 2]',
            'latency.tbt_shape: wanted "empirical" because tbt_quantiles is set, found "gamma"',
        ),
        (
            'tbt_file = "a"\ntbt_quantiles = [1, 2]',
            "latency.tbt_file: wanted either tbt_quantiles or tbt_file, found both",
        ),
        (
            "tbt_mean_ms = 4\ntbt_quantiles = [1, 2]",
            'latency.tbt_mean_ms: does nothing, because tbt_shape is "empirical"',
        ),
        ("ttft_quantiles = [1]", "latency.ttft_quantiles: wanted 2 to 10000 latencies in ms, or pairs"),
        (
            'ttft_quantiles = ["a", "b"]',
            "latency.ttft_quantiles: wanted 2 to 10000 latencies in ms, or pairs",
        ),
        (
            "ttft_quantiles = [3, 2]",
            "latency.ttft_quantiles: wanted latencies that never fall, found 2.0 behind 3.0",
        ),
        (
            "ttft_quantiles = [-1, 2]",
            "latency.ttft_quantiles: wanted latencies from 0 to 86_400_000 ms, found -1.0",
        ),
        (
            "ttft_quantiles = [[0.5, 1], [0.5, 2]]",
            "latency.ttft_quantiles: wanted rising probabilities, found 0.5 behind 0.5",
        ),
        (
            "ttft_quantiles = [[0.5, 1], [50, 2]]",
            "latency.ttft_quantiles: wanted probabilities from 0 to 1, found 50.0",
        ),
        ("ttft_quantiles = [[0.5, 1], 7]", "found both"),
        ("stall_rate = 0.00001", "latency.stall_rate: wanted 0, or a number from 0.0001 to 1, found 1e-05"),
        (
            '[latency.models."gpt-5*"]\nprofil = "fast"',
            'latency.models."gpt-5*": unknown key "profil"; did you mean "profile"?',
        ),
        (
            '[latency.models."gpt-5*"]\nprofile = "gtp-4"',
            'latency.models."gpt-5*".profile: unknown profile "gtp-4"; did you mean "gpt-4"?',
        ),
        (
            "[latency.models.o3]\nburst_tokens = 0",
            "latency.models.o3.burst_tokens: wanted a whole number from 1 to 256, found 0",
        ),
        (
            "[latency.models.o3]\nprefill_ms_per_token = 'x'",
            'latency.models.o3.prefill_ms_per_token: wanted a number from 0 to 60000, found "x"',
        ),
        (
            'tbt_quantiles = [1, 2]\n[latency.models."*"]\ntbt_mean_ms = 3',
            'latency.models."*".tbt_mean_ms: does nothing, because tbt_shape is "empirical"',
        ),
        ("[latency.models]\no3 = 5", "latency.models.o3: wanted a table, [latency.models.o3], found 5"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, toml: str, problem: str) -> None:
    """LAT-4.4: A message has the key, what was found and what is right, in the table of a pattern too."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f"[latency]\n{toml}")

    assert problem in str(caught.value)


def test_the_table_of_a_pattern_is_checked_like_any_other(tmp_path: Path) -> None:
    """LAT-7.1: It has the same keys; the original's names of profiles are replaced too."""
    latency = loaded(
        tmp_path,
        '[latency]\ntbt_mean_ms = 5\n[latency.models."gpt-5*"]\nprofile = "gpt4o"\nttft_quantiles = [[0.5, 100], [0.9, 250]]',
    )

    figures = latency.models["gpt-5*"]
    assert figures == LatencyFigures(profile="gpt-4o", ttft_quantiles=((0.5, 100.0), (0.9, 250.0)))
    assert hash(latency) == hash(msgspec.convert(msgspec.to_builtins(latency), LatencySettings))
    assert set(LatencySettings.__struct_fields__) == {*LatencyFigures.__struct_fields__, "models"}
    assert Settings().latency.cache_hit_ttft_factor == 0.5


@pytest.mark.parametrize(
    "text", ["[0.5, 100], [0.9, 250]", "[[0.5, 100], [0.9, 250]]", " [ [0.5,100], [0.9,250.0] ] "]
)
def test_quantiles_in_a_variable(text: str) -> None:
    """LAT-4.2: As TOML writes them, with or without the outer brackets."""
    settings = load(environ={"LLMSIM_LATENCY_TBT_QUANTILES": text}).settings

    assert settings.latency.tbt_quantiles == ((0.5, 100.0), (0.9, 250.0))
    assert settings.latency.shape("tbt") == "empirical"
    plain = load(environ={"LLMSIM_LATENCY_TBT_QUANTILES": "1, 2.5,7"}).settings
    assert plain.latency.tbt_quantiles == (1.0, 2.5, 7.0)


@pytest.mark.parametrize("text", ["fast", "[1, 2", "1; 2"])
def test_a_variable_that_is_no_list(text: str) -> None:
    """LAT-4.4: What is not a list of numbers is refused with what was wanted."""
    with pytest.raises(ConfigError, match=r"latency\.tbt_quantiles: wanted 2 to 10000 latencies in ms"):
        load(environ={"LLMSIM_LATENCY_TBT_QUANTILES": text})
