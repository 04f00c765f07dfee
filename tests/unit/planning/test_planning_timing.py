"""Latency: profiles, overrides, and what is sampled from them."""

import hashlib
import math
import random
import statistics

import pytest

from llmsim.catalogue import load_catalogue
from llmsim.config import LatencySettings
from llmsim.domain import Schedule
from llmsim.domain.schedule import DEVIATES
from llmsim.planning.timing import Distribution, LatencySampler

PROFILES = load_catalogue().profiles
OWN = LatencySampler(LatencySettings(), PROFILES)


def figures(latency: LatencySampler, name: str) -> tuple[float, float, float, float]:
    profile = latency.profile(name)
    return profile.ttft.mean, profile.ttft.stddev, profile.itl.mean, profile.itl.stddev


def test_without_a_setting_each_profile_is_itself() -> None:
    """LAT-1.2: A model's own profile is in force."""
    for name, own in PROFILES.items():
        expected = (own.ttft_mean_ms, own.ttft_stddev_ms, own.tbt_mean_ms, own.tbt_stddev_ms)
        assert figures(OWN, name) == expected


def test_a_chosen_profile_replaces_all() -> None:
    """LAT-1.3: `latency.profile` replaces every model's own profile."""
    latency = LatencySampler(LatencySettings(profile="fast"), PROFILES)

    assert {figures(latency, name) for name in PROFILES} == {(10, 2, 1, 0)}


@pytest.mark.parametrize(
    ("setting", "place"),
    [("ttft_mean_ms", 0), ("ttft_stddev_ms", 1), ("tbt_mean_ms", 2), ("tbt_stddev_ms", 3)],
)
@pytest.mark.parametrize("value", [0.0, 0.125, 77.5])
def test_a_figure_overrides_that_figure_of_every_profile(setting: str, place: int, value: float) -> None:
    """LAT-1.3: A setting of one figure, be it zero, changes that figure of every profile and no other."""
    latency = LatencySampler(LatencySettings(**{setting: value}), PROFILES)

    for name in PROFILES:
        wanted = list(figures(OWN, name))
        wanted[place] = value
        assert figures(latency, name) == tuple(wanted)


def test_a_figure_overrides_the_chosen_profile_too() -> None:
    """LAT-1.3: Profile and figures may be set together."""
    latency = LatencySampler(LatencySettings(profile="gpt-4", tbt_mean_ms=3.0), PROFILES)

    assert figures(latency, "instant") == (800, 200, 3, 15)


def test_the_deviates_have_mean_zero_and_deviation_one() -> None:
    """LAT-1.4: The table of unit deviates is a normal distribution to the last digits."""
    deviates = DEVIATES[OWN.schedule("gpt-5", random.Random(7)).table]

    assert statistics.fmean(deviates) == pytest.approx(0.0, abs=1e-9)
    assert statistics.pstdev(deviates) == pytest.approx(1.0, abs=1e-9)
    assert math.log2(len(deviates)).is_integer()
    within = [sum(abs(one) < bound for one in deviates) / len(deviates) for bound in (1, 2, 3)]
    assert within == pytest.approx([0.6827, 0.9545, 0.9973], abs=0.001)


def test_every_process_has_the_same_deviates() -> None:
    """LAT-2.2: The same seed gives the same instants in any process and version: the table never changes."""
    table = ",".join(f"{deviate:.9f}" for deviate in DEVIATES["normal"])

    assert (
        hashlib.sha256(table.encode()).hexdigest()
        == "26aa87b3bdfe321753209ac59c74376180932aef65ad06f5d2218f4c05be7211"
    )


def test_a_distribution_without_deviation_is_its_mean() -> None:
    """LAT-1.4: Nothing is drawn for it."""
    rng = random.Random(7)
    state = rng.getstate()

    assert Distribution(25.0).sample(rng) == 25.0
    assert Distribution(25.0).schedule(0.5, rng) == Schedule(ttft=0.5, itl=0.025)
    assert rng.getstate() == state


def sampled(name: str, latency: LatencySampler = OWN, turns: int = 4000) -> tuple[list[float], list[float]]:
    rng = random.Random(20)
    schedules: list[Schedule] = [latency.schedule(name, rng) for _ in range(turns)]
    return [one.ttft for one in schedules], [one.gap(token) for one in schedules for token in range(1, 20)]


@pytest.mark.parametrize("name", ["gpt-5", "o-series", "claude-haiku"])
def test_samples_have_the_mean_and_deviation_of_their_profile(name: str) -> None:
    """LAT-1.4: Over many turns, TTFT and ITL are distributed as the profile says, in seconds."""
    ttft_mean, ttft_deviation, itl_mean, itl_deviation = (figure / 1000 for figure in figures(OWN, name))
    ttfts, itls = sampled(name)

    assert statistics.fmean(ttfts) == pytest.approx(ttft_mean, rel=0.02)
    assert statistics.pstdev(ttfts) == pytest.approx(ttft_deviation, rel=0.05)
    assert statistics.fmean(itls) == pytest.approx(itl_mean, rel=0.02)
    assert statistics.pstdev(itls) == pytest.approx(itl_deviation, rel=0.05)


def test_samples_are_cut_at_zero() -> None:
    """LAT-1.4: Wide deviations never make a latency negative; the cut part is zero."""
    wide = LatencySampler(
        LatencySettings(ttft_mean_ms=10, ttft_stddev_ms=100, tbt_mean_ms=10, tbt_stddev_ms=100), PROFILES
    )
    ttfts, itls = sampled("gpt-5", wide)

    for samples in (ttfts, itls):
        assert min(samples) == 0.0
        assert sum(sample == 0.0 for sample in samples) / len(samples) == pytest.approx(0.46, abs=0.03)


def test_neighbouring_gaps_are_not_correlated() -> None:
    """LAT-1.4: Gaps of one turn are not correlated, although they come from one table."""
    schedule = OWN.schedule("gpt-5", random.Random(3))
    gaps = [schedule.gap(token) for token in range(1, 5000)]

    assert statistics.correlation(gaps[:-1], gaps[1:]) == pytest.approx(0.0, abs=0.06)


def test_instant_is_instant() -> None:
    """LAT-1.1: With the profile `instant` all tokens are due at once."""
    schedule = OWN.schedule("instant", random.Random(7))

    assert [schedule.due(tokens) for tokens in (0, 1, 100_000)] == [0.0, 0.0, 0.0]


def test_sub_millisecond_latencies_are_kept() -> None:
    """LAT-1.3: Latencies are set in milliseconds, and not rounded to them."""
    fine = LatencySampler(LatencySettings(profile="instant", ttft_mean_ms=0.25, tbt_mean_ms=0.125), PROFILES)

    assert fine.schedule("gpt-5", random.Random(7)).due(5) == pytest.approx(0.00075)
