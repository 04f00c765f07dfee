"""Engines that come with llmsim: fitted to published measurements, and used by name like a latency profile.

Decisions:
* A name stands for a table `[latency.engine]` from the moment that settings are loaded: nothing behind that knows names.
* A table of the user's own counts before the one that a name stands for.
"""

import functools
import importlib.resources
import tomllib
from collections.abc import Mapping

import msgspec

from llmsim.config.engine_settings import EngineSettings
from llmsim.config.latency_settings import LatencySettings

_DATA_FILE = "engine_profiles.toml"


class EngineProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An engine and where its figures come from.

    Attributes:
        about: Model, hardware and engine.
        origin: The measurements that it was fitted to.
        error: How far a fit to one half of them was from the other half.
        engine: Its figures.
    """

    about: str
    origin: str
    error: str
    engine: EngineSettings


@functools.cache
def engine_profiles() -> Mapping[str, EngineProfile]:
    """Return all engines that come with llmsim, by name."""
    text = importlib.resources.files("llmsim.config").joinpath(_DATA_FILE).read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, EngineProfile])


def with_named_engines(settings: LatencySettings) -> LatencySettings:
    """Return the settings with the engines that their profiles name."""
    engines = engine_profiles()
    changes: dict[str, object] = {}
    if settings.profile is not None and settings.profile in engines:
        changes = {"profile": None, "engine": settings.engine or engines[settings.profile].engine}
    if any(figures.profile in engines for figures in settings.models.values()):
        changes["models"] = {
            pattern: figures
            if figures.profile is None or figures.profile not in engines
            else msgspec.structs.replace(
                figures, profile=None, engine=figures.engine or engines[figures.profile].engine
            )
            for pattern, figures in settings.models.items()
        }
    return msgspec.structs.replace(settings, **changes) if changes else settings
