"""Simulated failures instead of a response: of settings and of scripts. Those of a response are in `wire_faults`.

Decisions:
* One sample a request against the stacked rates, so that rates add up as they are written.
"""

from itertools import accumulate

from llmsim.config import ErrorSettings
from llmsim.domain import Fault, FaultKind
from llmsim.planning.rng import Random
from llmsim.scripts import ScriptFailure

_BY_STATUS = {
    401: FaultKind.AUTHENTICATION,
    408: FaultKind.TIMEOUT,
    429: FaultKind.RATE_LIMIT,
    503: FaultKind.OVERLOADED,
    504: FaultKind.TIMEOUT,
    529: FaultKind.OVERLOADED,
}

_RETRIED = (FaultKind.RATE_LIMIT, FaultKind.OVERLOADED)
"""Faults that carry a retry delay."""


class Faults:
    """Draws a fault, or None, by the rates of `[errors]`."""

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

    def draw(self, rng: Random) -> Fault | None:
        """Return the fault of one request; None if it succeeds."""
        sample = rng.random()
        return next((fault for step, fault in self._steps if sample < step), None)


def scripted_fault(failure: ScriptFailure, delay: float, retry_after: float | None) -> Fault:
    """Return the fault of an error turn.

    Args:
        failure: What the script says of it.
        delay: Seconds before the failure is answered.
        retry_after: Retry delay in seconds where the script has none; None to send none.
    """
    kind = failure.kind or kind_of_status(failure.status_code or 500)
    wait = retry_after if kind in _RETRIED else None
    if failure.retry_after_ms is not None:
        wait = failure.retry_after_ms / 1000
    return Fault(
        kind,
        delay=delay,
        retry_after=wait,
        message=failure.message,
        status=failure.status_code,
        code=failure.code,
    )


def kind_of_status(status: int) -> FaultKind:
    """Return the kind of failure that is answered with an HTTP status from 400 to 599."""
    plain = FaultKind.INVALID_REQUEST if status < 500 else FaultKind.SERVER_ERROR
    return _BY_STATUS.get(status, plain)
