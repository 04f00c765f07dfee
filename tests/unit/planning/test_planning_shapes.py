"""Shapes of latencies: what is served has the distribution that was configured."""

import math
import random
import runpy
import statistics
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmsim.catalogue import load_catalogue
from llmsim.config import LatencySettings
from llmsim.domain import Schedule
from llmsim.domain.schedule import DEVIATES
from llmsim.planning.shapes import Stalls, build_table, quantile_function, strata
from llmsim.planning.timing import LatencySampler

ROOT = Path(__file__).parents[3]
PROFILES = load_catalogue().profiles
DRAWS = 100_000
MOST = 0.03
QUANTILES = ((0.05, 12.0), (0.5, 20.0), (0.9, 45.0), (0.99, 180.0))

Cdf = Callable[[float], float]


def distance(samples: list[float], cdf: Cdf) -> float:
    """Return at most the Kolmogorov-Smirnov distance of samples from a distribution: each 20th is looked at."""
    ordered, count, step = sorted(samples), len(samples), 20
    seen = [(rank, cdf(ordered[rank])) for rank in range(0, count, step)]
    return max(max((rank + 1) / count - share, share - rank / count) for rank, share in seen) + step / count


def normal_cdf(mean: float, stddev: float) -> Cdf:
    return statistics.NormalDist(mean, stddev).cdf


def lognormal_cdf(mean: float, stddev: float) -> Cdf:
    variance = math.log(1 + stddev**2 / mean**2)
    logarithm = statistics.NormalDist(math.log(mean) - variance / 2, math.sqrt(variance))
    return lambda at: logarithm.cdf(math.log(at)) if at > 0 else 0.0


def gamma_cdf(mean: float, stddev: float) -> Cdf:
    shape, scale = (mean / stddev) ** 2, stddev**2 / mean

    def cdf(at: float) -> float:
        """Sum the series of the incomplete gamma function."""
        if at <= 0:
            return 0.0
        reduced = at / scale
        term = total = 1 / shape
        number = shape
        while term > total * 1e-12:
            number += 1
            term *= reduced / number
            total += term
        return min(1.0, total * math.exp(shape * math.log(reduced) - reduced - math.lgamma(shape)))

    return cdf


def empirical_cdf() -> Cdf:
    """The lines through `QUANTILES`, continued to 0 and 1."""
    known = [
        (0.0, 12 - 0.05 * (20 - 12) / 0.45),
        *QUANTILES,
        (1.0, 180 + 0.01 * (180 - 45) / 0.09),
    ]

    def cdf(at: float) -> float:
        right = bisect_left([latency for _, latency in known], at)
        if right == 0:
            return 0.0
        if right == len(known):
            return 1.0
        (low, start), (high, stop) = known[right - 1 : right + 1]
        return low + (high - low) * (at - start) / (stop - start)

    return cdf


CASES = {
    "normal": ({"mean_ms": 40, "stddev_ms": 9}, normal_cdf(40, 9)),
    "lognormal": ({"shape": "lognormal", "mean_ms": 40, "stddev_ms": 30}, lognormal_cdf(40, 30)),
    "narrow lognormal": ({"shape": "lognormal", "mean_ms": 600, "stddev_ms": 6}, lognormal_cdf(600, 6)),
    "wide lognormal": ({"shape": "lognormal", "mean_ms": 10, "stddev_ms": 90}, lognormal_cdf(10, 90)),
    "gamma": ({"shape": "gamma", "mean_ms": 40, "stddev_ms": 30}, gamma_cdf(40, 30)),
    "narrow gamma": ({"shape": "gamma", "mean_ms": 40, "stddev_ms": 2}, gamma_cdf(40, 2)),
    "exponential": ({"shape": "gamma", "mean_ms": 25, "stddev_ms": 25}, gamma_cdf(25, 25)),
    "wide gamma": ({"shape": "gamma", "mean_ms": 25, "stddev_ms": 60}, gamma_cdf(25, 60)),
    "empirical": ({"quantiles": QUANTILES}, empirical_cdf()),
    "even": ({"quantiles": (10.0, 20.0)}, lambda at: min(1.0, max(0.0, (at - 10) / 10))),
}


