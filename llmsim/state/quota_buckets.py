"""The arithmetic of token buckets: what is used of each rate, and when it will be free again.

Decisions:
* What is used is kept as a whole number, amount times period, and declines by the limit with each microsecond. This is the generic
  cell rate algorithm with the time of arrival times the limit: nothing is rounded, so a client that waits as long as it is asked to
  is admitted, and no window of time sees a microsecond's worth too much. A limit that changes at a reload leaves what was used.
* A request that no waiting would admit, as it takes more than the limit, is refused without a time.
* Of several limits that are exceeded the one is named that is free last, so that its time is true for all.
"""

from collections.abc import Callable, Sequence

from llmsim.domain.quota import OUTPUT_TPM, RATES, TPM, Amounts, ExceededLimit, Limits, Rate

_OF_OUTPUT = frozenset((TPM, OUTPUT_TPM))
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
) -> tuple[int, list[int], list[int]]:
    """Return what is used once a request is booked, if all limits allow it.

    PERF: one pass for what most requests need, 0.5 us; `decline`, `find_exceeded` and `book` take twice as long.

    Args:
        used: What was used then.
        limits: The limits.
        amounts: What the request takes.
        elapsed: Microseconds that pass; >= 0.
        output: Tokens of its output that are booked, too, if it is admitted, more than are left if need be.

    Returns:
        Microseconds after which nothing is used any more, -1 if the request is not admitted; what is used without `output`, and
        what is used with it, both as it was then if the request is not admitted.
    """
    booked, longest = used.copy(), 0
    later = booked.copy() if output else booked
    for index, limit, period, capacity in limits.rates:
        amount = amounts[index]
        rest = used[index] - elapsed * limit
        if rest < 0:
            rest = 0
        total = rest + amount * period
        if total > capacity or (not amount and total + period > capacity):
            return -1, used, used
        booked[index] = total
        if output:
            if index in _OF_OUTPUT:
                total += output * period
                if total > MOST_USED:
                    total = MOST_USED
            later[index] = total
        duration = total // limit
        if duration >= longest:
            longest = duration + 1
    return longest, booked, later


Admit = Callable[[list[int], Amounts, int, int], tuple[int, list[int], list[int]]]
"""Does what `admit` does for certain limits, from what was used on."""


def prepare_admit(limits: Limits) -> Admit:
    """Return what admits requests to limits; see `admit`."""
    if len(limits.rates) == 2:
        return _prepare_two(*limits.rates)

    def admit_any(
        used: list[int], amounts: Amounts, elapsed: int, output: int
    ) -> tuple[int, list[int], list[int]]:
        return admit(used, limits, amounts, elapsed, output)

    return admit_any


def _prepare_two(one: Rate, other: Rate) -> Admit:
    """Return what admits requests to two limits, as most accounts have. PERF: half the time of `admit`."""
    first, limit, period, capacity = one
    second, other_limit, other_period, other_capacity = other
    is_of_output, is_other_of_output = first in _OF_OUTPUT, second in _OF_OUTPUT

    def admit_two(
        used: list[int], amounts: Amounts, elapsed: int, output: int
    ) -> tuple[int, list[int], list[int]]:
        amount, other_amount = amounts[first], amounts[second]
        total, other_total = used[first] - elapsed * limit, used[second] - elapsed * other_limit
        total = amount * period + (max(0, total))
        other_total = other_amount * other_period + (max(0, other_total))
        if (
            total > capacity
            or other_total > other_capacity
            or not (amount or total + period <= capacity)
            or not (other_amount or other_total + other_period <= other_capacity)
        ):
            return -1, used, used
        booked = later = used.copy()
        booked[first], booked[second] = total, other_total
        if output:
            later = booked.copy()
            if is_of_output:
                later[first] = total = min(total + output * period, MOST_USED)
            if is_other_of_output:
                later[second] = other_total = min(other_total + output * other_period, MOST_USED)
        free, other_free = total // limit, other_total // other_limit
        return (max(other_free, free)) + 1, booked, later

    return admit_two


def book(used: list[int], limits: Limits, amounts: Amounts) -> int:
    """Add what a request takes; `used` is changed in place.

    Returns:
        Microseconds after which nothing is used any more.
    """
    longest = 0
    for index, limit, period, _ in limits.rates:
        total = used[index] = used[index] + amounts[index] * period
        if total >= MOST_USED:
            total = used[index] = MOST_USED
        duration = total // limit
        if duration >= longest:
            longest = duration + 1
    return longest
