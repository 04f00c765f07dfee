"""The headers that say what is left of an account's limits, in the form of OpenAI's APIs.

Decisions:
* Where requests are limited by the minute and by the day, and tokens together and by their kind, the headers show the limit of which
  least is left: they have place for one of each. What is not limited is shown as the nominal limits of a large account.

Source: platform.openai.com/docs/guides/rate-limits, "Rate limits in headers"; the reset is written as Go writes durations.
"""

import functools
import math

from llmsim.domain.quota import RPD, RPM, Limits, QuotaStatus, Rate
from llmsim.providers.contract import Headers, LimitHeaders, RenderLimits
from llmsim.providers.limit_memo import remember_last

_REQUESTS = (10_000, 10_000, 0)
_TOKENS = (30_000_000, 30_000_000, 0)
"""Nominal limits. Source: platform.openai.com/docs/models/gpt-4o, tier 5."""

NOMINAL: Headers = (
    ("x-ratelimit-limit-requests", str(_REQUESTS[0])),
    ("x-ratelimit-limit-tokens", str(_TOKENS[0])),
    ("x-ratelimit-remaining-requests", str(_REQUESTS[1])),
    ("x-ratelimit-remaining-tokens", str(_TOKENS[1])),
    ("x-ratelimit-reset-requests", "0s"),
    ("x-ratelimit-reset-tokens", "0s"),
)

_LINES = "".join(f"{name}: %{'s' if 'reset' in name else 'd'}\r\n" for name, _ in NOMINAL)


def format_duration(microseconds: int) -> str:
    """Format a duration as Go does, rounded up to milliseconds: `12ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    return _format(-(-microseconds // 1000))


def _format(milliseconds: int) -> str:
    """Format milliseconds likewise."""
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    seconds, rest = divmod(milliseconds, 1000)
    fraction = f".{rest:03}".rstrip("0") if rest else ""
    if seconds < 60:
        return f"{seconds}{fraction}s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}{fraction}s" if hours else f"{minutes}m{seconds}{fraction}s"


@functools.lru_cache(1024)
def _encode(milliseconds: int) -> bytes:
    """Format milliseconds likewise, as bytes."""
    return _format(milliseconds).encode()


def render_limits(status: QuotaStatus) -> bytes:
    """Render what is left of the limits as header lines."""
    requests, tokens = _REQUESTS, _TOKENS
    for index, rate in status.rates().items():
        if index in (RPM, RPD):
            if requests is _REQUESTS or rate[1] < requests[1]:
                requests = rate
        elif tokens is _TOKENS or rate[1] < tokens[1]:
            tokens = rate
    lines = _LINES % (
        requests[0],
        tokens[0],
        requests[1],
        tokens[1],
        format_duration(requests[2]),
        format_duration(tokens[2]),
    )
    return lines.encode()


def prepare_limits(limits: Limits) -> RenderLimits:
    """Return what renders what is left of limits; see `render_limits`."""
    requests = [rate for rate in limits.rates if rate[0] in (RPM, RPD)]
    tokens = [rate for rate in limits.rates if rate[0] not in (RPM, RPD)]
    render: RenderLimits = render_limits
    if len(requests) == len(tokens) == 1 and limits.rates[0] is requests[0]:
        render = _prepare_pair(requests[0], tokens[0])
    return remember_last(render, lambda _: math.inf)


def _prepare_pair(requests: Rate, tokens: Rate) -> RenderLimits:
    """Return what renders one limit of each kind, the first of requests, as most accounts have. PERF: a third of the time of `render_limits`."""
    _, limit, period, capacity = requests
    _, tokens_limit, tokens_period, tokens_capacity = tokens
    lines = (
        f"x-ratelimit-limit-requests: {limit}\r\n"
        f"x-ratelimit-limit-tokens: {tokens_limit}\r\n"
        "x-ratelimit-remaining-requests: %d\r\n"
        "x-ratelimit-remaining-tokens: %d\r\n"
        "x-ratelimit-reset-requests: %b\r\n"
        "x-ratelimit-reset-tokens: %b\r\n"
    ).encode()
    in_ms, tokens_in_ms = limit * 1000, tokens_limit * 1000

    def render(status: QuotaStatus) -> bytes:
        used, tokens_used = status.used
        return lines % (
            (capacity - used) // period if used < capacity else 0,
            (tokens_capacity - tokens_used) // tokens_period if tokens_used < tokens_capacity else 0,
            _encode(-(-used // in_ms)),
            _encode(-(-tokens_used // tokens_in_ms)),
        )

    return render


LIMIT_HEADERS = LimitHeaders(nominal=NOMINAL, prepare=prepare_limits)
"""The headers of the family's APIs."""
