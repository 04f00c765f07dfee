"""Latency: profiles become schedules.

Decisions:
* Inter-token latencies are read from one table of unit normal deviates, stratified so that
  its mean is 0 and its deviation 1 exactly, shuffled with a fixed seed. A turn draws where
  it starts and an odd stride. PERF: 0.1 us a gap against 0.4 us for `gauss`, and a
  schedule of six numbers instead of a list as long as the reply.
* Distributions keep the milliseconds of profiles and settings. Seconds are made of samples, at the end: conversion first
  would round them otherwise.
"""

import random
import statistics
from collections.abc import Mapping

import msgspec

from llmsim.catalogue import Profile
from llmsim.config import LatencySettings
from llmsim.domain import Schedule
from llmsim.domain.schedule import DEVIATES
from llmsim.planning.rng import Random

_TABLE = "normal"
_TABLE_SIZE = 1 << 14


class Distribution(msgspec.Struct, frozen=True):
    """A normal distribution of latencies, cut at zero.

    Attributes:
        mean: In milliseconds; >= 0.
        stddev: Standard deviation, in milliseconds; >= 0.
    """

    mean: float
    stddev: float = 0.0

    def sample(self, rng: Random) -> float:
        """Return one latency, in milliseconds."""
        return max(0.0, rng.gauss(self.mean, self.stddev)) if self.stddev else self.mean

    def schedule(self, ttft: float, rng: Random) -> Schedule:
        """Return a schedule whose inter-token latencies have this distribution.

        Args:
            ttft: Time to first token, in seconds.
            rng: Draws its place in the table.
        """
        if not self.stddev:
            return Schedule(ttft=ttft, itl=self.mean / 1000)
        draw = rng.getrandbits(28)
        return Schedule(
            ttft=ttft,
            itl=self.mean / 1000,
            spread=self.stddev / 1000,
            table=_TABLE,
            start=draw & (_TABLE_SIZE - 1),
            stride=(draw >> 14) | 1,
        )


class LatencyProfile(msgspec.Struct, frozen=True):
    """The latencies of a model.

    Attributes:
        ttft: Time to first token.
        itl: Inter-token latency.
    """

    ttft: Distribution
    itl: Distribution


class LatencySampler:
    """Samples the schedule of a turn.

    A setting of `[latency]` overrides that figure of every profile; `latency.profile` replaces each model's own profile.
    """

    def __init__(self, settings: LatencySettings, profiles: Mapping[str, Profile]) -> None:
        if _TABLE not in DEVIATES:
            DEVIATES[_TABLE] = _normal_deviates()
        self._saved = 1 - settings.cache_hit_ttft_factor
        self._profiles = {name: _with_overrides(profile, settings) for name, profile in profiles.items()}
        self._chosen = self._profiles[settings.profile] if settings.profile is not None else None
        # PERF: a profile without spread has one schedule: 0.1 us instead of 1.3.
        self._constant: dict[str, Schedule] = {
            name: Schedule(ttft=profile.ttft.mean / 1000, itl=profile.itl.mean / 1000)
            for name in self._profiles
            if not ((profile := self.profile(name)).ttft.stddev or profile.itl.stddev)
        }

    def profile(self, name: str) -> LatencyProfile:
        """Return the profile in force for a model whose own is `name`."""
        return self._chosen or self._profiles[name]

    def find(self, name: str) -> LatencyProfile | None:
        """Return the profile of that name, whichever is in force; None if there is none."""
        return self._profiles.get(name)

    def schedule(self, name: str, rng: Random, *, cached: float = 0.0) -> Schedule:
        """Sample the schedule of one turn.

        Args:
            name: The model's own profile.
            rng: Draws its latencies.
            cached: Share of the prompt that was read from the prompt cache, 0 to 1.
        """
        if not cached and (constant := self._constant.get(name)) is not None:
            return constant
        return self.sample(self.profile(name), rng, cached=cached)

    def sample(self, profile: LatencyProfile, rng: Random, *, cached: float = 0.0) -> Schedule:
        """Sample the schedule of one turn from a profile; see `schedule`."""
        ttft = profile.ttft.sample(rng) * (1 - self._saved * cached)
        return profile.itl.schedule(ttft / 1000, rng)


def _with_overrides(profile: Profile, settings: LatencySettings) -> LatencyProfile:
    def pick(own: float, override: float | None) -> float:
        return own if override is None else override

    return LatencyProfile(
        ttft=Distribution(
            pick(profile.ttft_mean_ms, settings.ttft_mean_ms),
            pick(profile.ttft_stddev_ms, settings.ttft_stddev_ms),
        ),
        itl=Distribution(
            pick(profile.tbt_mean_ms, settings.tbt_mean_ms),
            pick(profile.tbt_stddev_ms, settings.tbt_stddev_ms),
        ),
    )


def _normal_deviates() -> tuple[float, ...]:
    normal = statistics.NormalDist()
    deviates = [normal.inv_cdf((index + 0.5) / _TABLE_SIZE) for index in range(_TABLE_SIZE)]
    spread = statistics.pstdev(deviates)
    random.Random(20260).shuffle(deviates)
    return tuple(deviate / spread for deviate in deviates)
