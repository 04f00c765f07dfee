"""Which requests fail on purpose.

Decisions:
* One throw a request against the stacked rates, so that rates add up as they are written.
"""

from itertools import accumulate

from llmsim.config import ErrorSettings
from llmsim.domain import Fault, FaultKind
from llmsim.planning.rng import Random


class Faults:
    """Draws a fault, or none, by the rates of `[errors]`."""

    def __init__(self, settings: ErrorSettings) -> None:
        retry_after = settings.retry_after_ms / 1000
        rated = (
            (settings.rate_limit_rate, Fault(FaultKind.RATE_LIMIT, retry_after=retry_after)),
            (settings.server_error_rate / 2, Fault(FaultKind.SERVER_ERROR)),
            (settings.server_error_rate / 2, Fault(FaultKind.OVERLOADED, retry_after=retry_after)),
            (settings.timeout_rate, Fault(FaultKind.TIMEOUT, delay=settings.timeout_after_ms / 1000)),
            (settings.invalid_request_rate, Fault(FaultKind.INVALID_REQUEST)),
            (settings.authentication_rate, Fault(FaultKind.AUTHENTICATION)),
        )
        self._steps = tuple(
            zip(accumulate(rate for rate, _ in rated), (fault for _, fault in rated), strict=True)
        )
        self.active = any(rate for rate, _ in rated)

    def draw(self, dice: Random) -> Fault | None:
        """Tell what goes wrong with one request."""
        throw = dice.random()
        return next((fault for step, fault in self._steps if throw < step), None)
