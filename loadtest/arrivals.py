"""When requests arrive in the open model.

Decisions:
* Instants depend on the rate alone, never on answers: what a slow server makes wait is measured and
  cannot hide by slowing down who asks (coordinated omission).
* Each generator has its share of the rate. Poisson arrivals of several are Poisson again; those of a
  constant rate begin at a random phase, so that generators do not beat together.
"""

import math
import random
from collections.abc import Callable, Iterator


def instants(rate: Callable[[float], float | None], *, poisson: bool, dice: random.Random) -> Iterator[float]:
    """Give the instants of arrivals, until the rate is None.

    Args:
        rate: Requests per second at an instant; None once there are to be no more.
        poisson: Whether gaps are exponential; else they are even.
        dice: What gaps, or the phase, are drawn from.

    Yields:
        Seconds since the beginning, rising.
    """
    now = 0.0
    # How much of the next arrival is still to come; in arrivals.
    missing = dice.expovariate(1) if poisson else dice.random()
    while True:
        here = rate(now)
        if here is None:
            return
        # The rate may change: it is taken as even for a tenth of a second at most.
        step = missing / here if here > 0 else math.inf
        if step > _STEP:
            now += _STEP
            missing -= here * _STEP
            continue
        now += step
        if rate(now) is None:
            return
        yield now
        missing = dice.expovariate(1) if poisson else 1.0


_STEP = 0.1
