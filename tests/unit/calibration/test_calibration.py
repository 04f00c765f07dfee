"""Fits of data whose figures are known."""

import json
import math
import random
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llmsim.calibration import fitting
from llmsim.calibration.engine_fit import EngineFitter, predict_engine
from llmsim.calibration.engine_runs import count_steps, run_point, run_requests
from llmsim.calibration.fitting import calibrate
from llmsim.calibration.judgement import Data, gather, judge, split
from llmsim.calibration.shape_fit import fit_shape, predict_shape
from llmsim.cli import main
from llmsim.config import load
from llmsim.config.engine_settings import EngineSettings
from loadtest.recordings import Point, Recording, TimedRequest, Trace

ENGINE = EngineSettings(
    step_base_ms=18.0,
    step_sequence_us=150.0,
    step_prefill_token_us=80.0,
    step_context_token_us=0.1,
    output_overhead_ms=4.0,
    max_num_seqs=12,
)


def arrivals(count: int, rate: float, seed: int = 7) -> list[TimedRequest]:
    rng = random.Random(seed)
    at = 0.0
    found = []
    for _ in range(count):
        at += rng.expovariate(rate)
        found.append(TimedRequest(at, rng.randint(100, 900), rng.randint(10, 60)))
    return found


def run_engine(settings: EngineSettings, count: int = 60, rate: float = 14.0) -> Recording:
    """Build what would be recorded of an engine with known figures."""
    requests = arrivals(count, rate)
    times = run_requests(settings, requests, range(count), most_steps=100_000)
    timed = [
        TimedRequest(request.arrival, request.prompt_tokens, request.completion_tokens, one.ttft, one.e2e)
        for request, one in zip(requests, (times[place] for place in range(count)), strict=True)
    ]
    return Recording(traces=(Trace("synthetic", tuple(timed)),))


def run_shape(count: int = 300) -> Recording:
    """Build what would be recorded of responses that do not meet: lognormal, with a cost of the prompt."""
    rng = random.Random(3)
    found = []
    for request in arrivals(count, 2.0):
        ttft = rng.lognormvariate(math.log(0.2), 0.4) + 0.0005 * request.prompt_tokens
        e2e = ttft + 0.02 * (request.completion_tokens - 1)
        found.append(
            TimedRequest(request.arrival, request.prompt_tokens, request.completion_tokens, ttft, e2e)
        )
    return Recording(traces=(Trace("synthetic", tuple(found)),))


def ignore(what: str, share: float) -> None:
    """Show no progress."""


def write_trace(path: Path, recording: Recording) -> Path:
    rows = []
    for request in recording.traces[0].requests:
        row: dict[str, Any] = {
            "arrival_ms": 1000 * request.arrival,
            "prompt_tokens": request.prompt_tokens,
            "completion_tokens": request.completion_tokens,
        }
        if request.ttft is not None and request.e2e is not None:
            row |= {"ttft_ms": 1000 * request.ttft, "e2e_ms": 1000 * request.e2e}
        rows.append(json.dumps(row))
    path.write_text("\n".join(rows))
    return path


def test_an_engine_is_found_from_its_times() -> None:
    """CAL-2.3, CAL-2.1: From the first half alone the second is predicted within 5 %, and the limit of sequences is found."""
    fit, held_out = split(gather([run_engine(ENGINE)], 1_000))
    found = EngineFitter(fit, {}, ignore).fit()
    judgement = judge(held_out, predict_engine(found.settings, held_out))

    assert [measure.name for measure in judgement.measures] == ["ttft", "tpot", "e2e"]
    assert all(measure.mean_error < 0.05 for measure in judgement.measures if measure.name != "tpot")
    assert 10 <= found.settings.max_num_seqs <= 14
    assert found.settings.step_base_ms == pytest.approx(ENGINE.step_base_ms, rel=0.2)


def test_known_figures_are_kept_and_a_fit_repeats() -> None:
    """CAL-1.7, CAL-1.5: What is known is not fitted, and the same data give the same engine."""
    data = gather([run_engine(ENGINE, count=24)], 1_000)
    known = {"max_num_seqs": 12, "max_num_batched_tokens": 4_096, "kv_tokens": 50_000}
    first, second = (EngineFitter(data, known, ignore).fit() for _ in range(2))

    assert first == second
    assert (first.settings.max_num_seqs, first.settings.kv_tokens) == (12, 50_000)
    assert first.settings.max_num_batched_tokens == 4_096


def test_shapes_are_found_from_their_times() -> None:
    """CAL-2.4: Distribution, cost of the prompt and time per token are those of the data."""
    data = gather([run_shape()], 1_000)
    fit = fit_shape(data)
    spread = predict_shape(fit, data, is_middle=False)

    assert fit.shape in ("lognormal", "gamma")
    assert fit.prefill == pytest.approx(0.5, rel=0.35)
    assert fit.tbt_mean == pytest.approx(20.0, rel=0.01)
    assert judge(data, predict_shape(fit, data, is_middle=True), spread).measures[0].ks < 0.1


def test_what_no_shape_is_close_to_becomes_quantiles() -> None:
    """CAL-2.4: Two groups of times are listed as quantiles."""
    requests = [TimedRequest(float(place), 100, 10, 0.1 if place % 2 else 5.0, 6.0) for place in range(60)]
    fit = fit_shape(gather([Recording(traces=(Trace("two", tuple(requests)),))], 1_000))

    assert fit.shape == "empirical"
    assert fit.settings()["ttft_quantiles"][0] == 100
    assert "ttft_mean_ms" not in fit.settings()


