"""Limits of an account: what a key may ask of a model, and what is left of it.

Decisions:
* A limit is a token bucket that holds one period's worth, a minute's or a day's: `remaining` counts down from the limit, and the reset
  is the time until it is back there. So no window of a minute sees more than the limit and one bucket.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from llmsim.errors import RefusedError

LimitKind = Literal["rpm", "tpm", "input_tpm", "output_tpm", "rpd", "concurrency"]
"""What is limited: requests, tokens, tokens of prompts and of outputs a minute; requests a day; requests at a time."""

RATES: tuple[LimitKind, ...] = ("rpm", "tpm", "input_tpm", "output_tpm", "rpd")
"""The limits that are rates, in the order in which amounts are given."""

RPM, TPM, INPUT_TPM, OUTPUT_TPM, RPD = range(5)
"""Index of each rate in `RATES`."""

PERIODS = (60_000_000, 60_000_000, 60_000_000, 60_000_000, 86_400_000_000)
"""The period of each rate, in microseconds."""

Amounts = tuple[int, int, int, int, int]
"""What a request takes of each rate."""


Rate = tuple[int, int, int, int]
"""One rate that is limited: its index in `RATES`; what is allowed in a period; the period, in microseconds; and what may be in use at a
time, the limit times the period. PERF: a plain tuple is taken apart in a quarter of the time of a named one."""


class Limits(msgspec.Struct, frozen=True, gc=False):
    """What a key may ask of a model.

    Attributes:
        rates: The rates that are limited.
        concurrency: Requests at a time; 0 for no limit.
    """

    rates: tuple[Rate, ...] = ()
    concurrency: int = 0

    @property
    def is_unlimited(self) -> bool:
        """Whether nothing is limited."""
        return not (self.concurrency or self.rates)

    def select(self, amounts: Sequence[int]) -> tuple[int, ...]:
        """Return those of amounts, in the order of `RATES`, whose rates are limited."""
        return tuple([amounts[rate[0]] for rate in self.rates])


def limits_of(amounts: Amounts, concurrency: int = 0) -> Limits:
    """Return limits.

    Args:
        amounts: Each rate, in the order of `RATES`; 0 for no limit.
        concurrency: Requests at a time; 0 for no limit.
    """
    rates = [
        (index, limit, period, limit * period)
        for index, (limit, period) in enumerate(zip(amounts, PERIODS, strict=True))
        if limit
    ]
    return Limits(tuple(rates), concurrency)


class ExceededLimit(msgspec.Struct, frozen=True, gc=False):
    """Why a request is not admitted.

    Attributes:
        kind: The limit.
        limit: Its value.
        used: How much of it is in use.
        requested: How much the request takes.
        wait: Microseconds after which it would be admitted if nothing else came; None if that is not known, or never.
    """

    kind: LimitKind
    limit: int
    used: int
    requested: int
    wait: int | None

    @property
    def wait_ms(self) -> int | None:
        """The same in milliseconds, rounded up."""
        return None if self.wait is None else -(-self.wait // 1000)


class RateLimitError(RefusedError):
    """The request exceeds a limit of its key and model.

    Attributes:
        model: The model id as requested.
        exceeded: The limit.
    """

    def __init__(self, model: str, exceeded: ExceededLimit) -> None:
        super().__init__(
            f"{model}: {exceeded.requested} of {exceeded.kind} {exceeded.limit}, {exceeded.used} used"
        )
        self.model = model
        self.exceeded = exceeded


RateStatus = tuple[int, int, int]
"""What is left of one rate: the limit, what is left (never negative), and the microseconds until all is left."""


class QuotaStatus(msgspec.Struct, frozen=True, gc=False):
    """What is in use of the limits of a key and a model.

    Attributes:
        at: Unix time, in microseconds.
        limits: The limits.
        used: What is used of each rate that is limited, in the order of the limits, times its period.
        exceeded: Why the request is not admitted; None if it is.
    """

    at: int
    limits: Limits
    used: tuple[int, ...]
    exceeded: ExceededLimit | None = None

    def rates(self) -> dict[int, RateStatus]:
        """Return what is left of each rate that is limited, by its index in `RATES`."""
        # PERF: plain tuples; named ones take 0.4 us each.
        statuses: dict[int, RateStatus] = {}
        for (index, limit, period, capacity), used in zip(self.limits.rates, self.used, strict=True):
            left = (capacity - used) // period if used < capacity else 0
            statuses[index] = (limit, left, -(-used // limit))
        return statuses
