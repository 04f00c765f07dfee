"""The settings of accounts' limits: tiers, and which key is in which.

Decisions:
* Tiers and keys have names of the user's own, so they are tables of tables: `[limits.tiers.free]`. The keys of each table that is not
  free are checked like all others, see `tables.py`.
"""

from typing import Annotated

import msgspec

from llmsim.config.metadata import setting


class TierLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a key may ask of one model; what is left out is not limited."""

    rpm: Annotated[int, setting("Requests a minute.", unit="requests/min", ge=1, le=100_000_000)] | None = (
        None
    )
    tpm: (
        Annotated[
            int,
            setting("Tokens of prompts and outputs a minute.", unit="tokens/min", ge=1, le=10_000_000_000),
        ]
        | None
    ) = None
    input_tpm: (
        Annotated[int, setting("Tokens of prompts a minute.", unit="tokens/min", ge=1, le=10_000_000_000)]
        | None
    ) = None
    output_tpm: (
        Annotated[int, setting("Tokens of outputs a minute.", unit="tokens/min", ge=1, le=10_000_000_000)]
        | None
    ) = None
    rpd: Annotated[int, setting("Requests a day.", unit="requests/day", ge=1, le=10_000_000)] | None = None
    concurrency: Annotated[int, setting("Requests at a time.", unit="requests", ge=1, le=60_000)] | None = (
        None
    )


class Tier(TierLimits, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tier: what a key may ask of any model, and of some others.

    Attributes:
        models: Other limits by the pattern of the models that they are for.
    """

    models: dict[str, TierLimits] = {}


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of requests and tokens for each API key and model, over all workers; none by default."""

    tiers: Annotated[
        dict[str, Tier],
        setting(
            'Limits by the name of a tier, as tables: `[limits.tiers.NAME]`, and `[limits.tiers.NAME.models."gpt-5*"]` for '
            "the models of a pattern."
        ),
    ] = {}
    keys: Annotated[
        dict[str, str],
        setting('Tier of each API key, as a table `[limits.keys]`: `KEY = "NAME"`.', secret=True),
    ] = {}
    default: Annotated[
        str, setting("Tier of all other keys, and of requests without one. Empty, they have no limits.")
    ] = ""
    max_buckets: Annotated[
        int,
        setting(
            "Most pairs of a key and a model whose use is kept; beyond it those with most left are forgotten first. Changes at a "
            "restart, not at a reload.",
            unit="pairs",
            ge=8,
            le=10_000_000,
        ),
    ] = 16_384

    def __hash__(self) -> int:
        """Return a hash, which tables have not: settings are keys of caches."""
        return hash((tuple(self.tiers), tuple(self.keys.items()), self.default, self.max_buckets))
