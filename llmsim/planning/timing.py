"""Latency: profiles become schedules.

Decisions:
* Inter-token latencies are read from a table of unit deviates, stratified so that it has the distribution exactly, shuffled with
  a fixed seed. A turn draws where it starts and an odd stride. PERF: 0.1 us a gap against 0.4 us for `gauss`, and a
  schedule of six numbers instead of a list as long as the reply.
* Distributions keep the milliseconds of profiles and settings. Seconds are made of samples, at the end: conversion first
  would round them otherwise.
* What depends on the prompt, or on the pattern of a model, is sampled by `plan`; `schedule` is for all others, which pay nothing for it.
"""

import fnmatch
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from llmsim.catalogue import Model, Profile
from llmsim.config import LatencyFigures, LatencySettings
from llmsim.config.latency_settings import TIMES, Timed
from llmsim.domain import Schedule, Turn
from llmsim.planning.bursts import Bursts
from llmsim.planning.latency_file import read_latencies
from llmsim.planning.rng import Random
from llmsim.planning.shapes import (
    NORMAL,
    SIZE,
    QuantileFunction,
    Stalls,
    Table,
    add_normal_table,
    build_table,
    gamma_parameters,
    is_constant,
    lognormal_parameters,
    quantile_function,
)
from llmsim.text import literal

_STALL_MS = 1000.0


