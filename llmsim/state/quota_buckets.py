"""The arithmetic of token buckets: what is used of each rate, and when it will be free again.

Decisions:
* What is used is kept as a whole number, amount times period, and declines by the limit with each microsecond. This is the generic
  cell rate algorithm with the time of arrival times the limit: nothing is rounded, so a client that waits as long as it is asked to
  is admitted, and no window of time sees a microsecond's worth too much. A limit that changes at a reload leaves what was used.
* A request that no waiting would admit, as it takes more than the limit, is refused without a time.
* Of several limits that are exceeded the one is named that is free last, so that its time is true for all.
"""

from collections.abc import Sequence

from llmsim.domain.quota import OUTPUT_TPM, RATES, TPM, Amounts, ExceededLimit, Limits

OF_OUTPUT = frozenset((TPM, OUTPUT_TPM))
"""Rates that tokens of an output count for."""

MOST_USED = 2**62
"""Bound of what is kept as used, as it is stored in 8 bytes."""


def decline(used: list[int], limits: Limits, elapsed: int) -> None:
    """Subtract what is free again after some time.

    Args:
        used: What is used of each rate, times its period; changed in place.
        limits: The limits.
        elapsed: Microseconds that pass; >= 0.
    """
    for index, limit, _, _ in limits.rates:
        if used[index]:
            rest = used[index] - elapsed * limit
            used[index] = max(0, rest)


def find_exceeded(used: Sequence[int], limits: Limits, amounts: Amounts) -> ExceededLimit | None:
    """Return the limit that a request exceeds, of several the one that is free last; None if it may be admitted."""
    exceeded: ExceededLimit | None = None
    for index, limit, period, capacity in limits.rates:
        # Of what a request takes nothing of, something must be left.
        over = used[index] + (amounts[index] or 1) * period - capacity
        if over <= 0:
            continue
        wait = None if amounts[index] > limit else -(-over // limit)
        if exceeded is None or wait is None or (exceeded.wait is not None and wait > exceeded.wait):
            exceeded = ExceededLimit(RATES[index], limit, -(-used[index] // period), amounts[index], wait)
    return exceeded


def admit(
    used: list[int], limits: Limits, amounts: Amounts, elapsed: int, output: int = 0
) -> tuple[list[int], list[int]] | None:
    """Return what is used once a request is booked, if all limits allow it.

    PERF: one pass for what most requests need, 0.5 us; `decline`, `find_exceeded` and `book` take twice as long.

    Args:
        used: What was used then.
        limits: The limits.
        amounts: What the request takes.
        elapsed: Microseconds that pass; >= 0.
        output: Tokens of its output that are booked, too, if it is admitted, more than are left if need be.

    Returns:
        What is used without `output`, and with it; None if the request is not admitted.
    """
    booked = used.copy()
    later = booked.copy() if output else booked
    for index, limit, period, capacity in limits.rates:
        amount = amounts[index]
        rest = used[index] - elapsed * limit
        if rest < 0:
            rest = 0
        total = rest + amount * period
        if total > capacity or (not amount and total + period > capacity):
            return None
        booked[index] = total
        if output:
            if index in OF_OUTPUT:
                total += output * period
                if total > MOST_USED:
                    total = MOST_USED
            later[index] = total
    return booked, later


def book(used: list[int], limits: Limits, amounts: Amounts) -> None:
    """Add what a request takes; `used` is changed in place."""
    for index, _, period, _ in limits.rates:
        used[index] = min(used[index] + amounts[index] * period, MOST_USED)