def sampler(what: str, figures: dict[str, object], **others: object) -> LatencySampler:
    named = {f"{what}_{key}": value for key, value in figures.items()}
    return LatencySampler(LatencySettings(**{"profile": "instant"} | named | others), PROFILES)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", CASES)
def test_the_time_to_first_token_has_its_shape(case: str) -> None:
    """LAT-4.1: 100,000 times to first token are distributed as configured."""
    figures, cdf = CASES[case]
    latency, rng = sampler("ttft", figures), random.Random(5)

    drawn = [latency.schedule("gpt-5", rng).ttft * 1000 for _ in range(DRAWS)]

    assert distance(drawn, cdf) < MOST


@pytest.mark.parametrize("tokens", [50, 1000, DRAWS])
@pytest.mark.parametrize("case", CASES)
def test_the_inter_token_latency_has_its_shape(case: str, tokens: int) -> None:
    """LAT-4.1: 100,000 gaps are distributed as configured, as they are read by starts and strides, in short streams and in a long one."""
    figures, cdf = CASES[case]
    latency, rng = sampler("tbt", figures), random.Random(5)
    schedules = [latency.schedule("gpt-5", rng) for _ in range(DRAWS // tokens)]

    gaps = [schedule.gap(token) * 1000 for schedule in schedules for token in range(1, tokens + 1)]

    assert distance(gaps, cdf) < MOST


@pytest.mark.parametrize("shape", ["lognormal", "gamma"])
@pytest.mark.parametrize(("mean", "stddev"), [(40, 12), (600, 900), (1, 0.01), (0.5, 5)])
def test_a_table_has_the_mean_of_its_settings(shape: str, mean: float, stddev: float) -> None:
    """LAT-4.1: Also where much of the mean is in the tail."""
    table = build_table(shape, mean, stddev)
    latencies = [table.mean + table.spread * deviate for deviate in DEVIATES[table.name]]

    assert table.mean == pytest.approx(mean, rel=1e-6)
    assert statistics.fmean(latencies) == pytest.approx(mean, rel=1e-6)
    assert min(latencies) > -1e-9 * mean


@given(st.sampled_from(["lognormal", "gamma"]), st.floats(0.001, 1e6), st.floats(0.0, 1e6))
def test_any_figures_make_a_shape(shape: str, mean: float, stddev: float) -> None:
    """LAT-4.1: Whatever mean and deviation are configured, latencies rise, are finite and are not negative."""
    latencies = strata(shape, 256, mean, stddev)

    assert all(math.isfinite(latency) and latency >= 0 for latency in latencies)
    assert latencies == sorted(latencies)


@pytest.mark.parametrize("shape", ["lognormal", "gamma"])
@pytest.mark.parametrize("what", ["ttft", "tbt"])
def test_a_shape_without_deviation_or_mean_is_constant(shape: str, what: str) -> None:
    """LAT-4.1: Nothing is drawn for it, and its schedule is the same for all."""
    for figures in ({"mean_ms": 25, "stddev_ms": 0}, {"mean_ms": 0, "stddev_ms": 5}):
        latency, rng = sampler(what, {"shape": shape} | figures), random.Random(7)
        state = rng.getstate()
        schedule = latency.schedule("gpt-5", rng)

        assert (schedule.ttft, schedule.itl)[what == "tbt"] == figures["mean_ms"] / 1000
        assert schedule.spread == 0
        assert schedule is latency.schedule("gpt-5", rng)
        assert rng.getstate() == state


def test_profiles_share_the_tables_of_a_shape() -> None:
    """LAT-4.5: Mean and deviation in the same proportion are one table at two scales."""
    narrow, wide = build_table("gamma", 10, 3), build_table("gamma", 1000, 300)

    assert narrow.name == wide.name
    assert wide.mean == pytest.approx(100 * narrow.mean)


@pytest.mark.parametrize("case", CASES)
def test_the_same_seed_gives_the_same_instants(case: str) -> None:
    """LAT-4.5: With every shape, in any sampler."""
    figures, _ = CASES[case]

    def instants() -> list[float]:
        both = {f"tbt_{key}": value for key, value in figures.items()}
        schedule = sampler("ttft", figures, **both).schedule("gpt-5", random.Random(11))
        return [schedule.due(token) for token in range(1, 50)]

    assert instants() == instants()


def test_pairs_and_equal_steps_mean_the_same() -> None:
    """LAT-4.2: A list of latencies is a list of pairs at equal steps from 0 to 1."""
    assert quantile_function((10.0, 20.0, 60.0)) == quantile_function(((0.0, 10.0), (0.5, 20.0), (1.0, 60.0)))


def test_the_first_and_last_line_are_continued() -> None:
    """LAT-4.2: To the probabilities 0 and 1, but not below zero."""
    quantiles = quantile_function(((0.5, 100.0), (0.75, 200.0)))

    assert [quantiles.at(probability) for probability in (0.0, 0.25, 0.5, 0.625, 0.75)] == [
        0,
        50,
        100,
        150,
        200,
    ]
    assert quantiles.at(0.875) == pytest.approx(250)


def test_equal_quantiles_are_latencies_that_are_frequent() -> None:
    """LAT-4.2: A level line is a share of latencies that are all the same."""
    quantiles = quantile_function(((0.0, 10.0), (0.5, 10.0), (1.0, 30.0)))

    assert [quantiles.at(probability) for probability in (0, 0.3, 0.5, 0.75)] == [10, 10, 10, 20]
    assert quantiles.mean == 15


def test_mean_and_deviation_follow_from_quantiles() -> None:
    """LAT-4.2: Those of the lines, e.g. of an even distribution."""
    even = quantile_function((0.0, 12.0))

    assert (even.mean, even.stddev) == (6, pytest.approx(math.sqrt(12)))


@pytest.mark.parametrize("rate", [0.0001, 0.001, 0.05, 1.0])
def test_a_share_of_the_gaps_holds_a_stall(rate: float) -> None:
    """LAT-5.3: As many as configured, each as long as configured."""
    table = build_table("normal", 20, 0, None, Stalls(rate, 500, 50))
    gaps = [table.mean + table.spread * deviate for deviate in DEVIATES[table.name]]
    stalls = [gap - 20 for gap in gaps if gap > 100]

    assert len(stalls) / len(gaps) == pytest.approx(rate, rel=0.15)
    assert statistics.fmean(stalls) == pytest.approx(500, rel=0.01)
    if rate >= 0.001:
        assert statistics.pstdev(stalls) == pytest.approx(50, rel=0.1)


@pytest.mark.parametrize("case", CASES)
def test_gaps_without_a_stall_keep_their_shape(case: str) -> None:
    """LAT-5.3: Of 100,000 gaps those that hold no stall are distributed as without the setting."""
    figures, cdf = CASES[case]
    latency = sampler("tbt", figures, stall_rate=0.1, stall_mean_ms=10_000.0)
    schedule: Schedule = latency.schedule("gpt-5", random.Random(3))

    gaps = [schedule.gap(token) * 1000 for token in range(DRAWS)]
    kept = [gap for gap in gaps if gap < 9_000]

    assert len(kept) == pytest.approx(0.9 * DRAWS, rel=0.01)
    assert distance(kept, cdf) < MOST


def test_a_stall_that_is_always_the_same_is_no_spread() -> None:
    """LAT-5.3: If every gap holds the same stall, gaps are constant."""
    latency = sampler("tbt", {"mean_ms": 20, "stddev_ms": 0}, stall_rate=1.0, stall_mean_ms=5.0)

    assert latency.schedule("gpt-5", random.Random(3)) == Schedule(ttft=0.0, itl=0.025)
    assert latency.schedule("gpt-5", random.Random(3)) is latency.schedule("gpt-5", random.Random(4))


def test_the_drawing_in_the_docs_is_of_what_is_served() -> None:
    """LAT-4.1: `docs/latency-shapes.svg` is what `scripts/plot-shapes` draws of the tables."""
    drawn = runpy.run_path(str(ROOT / "scripts" / "plot-shapes"))["render"]()

    assert (ROOT / "docs" / "latency-shapes.svg").read_text(encoding="utf-8") == drawn