class Distribution(msgspec.Struct, frozen=True):
    """A distribution of latencies, cut at zero.

    Attributes:
        mean: In milliseconds; >= 0.
        stddev: Standard deviation, in milliseconds; >= 0.
        shape: `normal`, `lognormal`, `gamma` or `empirical`.
        quantiles: Of an empirical one; mean and deviation follow from it.
        gaps: Its table, for inter-token latencies of another shape than normal, or with stalls: from `with_table`.
    """

    mean: float
    stddev: float = 0.0
    shape: str = NORMAL
    quantiles: QuantileFunction | None = None
    gaps: Table | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether all latencies are the mean."""
        return is_constant(self.shape, self.mean, self.stddev)

    def sample(self, rng: Random) -> float:
        """Return one latency, in milliseconds."""
        if self.shape == NORMAL:
            return max(0.0, rng.gauss(self.mean, self.stddev)) if self.stddev else self.mean
        if self.quantiles is not None:
            return self.quantiles.at(rng.random())
        if self.is_fixed:
            return self.mean
        if self.shape == "lognormal":
            return rng.lognormvariate(*lognormal_parameters(self.mean, self.stddev))
        return rng.gammavariate(*gamma_parameters(self.mean, self.stddev))

    def with_table(self, stalls: Stalls | None) -> "Distribution":
        """Return this distribution with the table of its gaps, some of which hold stalls."""
        if stalls is None and self.shape == NORMAL:
            return self
        return replace(self, gaps=build_table(self.shape, self.mean, self.stddev, self.quantiles, stalls))

    def schedule(self, ttft: float, rng: Random) -> Schedule:
        """Return a schedule whose inter-token latencies have this distribution.

        Args:
            ttft: Time to first token, in seconds.
            rng: Draws its place in the table.
        """
        gaps = self.gaps
        if gaps is not None:
            return _schedule(gaps, ttft, rng)
        if not self.stddev:
            return Schedule(ttft=ttft, itl=self.mean / 1000)
        draw = rng.getrandbits(28)
        return Schedule(
            ttft=ttft,
            itl=self.mean / 1000,
            spread=self.stddev / 1000,
            table=NORMAL,
            start=draw & (SIZE - 1),
            stride=(draw >> 14) | 1,
        )


class LatencyProfile(msgspec.Struct, frozen=True):
    """The latencies of a model.

    Attributes:
        ttft: Time to first token.
        itl: Inter-token latency.
        prefill: What each token of the prompt adds to the time to first token, in milliseconds.
        bursts: How tokens are put into events; None for one each.
        saved: Share of the time to first token that a prompt read from the cache as a whole saves; None as the settings have it.
    """

    ttft: Distribution
    itl: Distribution
    prefill: float = 0.0
    bursts: Bursts | None = None
    saved: float | None = None

    @property
    def needs_prompt(self) -> bool:
        """Whether responses depend on more of a request than its model and what is cached."""
        return self.prefill > 0 or self.bursts is not None

    @property
    def constant(self) -> Schedule | None:
        """The one schedule of all responses to prompts that are not cached; None if they differ."""
        if self.needs_prompt or not self.ttft.is_fixed:
            return None
        gaps = self.itl.gaps
        if not self.itl.is_fixed if gaps is None else gaps.spread:
            return None
        return Schedule(ttft=self.ttft.mean / 1000, itl=(gaps or self.itl).mean / 1000)


class LatencySampler:
    """Samples the schedule of a turn.

    A setting of `[latency]` overrides that figure of every profile; `latency.profile` replaces each model's own profile, and
    `[latency.models.PATTERN]` all of it for the models of a pattern.
    """

    def __init__(self, settings: LatencySettings, profiles: Mapping[str, Profile]) -> None:
        """Prepare to sample.

        Raises:
            ConfigError: A file of latencies cannot be read.
        """
        add_normal_table()
        self._saved = 1 - settings.cache_hit_ttft_factor
        self._profiles = _build_all(profiles, settings, "latency")
        self._chosen = self._profiles[settings.profile] if settings.profile is not None else None
        # PERF: a profile without spread has one schedule: 0.1 us instead of 1.3.
        self._constant = {
            name: constant for name in self._profiles if (constant := self.profile(name).constant) is not None
        }
        self._patterns = {
            pattern: _build_own(
                profiles, settings.overridden_by(figures), f"latency.models.{literal(pattern)}"
            )
            for pattern, figures in settings.models.items()
        }

    def profile(self, name: str) -> LatencyProfile:
        """Return the profile in force for a model whose own is `name`, if it is in no pattern."""
        return self._chosen or self._profiles[name]

    def find(self, name: str) -> LatencyProfile | None:
        """Return the profile of that name, whichever is in force; None if there is none."""
        return self._profiles.get(name)

    def model_profile(self, model: Model) -> LatencyProfile:
        """Return the profile in force for a model: that of the longest pattern that fits, or as for any model."""
        profile = model.profile
        if not self._patterns:
            return self.profile(profile)
        fitting = [pattern for pattern in self._patterns if fnmatch.fnmatchcase(model.id, pattern)]
        return self._patterns[max(fitting, key=len)][profile] if fitting else self.profile(profile)

    def is_plain(self, model: Model) -> bool:
        """Whether `schedule` is enough for a model."""
        profile = self.model_profile(model)
        return not profile.needs_prompt and profile is self.profile(model.profile)

    def schedule(self, name: str, rng: Random, *, cached: float = 0.0) -> Schedule:
        """Sample the schedule of one turn of a model that `is_plain`.

        Args:
            name: The model's own profile.
            rng: Draws its latencies.
            cached: Share of the prompt that was read from the prompt cache, 0 to 1.
        """
        if not cached and (constant := self._constant.get(name)) is not None:
            return constant
        return self.sample(self.profile(name), rng, cached=cached)

    def sample(
        self, profile: LatencyProfile, rng: Random, *, cached: float = 0.0, prompt_tokens: int = 0
    ) -> Schedule:
        """Sample the schedule of one turn from a profile.

        Args:
            profile: The latencies.
            rng: Draws them.
            cached: Share of the prompt that was read from the prompt cache, 0 to 1.
            prompt_tokens: Tokens of the prompt, cached ones included.
        """
        ttft = profile.ttft.sample(rng)
        if profile.prefill:
            ttft += profile.prefill * prompt_tokens * (1 - cached)
        elif cached:
            ttft *= 1 - (self._saved if profile.saved is None else profile.saved) * cached
        return profile.itl.schedule(ttft / 1000, rng)


def in_bursts(turn: Turn, profile: LatencyProfile, rng: Random) -> Turn:
    """Return a turn with its tokens in the bursts of a profile."""
    return turn if profile.bursts is None else profile.bursts.join(turn, rng)


def _build_own(
    profiles: Mapping[str, Profile], figures: LatencyFigures, place: str
) -> dict[str, LatencyProfile]:
    """Return the latencies of the models that have each profile, under the figures of their pattern."""
    built = _build_all(profiles, figures, place)
    return built if figures.profile is None else dict.fromkeys(profiles, built[figures.profile])


def _build_all(
    profiles: Mapping[str, Profile], figures: LatencyFigures, place: str
) -> dict[str, LatencyProfile]:
    """Return all profiles as overridden by the figures of the settings at `place`."""
    empirical = {what: _quantiles(figures, what, place) for what in TIMES}
    bursts = None
    if figures.burst_tokens is not None and figures.burst_tokens > 1:
        acceptance = figures.burst_acceptance
        bursts = Bursts(figures.burst_tokens, 1.0 if acceptance is None else acceptance)
    stalls = None
    if figures.stall_rate:
        mean = figures.stall_mean_ms
        stalls = Stalls(
            figures.stall_rate, _STALL_MS if mean is None else mean, figures.stall_stddev_ms or 0.0
        )
    factor = figures.cache_hit_ttft_factor
    used = profiles if figures.profile is None or place == "latency" else (figures.profile,)
    return {
        name: LatencyProfile(
            ttft=_distribution(profiles[name], figures, "ttft", empirical["ttft"]),
            itl=_distribution(profiles[name], figures, "tbt", empirical["tbt"]).with_table(stalls),
            prefill=figures.prefill_ms_per_token or 0.0,
            bursts=bursts,
            saved=None if factor is None else 1 - factor,
        )
        for name in used
    }


def _quantiles(figures: LatencyFigures, what: Timed, place: str) -> QuantileFunction | None:
    if figures.shape(what) != "empirical":
        return None
    if (path := getattr(figures, f"{what}_file")) is not None:
        return read_latencies(f"{place}.{what}_file", what, path)
    return quantile_function(getattr(figures, f"{what}_quantiles"))


def _distribution(
    profile: Profile, figures: LatencyFigures, what: Timed, empirical: QuantileFunction | None
) -> Distribution:
    if empirical is not None:
        return Distribution(empirical.mean, empirical.stddev, "empirical", empirical)
    mean, stddev = getattr(figures, f"{what}_mean_ms"), getattr(figures, f"{what}_stddev_ms")
    return Distribution(
        getattr(profile, f"{what}_mean_ms") if mean is None else mean,
        getattr(profile, f"{what}_stddev_ms") if stddev is None else stddev,
        figures.shape(what) or getattr(profile, f"{what}_shape"),
    )


def _schedule(gaps: Table, ttft: float, rng: Random) -> Schedule:
    if not gaps.spread:
        return Schedule(ttft=ttft, itl=gaps.mean / 1000)
    bits = gaps.size.bit_length() - 1
    draw = rng.getrandbits(2 * bits)
    return Schedule(
        ttft=ttft,
        itl=gaps.mean / 1000,
        spread=gaps.spread / 1000,
        table=gaps.name,
        start=draw & (gaps.size - 1),
        stride=(draw >> bits) | 1,
    )
