"""Fits an engine: the times of its steps and what it holds, so that its queue gives the measured times.

Decisions:
* The error is that of logarithms, so that a short wait counts as a long one; 20 ms are added to a time to first token, below
  which networks decide.
* The queue is no smooth function of its figures: one token of KV cache more, and another request is preempted. So nothing
  is differentiated; simplexes (Nelder-Mead) walk over the logarithms of the figures from several starts.
* What the engine holds shows in the recording (`engine_limits.py`). These are starts; a run without a limit is always one,
  and the error decides.
* Rates of steps have a weak pull to what is common. Figures that the recording does not show, such as the cost of context
  where contexts are short, stay near it instead of growing without bound.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from llmsim.calibration.engine_limits import LIMITS, NO_LIMIT, observe_limits
from llmsim.calibration.engine_runs import count_steps, run_point, run_requests
from llmsim.calibration.judgement import Data, Prediction
from llmsim.config.engine_settings import EngineSettings
from loadtest.distances import time_per_token

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done."""

_NETWORK = 0.02
_PULL = 0.001

_RATES: Mapping[str, float] = {
    "step_base_ms": 12.0,
    "step_sequence_us": 80.0,
    "step_prefill_token_us": 50.0,
    "step_context_token_us": 0.08,
    "output_overhead_ms": 5.0,
}
"""What is always fitted, each with a common value."""

_LIMIT_COST = 0.1
"""By how much a fit must be better to have a limit more."""

_USUAL_SEQUENCES = 256
"""What engines are often started with; a limit that is not reached is set to that."""

_WATERMARK = 0.01
"""What vLLM's block manager leaves free."""

_BATCHES = (2_048, 8_192, 512)

_FACTORS = {"max_num_seqs": (1.0, 1.4, 2.0, 3.0), "kv_tokens": (1.0, 2.0)}

# Evaluations of the model in each stage.
_TRIAL, _SEARCH, _REFINE = 40, 160, 260
_STARTS = 2
_FINALISTS = 3


class EngineFit(msgspec.Struct, frozen=True):
    """A fitted engine.

    Attributes:
        settings: The engine.
        error: Mean error of logarithms on what it was fitted to.
        evaluations: How often the model was run.
    """

    settings: EngineSettings
    error: float
    evaluations: int


class _Candidate(msgspec.Struct, frozen=True):
    """An engine while it is searched for: fixed figures, and the logarithms of the others."""

    fixed: dict[str, Any]
    names: tuple[str, ...]
    logs: tuple[float, ...]
    error: float = math.inf

    def settings(self, logs: Sequence[float]) -> EngineSettings:
        values: dict[str, Any] = dict(self.fixed)
        for name, log in zip(self.names, logs, strict=True):
            value = math.exp(min(25.0, max(-25.0, log)))
            values[name] = min(_MOST[name], max(_LEAST[name], value))
            if name in LIMITS:
                values[name] = round(values[name])
        return EngineSettings(**values)


_LEAST = {
    "step_base_ms": 0.1,
    "step_sequence_us": 0.0,
    "step_prefill_token_us": 0.0,
    "step_context_token_us": 0.0,
    "step_prefill_context_us": 0.0,
    "output_overhead_ms": 0.0,
    "max_num_seqs": 1,
    "kv_tokens": 16,
}
_MOST = {
    "step_base_ms": 60_000,
    "step_sequence_us": 1_000_000,
    "step_prefill_token_us": 1_000_000,
    "step_context_token_us": 10_000,
    "step_prefill_context_us": 1_000_000,
    "output_overhead_ms": 60_000,
    "max_num_seqs": 65_536,
    "kv_tokens": 10_000_000_000,
}


class _Trial(msgspec.Struct, frozen=True):
    """A candidate that was walked from a start a little, and the limits that it started with."""

    limits: Mapping[str, Any]
    candidate: _Candidate


def _best(trials: Sequence[_Trial], count: int) -> list[_Trial]:
    return sorted(trials, key=lambda trial: _cost(trial.candidate))[:count]


def _cost(candidate: _Candidate) -> float:
    """Return the error, larger for each limit: one that was not reached makes next to no difference, and must not be believed."""
    return candidate.error * (1 + _LIMIT_COST) ** sum(name in candidate.names for name in LIMITS)