def test_the_better_model_is_written_and_fitted_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """CAL-1.3, CAL-2.2: Times of a queue give an engine; requests without times are load in either half."""
    recording = run_engine(ENGINE, count=40)
    requests = [
        request
        if place % 4
        else TimedRequest(request.arrival, request.prompt_tokens, request.completion_tokens)
        for place, request in enumerate(recording.traces[0].requests)
    ]
    found = calibrate([Recording(traces=(Trace("some", tuple(requests)),))], known={}, progress=ignore)

    assert found.chosen.name == "engine"
    assert {model.name for model in found.tried} == {"engine", "shape"}
    assert (found.data.count, found.held_out.count) == (30, 15)
    assert len(found.data.traces[0][0].requests) == 40


def test_points_are_fitted_in_a_steady_state() -> None:
    """CAL-1.2, CAL-2.5: Points of a known engine are predicted; alike ones are merged, and their number is bounded."""
    points = [
        Point(prompt, 64, concurrency, *run_point(ENGINE, Point(prompt, 64, concurrency, 1.0, 1.0)))
        for prompt in (128, 512, 2_048)
        for concurrency in (1, 4, 8, 16)
    ]
    data = gather([Recording(points=(*points, *points))], 1_000)

    assert data.count == len(points)
    assert gather([Recording(points=tuple(points))], 5).count == 4
    assert split(data)[0].count + split(data)[1].count == len(points)
    # 16 in flight, and room for 12: those that wait are behind a whole response of others.
    assert points[3].ttft > 3 * points[2].ttft
    for point, predicted in zip(points, predict_engine(ENGINE, Data(points=tuple(points))), strict=True):
        assert (predicted.ttft, predicted.tpot) == (point.ttft, point.tpot)


def test_a_hopeless_engine_ends() -> None:
    """CAL-2.5: Steps are bounded: an engine that preempts without end is as late as its last step."""
    requests = arrivals(20, 100.0)
    thrashing = EngineSettings(kv_tokens=1_000, max_num_batched_tokens=64)
    times = run_requests(thrashing, requests, range(20), most_steps=50)

    assert len(times) == 20
    assert count_steps(requests) < 10_000


def test_the_command_writes_a_profile_that_the_settings_take(tmp_path: Path) -> None:
    """CAL-1.1, CAL-1.6: File and plot are written, the comment has origin and error, and the server's loader accepts it."""
    trace = write_trace(tmp_path / "run.jsonl", run_engine(ENGINE, count=24))
    profile, plot = tmp_path / "PROFILE.toml", tmp_path / "fit.svg"
    result = CliRunner().invoke(
        main,
        f"profiles fit {trace} --model engine --max-num-seqs 12 -o {profile} --plot {plot}".split(),
    )

    assert result.exit_code == 0, result.output
    text = profile.read_text()
    assert "run.jsonl (24 of 24 requests, those with times)" in text
    assert "#   E2E" in text
    engine = load(profile, environ={}).settings.latency.engine
    assert engine is not None
    assert engine.max_num_seqs == 12
    assert "on the half that it was not fitted to (12)" in result.output
    assert plot.read_text().startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "Time to first token by arrival" in plot.read_text()


def test_the_profile_of_a_shape_is_printed(tmp_path: Path) -> None:
    """CAL-1.1: Without a file to write, the profile is all that is on standard output."""
    trace = write_trace(tmp_path / "run.jsonl", run_shape(80))
    result = CliRunner().invoke(main, ["profiles", "fit", str(trace), "--model", "shape"])

    assert result.exit_code == 0, result.output
    latency = tomllib.loads(result.stdout)["latency"]
    assert latency["ttft_shape"] in ("normal", "lognormal", "gamma", "empirical")
    path = tmp_path / "shape.toml"
    path.write_text(result.stdout)
    assert load(path, environ={}).settings.latency.tbt_mean_ms == pytest.approx(20, rel=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"arrival_ms": 0, "prompt_tokens": 1, "completion_tokens": 1}\n',
            "run.jsonl: wanted at least 10 requests or points",
        ),
        ('{"arrival_ms": 0, "prompt_tokens": 0}\n', "line 1: prompt_tokens: wanted a whole number from 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(text: str, message: str, tmp_path: Path) -> None:
    """CAL-1.2: Unusable and too few measurements end with exit code 2 and the reason; nothing is written."""
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    result = CliRunner().invoke(main, ["profiles", "fit", str(path), "-o", str(tmp_path / "p.toml")])

    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "p.toml").exists()


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """CAL-1.4: Without numpy or scipy the message says how to install them."""
    monkeypatch.setattr(fitting, "_NEEDED", ("numpy", "no_such_library"))
    result = CliRunner().invoke(main, ["profiles", "fit", str(tmp_path / "run.jsonl")])

    assert result.exit_code == 2
    assert "needs no_such_library; install with: pip install 'llmsim[fit]'" in result.output


def test_the_list_of_profiles_needs_no_subcommand() -> None:
    """CAL-1.1: `llmsim profiles` alone lists them, as it always has."""
    result = CliRunner().invoke(main, ["profiles"])

    assert result.exit_code == 0
    assert "claude-haiku" in result.output
