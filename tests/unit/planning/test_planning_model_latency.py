"""Latencies of the models of a pattern, and what a prompt adds."""

import random
from typing import Any

import pytest

from llmsim.catalogue import load_catalogue
from llmsim.config import LatencyFigures, LatencySettings, Settings
from llmsim.domain import CacheUse, Message, Prompt, Turn
from llmsim.planning.planner import Planner
from llmsim.planning.timing import Distribution, LatencySampler

CATALOGUE = load_catalogue()


def sampler(models: dict[str, LatencyFigures] | None = None, **figures: Any) -> LatencySampler:
    return LatencySampler(LatencySettings(**figures, models=models or {}), CATALOGUE.profiles)


def figures_of(latency: LatencySampler, model: str) -> tuple[float, float, float, float]:
    profile = latency.model_profile(CATALOGUE.facts(model))
    return profile.ttft.mean, profile.ttft.stddev, profile.itl.mean, profile.itl.stddev


@pytest.mark.parametrize(
    ("model", "ttft"),
    [
        ("gpt-5", 1),
        ("gpt-5-2025-08-07", 1),
        ("gpt-5-mini", 2),
        ("gpt-4o", 400),
        ("o3", 3),
        ("my-own-model", 4),
    ],
)
def test_the_longest_pattern_counts(model: str, ttft: float) -> None:
    """LAT-7.1: Of those that fit; snapshots have the latencies of their model, and others are as without."""
    patterns = {"gpt-5*": 1.0, "gpt-5-m*": 2.0, "o?": 3.0, "my-own-model": 4.0, "my*": 5.0}
    latency = sampler({pattern: LatencyFigures(ttft_mean_ms=mean) for pattern, mean in patterns.items()})

    assert figures_of(latency, model)[0] == ttft


def test_each_figure_comes_from_the_first_table_that_has_it() -> None:
    """LAT-7.2: The pattern's table, the profile that it names, `[latency]`, its profile, the model's own."""
    latency = sampler(
        {
            "gpt-5": LatencyFigures(tbt_mean_ms=7.0),
            "o3": LatencyFigures(profile="fast", tbt_stddev_ms=0.5),
        },
        ttft_mean_ms=100.0,
        tbt_stddev_ms=3.0,
    )

    assert figures_of(latency, "gpt-5") == (100, 150, 7, 3)
    assert figures_of(latency, "o3") == (10, 2, 1, 0.5)
    assert figures_of(latency, "gpt-4o") == (100, 100, 25, 3)


def test_a_profile_of_all_models_is_that_of_the_pattern_too() -> None:
    """LAT-7.2: Unless the pattern names another."""
    latency = sampler(
        {"gpt-5": LatencyFigures(tbt_mean_ms=7.0), "o3": LatencyFigures(profile="gpt-4")}, profile="fast"
    )

    assert figures_of(latency, "gpt-5") == (10, 2, 7, 0)
    assert figures_of(latency, "o3") == (800, 200, 50, 15)
    assert figures_of(latency, "gpt-4o") == (10, 2, 1, 0)


def test_a_shape_replaces_shape_quantiles_and_file() -> None:
    """LAT-7.2: They are one key: a pattern's shape ends the quantiles of all models, and the other way round."""
    latency = sampler(
        {
            "gpt-5": LatencyFigures(tbt_shape="gamma", tbt_mean_ms=9.0),
            "o3": LatencyFigures(profile="fast"),
            "gpt-4o": LatencyFigures(ttft_quantiles=(1.0, 3.0)),
        },
        tbt_quantiles=(10.0, 20.0),
        ttft_shape="lognormal",
    )
    shapes = {
        model: (profile.ttft.shape, profile.itl.shape)
        for model in ("gpt-5", "o3", "gpt-4o", "gpt-4")
        if (profile := latency.model_profile(CATALOGUE.facts(model)))
    }

    assert shapes == {
        "gpt-5": ("lognormal", "gamma"),
        "o3": ("normal", "normal"),
        "gpt-4o": ("empirical", "empirical"),
        "gpt-4": ("lognormal", "empirical"),
    }
    assert figures_of(latency, "gpt-5")[2] == 9