class EngineFitter:
    """Fits one engine.

    Args:
        data: What it is fitted to.
        known: Figures of the engine that are known, by the names of its settings; they are not fitted.
        progress: Shows how far the fit is.
    """

    def __init__(self, data: Data, known: Mapping[str, Any], progress: Progress) -> None:
        self._data = data
        self._known = dict(known)
        self._progress = progress
        self._steps = [count_steps(recorded.requests) for recorded, _ in data.traces]
        self._evaluations = 0
        self._planned = 1

    def fit(self, known_good: EngineSettings | None = None) -> EngineFit:
        """Search for the best engine.

        Args:
            known_good: An engine that was fitted to a part of the data: one more start.
        """
        limits = self._limits()
        batches = _BATCHES if "max_num_batched_tokens" not in self._known else (None,)
        finals = min(_FINALISTS, len(limits))
        trials = len(limits) + finals * (len(batches) - 1) + (known_good is not None)
        self._planned = trials * _TRIAL + (finals * _STARTS + 2) * _SEARCH + _REFINE
        tried = self._try([(found, batches[0]) for found in limits])
        tried += self._try([(found.limits, batch) for found in _best(tried, finals) for batch in batches[1:]])
        if known_good is not None:
            start = self._start_at(known_good)
            tried.append(_Trial({}, self._walk(start, _TRIAL)))
        found = [
            self._walk(self._moved(one.candidate, turn), _SEARCH)
            for one in _best(tried, finals)
            for turn in range(_STARTS)
        ]
        return self._finish(min(found, key=_cost))

    def _start_at(self, engine: EngineSettings) -> _Candidate:
        found = self._candidate(
            {name: getattr(engine, name) for name in LIMITS},
            {name: getattr(engine, name) for name in self._rates()},
            engine.max_num_batched_tokens,
        )
        if not engine.kv_watermark:
            return found
        return msgspec.structs.replace(found, fixed={**found.fixed, "kv_watermark": engine.kv_watermark})

    def _try(self, starts: Sequence[tuple[Mapping[str, Any], int | None]]) -> "list[_Trial]":
        return [
            _Trial(limits, self._walk(self._candidate(limits, self._rates(), batch), _TRIAL))
            for limits, batch in starts
        ]

    def _finish(self, best: _Candidate) -> EngineFit:
        best = self._walk(self._moved(best, 1), _REFINE, start=best)
        best = self._snap(self._reserve(best))
        self._progress("", 1.0)
        return EngineFit(_tidy(best.settings(best.logs)), best.error, self._evaluations)

    def _rates(self) -> dict[str, float]:
        rates = dict(_RATES)
        if len({point.prompt_tokens for point in self._data.points}) > 1:
            # Prompts of very different lengths show that reading a token costs more the more stand before it.
            rates["step_prefill_context_us"] = 1.0
        return rates

    def _limits(self) -> list[Mapping[str, Any]]:
        """Return what the engine may hold: each limit as observed or absent, or as known."""
        observed = observe_limits(self._data)
        choices = [
            (self._known[name],)
            if name in self._known
            else tuple(dict.fromkeys((NO_LIMIT[name], *self._guesses(name, observed[name]))))
            for name in LIMITS
        ]
        return [dict(zip(LIMITS, values, strict=True)) for values in itertools.product(*choices)]

    def _guesses(self, name: str, observed: int | None) -> list[int | None]:
        """Return what a limit may be, given the most that was observed: a recording may end before it is reached."""
        if observed is None or not self._data.traces:
            return [observed]
        return [round(factor * observed) for factor in _FACTORS[name]]

    def _candidate(
        self, limits: Mapping[str, Any], rates: Mapping[str, float], batch: int | None
    ) -> _Candidate:
        fixed = {"max_num_batched_tokens": batch, **limits, **self._known}
        free: dict[str, float] = {name: rate for name, rate in rates.items() if name not in self._known}
        for name in LIMITS:
            if name not in self._known and limits[name] != NO_LIMIT[name]:
                free[name] = limits[name]
                del fixed[name]
        logs = tuple(math.log(max(value, 1e-6)) for value in free.values())
        return _Candidate(fixed, tuple(free), logs)

    def _moved(self, candidate: _Candidate, turn: int) -> _Candidate:
        """Return a candidate at another start: rates up or down in a fixed pattern."""
        moved = tuple(
            log
            if name in LIMITS or not turn
            # Low-discrepancy steps (golden ratio), between -0.7 and 0.7.
            else log + 1.4 * ((0.618034 * (turn * 7 + place) + 0.31) % 1.0 - 0.5)
            for place, (name, log) in enumerate(zip(candidate.names, candidate.logs, strict=True))
        )
        return msgspec.structs.replace(candidate, logs=moved, error=math.inf)

    def _walk(
        self, candidate: _Candidate, evaluations: int, *, start: _Candidate | None = None
    ) -> _Candidate:
        """Walk a simplex from a candidate; return the best found, or `start` if that is better."""
        from scipy.optimize import minimize

        # A trace shows what ran at once; points show next to nothing of it.
        limit = 0.08 if self._data.traces else 0.5
        scale = [limit if name in LIMITS else 0.35 for name in candidate.names]
        corners = [list(candidate.logs)]
        for place, width in enumerate(scale):
            corner = list(candidate.logs)
            corner[place] += width
            corners.append(corner)
        if start is not None:
            corners[0] = list(start.logs)
        result = minimize(
            lambda logs: self._error(candidate, logs),
            corners[0],
            method="Nelder-Mead",
            options={
                "maxfev": evaluations,
                "initial_simplex": corners,
                "xatol": 0.003,
                "fatol": 0.0001,
                "adaptive": True,
            },
        )
        found = msgspec.structs.replace(
            candidate, logs=tuple(float(log) for log in result.x), error=float(result.fun)
        )
        return found if start is None or found.error <= start.error else start

    def _reserve(self, best: _Candidate) -> _Candidate:
        """Try to leave some of the KV cache free at admission, as engines do that preempt."""
        fixed = best.fixed
        if "kv_watermark" in fixed or (fixed.get("kv_tokens") is None and "kv_tokens" not in best.names):
            return best
        tried = msgspec.structs.replace(best, fixed={**fixed, "kv_watermark": _WATERMARK})
        return min(best, self._walk(tried, _SEARCH), key=lambda one: one.error)

    def _snap(self, best: _Candidate) -> _Candidate:
        """Set a limit of sequences to a usual or round number, where that makes next to no difference."""
        if "max_num_seqs" not in best.names:
            return best
        place = best.names.index("max_num_seqs")
        value = math.exp(best.logs[place])
        rounded_values = [step * max(1, round(value / step)) for step in (64, 32, 16, 8)]
        for rounded in (max(_USUAL_SEQUENCES, rounded_values[0]), *rounded_values):
            logs = tuple(math.log(rounded) if at == place else log for at, log in enumerate(best.logs))
            error = self._error(best, logs)
            if error <= best.error * 1.01:
                return msgspec.structs.replace(best, logs=logs, error=error)
        return best

    def _error(self, candidate: _Candidate, logs: Sequence[float]) -> float:
        self._evaluations += 1
        if self._evaluations % 5 == 0:
            self._progress("engine", min(0.99, self._evaluations / self._planned))
        predictions = predict_engine(candidate.settings(logs), self._data, self._steps)
        error = _mean_error(self._data, predictions)
        pulls = [
            (log - math.log(_RATES[name])) ** 2
            for name, log in zip(candidate.names, logs, strict=True)
            if name in _RATES
        ]
        return error + _PULL * sum(pulls) / max(1, len(pulls))


