"""A fit, from recordings to the settings that are to be written.

Decisions:
* Each model is fitted to one half and judged on the other, and then fitted to all that there is. So the error that is
  reported is one on requests that the fit has not seen, and the profile uses every measurement.
* The better model is that of the smaller sum of both scores: where load sets in between the halves, none can know from the
  first what the second is like, and the whole decides.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from llmsim.calibration.engine_fit import EngineFit, EngineFitter, Progress, predict_engine
from llmsim.calibration.judgement import Data, Judgement, Prediction, gather, judge, split
from llmsim.calibration.shape_fit import ShapeFit, fit_shape, predict_shape
from llmsim.errors import ConfigError
from loadtest.recordings import Recording

Model = Literal["engine", "shape"]
MODELS: tuple[Model, ...] = ("engine", "shape")

LEAST = 10
"""Fewest requests or points with times that are fitted."""

MOST = 2_000
"""Most requests of each trace, and most points, that are fitted; a run of the model takes milliseconds then."""

_NEEDED = ("numpy", "scipy")


class FittedModel(msgspec.Struct, frozen=True):
    """A model, fitted.

    Attributes:
        name: Which model.
        fit: Its figures.
        judgement: How good they were on the half that they were not fitted to.
    """

    name: Model
    fit: EngineFit | ShapeFit
    judgement: Judgement

    def predict(self, data: Data) -> list[Prediction]:
        """Return what it gives for all that counts in the data, spread as the model has it."""
        if isinstance(self.fit, EngineFit):
            return predict_engine(self.fit.settings, data)
        return predict_shape(self.fit, data, is_middle=False)

    def settings(self) -> dict[str, Any]:
        """Return the keys of the table of the configuration that it stands in."""
        if isinstance(self.fit, ShapeFit):
            return self.fit.settings()
        values: dict[str, Any] = msgspec.to_builtins(self.fit.settings)
        # What is a default is written too: a profile is to stay what it was fitted to be.
        for name in ("max_num_batched_tokens", "max_num_seqs"):
            values[name] = getattr(self.fit.settings, name)
        return values


class Calibration(msgspec.Struct, frozen=True):
    """What a fit found.

    Attributes:
        chosen: The model that is written, fitted to all data.
        tried: All models that were tried, fitted to one half.
        data: All data.
        held_out: The half that models were judged on.
    """

    chosen: FittedModel
    tried: tuple[FittedModel, ...]
    data: Data
    held_out: Data


def check_installed() -> None:
    """Raise an error that says how to install what a fit needs, if that is missing.

    Raises:
        ConfigError: numpy or scipy is missing.
    """
    if missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]:
        raise ConfigError(
            f"llmsim profiles fit needs {' and '.join(missing)}; install with: pip install 'llmsim[fit]'"
        )


def calibrate(
    recordings: Sequence[Recording],
    models: Sequence[Model] = MODELS,
    *,
    known: Mapping[str, Any],
    progress: Progress,
) -> Calibration:
    """Fit models to recordings, and choose the better one.

    Args:
        recordings: What was measured.
        models: Which models to try.
        known: Settings of the engine that are known.
        progress: Shows how far the fit is.

    Raises:
        ConfigError: There are too few measurements.
    """
    data = gather(recordings, MOST)
    if data.count < LEAST:
        raise ConfigError(f"wanted at least {LEAST} requests or points with times, found {data.count}")
    half, held_out = split(data)
    tried: list[FittedModel] = []
    for name in models:
        if name == "engine":
            engine = EngineFitter(half, known, progress).fit()
            found = judge(held_out, predict_engine(engine.settings, held_out))
            tried.append(FittedModel(name, engine, found))
        else:
            progress("shape", 0.0)
            shape = fit_shape(half)
            middle, spread = (predict_shape(shape, held_out, is_middle=each) for each in (True, False))
            tried.append(FittedModel(name, shape, judge(held_out, middle, spread)))
    finals = [_fit_all(model, data, known, progress) for model in tried]
    best = min(range(len(tried)), key=lambda index: finals[index].score + tried[index].judgement.score)
    return Calibration(finals[best].model, tuple(tried), data, held_out)


class _Final(msgspec.Struct, frozen=True):
    """A model fitted to all data, and its score there."""

    model: FittedModel
    score: float


def _fit_all(model: FittedModel, data: Data, known: Mapping[str, Any], progress: Progress) -> _Final:
    if isinstance(model.fit, EngineFit):
        engine = EngineFitter(data, known, progress).fit(model.fit.settings)
        score = judge(data, predict_engine(engine.settings, data)).score
        return _Final(msgspec.structs.replace(model, fit=engine), score)
    shape = fit_shape(data)
    middle, spread = (predict_shape(shape, data, is_middle=each) for each in (True, False))
    return _Final(msgspec.structs.replace(model, fit=shape), judge(data, middle, spread).score)
