"""The settings of latency: of all models, and of those of a pattern.

Decisions:
* Every figure may be set for the models of a pattern too, so both tables have the same keys. Unset means the next less specific
  table, and at last the model's own profile.
* A shape is data: its name, two figures or a list of quantiles. `planning.shapes` makes tables of it.
"""

from typing import Annotated, Literal

import msgspec

from llmsim.config.engine_settings import EngineSettings
from llmsim.config.metadata import milliseconds, setting, share

Shape = Literal["normal", "lognormal", "gamma", "empirical"]
"""The distributions of a latency."""

Quantiles = tuple[float | tuple[float, float], ...]
"""Latencies at equal steps of probability from 0 to 1, or pairs of a probability and a latency."""

Timed = Literal["ttft", "tbt"]

TIMES: tuple[Timed, ...] = ("ttft", "tbt")
"""The times that have a shape, as settings call them."""

MOST_QUANTILES = 10_000


def _shape(what: str) -> msgspec.Meta:
    return setting(
        f"Distribution of {what}; unset, `empirical` where quantiles or a file are set, else `normal`. `empirical` needs one of them."
    )


def _quantiles(what: str, key: str) -> msgspec.Meta:
    return setting(
        f"{what}, empirical: latencies in ms at equal steps from the smallest to the largest, or pairs `[probability, ms]`; straight "
        f"lines between. Replaces `{key}_mean_ms` and `{key}_stddev_ms`.",
        unit="ms",
        min_length=2,
        max_length=MOST_QUANTILES,
    )


def _file(what: str, key: str) -> msgspec.Meta:
    return setting(
        f"File of measured latencies, empirical: {what} in ms, one number a line, or JSON lines with `{key}_ms`. Read at the start.",
        min_length=1,
    )


_CACHE_HIT = share(
    "Factor on the time to first token when the whole prompt is read from the prompt cache; in proportion when a "
    "part of it is.",
    unit="of the time",
)


class LatencyFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How long the responses of some models take; what is unset is as for all models."""

    profile: (
        Annotated[
            str,
            setting(
                "Latency profile of all models, or of those of a pattern; unset, each model has its own. `llmsim profiles` lists them.",
                flag="--latency",
                min_length=1,
            ),
        ]
        | None
    ) = None
    ttft_mean_ms: (
        Annotated[float, milliseconds("Mean time to first token (TTFT); unset, the profile's.")] | None
    ) = None
    ttft_stddev_ms: (
        Annotated[float, milliseconds("Standard deviation of the time to first token; unset, the profile's.")]
        | None
    ) = None
    tbt_mean_ms: (
        Annotated[
            float, milliseconds("Mean time between two tokens (inter-token latency); unset, the profile's.")
        ]
        | None
    ) = None
    tbt_stddev_ms: (
        Annotated[
            float, milliseconds("Standard deviation of the time between two tokens; unset, the profile's.")
        ]
        | None
    ) = None
    ttft_shape: Annotated[Shape, _shape("the time to first token")] | None = None
    ttft_quantiles: Annotated[Quantiles, _quantiles("Time to first token", "ttft")] | None = None
    ttft_file: Annotated[str, _file("times to first token", "ttft")] | None = None
    tbt_shape: Annotated[Shape, _shape("the time between two tokens")] | None = None
    tbt_quantiles: Annotated[Quantiles, _quantiles("Time between two tokens", "tbt")] | None = None
    tbt_file: Annotated[str, _file("times between two tokens", "tbt")] | None = None
    prefill_ms_per_token: (
        Annotated[
            float,
            milliseconds(
                "Time to first token that each token of the prompt adds, unless it is read from the prompt cache; "
                "`cache_hit_ttft_factor` does nothing then. Unset or 0, the prompt's length does not matter.",
                maximum=60_000,
            ),
        ]
        | None
    ) = None
    burst_tokens: (
        Annotated[
            int,
            setting(
                "Most tokens of one event, as with speculative decoding; the tokens a second stay the same. Unset, 1.",
                unit="tokens",
                ge=1,
                le=256,
            ),
        ]
        | None
    ) = None
    burst_acceptance: (
        Annotated[
            float,
            share(
                "Probability with which each further token joins an event, up to `burst_tokens`. Unset, 1: all events are full.",
                unit="of tokens",
            ),
        ]
        | None
    ) = None
    stall_rate: (
        Annotated[
            float,
            share(
                "Share of the times between two tokens that hold a stall, 0 or at least 0.0001. Unset, 0.",
                unit="of gaps",
            ),
        ]
        | None
    ) = None
    stall_mean_ms: (
        Annotated[
            float,
            milliseconds("Mean duration of a stall, added to the time between two tokens. Unset, 1000."),
        ]
        | None
    ) = None
    stall_stddev_ms: (
        Annotated[float, milliseconds("Standard deviation of the duration of a stall. Unset, 0.")] | None
    ) = None
    cache_hit_ttft_factor: Annotated[float, _CACHE_HIT] | None = None
    engine: (
        Annotated[
            EngineSettings,
            setting(
                'Engine that serves these models, as a table: `[latency.engine]`, or `[latency.models."gpt-5*".engine]` for the '
                "models of a pattern. Times come out of its queue then, and figures and shapes do nothing. Unset, there is none."
            ),
        ]
        | None
    ) = None

    def shape(self, what: Timed) -> Shape | None:
        """Return the shape that this table sets for a time; None if it sets none."""
        empirical = getattr(self, f"{what}_quantiles") or getattr(self, f"{what}_file")
        shape: Shape | None = getattr(self, f"{what}_shape")
        return shape or ("empirical" if empirical else None)

    def overridden_by(self, other: "LatencyFigures") -> "LatencyFigures":
        """Return these figures with those that `other` sets; a profile that it sets replaces what is its own of these."""
        dropped: set[str] = set()
        for what in TIMES:
            if other.shape(what):
                dropped |= {f"{what}_shape", f"{what}_quantiles", f"{what}_file"}
            if other.profile is not None:
                dropped |= {f"{what}_{key}" for key in ("mean_ms", "stddev_ms", "shape", "quantiles", "file")}
        values = {
            name: getattr(self, name) for name in LatencyFigures.__struct_fields__ if name not in dropped
        }
        for name in LatencyFigures.__struct_fields__:
            if (value := getattr(other, name)) is not None:
                values[name] = value
        return LatencyFigures(**values)


class LatencySettings(LatencyFigures, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """How long a response takes."""

    cache_hit_ttft_factor: Annotated[float, _CACHE_HIT] = 0.5
    models: Annotated[
        dict[str, LatencyFigures],
        setting(
            'Other latencies by the pattern of the models that they are for, as tables: `[latency.models."gpt-5*"]`; the longest '
            "pattern that fits counts."
        ),
    ] = {}

    @property
    def sets_figures(self) -> bool:
        """Whether any figure of the profiles is overridden for all models."""
        others = set(LatencyFigures.__struct_fields__) - {"profile", "cache_hit_ttft_factor", "engine"}
        return any(getattr(self, name) is not None for name in others)

    def __hash__(self) -> int:
        """Return a hash, which tables have not: settings are keys of caches."""
        figures = (getattr(self, name) for name in LatencyFigures.__struct_fields__)
        return hash((*figures, tuple(self.models.items())))