def predict_engine(
    settings: EngineSettings, data: Data, steps: Sequence[int] | None = None
) -> list[Prediction]:
    """Return what an engine gives for each request and point that counts.

    Args:
        settings: The engine.
        data: The measurements.
        steps: Bounds on the steps of each trace; None to count them.
    """
    found: list[Prediction] = []
    for index, (recorded, places) in enumerate(data.traces):
        most = count_steps(recorded.requests) if steps is None else steps[index]
        times = run_requests(settings, recorded.requests, places, most_steps=most)
        for place in places:
            one = times[place]
            tokens = recorded.requests[place].completion_tokens
            found.append(Prediction(one.ttft, time_per_token(one.ttft, one.e2e, tokens) or 0.0, one.e2e))
    for point in data.points:
        ttft, tpot = run_point(settings, point)
        found.append(Prediction(ttft, tpot, ttft + tpot * (point.completion_tokens - 1)))
    return found


def _mean_error(data: Data, predictions: Sequence[Prediction]) -> float:
    """Return the mean error of logarithms: of TTFT, plus that of E2E or, for points, TPOT."""
    first: list[float] = []
    whole: list[float] = []
    for request, found in zip(data.requests, predictions, strict=False):
        if request.ttft is not None:
            first.append(abs(math.log((found.ttft + _NETWORK) / (request.ttft + _NETWORK))))
        if request.e2e:
            whole.append(abs(math.log(max(found.e2e, 1e-6) / request.e2e)))
    for point, found in zip(data.points, predictions[len(predictions) - len(data.points) :], strict=True):
        first.append(abs(math.log((found.ttft + _NETWORK) / (point.ttft + _NETWORK))))
        if point.tpot:
            whole.append(abs(math.log(max(found.tpot, 1e-6) / point.tpot)))
    return sum(sum(errors) / len(errors) for errors in (first, whole) if errors)


def _tidy(settings: EngineSettings) -> EngineSettings:
    """Return the engine with as many digits as a fit knows."""
    rounded = {
        name: float(f"{value:.4g}")
        for name in EngineSettings.__struct_fields__
        if isinstance(value := getattr(settings, name), float)
    }
    return msgspec.structs.replace(settings, **rounded)
