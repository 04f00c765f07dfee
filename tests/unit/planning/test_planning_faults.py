"""Faults: how often, and of what kind."""

import random
from collections import Counter

import pytest

from llmsim.config import ErrorSettings
from llmsim.domain import Fault, FaultKind
from llmsim.planning.faults import Faults

SAMPLES = 20_000


class FixedRandom:
    """A generator that always returns one number."""

    def __init__(self, number: float) -> None:
        self._number = number

    def random(self) -> float:
        """Return it."""
        return self._number


def kinds(settings: ErrorSettings) -> Counter[FaultKind | None]:
    faults, rng = Faults(settings), random.Random(7)
    drawn = (faults.draw(rng) for _ in range(SAMPLES))
    return Counter(fault.kind if fault else None for fault in drawn)


def test_rates_are_shares_of_the_requests() -> None:
    """CHAT-4.1: Each rate makes that share of the requests fail, beside the others."""
    drawn = kinds(
        ErrorSettings(
            rate_limit_rate=0.10,
            server_error_rate=0.08,
            timeout_rate=0.05,
            invalid_request_rate=0.03,
            authentication_rate=0.02,
        )
    )

    shares = {kind: count / SAMPLES for kind, count in drawn.items()}
    assert shares == pytest.approx(
        {
            FaultKind.RATE_LIMIT: 0.10,
            FaultKind.SERVER_ERROR: 0.04,
            FaultKind.OVERLOADED: 0.04,
            FaultKind.TIMEOUT: 0.05,
            FaultKind.INVALID_REQUEST: 0.03,
            FaultKind.AUTHENTICATION: 0.02,
            None: 0.72,
        },
        abs=0.008,
    )


def test_rates_of_one_leave_no_response() -> None:
    """CHAT-4.1: Rates that add up to 1 make every request fail."""
    drawn = kinds(ErrorSettings(rate_limit_rate=0.5, timeout_rate=0.5))

    assert drawn[None] == 0
    assert set(drawn) == {FaultKind.RATE_LIMIT, FaultKind.TIMEOUT}


def test_the_highest_sample_is_a_fault_at_rate_one() -> None:
    """CHAT-4.1: Rates are added as they are written: ten times 0.1 leave no gap at the top."""
    settings = ErrorSettings(rate_limit_rate=1.0)

    assert Faults(settings).draw(FixedRandom(0.9999999999999999)) is not None  # type: ignore[arg-type]
    assert Faults(ErrorSettings(rate_limit_rate=0.5)).draw(FixedRandom(0.5)) is None  # type: ignore[arg-type]


def test_without_rates_nothing_fails() -> None:
    """CHAT-4.1: By default nothing is drawn."""
    faults = Faults(ErrorSettings())

    assert not faults.active
    assert faults.draw(random.Random(7)) is None


@pytest.mark.parametrize(
    ("rate", "wanted"),
    [
        ("rate_limit_rate", {Fault(FaultKind.RATE_LIMIT, retry_after=0.25)}),
        (
            "server_error_rate",
            {Fault(FaultKind.SERVER_ERROR), Fault(FaultKind.OVERLOADED, retry_after=0.25)},
        ),
        ("timeout_rate", {Fault(FaultKind.TIMEOUT, delay=1.5)}),
        ("invalid_request_rate", {Fault(FaultKind.INVALID_REQUEST)}),
        ("authentication_rate", {Fault(FaultKind.AUTHENTICATION)}),
    ],
)
def test_each_rate_has_its_fault(rate: str, wanted: set[Fault]) -> None:
    """CHAT-4.2: A timeout hangs for its time; CHAT-4.3: a rate limit and an overload have a retry delay."""
    faults = Faults(ErrorSettings(**{rate: 1.0}, timeout_after_ms=1500, retry_after_ms=250))
    rng = random.Random(7)

    assert {faults.draw(rng) for _ in range(60)} == wanted
