"""The headers that say what is left of an account's limits, in the form of Anthropic's API.

Decisions:
* The tokens together are the sum of input and output where no limit of their own is set. What is not limited is shown as the nominal
  limits of a large account.
* A reset is a time, rounded up to a second.

Source: docs.claude.com/en/api/rate-limits, "Response headers".
"""

import functools
from datetime import UTC, datetime

from llmsim.domain.quota import INPUT_TPM, OUTPUT_TPM, RPD, RPM, TPM, QuotaStatus, RateStatus
from llmsim.providers.contract import Headers, LimitHeaders

_REQUESTS = (4_000, 4_000, 0)
_INPUT = (2_000_000, 2_000_000, 0)
_OUTPUT = (400_000, 400_000, 0)
"""Nominal limits. Source: docs.claude.com/en/api/rate-limits, tier 4."""

_NAMES = ("requests", "tokens", "input-tokens", "output-tokens")


def _headers(*rates: RateStatus) -> Headers:
    return tuple(
        header
        for name, rate in zip(_NAMES, rates, strict=True)
        for header in (
            (f"anthropic-ratelimit-{name}-limit", str(rate[0])),
            (f"anthropic-ratelimit-{name}-remaining", str(rate[1])),
            (f"anthropic-ratelimit-{name}-reset", "{now}"),
        )
    )


def _sum(one: RateStatus, other: RateStatus) -> RateStatus:
    return one[0] + other[0], one[1] + other[1], max(one[2], other[2])


NOMINAL = _headers(_REQUESTS, _sum(_INPUT, _OUTPUT), _INPUT, _OUTPUT)

_LINES = "".join(
    f"anthropic-ratelimit-{name}-{fact}: {place}\r\n"
    for name in _NAMES
    for fact, place in (("limit", "%d"), ("remaining", "%d"), ("reset", "%b"))
).encode()


@functools.lru_cache(256)
def format_time(second: int) -> bytes:
    """Format a Unix time as RFC 3339."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


def render_limits(status: QuotaStatus) -> bytes:
    """Render what is left of the limits as header lines."""
    rates, at = status.rates(), status.at + 999_999
    requests = rates.get(RPM, _REQUESTS)
    if RPD in rates and (RPM not in rates or rates[RPD][1] < requests[1]):
        requests = rates[RPD]
    read, written = rates.get(INPUT_TPM, _INPUT), rates.get(OUTPUT_TPM, _OUTPUT)
    tokens = rates[TPM] if TPM in rates else _sum(read, written)
    return _LINES % (
        requests[0],
        requests[1],
        format_time((at + requests[2]) // 1_000_000),
        tokens[0],
        tokens[1],
        format_time((at + tokens[2]) // 1_000_000),
        read[0],
        read[1],
        format_time((at + read[2]) // 1_000_000),
        written[0],
        written[1],
        format_time((at + written[2]) // 1_000_000),
    )


LIMIT_HEADERS = LimitHeaders(nominal=NOMINAL, render=render_limits)
"""The headers of the API."""