def plan(
    model: str = "gpt-4o", *, prompt: str = "Hello " * 400, read: int = 0, **figures: Any
) -> tuple[Turn, int]:
    """Return a turn, and the tokens of its prompt."""
    models = figures.pop("models", {})
    settings = Settings(latency=LatencySettings(**({"profile": "instant"} | figures), models=models))
    planner = Planner(settings, CATALOGUE, lambda: 1.0)
    asked = Prompt(model=model, messages=(Message("user", (prompt,)),), seed=3)
    facts = planner.analyze(asked)
    turn = planner.plan(asked, facts, random.Random(2), CacheUse(read))
    assert isinstance(turn, Turn)
    return turn, facts.tokens


def test_each_token_of_the_prompt_takes_its_time() -> None:
    """LAT-6.1: The time to first token is a draw, and more by each token of the prompt."""
    turn, tokens = plan(ttft_mean_ms=50.0, prefill_ms_per_token=0.5)

    assert tokens > 400
    assert turn.schedule.ttft == pytest.approx((50 + 0.5 * tokens) / 1000)


def test_cached_tokens_take_no_time() -> None:
    """LAT-6.1: The cached share is deducted; the factor on the time to first token has no effect then."""
    turn, tokens = plan(read=300, ttft_mean_ms=50.0, prefill_ms_per_token=0.5, cache_hit_ttft_factor=0.1)

    assert turn.schedule.ttft == pytest.approx((50 + 0.5 * (tokens - 300)) / 1000)


@pytest.mark.parametrize("prefill", [None, 0.0])
def test_without_prefill_the_factor_counts(prefill: float | None) -> None:
    """LAT-6.2: In proportion to what was read."""
    planner = Planner(
        Settings(
            latency=LatencySettings(profile="instant", ttft_mean_ms=100.0, prefill_ms_per_token=prefill)
        ),
        CATALOGUE,
        lambda: 1.0,
    )
    profile = planner._latency.profile("gpt-4o")

    half = planner._latency.sample(profile, random.Random(2), cached=0.5, prompt_tokens=1000)
    assert half.ttft == pytest.approx(0.075)


def test_a_pattern_has_its_own_prefill_and_factor() -> None:
    """LAT-7.1: Every key may be one of a pattern; 0 turns the prefill of all models off."""
    latency = sampler(
        {
            "gpt-5": LatencyFigures(prefill_ms_per_token=0.0, cache_hit_ttft_factor=0.2),
            "o3": LatencyFigures(prefill_ms_per_token=2.0),
        },
        profile="instant",
        ttft_mean_ms=100.0,
        prefill_ms_per_token=1.0,
    )

    def ttft(model: str) -> float:
        profile = latency.model_profile(CATALOGUE.facts(model))
        return latency.sample(profile, random.Random(2), cached=0.5, prompt_tokens=1000).ttft

    assert [ttft(model) for model in ("gpt-5", "o3", "gpt-4o")] == pytest.approx([0.06, 1.1, 0.6])


def test_what_has_no_pattern_stays_plain() -> None:
    """LAT-7.1: A model in no pattern is planned as without patterns; one in a pattern is not."""
    settings = Settings(
        latency=LatencySettings(profile="instant", models={"gpt-5*": LatencyFigures(profile="fast")})
    )
    planner = Planner(settings, CATALOGUE, lambda: 1.0)

    def is_plain(model: str) -> bool:
        return planner.analyze(Prompt(model=model, messages=(Message("user", ("Hi",)),))).is_plain

    assert is_plain("gpt-4o")
    assert not is_plain("gpt-5-chat-latest")


def test_a_plan_has_the_latencies_of_its_pattern() -> None:
    """LAT-7.1: From the request to the schedule."""
    models = {"gpt-4o*": LatencyFigures(ttft_mean_ms=70.0, tbt_quantiles=(10.0, 20.0))}
    turn, _ = plan("gpt-4o-2024-08-06", models=models)
    other, _ = plan("gpt-4", models=models)

    assert turn.schedule.ttft == 0.07
    assert turn.schedule.itl == pytest.approx(0.015)
    assert all(0.01 <= turn.schedule.gap(token) <= 0.02 for token in range(1, 100))
    assert other.schedule.at_once


def test_a_named_profile_has_no_pattern() -> None:
    """LAT-7.3: What a script or scenario names is that profile, as settings for all models have it."""
    latency = sampler({"*": LatencyFigures(ttft_mean_ms=1.0)}, tbt_shape="gamma")
    named = latency.find("gpt-4")

    assert named is not None
    assert named.ttft == Distribution(800, 200)
    assert named.itl.shape == "gamma"
